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


def symmetry_permutations(section: AnsatzSection, lattice: Lattice) -> npt.NDArray[np.int64]:
    """The symmetry group that the key ``symmetry`` of a section names, int64 (|G|, N).

    Raises:
        KeyProblem: the lattice has no such group.
    """
    symmetry = str(getattr(section, "symmetry", "none"))
    try:
        return lattice.group(symmetry)
    except InputError as error:
        known = str(error).rpartition(": ")[2].removeprefix("this lattice has ")
        problem = symmetry_problem(section, f"this lattice has {known}", known)
    raise problem


def symmetry_problem(section: AnsatzSection, why: str, allowed: str) -> KeyProblem:
    """The refusal of ``ansatz.symmetry``; where the input does not give it, it is said to be the default.

    Args:
        section: the wave function.
        why: what is wrong with it.
        allowed: what may stand in its place.
    """
    given = "symmetry" in section.model_fields_set
    text = f"{why}; must be {allowed}" if given else f"the default, but {why}; set ansatz.symmetry = {allowed}"
    return KeyProblem("ansatz.symmetry", getattr(section, "symmetry", "none"), text)


def refuse_start(section: AnsatzSection, key: str) -> None:
    """Refuse ``start_from`` in a wave function within another, whose parameters are those of the whole.

    Raises:
        KeyProblem: it is given.
    """
    if section.start_from is not None:
        raise KeyProblem(
            f"{key}.start_from", section.start_from, "belongs into [ansatz]; parts have no start of their own"
        )
