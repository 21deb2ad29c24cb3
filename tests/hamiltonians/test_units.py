"""Units of energies: those of the numbers that a model gives, whatever its coupling; and the scale of errors."""

from __future__ import annotations

import numpy as np
import pytest

from pvmc.exact import Basis
from pvmc.exact.lanczos import sparse_matrix
from pvmc.hamiltonians import Operator
from pvmc.hamiltonians.couplings import energy_unit
from pvmc.hamiltonians.heisenberg import HeisenbergSpec
from pvmc.hamiltonians.pauli import PauliSum
from pvmc.hamiltonians.rydberg import RydbergSpec
from pvmc.io.schema import Quantity
from pvmc.statistics.thresholds import error_scale, rounding_of


@pytest.mark.parametrize(
    ("coupling", "unit"), [(1.0, "J"), (4.0, "J/4"), (0.3, "J/0.3"), (-1.0, "|J|"), (-2.5, "|J|/2.5"), (0.0, "J")]
)
def test_unit_of_the_numbers(coupling: float, unit: str) -> None:
    """E/N = -1.7746 at J = 4 is -1.7746 J/4, not -1.7746 J."""
    assert energy_unit("J", coupling) == unit
    assert energy_unit("J", coupling, "S.S") == f"{unit} (S.S)"
    assert HeisenbergSpec(model="heisenberg", coupling=coupling).energy_unit == f"{unit} (S.S)"
    assert RydbergSpec(model="rydberg", rabi=coupling).energy_unit == unit.replace("J", "Omega")


def test_squares_of_units_are_unambiguous() -> None:
    square = Quantity("variance", "float64", "energy^2", "")
    assert square.units_in("J/4 (S.S)") == "(J/4)^2 (S.S)"
    assert square.units_in("J (S.S)") == "J^2 (S.S)"


@pytest.mark.parametrize(
    ("exact", "radius", "scale"),
    [(-5.0, 20.0, 5.0), (0.0, 3.0, 3.0), (1.7e-16, 3.0, 3.0), (-1e-3, 3.0, 1e-3), (0.0, 0.0, 0.0)],
)
def test_what_errors_are_relative_to(exact: float, radius: float, scale: float) -> None:
    assert error_scale(exact, radius) == scale
    for unit in (1e-30, 1e30):
        assert error_scale(unit * exact, unit * radius) == pytest.approx(unit * scale)
        assert rounding_of(unit * exact, unit * radius) == pytest.approx(unit * 1e-12 * max(abs(exact), radius))


def test_the_radius_bounds_the_spectrum() -> None:
    terms = PauliSum({(): 7.0, ((0, "X"), (1, "X")): 0.5, ((0, "Z"),): -2.0, ((1, "Y"), (2, "Z")): 0.25})
    operator = Operator.from_pauli_sum(terms, 3)
    assert operator.radius == 2.75
    values = np.linalg.eigvalsh(sparse_matrix(operator, Basis.enumerate(3, None)).toarray())
    assert np.abs(values - 7.0).max() <= 2.75
    assert np.ptp(values) > 2.75
