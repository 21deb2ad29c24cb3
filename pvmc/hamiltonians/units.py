"""The unit of a model's energies, in terms of its coupling."""

from __future__ import annotations

from pvmc.hamiltonians.fields import SiteField


def energy_unit(symbol: str, coupling: SiteField, operators: str = "") -> str:
    """The unit of the numbers that a model gives, which are in the unit in which its coupling is given.

    Energies are never divided by the coupling: at J = 4 they are in units of J/4, at J = -1 in units of |J|.

    Args:
        symbol: of the coupling, such as "J".
        coupling: its value; where there is no single one, or it is zero, the symbol alone stands for the unit.
        operators: what it multiplies, such as "S.S".
    """
    remark = f" ({operators})" if operators else ""
    if not isinstance(coupling, float | int) or coupling in (0.0, 1.0):
        return symbol + remark
    size = symbol if coupling > 0 else f"|{symbol}|"
    return f"{size}{remark}" if abs(coupling) == 1.0 else f"{size}/{abs(coupling):g}{remark}"
