"""Ground-state energies of the models: closed forms against diagonalisation, and both against known numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from pvmc.errors import InputError
from pvmc.exact import (
    Basis,
    ExactEnergy,
    cluster_ising_chain_energy,
    find_reference,
    ground_state,
    haldane_shastry_energy,
    heisenberg_chain_energy,
    ising_chain_energy,
    majumdar_ghosh_energy,
)
from pvmc.exact.reference import closed_form, diagonalised
from pvmc.hamiltonians import HamiltonianSpec, Operator
from pvmc.lattice import ChainSpec, Lattice, RectangleSpec, chain, rectangle

pytestmark = pytest.mark.exact

SPECS: TypeAdapter[HamiltonianSpec] = TypeAdapter(HamiltonianSpec)


def energy(lattice: Lattice, magnetization: int | None = None, **model: Any) -> float:
    """The lowest eigenvalue by diagonalisation."""
    operator = Operator.from_pauli_sum(SPECS.validate_python(model).build(lattice), lattice.n_sites)
    return ground_state(operator, Basis.enumerate(lattice.n_sites, magnetization))[0]


KNOWN: list[tuple[Lattice, int | None, dict[str, Any], float]] = [
    # Two spins: a singlet at -3/4 J, a triplet at J/4; four on a ring: two triplets at -2 J.
    *(
        (chain(2, periodic=False), None, {"model": "heisenberg", "coupling": 2.0, "marshall": m}, -1.5)
        for m in (False, True)
    ),
    *(
        (chain(2, periodic=False), m, {"model": "heisenberg", "coupling": -2.0, "marshall": False}, -0.5)
        for m in (-2, 0, 2)
    ),
    *((chain(4), None, {"model": "heisenberg", "coupling": 2.0, "marshall": m}, -4.0) for m in (False, True)),
    # Exact diagonalisation with a program of its own, residuals below 1e-12; in units of S.S.
    (chain(12), 0, {"model": "j1j2", "j2": 0.2411}, -4.874875868091275),
    (chain(12), 0, {"model": "j1j2", "j2": 0.4}, -4.596775186841028),
    (chain(12), 0, {"model": "j1j2", "j2": 0.4, "marshall": False}, -4.596775186841028),
    (rectangle((4, 4)), 0, {"model": "j1j2"}, 16 * -0.7017802005268037),
    (rectangle((4, 4)), 0, {"model": "j1j2", "j2": 0.5}, 16 * -0.5286202094621784),
    (rectangle((4, 4)), 0, {"model": "j1j2", "j2": 1.0}, 16 * -0.7684681385064043),
    (chain(12), 0, {"model": "haldane_shastry"}, -5.106149499174704),
    # Bethe ansatz of the XXZ ring, 40 digits.
    (chain(12), 0, {"model": "xxz", "anisotropy": 0.5}, -4.557272440830394),
    (chain(12), 0, {"model": "xxz", "anisotropy": 2.0}, -7.460117375510887),
    (chain(12), 0, {"model": "xyz", "couplings": [1.0, 1.0, 1.5]}, -6.3548538224160644),
    (chain(8), None, {"model": "xyz", "couplings": [2.0, 1.0, 1.0]}, -5.039428703947134),  # the same about x
    # Exact diagonalisation, units of sigma.sigma.
    (rectangle((3, 3), (False, False)), None, {"model": "ising", "field": 2.0}, -19.794136334903722),
    (rectangle((3, 3), (False, False)), None, {"model": "ising", "field": 3.0}, -28.0741988908889),
]


@pytest.mark.parametrize(("lattice", "magnetization", "model", "expected"), KNOWN)
def test_known_energies(lattice: Lattice, magnetization: int | None, model: dict[str, Any], expected: float) -> None:
    assert energy(lattice, magnetization, **model) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("n_sites", [4, 6, 8, 10])
def test_haldane_shastry_ring(n_sites: int) -> None:
    exact = energy(chain(n_sites), 0, model="haldane_shastry", coupling=1.3)
    assert exact == pytest.approx(haldane_shastry_energy(n_sites, 1.3), abs=1e-11)


def test_haldane_shastry_ground_state_obeys_the_marshall_rule() -> None:
    operator = Operator.from_pauli_sum(SPECS.validate_python({"model": "haldane_shastry"}).build(chain(8)), 8)
    _, vector = ground_state(operator, Basis.enumerate(8, 0))
    assert np.all(vector > 1e-6)


@pytest.mark.parametrize("n_sites", [6, 8, 10])
@pytest.mark.parametrize("periodic", [True, False])
def test_majumdar_ghosh_chain(n_sites: int, periodic: bool) -> None:
    exact = energy(chain(n_sites, periodic), 0, model="j1j2", j1=1.6, j2=0.8)
    assert exact == pytest.approx(majumdar_ghosh_energy(n_sites, 1.6), abs=1e-11)


@pytest.mark.parametrize("n_sites", [2, 5, 8])
def test_ising_open_chain_in_random_fields(n_sites: int) -> None:
    fields = np.random.default_rng(n_sites).uniform(-1, 2, n_sites)
    exact = energy(chain(n_sites, periodic=False), model="ising", coupling=0.7, field=fields.tolist())
    assert ising_chain_energy(n_sites, 0.7, fields, periodic=False) == pytest.approx(exact, abs=1e-11)


@pytest.mark.parametrize("n_sites", [3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("periodic", [True, False])
def test_cluster_ising_chain(n_sites: int, periodic: bool) -> None:
    """All signs, both parities, frustrated rings."""
    rng = np.random.default_rng(n_sites)
    for coupling, ising, field in [*rng.uniform(-1.5, 1.5, (8, 3)).tolist(), (1.0, 0.0, 0.0), (0.0, 1.0, 0.3)]:
        exact = energy(chain(n_sites, periodic), model="cluster_ising", coupling=coupling, ising=ising, field=field)
        closed = cluster_ising_chain_energy(n_sites, coupling, ising, field, periodic)
        assert closed == pytest.approx(exact, abs=1e-11)


def test_the_cluster_state_has_one_unit_of_energy_per_site() -> None:
    assert cluster_ising_chain_energy(40, 1.0, 0.0, 0.0, periodic=True) == pytest.approx(-40.0, rel=1e-14)
    assert cluster_ising_chain_energy(40, 1.0, 0.0, 0.0, periodic=False) == pytest.approx(-38.0, rel=1e-14)


# Which closed form belongs to an input --------------------------------------------------------------------------------

CLOSED: list[tuple[ChainSpec, int | None, dict[str, Any], str]] = [
    (ChainSpec(kind="chain", length=8), None, {"model": "ising", "field": 0.7}, "free fermions"),
    (
        ChainSpec(kind="chain", length=8, periodic=False),
        None,
        {"model": "ising", "field": {"seed": 1, "width": 1.0}},
        "free fermions",
    ),
    (ChainSpec(kind="chain", length=7), None, {"model": "cluster_ising", "ising": 0.5, "field": 0.2}, "free fermions"),
    (ChainSpec(kind="chain", length=8), 0, {"model": "heisenberg"}, "Bethe ansatz"),
    (ChainSpec(kind="chain", length=8), 0, {"model": "haldane_shastry"}, "Haldane-Shastry"),
    (ChainSpec(kind="chain", length=8), 0, {"model": "j1j2", "j2": 0.5}, "Majumdar-Ghosh"),
]


@pytest.mark.parametrize(("lattice", "magnetization", "model", "method"), CLOSED)
def test_closed_forms_agree_with_diagonalisation(
    lattice: ChainSpec, magnetization: int | None, model: dict[str, Any], method: str
) -> None:
    spec = SPECS.validate_python(model)
    found = closed_form(lattice, spec, magnetization)
    exact = energy(lattice.build(), magnetization, **model)
    assert found is not None and found.method == method
    assert found.energy == pytest.approx(exact, abs=1e-10)


OPEN_QUESTIONS: list[tuple[ChainSpec | RectangleSpec, int | None, dict[str, Any]]] = [
    (ChainSpec(kind="chain", length=8), None, {"model": "ising", "longitudinal": 0.1}),
    (ChainSpec(kind="chain", length=8), None, {"model": "ising", "field": {"seed": 1, "width": 1.0}}),
    (ChainSpec(kind="chain", length=8), 0, {"model": "heisenberg", "field": [0.1] + [0.0] * 7}),
    (ChainSpec(kind="chain", length=8), None, {"model": "heisenberg", "field": 3.0}),
    (ChainSpec(kind="chain", length=8), 0, {"model": "haldane_shastry", "coupling": -1.0}),
    (ChainSpec(kind="chain", length=7), None, {"model": "haldane_shastry", "marshall": False}),
    (ChainSpec(kind="chain", length=8), 0, {"model": "j1j2", "j2": 0.5, "j3": 0.1}),
    (ChainSpec(kind="chain", length=8), 0, {"model": "j1j2", "j2": 0.5, "field": {"seed": 1, "width": 0.5}}),
    (ChainSpec(kind="chain", length=4), 0, {"model": "j1j2", "j2": 0.5}),
    (ChainSpec(kind="chain", length=8), 2, {"model": "j1j2", "j2": 0.5}),
    (RectangleSpec(kind="rectangle", size=(4, 3)), None, {"model": "ising"}),
]


@pytest.mark.parametrize(("lattice", "magnetization", "model"), OPEN_QUESTIONS)
def test_everything_else_is_diagonalised(
    lattice: ChainSpec | RectangleSpec, magnetization: int | None, model: dict[str, Any]
) -> None:
    spec, built = SPECS.validate_python(model), lattice.build()
    operator = Operator.from_pauli_sum(spec.build(built), built.n_sites)
    assert closed_form(lattice, spec, magnetization) is None
    found = find_reference(lattice, spec, operator, magnetization)
    assert found is not None and found.method == "Lanczos"
    assert found == diagonalised(operator, magnetization, largest=2**12)


def test_references_are_refused_where_they_do_not_hold() -> None:
    for call in (haldane_shastry_energy, majumdar_ghosh_energy, heisenberg_chain_energy):
        for n_sites, coupling in ((7, 1.0), (2, 1.0), (8, -1.0), (8, 0.0), (8, np.nan)):
            with pytest.raises(InputError, match="needs|Heisenberg ring"):
                call(n_sites, coupling)
    with pytest.raises(InputError, match="uniform"):
        ising_chain_energy(4, 1.0, [1.0, 2.0, 3.0, 4.0], periodic=True)
    for n_sites, periodic in ((2, True), (1, False)):
        with pytest.raises(InputError, match=f"at least {n_sites + 1}"):
            ising_chain_energy(n_sites, 1.0, 1.0, periodic)
    with pytest.raises(InputError, match="at least 3"):
        cluster_ising_chain_energy(2, 1.0, 1.0, 1.0, periodic=False)
    assert ExactEnergy(majumdar_ghosh_energy(12), "Majumdar-Ghosh").energy == -4.5
