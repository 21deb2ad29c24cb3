"""``pvmc validate-physics``: right programs pass, and each kind of mistake fails the check that is meant for it."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.linalg import eigh

import pvmc.tasks.validation.variational as variational
from pvmc.cli import main
from pvmc.config import to_toml
from pvmc.errors import InputError
from pvmc.hamiltonians import Operator
from pvmc.mpi import SerialCommunicator
from pvmc.sampler import Draw
from pvmc.sampler.metropolis import MetropolisWalk
from pvmc.spins.configurations import Basis
from pvmc.sr import Reconfiguration, Schedule
from pvmc.tasks.validation import Outcome, Report, validate_physics
from pvmc.tasks.validation.pages import row
from pvmc.tasks.validation.stochastic import _judged, chi_square
from pvmc.tasks.validation.system import ExactSystem, pauli_matrix
from pvmc.vmc.job import Job
from tests.designs import slow_but
from tests.helpers import all_pass, kronecker_sum, random_strings
from tests.jobs import job_of

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs" / "validation").glob("*.toml"))
PAGE = ROOT / "docs" / "reports" / "validation.md"

SAMPLER = {"walkers": 256, "block_width": 128, "samples": 1024}
SR = {"learning_rate": 0.1, "shift": {"initial": 10.0, "decay": 0.8, "minimum": 1e-3}}
ISING = {"model": "ising", "field": 1.5}
RBM_SECTION = {"kind": "rbm", "alpha": 1}
NAMES = [
    *("sampled distribution", "sampled energy", "local energies", "gradient", "matrix S", "SR equations"),
    *("small SR step", "final energy", "variational bound", "energy of the final psi"),
]


def tables(length: int = 6, hamiltonian: Any = ISING, ansatz: Any = RBM_SECTION, **sections: Any) -> dict[str, Any]:
    return {
        "lattice": {"kind": "chain", "length": length},
        "hamiltonian": hamiltonian,
        "ansatz": ansatz,
        "sampler": SAMPLER,
        "sr": SR,
        "run": {"iterations": 60, "seed": 3},
        **sections,
    }


def make(**changes: Any) -> Job:
    return job_of(tables(**changes))


def validated(job: Job, **options: Any) -> Report:
    return validate_physics("test", job, SerialCommunicator(), **options)


def failed(report: Report) -> set[str]:
    return {check.name for check in report.checks if not check.passed}


# What is right passes -------------------------------------------------------------------------------------------------


EIGEN = {**SR, "factorisation": "eigen", "cutoff": 1e-3}
HEISENBERG = {"hamiltonian": {"model": "heisenberg"}, "ansatz": {**RBM_SECTION, "weights": "real", "alpha": 2}}
XYZ = {"model": "xyz", "couplings": [-1.0, 0.7, 0.4], "field_y": 0.5, "marshall": False}
NO_SYMMETRY = {**RBM_SECTION, "symmetry": "none"}
RIGHT: dict[str, dict[str, Any]] = {
    "ising": {},
    "heisenberg": {**HEISENBERG, "length": 8, "sampler": {**SAMPLER, "moves": {"exchange": 1.0}}},
    "exact": {"sampler": {"kind": "exact"}},
    "eigen": {"sr": EIGEN},
    "snr": {"sr": {**EIGEN, "snr": 1.0}},
    "krylov": {"sr": {**SR, "solver": "krylov", "offset": 1e-3, "momentum": {"mu": 0.5}}},
    "minsr": {"sr": {**SR, "solver": "minsr", "largest_condition": 50.0}, "sampler": {**SAMPLER, "samples": 512}},
    "adam": {"sr": {"method": "adam", "learning_rate": 0.05}},
    "complex": {"hamiltonian": XYZ, "ansatz": {**NO_SYMMETRY, "alpha": 2, "visible_bias": True}},
}


@pytest.mark.parametrize("name", slow_but(["snr", "complex"], RIGHT))
def test_right_programs_pass(name: str) -> None:
    shown = []
    report = validated(make(**RIGHT[name]), accuracy=0.05, show=shown.append)
    assert failed(report) == set()
    assert [check.name for check in report.checks] == NAMES
    assert tuple(shown) == report.checks
    assert all(np.isfinite(check.measured) for check in report.checks)
    assert report.outcome is not None
    assert report.outcome.exact < report.outcome.enumerated


def test_projected_states_are_compared_with_their_own_sector() -> None:
    """The lowest state of momentum pi of a Heisenberg ring lies above its ground state."""
    momentum = {"kind": "projected", "momentum": 3, "inner": {"kind": "rbm", "alpha": 1, "symmetry": "none"}}
    plain = make(hamiltonian={"model": "heisenberg", "marshall": False}, ansatz=NO_SYMMETRY)
    ring = make(hamiltonian={"model": "heisenberg", "marshall": False}, ansatz=momentum)
    zero = make(hamiltonian={"model": "heisenberg", "marshall": False}, ansatz={**momentum, "momentum": 0})
    energies = [ExactSystem.of(job).energy for job in (plain, ring, zero)]
    assert energies[0] == pytest.approx(energies[1], abs=1e-9)  # N/2 odd: the ground state has momentum pi
    assert energies[2] > energies[0] + 0.1


def test_an_excluded_ground_state_is_named_and_the_states_have_an_energy_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ring of 5: E = -1.868 has momenta other than 0; the lowest energy of momentum 0 is -0.75."""
    job = make(length=5, hamiltonian={"model": "heisenberg"})
    assert ExactSystem.of(job).energy == pytest.approx(-0.75, abs=1e-10)
    every = make(length=5, hamiltonian={"model": "heisenberg"}, ansatz=NO_SYMMETRY)
    assert ExactSystem.of(every).energy == pytest.approx(-1.868033988749895, abs=1e-10)
    (tmp_path / "ring.toml").write_text(to_toml(job.config))
    assert main(["validate-physics", str(tmp_path / "ring.toml"), "--accuracy", "0.05"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "warning" in line]
    assert 'ansatz.symmetry = "translation" excludes the ground state (E = -1.868033989)' in line
    assert "its lowest energy is -0.75:" in line and "compared with those of the states of this input" in line


# What is wrong fails --------------------------------------------------------------------------------------------------


def _class_of_state(job: Job) -> Any:
    return type(job.ansatz.at(job.ansatz.initial_parameters(np.random.default_rng(0))))


def _wrong_derivatives(job: Job, patch: pytest.MonkeyPatch) -> Job:
    state = _class_of_state(job)
    right = state.log_derivatives

    def wrong(self: Any, spins: Any, lookup: Any, out: Any = None) -> Any:
        values = right(self, spins, lookup, out)
        values[-1] *= 1.001
        return values

    patch.setattr(state, "log_derivatives", wrong)
    return job


def _wrong_amplitudes(job: Job, patch: pytest.MonkeyPatch) -> Job:
    right = Operator.amplitudes

    def wrong(self: Any, spins: Any) -> Any:
        values = right(self, spins)
        values[0] *= 1.0 + 1e-7
        return values

    patch.setattr(Operator, "amplitudes", wrong)
    return job


def _wrong_walk(job: Job, patch: pytest.MonkeyPatch) -> Job:
    """Accepts by |psi'/psi|^1.6 in place of the square."""
    state = _class_of_state(job)
    right = state.metropolis

    def wrong(self: Any, spins: Any, lookup: Any, flips: Any, conserving: Any, chosen: Any, uniforms: Any) -> Any:
        return right(self, spins, lookup, flips, conserving, chosen, uniforms**1.25)

    patch.setattr(state, "metropolis", wrong)
    return job


def _wrong_claim(job: Job, patch: pytest.MonkeyPatch) -> Job:
    """A sampler that starts in one corner and does not move, with small error bars."""
    right = MetropolisWalk.__iter__

    def wrong(self: Any) -> Any:
        for block, draw, spins, _ in right(self):
            cornered = np.where(spins.sum(axis=0) < 0, -1, spins).astype(np.int8)
            yield Draw(block, draw, cornered, self._psi.lookup(cornered))

    patch.setattr(MetropolisWalk, "__iter__", wrong)
    return job


def _wrong_tensor(job: Job, patch: pytest.MonkeyPatch) -> Job:
    right = variational.reduce_moments

    def wrong(*arguments: Any, **keywords: Any) -> Any:
        moments = right(*arguments, **keywords)
        return replace(moments, tensor=1.0001 * moments.tensor)

    patch.setattr(variational, "reduce_moments", wrong)
    return job


def _wrong_shift(job: Job, patch: pytest.MonkeyPatch) -> Job:
    return replace(
        job, solver=Reconfiguration(job.config.sr.model_copy(update={"shift": Schedule(initial=2e-3)}), "dense")
    )


def _uphill(job: Job, patch: pytest.MonkeyPatch) -> Job:
    class Uphill(Reconfiguration):
        def solve(self, *arguments: Any, **keywords: Any) -> Any:
            step = job.solver.solve(*arguments, **keywords)
            return replace(step, direction=-step.direction)

    return replace(job, solver=Uphill(job.config.sr, "dense"))


MISTAKES: list[tuple[Callable[[Job, pytest.MonkeyPatch], Job], set[str]]] = [
    (_wrong_derivatives, {"gradient"}),
    (_wrong_amplitudes, {"local energies"}),
    (_wrong_walk, {"sampled distribution"}),
    (_wrong_claim, {"sampled distribution", "sampled energy"}),
    (_wrong_tensor, {"matrix S", "SR equations"}),
    (_wrong_shift, {"SR equations"}),
    (_uphill, {"SR equations", "small SR step", "final energy", "energy of the final psi"}),
]


@pytest.mark.parametrize(("mistake", "caught"), MISTAKES, ids=[mistake.__name__.strip("_") for mistake, _ in MISTAKES])
def test_mistakes_are_caught(
    mistake: Callable[[Job, pytest.MonkeyPatch], Job], caught: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checks named fail, and none of those that judge other parts at fixed parameters."""
    report = validated(mistake(make(), monkeypatch), accuracy=0.05)
    found = failed(report)
    assert caught <= found
    assert not (found - caught) & set(NAMES[:7]) - {"sampled energy"}


def test_energies_below_the_exact_one_are_caught() -> None:
    def fails(**changes: float) -> set[str]:
        checks = _judged(replace(right, **changes), 1e-3, 100)
        return {check.name for check in checks if not check.passed}

    right = Outcome(exact=-10.0, radius=20.0, energy=-9.999, error=1e-4, enumerated=-9.999, variance=0.1)
    assert fails() == fails(energy=-10.0004) == set(), "as it is, and by chance"
    assert fails(energy=-10.0006) == {"variational bound"}
    assert fails(enumerated=-10.0006) == {"energy of the final psi"}
    assert "final energy" in fails(energy=float("nan"))


def test_a_run_that_breaks_off_is_a_failed_check() -> None:
    job = make(sr={"learning_rate": 1e6, "shift": 1e-3})
    report = validated(job)
    assert failed(report) == {"final energy"}
    assert report.outcome is None
    assert "-" in row(report)


# The parts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letters", ["XZ", "XYZ"])
def test_the_matrix_of_pauli_strings(letters: str, rng: np.random.Generator) -> None:
    terms = random_strings(rng, 5, 30, letters)
    matrix = pauli_matrix(terms, Basis.enumerate(5))
    np.testing.assert_allclose(matrix.toarray(), kronecker_sum(terms, 5), atol=1e-13)
    assert np.isrealobj(matrix.data) == (letters == "XZ")


def test_the_exact_energy_of_a_magnetisation() -> None:
    job = make(hamiltonian={"model": "heisenberg"})
    system = ExactSystem.of(job)
    whole = kronecker_sum(job.config.hamiltonian.build(job.lattice), 6)
    assert len(system.basis) == 20
    assert system.energy == pytest.approx(eigh(whole, eigvals_only=True, subset_by_index=[0, 0])[0], abs=1e-10)


def test_a_hamiltonian_that_leaves_the_basis_is_refused() -> None:
    job = make()
    with pytest.raises(InputError, match="magnetisation"):
        pauli_matrix(job.config.hamiltonian.build(job.lattice), Basis.enumerate(6, 0))


@pytest.mark.parametrize("concentration", [0.05, 1.0])
def test_p_values_of_the_chi_square(concentration: float, rng: np.random.Generator) -> None:
    """Fair for draws from the distribution itself, small for another; with a few and with very many rare cells."""
    probabilities = rng.dirichlet(np.full(3000, concentration))
    fair = [chi_square(rng.multinomial(16_000, probabilities), probabilities) for _ in range(200)]
    p_values = np.array([p for p, _ in fair])
    assert all_pass(p_values, 1e-4)
    assert 0.35 < p_values.mean() < 0.65
    assert 50 < fair[0][1] <= 2000
    assert chi_square(rng.multinomial(16_000, probabilities[::-1]), probabilities)[0] < 1e-10
    exact = np.rint(16_000 * probabilities).astype(np.int64)
    assert chi_square(exact, probabilities)[0] < 1e-10, "too good to be true"


# The command ----------------------------------------------------------------------------------------------------------

TOML = """\
lattice = {{ kind = "chain", length = {length} }}
hamiltonian = {{ model = "ising", field = 2.0 }}
ansatz = {{ kind = "rbm", alpha = {alpha}, symmetry = "none" }}
sampler = {{ walkers = 128, samples = 512 }}
sr = {{ shift = 1e-2 }}
run = {{ iterations = 60 }}
"""


def write(path: Path, length: int = 6, alpha: int = 1) -> Path:
    path.write_text(TOML.format(length=length, alpha=alpha))
    return path


def test_the_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, page = write(tmp_path / "ring.toml"), tmp_path / "page.md"
    assert main(["validate-physics", str(path), "--accuracy", "0.02", "--markdown", str(page)]) == 0
    printed = capsys.readouterr().out
    for name in NAMES:
        assert f"pass  {name}" in printed
    assert "ring: all 10 checks passed" in printed
    text = page.read_text()
    assert f"pvmc validate-physics {path} --accuracy 0.02 --markdown {page}" in text
    assert [line for line in text.splitlines() if line.startswith("| ring | 6 | rbm, alpha 1, real | 42 |")]


def test_a_failed_check_is_exit_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "ring.toml")
    assert main(["validate-physics", str(path), "--accuracy", "1e-13", "--set", "run.iterations=3"]) == 3
    printed = capsys.readouterr().out
    assert "FAIL  final energy" in printed
    assert "pass  local energies" in printed


@pytest.mark.parametrize(
    ("length", "alpha", "flags", "message"),
    [
        (18, 1, [], "18 sites are too many to validate by exact diagonalisation: at most 16"),
        (16, 32, [], "the log-derivatives of 8704 parameters on all 65536 configurations need 8.5 GiB"),
        (6, 1, ["--accuracy", "0"], "argument --accuracy: must be a number > 0, not '0'"),
        (6, 1, ["--accuracy", "good"], "argument --accuracy: must be a number > 0, not 'good'"),
        (6, 1, ["--set", "lattice.sites=3"], "unknown key"),
    ],
)
def test_bad_input_is_exit_code_2(
    length: int, alpha: int, flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found before anything is computed, also in the last of several inputs."""
    good, bad = write(tmp_path / "good.toml"), write(tmp_path / "bad.toml", length, alpha)
    assert main(["validate-physics", str(good), str(bad), *flags]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


# The validation set ---------------------------------------------------------------------------------------------------


def test_the_validation_set_has_default_settings() -> None:
    assert len(CONFIGS) >= 12
    for path in CONFIGS:
        assert path.read_text().startswith("# ")
        content = tomllib.loads(path.read_text())
        assert set(content) <= {"lattice", "hamiltonian", "ansatz", "run"}
        assert set(content.get("run", {})) <= {"iterations"}


def test_the_page_shows_that_all_of_the_set_pass() -> None:
    lines = PAGE.read_text().splitlines()
    command = "pvmc validate-physics configs/validation/*.toml --markdown docs/reports/validation.md"
    assert any(f"`{command}`" in line for line in lines)
    rows = {cells[1].strip(): cells for cells in (line.split("|") for line in lines if line.startswith("| "))}
    for path in CONFIGS:
        assert rows[path.stem][-2].strip() == "pass"
    assert not any(line.startswith("FAIL") for line in lines)
