"""Rows of the variational benchmark: its units are Pauli matrices and |J| = 1, and V-scores do not depend on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pvmc.errors import InputError
from pvmc.io.measurement import Measurement
from pvmc.io.reader import Run
from pvmc.io.schema import SERIES
from pvmc.results.varbench import HEAD, method, row, rows

E0_SPINS = -3.6510934089371743
"""Ground-state energy of the Heisenberg ring of 8 spins in units of J S.S."""
E0_PAULI = -14.604373635748697
"""The same in units of J sigma.sigma."""


class Unmeasured(Run):
    """A run without a file."""

    @property
    def measurements(self) -> list[Measurement]:
        return []


RBM = 'kind = "rbm"\nalpha = 2\nsymmetry = "translation"'


def run(energy: float, variance: float, hamiltonian: str, units: str, ansatz: str = RBM) -> Run:
    """A settled run of 8 spins with these mean energies, of all sites."""
    noise = 1e-4 * np.random.default_rng(1).normal(size=400)
    config = f'[lattice]\nkind = "chain"\nlength = 8\n[hamiltonian]\n{hamiltonian}\n[ansatz]\n{ansatz}\n'
    series = {quantity.name: np.full(400, quantity.fill) for quantity in SERIES}
    series |= {"iteration": np.arange(400), "energy": energy + noise, "variance": np.full(400, variance)}
    attributes: dict[str, str | int] = {"n_sites": 8, "energy_units": units, "config": config}
    return Unmeasured(Path("/nowhere/a/run.h5"), attributes, series, None, "", "", "")


def cells(text: str) -> list[str]:
    return [cell.strip() for cell in text.strip().strip("|").split("|")]


NAMES = ["Energy", "Sigma", "Energy Variance", "DOF", "Einf", "Method", "Reference"]
"""Columns of 190 of the 196 tables of github.com/varbench/varbench at 390a21e; the other six have two more."""
ANSAETZE = {
    RBM: "RBM (alpha = 2, translation symmetry)",
    'kind = "rbm"\nalpha = 1.5\nsymmetry = "none"': "RBM (alpha = 1.5)",
    'kind = "feedforward"\nwidths = [16, 8]\nsymmetry = "space"': "FFN (widths 16-8, space symmetry)",
    'kind = "jastrow"\nsymmetry = "none"': "Jastrow",
    'kind = "mean_field"\nsymmetry = "none"': "Mean field",
    'kind = "product"\nfactors = [{kind = "jastrow"}, {kind = "rbm", alpha = 1}]': "Jastrow x RBM (alpha = 1)",
    'kind = "projected"\nmomentum = 0\nspin_flip = -1\ninner = {kind = "rbm", alpha = 1}': (
        "RBM (alpha = 1) projected on momentum 0, spin flip -1"
    ),
    'kind = "own|\u00e4.py:State"': "own/?.py:State",
}
KNOWN = ("jastrow", "rbm", "ffn", "mean field")
"""Words by which its scripts tell the kinds of wave functions that pvmc has; others are "unknown"."""


def table(text: str) -> list[dict[str, str]]:
    """Rows of a table by lower-case names of columns, by the rules of the benchmark's reader.

    The head is the first line that names energy, energy variance and method; lines with dashes and empty ones are left
    out; a row with more cells than the head is warned of there, and an error here.
    """
    head: list[str] = []
    found = []
    for line in text.splitlines():
        if not head:
            if all(name in line.lower() for name in ("energy", "energy variance", "method")):
                head = [cell.lower() for cell in cells(line)]
        elif line.strip() and "---" not in line:
            assert len(cells(line)) <= len(head), "Too many columns"
            found.append(dict(zip(head, cells(line), strict=True)))
    return found


def test_rows_in_a_table_of_the_benchmark() -> None:
    """Read with our head, and pasted into a table that is there already."""
    runs = [run(-3.65, 0.1, 'model = "heisenberg"', "J (S.S)", ansatz) for ansatz in ANSAETZE]
    text = rows(runs)
    head, rule, *lines = text.splitlines()
    assert cells(head) == NAMES == cells(HEAD.splitlines()[0])
    assert set(rule) == set("|-") and rule.count("|") == head.count("|")
    assert len(lines) == len(runs)
    theirs = "| Energy  | Sigma | Energy Variance | DOF | Einf | Method | Reference |\n|---|---|---|---|---|---|---|\n"
    for found in (table(text), table(theirs + "\n".join(lines))):
        assert len(found) == len(runs)
        for line, name in zip(found, ANSAETZE.values(), strict=True):
            assert [float(line[key]) for key in ("dof", "einf")] == [8.0, 0.0]
            assert float(line["energy"]) == pytest.approx(-14.6, abs=1e-3)
            assert float(line["sigma"]) > 0.0
            assert float(line["energy variance"]) == pytest.approx(1.6)
            assert line["method"] == f"{name}, VMC with SR"
            assert line["method"].isascii()
            assert any(word in name.lower() for word in KNOWN) or name.startswith("own")
            assert line["reference"] == ""


def test_a_variance_of_zero_is_that_of_rounding_and_an_unknown_one_is_left_empty() -> None:
    """The benchmark drops rows with a variance of zero, and asks for the machine precision in its place."""
    (eigenstate,) = table(rows([run(-3.65, 0.0, 'model = "heisenberg"', "J (S.S)")]))
    assert float(eigenstate["energy variance"]) == pytest.approx((14.6 * 2.0**-52) ** 2, rel=1e-4)
    (unknown,) = table(rows([run(-3.65, np.nan, 'model = "heisenberg"', "J (S.S)")]))
    assert unknown["energy variance"] == ""


def test_energies_have_the_digits_that_their_errors_leave() -> None:
    """4 E = -14.6043736357..., sigma = 4e-4/20 from 400 iterations."""
    (line,) = table(rows([run(E0_SPINS, 0.1, 'model = "heisenberg"', "J (S.S)")]))
    digits = len(line["energy"].partition(".")[2])
    assert float(line["sigma"]) == pytest.approx(2e-5, rel=0.5)
    assert digits == 7


@pytest.mark.parametrize("coupling", [1.0, 2.5])
def test_heisenberg_energies_are_those_of_pauli_matrices_at_unit_coupling(coupling: float) -> None:
    text = row(run(coupling * E0_SPINS, 0.02, f'model = "heisenberg"\ncoupling = {coupling}', "J (S.S)"))
    energy, sigma, variance, dof, e_inf = (float(cell) for cell in cells(text)[:5])
    assert energy == pytest.approx(E0_PAULI, abs=5 * sigma)
    assert variance == pytest.approx(16 * 0.02 / coupling**2, rel=1e-5)
    assert 0 < sigma < 1e-3
    assert (dof, e_inf) == (8, 0)
    assert dof * variance / energy**2 == pytest.approx(8 * 0.02 / (coupling * E0_SPINS) ** 2, rel=1e-4)


def test_ising_energies_stand_as_they_are() -> None:
    text = row(run(-10.0, 0.5, 'model = "ising"\nfield = 1.0', "J (sigma.sigma)"))
    energy, _, variance, _, e_inf = (float(cell) for cell in cells(text)[:5])
    assert energy == pytest.approx(-10.0, abs=1e-3)
    assert (variance, e_inf) == (0.5, 0)


def test_other_units_are_refused() -> None:
    with pytest.raises(InputError, match="which the benchmark does not have"):
        row(run(-1.0, 0.1, 'model = "rydberg"', "Omega"))


@pytest.mark.parametrize(("method_key", "words"), [("reconfiguration", "SR"), ("adam", "adam")])
def test_the_optimiser_is_named(method_key: str, words: str) -> None:
    ansatz = f'{RBM}\n[sr]\nmethod = "{method_key}"'
    name = method(run(-1.0, 0.1, 'model = "heisenberg"', "J (S.S)", ansatz))
    assert name == f"RBM (alpha = 2, translation symmetry), VMC with {words}"
