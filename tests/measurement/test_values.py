"""Local values of the observables against matrices: at the exact ground state, and at any state of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pvmc.exact import Basis, ground_state
from pvmc.figures.kinds import FIGURES
from pvmc.io.measurement import Estimate
from pvmc.io.reader import open_run
from pvmc.measurement.measuring import measure
from pvmc.measurement.plan import MeasureRequest
from pvmc.measurement.registry import NAMES, OBSERVABLES, local_values, names_of
from pvmc.mpi import SerialCommunicator
from pvmc.vmc.job import Job
from pvmc.vmc.recorder import RunRequest
from pvmc.vmc.run import run
from pvmc.wavefunctions import WaveFunction
from tests.helpers import compiled_matrix, configurations, kronecker_string, labels_of, state_vector
from tests.jobs import job_of
from tests.table_state import TableState

pytestmark = pytest.mark.exact

# <S_0 . S_r> of the periodic Heisenberg chain by exact diagonalisation, and 1/N^2 sum_ij (-1)^(i+j) <S_i . S_j>.
HEISENBERG = {
    8: ([0.75, -0.456386676117, 0.195777904011, -0.18895282124, 0.149123186691], 0.3226697486784635),
    10: ([0.75, -0.451544635449, 0.190549979331, -0.173378457644, 0.12980000875, -0.140853789976], 0.27813999523245847),
    12: (
        [0.75, -0.44894924312, 0.187832785268, -0.165821744613, 0.120854733576, -0.122410489829, 0.106987917437],
        0.24572715918750976,
    ),
}

Spins = npt.NDArray[np.int8]


def make_job(lattice: dict[str, Any], hamiltonian: dict[str, Any], weights: str = "complex", **sections: Any) -> Job:
    tables: dict[str, Any] = {
        "lattice": lattice,
        "hamiltonian": hamiltonian,
        "ansatz": {"kind": "rbm", "alpha": 1, "symmetry": "none", "weights": weights, "visible_bias": True},
        "sampler": {"kind": "exact", "block_width": 16},
    } | sections
    return job_of(tables)


def exact_means(job: Job, psi: Any, spins: Spins, weights: npt.NDArray[Any], names: list[str]) -> dict[str, Estimate]:
    observables = local_values(names, job)
    means = observables.values(psi, spins, psi.lookup(spins)) @ weights
    return observables.estimates(means, np.zeros(len(means)))


@pytest.mark.parametrize("marshall", [True, False])
@pytest.mark.parametrize("n_sites", sorted(HEISENBERG))
def test_correlations_of_the_ground_state(n_sites: int, marshall: bool) -> None:
    """The rotated frame gives those of the original spins, isotropic and as tabulated."""
    job = make_job({"kind": "chain", "length": n_sites}, {"model": "heisenberg", "marshall": marshall})
    basis = Basis.enumerate(n_sites, 0)
    _, vector = ground_state(job.operator, basis)
    kept = abs(vector) > 1e-12
    spins, weights = np.ascontiguousarray(basis.spins[:, kept]), abs(vector[kept]) ** 2
    found = exact_means(job, TableState(vector, basis), spins, weights, list(NAMES))
    half, staggered = HEISENBERG[n_sites]
    expected = np.array([*half, *half[-2:0:-1]]) * 4 / 3
    momenta = 2 * np.pi * np.arange(n_sites) / n_sites
    fourier = np.cos(np.outer(momenta, np.arange(n_sites))) @ expected
    for letters in ("xx", "yy", "zz"):
        np.testing.assert_allclose(found[f"correlation_{letters}"].value, expected, atol=1e-9)
        np.testing.assert_allclose(found[f"structure_factor_{letters}"].value, fourier, atol=1e-8)
    assert found["staggered_magnetization_squared"].value == pytest.approx(4 * staggered, abs=1e-9)
    assert [found[f"magnetization_{letter}"].value for letter in "xyz"] == pytest.approx([0, 0, 0], abs=1e-12)


def expectations(job: Job, labels: npt.NDArray[np.int64]) -> Callable[[dict[int, str], npt.NDArray[Any]], float]:
    """Expectation values of products of the original spins in a vector of the job's frame, by Kronecker products."""
    signs = (
        job.lattice.sublattices()
        if getattr(job.config.hamiltonian, "marshall", False)
        else np.ones(job.lattice.n_sites)
    )
    n_sites = job.lattice.n_sites

    def expectation(letters: dict[int, str], vector: npt.NDArray[Any]) -> float:
        sign = np.prod([signs[site] for site, letter in letters.items() if letter != "Z"])
        matrix = kronecker_string(letters, n_sites)[labels][:, labels]
        return float(sign * np.vdot(vector, matrix @ vector).real)

    return expectation


