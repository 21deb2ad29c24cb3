"""Inputs that are stored with results, also those of older versions."""

from __future__ import annotations

import tomllib
from typing import Any

TURNED_LATER = ("cluster_ising", "compass", "ising", "kitaev", "long_range_ising")
"""Models that once had no key ``rotate``, and turned no spin."""


def stored_tables(text: str) -> dict[str, Any]:
    """The tables of an input as a run or fit stores it, with every choice written out.

    Keys that came later have the values that stand for what older versions did, where that is not their default.

    Args:
        text: TOML.
    """
    tables = tomllib.loads(text)
    hamiltonian = tables.get("hamiltonian")
    if isinstance(hamiltonian, dict) and hamiltonian.get("model") in TURNED_LATER:
        hamiltonian.setdefault("rotate", False)
    return tables
