"""Numbers with their errors, as they are printed."""

from __future__ import annotations

import math


def with_error(value: float, error: float) -> str:
    """A value with its error in brackets, two digits of it: -0.443662(31).

    An error of 0 (or none that is finite) leaves the value with 10 digits.
    """
    if not (math.isfinite(error) and error > 0 and math.isfinite(value)):
        return f"{value:.10g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    last = round(error * 10**digits)
    if last >= 100 and digits > 0:  # 9.96 rounds up to one digit more
        digits -= 1
        last = round(error * 10**digits)
    return f"{value:.{digits}f}({last})"


def short(value: float | int | None, form: str = ".3g") -> str:
    """A number in a few digits; "-" for what is not known."""
    return "-" if value is None or not math.isfinite(value) else format(value, form)