CASES = {
    "ring": ({"kind": "chain", "length": 8}, {"model": "heisenberg"}),
    "ring, as it is": ({"kind": "chain", "length": 8}, {"model": "heisenberg", "marshall": False}),
    "open chain": ({"kind": "chain", "length": 7, "periodic": False}, {"model": "xyz", "couplings": [1.0, 0.5, 0.2]}),
    "cylinder": ({"kind": "rectangle", "size": [4, 2], "periodic": [True, False]}, {"model": "ising", "field": 0.7}),
    "three sites a cell": ({"kind": "kagome", "size": [3, 1], "periodic": [True, False]}, {"model": "ising"}),
}


@pytest.mark.parametrize("case", CASES)
def test_every_observable_of_a_random_state(case: str) -> None:
    """A complex state without symmetry: sums over all pairs, from dense matrices, translation by translation."""
    job = make_job(*CASES[case])
    lattice, n_sites = job.lattice, job.lattice.n_sites
    theta = job.ansatz.initial_parameters(np.random.default_rng(5)) * 20
    psi: WaveFunction = job.ansatz.at(theta)
    spins = configurations(n_sites, job.sampler.magnetization)
    vector = state_vector(psi, spins)
    names = names_of(["operator:mine=0.5 X0 Y1; 0.5 Z1 Z2; 0.3 Y2 X1"], job) + names_of([], job)
    observables = local_values(names, job)
    means = observables.values(psi, spins, psi.lookup(spins)) @ abs(vector) ** 2
    found = observables.estimates(means, np.zeros(len(means)))
    expectation = expectations(job, labels_of(spins))
    all_pairs = {}
    for letter in "XYZ":
        single = [expectation({i: letter}, vector) for i in range(n_sites)]
        assert found[f"magnetization_{letter.lower()}"].value == pytest.approx(np.mean(single), abs=1e-10)
        table = np.eye(n_sites)
        for i in range(n_sites):
            for j in range(i):
                table[i, j] = table[j, i] = expectation({j: letter, i: letter}, vector)
        all_pairs[letter] = table
        images = lattice.group("translation")
        expected = [np.mean([table[image[0], image[r]] for image in images]) for r in range(n_sites)]
        name = letter.lower() * 2
        np.testing.assert_allclose(found[f"correlation_{name}"].value, expected, atol=1e-10)
        phases = np.exp(1j * lattice.positions @ lattice.momenta().T)
        factor = np.einsum("iq,ij,jq->q", phases, table, phases.conj()).real / n_sites
        np.testing.assert_allclose(found[f"structure_factor_{name}"].value, factor, atol=1e-10)
    if "staggered" in names:
        order = lattice.sublattices().astype(float)
        square = order @ sum(all_pairs.values()) @ order / n_sites**2
        assert found["staggered_magnetization_squared"].value == pytest.approx(square, abs=1e-10)
    mine = 0.5 * expectation({0: "X", 1: "Y"}, vector) + 0.5 * expectation({1: "Z", 2: "Z"}, vector)
    mine += 0.3 * expectation({2: "Y", 1: "X"}, vector)
    assert found["operator_mine"].value == pytest.approx(mine, abs=1e-10)
    assert np.ptp(found["correlation_xx"].value) > 1e-3, "a state with correlations"


