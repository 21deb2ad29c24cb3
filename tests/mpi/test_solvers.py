"""The linear solvers on several ranks: the solution of the definitions, with the same bytes as on one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pvmc.errors import NumericalError
from pvmc.estimators import Rows
from pvmc.estimators.derivatives import Derivatives, Factored, Stored
from pvmc.mpi import Communicator, SerialCommunicator, block_range
from pvmc.sr import Step, minsr
from pvmc.sr.momentum import MomentumSpec
from pvmc.vmc.job import Job
from tests.batches import FIELDS, Problem, problem
from tests.jobs import job_of, records
from tests.solvers import LARGEST_CONDITION, SOLVERS, condition, difference, penalty, solver

pytestmark = pytest.mark.mpi

Numbers = npt.NDArray[Any]

SERIAL = SerialCommunicator()
N_BLOCKS = 5
SHAPES = {"n_s > K": (3, 2, 5), "n_s < K": (4, 8, 12)}
"""Plain parameters, units and inputs; n_s = 75, in three chunks of each block, the last one shorter."""
TOLERANCE = 1e-10


def uneven(fields: str, width: int = 8, **options: Any) -> Problem:
    """5 blocks: on 2, 3 and 4 ranks some have more of them than others."""
    return problem(fields, n_blocks=N_BLOCKS, n_draws=5, width=width, step=2, **options)


def fingerprint(step: Step) -> tuple[object, ...]:
    """All that a step says, to the last bit."""
    numbers = (step.residual, step.n_frozen, step.force_norm, step.angle, step.shift, step.solver_iterations)
    memory = {name: array.tobytes() for name, array in step.memory.items()}
    return (step.direction.dtype, step.direction.tobytes(), numbers, memory)


def both(name: str, case: Problem, regularisation: str, comm: Communicator, **options: Any) -> tuple[Step, Step]:
    """Collective. The step on the ranks, and what this rank alone makes of all blocks."""
    memory = options.pop("memory", {})
    found = [
        solver(name, regularisation, **options).solve(case.moments(ranks, SOLVERS[name][2]), 0, ranks, memory=memory)
        for ranks in (comm, SERIAL)
    ]
    return found[0], found[1]


# The solution ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "regularisation"), [("n_s > K", "shift"), ("n_s < K", "offset")])
@pytest.mark.parametrize("fields", FIELDS)
def test_solutions_of_the_definitions_with_the_bytes_of_a_serial_one(
    comm: Communicator, fields: str, size: str, regularisation: str
) -> None:
    """By every solver; weighted where n_s < K."""
    case = uneven(fields, width=3, shape=SHAPES[size], weighted=size == "n_s < K")
    assert (case.n_samples > case.n_parameters) == (size == "n_s > K")
    tensor, force = case.tensor_and_force()
    penalties = penalty(regularisation, tensor.diagonal().real)
    assert condition(tensor, penalties) < LARGEST_CONDITION
    expected = np.linalg.solve(tensor + np.diag(penalties), force)
    for name in SOLVERS:
        there, here = both(name, case, regularisation, comm)
        assert difference(there.direction, expected) < TOLERANCE, name
        assert fingerprint(there) == fingerprint(here), name


@pytest.mark.parametrize("fields", ["complex, and A", "real theta, complex psi"])
def test_momentum_and_a_frozen_direction(comm: Communicator, fields: str) -> None:
    """A centre and the weights of MARCH, next to a log-derivative that is constant."""
    case = uneven(fields, weighted=True, constant=0.1)
    tensor, force = (array[1:] for array in case.tensor_and_force())
    tensor, n = tensor[:, 1:], case.n_parameters
    last, changes = np.linspace(-1.0, 1.0, n).astype(force.dtype), np.linspace(1.0, 2.0, n)
    weights = np.sqrt(changes + 0.01 * changes.mean())
    variances = np.append(0.0, tensor.diagonal().real)
    penalties = penalty("all three", variances, weights / weights.mean())[1:]
    assert condition(tensor, penalties) < LARGEST_CONDITION
    centre = 0.8 * last[1:]
    expected = centre + np.linalg.solve(tensor + np.diag(penalties), force - tensor @ centre)
    options = {"momentum": MomentumSpec(mu=0.8, march=0.9), "memory": {"direction": last, "changes": changes}}
    for name in SOLVERS:
        there, here = both(name, case, "all three", comm, **options)
        assert there.n_frozen == 1 and there.direction[0] == 0.0, name
        assert difference(there.direction[1:], expected) < TOLERANCE, name
        assert fingerprint(there) == fingerprint(here), name


@pytest.mark.parametrize("regularisation", ["shift", "offset"])
@pytest.mark.parametrize("fields", ["all real", "complex", "real theta, complex psi and A"])
def test_kernels_of_several_pieces_and_tiles(comm: Communicator, fields: str, regularisation: str) -> None:
    """Three pieces of parameters, and six tiles of 550 configurations, on ranks that have different numbers of them."""
    case = problem(fields, n_blocks=N_BLOCKS, n_draws=11, width=10, step=4, shape=(3, 25, 25))
    n_pieces, n_sides = -(-case.n_parameters // minsr.PIECE), -(-case.n_samples // minsr.TILE)
    assert (n_pieces, n_sides) == (3, 3)
    for name in ("minsr", "minsr with factors"):
        there, here = both(name, case, regularisation, comm)
        assert there.residual < 1e-11
        assert fingerprint(there) == fingerprint(here), name


def test_failure_of_the_roots_factorisation_is_raised_on_every_rank(
    comm: Communicator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(lower: Numbers, right: Numbers) -> Numbers:
        assert comm.rank == 0
        raise NumericalError("no factor")

    monkeypatch.setattr(minsr, "cholesky_solution", fail)
    moments = uneven("complex").moments(comm, "stored")
    with pytest.raises(NumericalError, match="^no factor$") as caught:
        solver("minsr", "shift").solve(moments, 0, comm)
    assert caught.value.collective
    assert comm.sum(1.0) == comm.size


# Rows -----------------------------------------------------------------------------------------------------------------


def rows_of(case: Problem, layout: str, comm: Communicator) -> Rows:
    rows = case.moments(comm, layout).rows
    assert rows is not None
    return rows


def n_bytes(derivatives: Derivatives) -> int:
    """Of the arrays that are kept."""
    if isinstance(derivatives, Stored):
        return derivatives.array.nbytes
    assert isinstance(derivatives, Factored)
    return sum(factor.nbytes for block in derivatives.blocks for factor in block)


@pytest.mark.parametrize("layout", ["stored", "factored"])
@pytest.mark.parametrize("fields", FIELDS)
def test_rows_have_the_bytes_of_serial_ones(comm: Communicator, fields: str, layout: str) -> None:
    """Sums over all ranks, and this rank's part of X v."""
    case = uneven(fields, weighted=True)
    there, here = rows_of(case, layout, comm), rows_of(case, layout, SERIAL)
    vector = np.linspace(-1.0, 2.0, case.n_parameters).astype(there.dtype)
    for name in ("mean", "offset", "variances", "rounding", "force"):
        assert getattr(there, name).tobytes() == getattr(here, name).tobytes(), name
    products = there.metric_times(vector), here.metric_times(vector)
    assert products[0][0].tobytes() == products[1][0].tobytes() and products[0][1] == products[1][1]
    mine = block_range(N_BLOCKS, comm.rank, comm.size)
    assert len(mine) < N_BLOCKS or comm.size == 1
    own = slice(mine.start * 40, mine.stop * 40)
    assert there.times(vector).tobytes() == here.times(vector)[own].tobytes()


