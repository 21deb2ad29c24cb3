"""Numbers as they are printed, with their errors, and their names in what is written for other programs."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

SIGNIFICANT = 15
"""Significant digits that a double-precision number has for certain; what is beyond is not printed."""


def with_error(value: float, error: float) -> str:
    """A value with its error in brackets, two digits of it: -0.443662(31).

    An error of 0 (or none that is finite) leaves the value with 10 digits.  Of an error below the last significant
    digit of the value that digit is given, and the error as 1 of it, the least that rounding leaves open.
    """
    if not (math.isfinite(error) and error > 0 and math.isfinite(value)):
        return f"{value:.10g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    last = round(error * 10.0**digits)
    if last >= 100 and digits > 0:  # 9.96 rounds up to one digit more
        digits -= 1
        last = round(error * 10.0**digits)
    most = digits_after_the_point(value)
    if digits > most:
        digits, last = most, max(1, math.ceil(error * 10.0**most))
    if digits > LONGEST or abs(value) >= 10.0**LONGEST:
        return _scientific(value, error)
    return f"{value:.{digits}f}({last})"


LONGEST = 20
"""Digits after the point, or before it, beyond which a number is written with a power of ten."""


def _scientific(value: float, error: float) -> str:
    """The same with a power of ten: -4.43662(31)e-25."""
    (mantissa, power), (small, below) = _parts(value), _parts(error)
    if value == 0.0:
        mantissa, power = 0.0, below
    return f"{with_error(mantissa, small * 10.0 ** (below - power))}e{power:+03d}"


def _parts(value: float) -> tuple[float, int]:
    """Mantissa and exponent."""
    mantissa, _, exponent = f"{value:.16e}".partition("e")
    return float(mantissa), int(exponent)


def digits_after_the_point(value: float) -> int:
    """Decimals of the last significant digit of a double-precision number; of zero more than are ever wanted."""
    return SIGNIFICANT - 1 - math.floor(math.log10(abs(value))) if value else 400


def plain(value: float, error: float, fewest: int = 8) -> str:
    """A value without its error beside it, in as many digits as show two of the error, and in 8 or more.

    At most 15 significant digits; with a power of ten where it is very small or large.
    """
    if not math.isfinite(value) or value == 0.0:
        return f"{value:g}"
    wanted = fewest
    if math.isfinite(error) and error > 0:
        wanted = math.floor(math.log10(abs(value))) - math.floor(math.log10(error)) + 2
    return f"{value:#.{min(max(wanted, fewest), SIGNIFICANT)}g}"


def short(value: float | int | None, form: str = ".3g") -> str:
    """A number in a few digits; "-" for what is not known."""
    return "-" if value is None or not math.isfinite(value) else format(value, form)


def duration(seconds: float | None) -> str:
    """Seconds in words short enough for a column: 42s, 3m20s, 5h04m, 2d07h; "-" for what is no time."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return "-"
    whole = round(seconds)
    for larger, smaller, large_name, small_name in ((86400, 3600, "d", "h"), (3600, 60, "h", "m"), (60, 1, "m", "s")):
        if whole >= larger:
            return f"{whole // larger}{large_name}{whole % larger // smaller:02d}{small_name}"
    return f"{whole}s"


PER_SITE = ("energy", "exact", "error_scale", "variance", "variance_smeared", "leak")
"""Numbers that analyses hold per site, while run.h5 holds those of the whole system: their names outside say which."""


def unambiguous(name: str) -> str:
    """The name of a number for other programs: "energy" is "energy_per_site", its error "energy_per_site_error"."""
    stem = name.removesuffix("_error")
    if stem not in PER_SITE:
        return name
    return f"{'exact_energy' if stem == 'exact' else stem}_per_site{'_error' if stem != name else ''}"


def renamed(values: dict[str, Any]) -> dict[str, Any]:
    """The same values by their names for other programs; None for numbers that are not finite, which JSON has not."""
    return {
        unambiguous(name): None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


def aligned(rows: Sequence[Sequence[str]], left: Collection[int]) -> list[str]:
    """Lines of a table whose columns have one width each; those with words, ``left``, begin at one place."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
