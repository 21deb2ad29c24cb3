"""Closed solutions (Bethe ansatz, free fermions) against published numbers and against each other's limits."""

from __future__ import annotations

import numpy as np
import pytest

from pvmc.exact import heisenberg_chain_energy, ising_chain_energy

pytestmark = pytest.mark.exact

HEISENBERG_RING = {  # E0 / J in units of S.S; the Bethe equations solved with 40 digits
    4: -2.0,  # two triplets: H = (S^2 - S_A^2 - S_B^2) / 2 with S = 0, S_A = S_B = 1
    8: -3.6510934089371753063,
    10: -4.515446354492042931,
    12: -5.3873909174452059042,
    16: -7.1422963606167798639,
    20: -8.9043865298764423494,
    40: -17.746522788333215254,
    80: -35.462076149721303002,
    100: -44.32295707509186684,
}

ISING: dict[tuple[int, float, bool], float] = {  # (N, h, periodic): E0 at J = 1
    (8, 0.5, True): -8.509082235140278,
    (8, 1.0, True): -10.251661790966025,
    (12, 2.0, True): -25.525138302048084,
    (40, 0.5, True): -42.54177639893467,
    (40, 1.0, True): -50.94267411425691,
    (80, 1.0, True): -101.86570885790462,
    (160, 3.0, True): -493.42861606081283,
    (8, 0.5, False): -7.6405925535900785,
    (12, 1.0, False): -14.925971109908657,
    (40, 0.9, False): -48.11283921774445,
    (160, 2.0, False): -340.20264210681216,
}


@pytest.mark.parametrize(("n_sites", "energy"), HEISENBERG_RING.items())
def test_bethe_ansatz_gives_the_known_energies(n_sites: int, energy: float) -> None:
    assert heisenberg_chain_energy(n_sites) == pytest.approx(energy, rel=1e-14)


@pytest.mark.parametrize("n_sites", [500, 2000])
def test_bethe_ansatz_approaches_the_infinite_chain(n_sites: int) -> None:
    """E/N = 1/4 - ln 2 - (pi^2 / 12 N^2) (1 + O(1/ln^3 N)): Affleck et al., J. Phys. A 22, 511 (1989)."""
    finite_size = (heisenberg_chain_energy(n_sites) / n_sites + np.log(2) - 0.25) * n_sites**2
    correction = finite_size / (-(np.pi**2) / 12) - 1
    assert 0 < correction * np.log(n_sites) ** 3 < 0.5


def test_bethe_ansatz_scales_with_the_coupling() -> None:
    assert heisenberg_chain_energy(30, coupling=2.5) == pytest.approx(2.5 * heisenberg_chain_energy(30), rel=1e-15)


@pytest.mark.parametrize(("key", "energy"), ISING.items())
def test_free_fermions_give_the_known_energies(key: tuple[int, float, bool], energy: float) -> None:
    n_sites, field, periodic = key
    assert ising_chain_energy(n_sites, 1.0, field, periodic) == pytest.approx(energy, rel=1e-14)


@pytest.mark.parametrize("n_sites", [7, 64])
def test_critical_chains_have_closed_forms(n_sites: int) -> None:
    """At J = h = 1 the sums are geometric."""
    ring = -2 / np.sin(np.pi / (2 * n_sites))
    open_chain = 1 - 1 / np.sin(np.pi / (2 * (2 * n_sites + 1)))
    assert ising_chain_energy(n_sites, 1.0, 1.0, periodic=True) == pytest.approx(ring, rel=1e-13)
    assert ising_chain_energy(n_sites, 1.0, 1.0, periodic=False) == pytest.approx(open_chain, rel=1e-13)


@pytest.mark.parametrize("n_sites", [6, 7])
def test_classical_and_free_limits(n_sites: int) -> None:
    """Without a field an antiferromagnetic ring of odd length must break one bond; without coupling spins follow h."""
    unbroken = n_sites if n_sites % 2 == 0 else n_sites - 2
    assert ising_chain_energy(n_sites, -1.5, 0.0, periodic=True) == pytest.approx(-1.5 * unbroken, rel=1e-14)
    assert ising_chain_energy(n_sites, -1.5, 0.0, periodic=False) == pytest.approx(-1.5 * (n_sites - 1), rel=1e-14)
    assert ising_chain_energy(n_sites, 0.0, -0.7, periodic=True) == pytest.approx(-0.7 * n_sites, rel=1e-14)