@pytest.mark.parametrize("layout", ["stored", "factored"])
def test_a_rank_keeps_the_rows_of_its_own_configurations_only(comm: Communicator, layout: str) -> None:
    """16 bytes for each of K log-derivatives, or of k + q + p factors (A is real), of each of 40 configurations."""
    case = uneven("complex", shape=(4, 14, 16))
    per_configuration = 16 * (4 + 14 * 16) if layout == "stored" else 16 * (4 + 14) + 8 * 16
    mine = block_range(N_BLOCKS, comm.rank, comm.size)
    rows = rows_of(case, layout, comm)
    held = sum(n_bytes(chunk.derivatives) for chunk in rows.chunks)
    assert held == per_configuration * 40 * len(mine)
    assert len(rows.chunks) == 3 * len(mine)
    assert len(rows.energies) == sum(len(chunk.root) for chunk in rows.chunks) == 40 * len(mine)
    assert comm.sum(np.array([held]))[0] == per_configuration * 40 * N_BLOCKS
    solver("minsr", "shift").solve(case.moments(comm, layout), 0, comm)
    assert sum(n_bytes(chunk.derivatives) for chunk in rows.chunks) == held


# Runs -----------------------------------------------------------------------------------------------------------------

ITERATIONS = 4

RUNS: dict[str, dict[str, Any]] = {
    "dense": {"solver": "dense"},
    "dense, eigenvalues above their noise": {"solver": "dense", "factorisation": "eigen", "cutoff": 0.01, "snr": 1.0},
    "cg": {"solver": "krylov"},
    "minres": {"solver": "krylov", "krylov": {"method": "minres"}},
    "minsr": {"solver": "minsr"},
    "minsr, uniform": {"solver": "minsr", "shift": 0.0, "floor": 1e-2},
    "minsr, MARCH": {"solver": "minsr", "momentum": {"mu": 0.9, "march": 0.9}},
    "cg, SPRING": {"solver": "krylov", "momentum": {"mu": 0.9}},
    "adam": {"method": "adam", "learning_rate": 0.01},
}

