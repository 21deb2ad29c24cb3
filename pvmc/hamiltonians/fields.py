"""Couplings to single spins: the same on every site, given site by site, or drawn at random."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from pvmc.config import KeyProblem, Section
from pvmc.numerics.arrays import Floats


class RandomField(Section):
    """Independent values, uniform in [mean - width, mean + width], from a seed of their own."""

    seed: int = Field(ge=0, lt=2**63)
    """seed of the realisation; fields of the same seed draw the same numbers"""
    width: float = Field(ge=0.0)
    """largest deviation from the mean"""
    mean: float = 0.0
    """centre of the distribution"""

    def values(self, n_sites: int) -> Floats:
        """One realisation, float64 (N,); the first values do not depend on N."""
        uniform = np.random.Generator(np.random.PCG64(self.seed)).random(n_sites)
        return self.mean + self.width * (2 * uniform - 1)


SiteField = float | list[float] | RandomField
"""A number (uniform), a list of one number per site, or a table with seed and width."""


def site_values(field: SiteField, n_sites: int, key: str) -> Floats:
    """The value at every site, float64 (N,).

    Args:
        field: as configured.
        n_sites: N.
        key: the key that it came from, for messages.

    Raises:
        KeyProblem: a list of another length than N.
    """
    if isinstance(field, RandomField):
        return field.values(n_sites)
    if isinstance(field, list):
        if len(field) != n_sites:
            raise KeyProblem(key, field, f"has {len(field)} values, must have one for each of the {n_sites} sites")
        return np.array(field, dtype=np.float64)
    return np.full(n_sites, float(field))


def is_zero(field: SiteField) -> bool:
    """Whether the field vanishes on every site."""
    if isinstance(field, RandomField):
        return field.mean == 0 and field.width == 0
    return not np.any(field)
