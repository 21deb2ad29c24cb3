"""Names of numbers in what is written for other programs."""

from __future__ import annotations

from typing import Any

PER_SITE = ("energy", "exact", "error_scale", "variance", "variance_smeared", "leak")
"""Numbers that analyses hold per site, while run.h5 holds those of the whole system: their names outside say which."""


def unambiguous(name: str) -> str:
    """The name of a number for other programs: "energy" is "energy_per_site", its error "energy_per_site_error"."""
    stem = name.removesuffix("_error")
    if stem not in PER_SITE:
        return name
    return f"{'exact_energy' if stem == 'exact' else stem}_per_site{'_error' if stem != name else ''}"


def renamed(values: dict[str, Any]) -> dict[str, Any]:
    """The same values by their names for other programs."""
    return {unambiguous(name): value for name, value in values.items()}
