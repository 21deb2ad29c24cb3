"""Rows of the variational benchmark: its units are Pauli matrices and |J| = 1, and V-scores do not depend on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pvmc.analysis.varbench import HEAD, method, row, rows
from pvmc.errors import InputError
from pvmc.io.measurement import Measurement
from pvmc.io.reader import Run

E0_SPINS = -3.6510934089371743
"""Ground-state energy of the Heisenberg ring of 8 spins in units of J S.S."""
E0_PAULI = -14.604373635748697
"""The same in units of J sigma.sigma."""


class Unmeasured(Run):
    """A run without a file."""

    @property
    def measurements(self) -> list[Measurement]:
        return []


def run(energy: float, variance: float, hamiltonian: str, units: str) -> Run:
    """A settled run of 8 spins with these mean energies, of all sites."""
    noise = 1e-4 * np.random.default_rng(1).normal(size=400)
    config = (
        f'[lattice]\nkind = "chain"\nlength = 8\n[hamiltonian]\n{hamiltonian}\n'
        '[ansatz]\nkind = "rbm"\nalpha = 2\nsymmetry = "translation"\n'
    )
    series = {"iteration": np.arange(400), "energy": energy + noise, "variance": np.full(400, variance)}
    attributes: dict[str, str | int] = {"n_sites": 8, "energy_units": units, "config": config}
    return Unmeasured(Path("/nowhere/a/run.h5"), attributes, series, None, "", "", "")


def cells(text: str) -> list[str]:
    return [cell.strip() for cell in text.strip().strip("|").split("|")]


def test_the_head_is_that_of_the_benchmark() -> None:
    names = ["Energy", "Sigma", "Energy variance", "DOF", "Einf", "Method", "Data repository", "Reference"]
    head, rule, *lines = rows([run(-3.65, 0.1, 'model = "heisenberg"', "J (S.S)")]).splitlines()
    assert cells(head) == names == cells(HEAD.splitlines()[0])
    assert set(rule) == set("|-")
    assert len(lines) == 1
    assert lines[0].count("|") == len(names) + 1


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


def test_the_method_in_words() -> None:
    assert method(run(-1.0, 0.1, "", "J (S.S)")) == "RBM (alpha = 2, translation symmetry), VMC with SR"