DAMPED = {"learning_rate": 0.05, "shift": {"initial": 0.1, "decay": 0.5}}

ANSATZES: dict[str, dict[str, Any]] = {
    "stored": {"kind": "rbm", "alpha": 2},
    "factored": {"kind": "rbm", "symmetry": "none", "alpha": 1},
    # Not next to weights of 0, where psi hardly changes with them, and steps are long.
    "real theta, complex psi": {
        "kind": "feedforward",
        "widths": [5, 4],
        "weights": "amplitude_phase",
        "init_scale": 0.5,
    },
}

METROPOLIS = {"walkers": 8 * N_BLOCKS, "block_width": 8, "samples": 4 * 8 * N_BLOCKS}
SAMPLERS: dict[str, dict[str, Any]] = {
    "metropolis": METROPOLIS,
    "importance sampling": METROPOLIS | {"power": 1.5},
    "enumeration": {"kind": "exact", "block_width": 15},
}
"""The 70 configurations of an enumeration fill four blocks and most of a fifth."""


def make_job(solver: str, ansatz: str, sampler: str) -> Job:
    tables = {
        "lattice": {"kind": "chain", "length": 8},
        "hamiltonian": {"model": "heisenberg"},
        "ansatz": ANSATZES[ansatz],
        "sampler": SAMPLERS[sampler],
        "sr": RUNS[solver] if solver == "adam" else DAMPED | RUNS[solver],
        "run": {"iterations": ITERATIONS},
    }
    return job_of(tables)


@pytest.mark.parametrize(
    ("ansatz", "sampler"),
    [
        ("stored", "metropolis"),
        ("factored", "metropolis"),
        ("real theta, complex psi", "metropolis"),
        ("factored", "importance sampling"),
        ("real theta, complex psi", "enumeration"),
    ],
)
@pytest.mark.parametrize("solver", RUNS)
def test_runs_have_the_same_bits(comm: Communicator, solver: str, ansatz: str, sampler: str) -> None:
    """Energies, steps, parameters and what is remembered, in each of four iterations."""
    job = make_job(solver, ansatz, sampler)
    assert job.sampler.n_blocks == N_BLOCKS
    for there, here in zip(*(records(job, ITERATIONS, ranks) for ranks in (comm, SERIAL)), strict=True):
        assert (there.energy.mean, there.energy.variance) == (here.energy.mean, here.energy.variance)
        assert fingerprint(there.step) == fingerprint(here.step)
        assert there.state.theta.tobytes() == here.state.theta.tobytes()
        assert {k: v.tobytes() for k, v in there.state.memory.items()} == {
            k: v.tobytes() for k, v in here.state.memory.items()
        }
        assert np.linalg.norm(there.step.direction) > 1e-6
