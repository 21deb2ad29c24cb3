"""A Hamiltonian in other units has the energies in these units: nothing else changes, from 1e-30 to 1e30.

Powers of two change no digit: what a run and a measurement do at J = 2^-120 (7.5e-37) and 2^120 (1.3e36) is the same
to the last bit as at J = 1, so that any number that is compared with an absolute one shows.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from pvmc.cli import main
from pvmc.exact import Basis
from pvmc.exact.ground_space import ground_space
from pvmc.exact.lanczos import ground_state
from pvmc.hamiltonians.operator import Operator
from pvmc.hamiltonians.pauli import PauliSum
from pvmc.io.reader import open_run
from tests.designs import slow_but

pytestmark = pytest.mark.exact

UNITS = [2.0**-120, 2.0**120]

RING = """\
[lattice]
kind = "chain"
length = 6
[hamiltonian]
model = "heisenberg"
coupling = {coupling!r}
[ansatz]
kind = "rbm"
alpha = 1
[sampler]
walkers = 32
block_width = 16
samples = 256
[run]
iterations = 12
"""
EXACT = -2.8027756377319946  # of the ring of six, J = 1: -(2 + sqrt(13))/2


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PVMC_NO_MPI", "1")
    return tmp_path


def answers(text: str) -> dict[str, str]:
    """What stands behind "NAME = " in each line."""
    parts = (line.partition("=") for line in text.splitlines())
    return {name.strip(): rest.split()[0] for name, sign, rest in parts if sign}


@pytest.mark.parametrize("coupling", [1e-30, 1e-12, 1.0, 3e5, 1e30])
def test_exact_prints_the_digits_that_the_energy_has(coupling: float, capsys: pytest.CaptureFixture[str]) -> None:
    Path("ring.toml").write_text(RING.format(coupling=coupling))
    assert main(["exact", "ring.toml"]) == 0
    found = answers(capsys.readouterr().out)
    assert float(found["E"]) == pytest.approx(EXACT * coupling, rel=2e-13, abs=0.0)
    assert float(found["E/N"]) == pytest.approx(EXACT / 6 * coupling, rel=2e-13, abs=0.0)


@pytest.mark.parametrize("n_sites", [6, 10], ids=["dense", "Lanczos"])
@pytest.mark.parametrize("unit", [*UNITS, 1e-30])
def test_diagonalisation_has_no_unit(n_sites: int, unit: float) -> None:
    def ring(coupling: float) -> PauliSum:
        sites = range(n_sites)
        pairs = [((i, a), ((i + 1) % n_sites, a)) for i in sites for a in "XYZ"]
        return PauliSum({tuple(sorted(pair)): coupling * (1.0 + 0.1 * (k % 7)) for k, pair in enumerate(pairs)})

    basis = Basis.enumerate(n_sites)
    (plain, vector), (scaled, same) = (
        ground_state(Operator.from_pauli_sum(ring(j), n_sites), basis) for j in (1.0, unit)
    )
    assert scaled == pytest.approx(plain * unit, rel=1e-13, abs=0.0)
    assert abs(np.vdot(vector, same)) == pytest.approx(1.0, abs=1e-10)
    spaces = [ground_space(Operator.from_pauli_sum(ring(j), n_sites), basis) for j in (1.0, unit)]
    assert spaces[0].degeneracy == spaces[1].degeneracy
    assert spaces[1].energy == pytest.approx(spaces[0].energy * unit, rel=1e-13, abs=0.0)


@pytest.mark.parametrize("length", [4, 12])
def test_a_hamiltonian_of_zero_has_the_energy_zero(length: int, capsys: pytest.CaptureFixture[str]) -> None:
    text = RING.format(coupling=1.0).replace("heisenberg", "ising").replace("length = 6", f"length = {length}")
    for settings in ("coupling = 0.0\nfield = 0.0", "coupling = 0.0\nfield = 0.0\nlongitudinal = 0.0"):
        Path("zero.toml").write_text(text.replace("coupling = 1.0", settings))
        assert main(["exact", "zero.toml"]) == 0
        found = answers(capsys.readouterr().out)
        assert (float(found["E"]), float(found["E/N"])) == (0.0, 0.0)
    operator, basis = Operator.from_pauli_sum(PauliSum({}), length), Basis.enumerate(length)
    energy, vector = ground_state(operator, basis)
    assert energy == 0.0 and np.linalg.norm(vector) == 1.0


ENERGIES = ("energy", "energy_error")


@pytest.mark.slow
def test_a_run_in_other_units_is_the_same_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Run, measurement and plot, at J = 1 and at powers of two."""
    found = {}
    for number, coupling in enumerate((1.0, *UNITS)):
        name = f"ring{number}"
        Path(f"{name}.toml").write_text(RING.format(coupling=coupling))
        assert main(["run", f"{name}.toml"]) == 0
        shown = capsys.readouterr().out
        exact = next(line for line in shown.splitlines() if line.startswith("exact E/N = "))
        assert float(exact.split()[3]) == pytest.approx(EXACT / 6 * coupling, rel=1e-9, abs=0.0)
        assert main(["measure", f"runs/{name}", "--samples", "1024", "--observables", "energy,correlations"]) == 0
        assert main(["plot", f"runs/{name}", "--output", name, "--format", "png"]) == 0
        assert main(["status", f"runs/{name}"]) == 0
        status = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines() if line.startswith("E/N"))
        found[coupling] = open_run(f"runs/{name}")
        last = float(status["E/N"].split()[0])
        average = float(np.mean(found[coupling].series["energy"])) / 6
        assert 0.5 < last / average < 2.0, "the digits are there"
        with open(f"{name}.csv", encoding="utf-8") as file:
            rows = [row[1:] for row in csv.reader(file) if len(row) > 1 and is_number(row[1])]
        numbers = [[float(cell) for cell in row] for row in rows]
        assert numbers and all(math.isfinite(cell) for cell in numbers[0])
    plain = found[1.0]
    for unit in UNITS:
        other = found[unit]
        np.testing.assert_array_equal(other.parameters(), plain.parameters())
        for name, power in {"energy": 1, "energy_error": 1, "variance": 2, "r_hat": 0, "acceptance": 0}.items():
            np.testing.assert_array_equal(other.series[name], plain.series[name] * unit**power, err_msg=name)
        mine, theirs = (run.measurements[0].estimates for run in (other, plain))
        assert mine["energy"].value == theirs["energy"].value * unit
        assert mine["energy"].error == theirs["energy"].error * unit
        assert mine["variance"].value == theirs["variance"].value * unit**2
        np.testing.assert_array_equal(mine["correlation_zz"].value, theirs["correlation_zz"].value)


SETTINGS = [
    ['sr.solver="minsr"'],
    ['sr.solver="krylov"'],
    ['sr.factorisation="eigen"', "sr.snr=2.0"],
    ['sr.method="adam"'],
    ['sr.method="sgd"'],
    ["sr.line_search=true"],
    ["sampler.power=1.5"],
]


@pytest.mark.parametrize(
    "settings",
    slow_but(SETTINGS[2:3], SETTINGS),
    ids=lambda settings: settings[-1],
)
def test_every_solver_takes_the_same_steps_in_other_units(settings: list[str]) -> None:
    found = []
    for number, coupling in enumerate((1.0, *UNITS)):
        name = f"ring{number}"
        Path(f"{name}.toml").write_text(RING.format(coupling=coupling).replace("iterations = 12", "iterations = 4"))
        assert main(["run", f"{name}.toml", *(part for text in settings for part in ("--set", text))]) == 0
        run = open_run(f"runs/{name}")
        found.append((run.parameters().tobytes(), (run.series["energy"] / coupling).tobytes()))
    assert found[1] == found[0] and found[2] == found[0]


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