def test_enumeration_is_exact_and_without_error(tmp_path: Path) -> None:
    """The whole way through files, for a run of which no sample is drawn: values of the vector, errors 0."""
    job = make_job({"kind": "chain", "length": 8}, {"model": "heisenberg"}, run={"iterations": 3})
    serial = SerialCommunicator()
    assert run(RunRequest(job, "", tmp_path / "run"), serial) == 0
    words = [*NAMES, "renyi2:1 4-5", f"fidelity:first={tmp_path / 'run'}@0"]
    assert measure(MeasureRequest(tmp_path / "run", words), serial) == 0
    stored = open_run(tmp_path / "run")
    (found,) = stored.measurements
    psi = job.ansatz.at(stored.parameters())
    spins = configurations(8, 0)
    vector = state_vector(psi, spins)
    basis = Basis.enumerate(8, 0)
    labels = labels_of(spins)
    matrix = compiled_matrix(job.operator)[labels][:, labels]
    energy = np.vdot(vector, matrix @ vector).real
    variance = np.linalg.norm(matrix @ vector) ** 2 - energy**2
    assert found.estimates["energy"].value == pytest.approx(energy, abs=1e-11)
    assert found.estimates["variance"].value == pytest.approx(variance, abs=1e-10)
    assert found.estimates["v_score"].value == pytest.approx(8 * variance / energy**2, abs=1e-10)
    assert all(np.all(np.asarray(estimate.error) == 0) for estimate in found.estimates.values())
    assert found.attributes["status"] == "finished" and found.attributes["n_samples"] == len(basis)
    table = TableState(vector[np.argsort(labels)], basis)
    expected = exact_means(job, table, spins, abs(vector) ** 2, list(NAMES))
    for name, estimate in expected.items():
        np.testing.assert_allclose(found.estimates[name].value, estimate.value, atol=1e-11)
    amplitudes = np.zeros(2**8, dtype=complex)
    amplitudes[labels] = vector
    tensor = amplitudes.reshape((2,) * 8)  # the axis of site i is the one of bit i, which is 7 - i
    for number, sites in enumerate([range(4), (1, 4, 5)]):
        axes = [7 - site for site in sites]
        schmidt = np.linalg.svd(np.moveaxis(tensor, axes, range(len(axes))).reshape(2 ** len(axes), -1))[1]
        assert found.estimates["renyi2"].value[number] == pytest.approx(-np.log(np.sum(schmidt**4)), abs=1e-11)
        assert np.flatnonzero(found.coordinates["region_sites"][number]).tolist() == list(sites)
    energies, states = np.linalg.eigh(matrix.toarray())
    assert energies[1] - energies[0] > 0.1
    assert found.estimates["overlap"].value == pytest.approx(abs(np.vdot(states[:, 0], vector)) ** 2, abs=1e-11)
    first = state_vector(job.ansatz.at(stored.parameters(0)), spins)
    assert found.estimates["fidelity_first"].value == pytest.approx(abs(np.vdot(first, vector)) ** 2, abs=1e-11)
    assert found.estimates["fidelity_first"].value < 1 - 1e-6, "another state"


def test_the_registry_is_consistent() -> None:
    """Names and datasets stand once, axes have coordinates, and figures are those of ``pvmc plot``."""
    assert len({one.name for one in OBSERVABLES}) == len(OBSERVABLES)
    datasets = [data for one in OBSERVABLES for data in one.datasets]
    assert len({data.name for data in datasets}) == len(datasets)
    for one in OBSERVABLES:
        assert {dim for data in one.datasets for dim in data.dims} <= {axis.axes[0] for axis in one.axes}
        assert one.figure in {"", *FIGURES}
        assert bool(one.argument) == bool(one.examples) and (one.argument or not one.needs_argument)
