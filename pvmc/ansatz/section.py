"""What the config sections of all wave functions share."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from pvmc.config import KeyProblem, Section
from pvmc.errors import InputError


class Lattice(Protocol):
    """What a wave function needs of a lattice."""

    @property
    def n_sites(self) -> int:
        """N."""
        ...

    def group(self, name: str) -> npt.NDArray[np.int64]:
        """Permutations of the named symmetry group, int64 (|G|, N)."""
        ...


class AnsatzSection(Section):
    """Base of the sections that describe a wave function."""

    start_from: str | None = None
    """Run or fit whose last saved parameters are the first ones here; default: random parameters"""


def symmetry_permutations(symmetry: str, lattice: Lattice) -> npt.NDArray[np.int64]:
    """The symmetry group that ``ansatz.symmetry`` names, int64 (|G|, N).

    Raises:
        KeyProblem: the lattice has no such group.
    """
    try:
        return lattice.group(symmetry)
    except InputError as error:
        known = str(error).rpartition(": ")[2]
        allowed = known.removeprefix("this lattice has ")
        raise KeyProblem("ansatz.symmetry", symmetry, f"{known}; must be {allowed}") from None


def refuse_start(section: AnsatzSection, key: str) -> None:
    """Refuse ``start_from`` in a wave function within another, whose parameters are those of the whole.

    Raises:
        KeyProblem: it is given.
    """
    if section.start_from is not None:
        raise KeyProblem(
            f"{key}.start_from", section.start_from, "belongs into [ansatz]; parts have no start of their own"
        )
