"""Clusters named in the literature: bond for bond the ground-state energies of the Heisenberg antiferromagnet.

The energies come from an exact diagonalisation (sector S^z = 0, double precision, residual norms below 2e-12) of an
independent program that lists the bonds in its own way; in units of J, H = J sum_<ij> S_i . S_j.  A wrong bond changes
them in the first digits.
"""

from __future__ import annotations

import numpy as np
import pytest

from pvmc.exact import Basis, ground_state
from pvmc.hamiltonians import Operator
from pvmc.hamiltonians.heisenberg import HeisenbergSpec, XXZSpec, xxz
from pvmc.hamiltonians.ising import IsingSpec
from pvmc.lattice import (
    HONEYCOMB,
    TRIANGULAR,
    Lattice,
    graph,
    honeycomb,
    kagome,
    rectangle,
    supercell_cluster,
    triangular,
)

pytestmark = pytest.mark.exact


def energy(lattice: Lattice) -> float:
    operator = Operator.from_pauli_sum(xxz(lattice.bonds(), 1.0, 1.0), lattice.n_sites)
    return ground_state(operator, Basis.enumerate(lattice.n_sites, 0))[0]


@pytest.mark.parametrize(
    ("lattice", "n_bonds", "expected"),
    [
        (supercell_cluster(TRIANGULAR, [[2, 2], [-2, 4]]), 36, -7.3239616252546185),
        (triangular((4, 4)), 48, -8.555514917516264),
        (triangular((6, 3)), 54, -10.459935635774297),
        (honeycomb((3, 2)), 18, -6.9308614882849895),
        (honeycomb((4, 2)), 24, -9.119562088420532),
        (honeycomb((3, 3)), 27, -10.097165836504871),
        (kagome((2, 2)), 24, -5.444875216971861),
        (kagome((3, 2)), 36, -8.048270773541187),
    ],
    ids=[
        "triangular 12",
        "triangular 16",
        "triangular 18",
        "honeycomb 12",
        "honeycomb 16",
        "honeycomb 18",
        "kagome 12",
        "kagome 18",
    ],
)
def test_heisenberg_ground_states(lattice: Lattice, n_bonds: int, expected: float) -> None:
    assert len(lattice.bonds()) == n_bonds
    assert energy(lattice) == pytest.approx(expected, abs=1e-10)


def test_the_same_cluster_by_another_supercell() -> None:
    """The honeycomb of 3 x 3 cells, its edges sheared along each other."""
    lattice = supercell_cluster(HONEYCOMB, [[3, 0], [3, 3]])
    assert len(lattice.group("space")) == 108
    assert energy(lattice) == pytest.approx(-10.097165836504871, abs=1e-10)


@pytest.mark.parametrize("marshall", [False, True])
def test_couplings_of_a_graph_enter_the_heisenberg_model(marshall: bool) -> None:
    """Four sites on a ring, bonds J and J' in turn: E = -(J + J')/2 - sqrt(J^2 - J J' + J'^2), by hand."""
    strong, weak = 1.0, 0.3
    lattice = graph([(0, 1, strong), (1, 2, weak), (2, 3, strong), (3, 0, weak)])
    by_hand = -(strong + weak) / 2 - np.sqrt(strong**2 - strong * weak + weak**2)
    for spec in (
        HeisenbergSpec(model="heisenberg", coupling=2.0, marshall=marshall),
        XXZSpec(model="xxz", coupling=2.0, marshall=marshall),
    ):
        operator = Operator.from_pauli_sum(spec.build(lattice), 4)
        assert ground_state(operator, Basis.enumerate(4, 0))[0] == pytest.approx(2.0 * by_hand, abs=1e-12)


def test_couplings_of_a_graph_enter_the_ising_model() -> None:
    """Without a field: minus the sum of |J| on a tree, where every bond can be satisfied."""
    lattice = graph([(0, 1, 1.0), (1, 2, -0.5), (1, 3, 0.25)])
    operator = Operator.from_pauli_sum(IsingSpec(model="ising", coupling=2.0, field=0.0).build(lattice), 4)
    assert ground_state(operator, Basis.enumerate(4))[0] == pytest.approx(-3.5, abs=1e-12)


def test_a_cluster_as_a_graph() -> None:
    edges = [(j, i, 1.0) for i, j in reversed(kagome((2, 2)).bonds().tolist())]
    assert energy(graph(edges)) == pytest.approx(-5.444875216971861, abs=1e-10)
    edges = [(i, j, 1.0) for i, j in rectangle((4, 3), (True, False)).bonds().tolist()]
    assert energy(graph(edges)) == pytest.approx(energy(rectangle((4, 3), (True, False))), abs=1e-10)
