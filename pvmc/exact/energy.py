"""The value that exact solutions return."""

from __future__ import annotations

from dataclasses import dataclass

EXCITED = "unless an excited state is wanted"
"""How a warning ends that quantum numbers asked for by name are not those of the ground state."""


@dataclass(frozen=True)
class Reference:
    """A ground-state energy to compare with.

    Attributes:
        energy: of the whole system, in the Hamiltonian's units.
        method: where it comes from, such as "Bethe ansatz", "free fermions", "Lanczos" or "given".
    """

    energy: float
    method: str
