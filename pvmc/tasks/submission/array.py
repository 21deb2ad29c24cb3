"""Arrays of runs that differ in one key of the input: alpha, or the seed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pvmc.errors import InputError


@dataclass(frozen=True)
class Array:
    """The number of an element is the value of the key.

    Attributes:
        key: the key of the input file.
        word: what names of directories and logs call it.
        indices: the elements, as SLURM writes them: "1,2,4" or "1-8".
        values: the elements, first to last.
    """

    key: str
    word: str
    indices: str
    values: Sequence[int]

    @property
    def first(self) -> int:
        """The first element."""
        return self.values[0]

    @property
    def title(self) -> str:
        """A few words for the head of the script."""
        return f"one run for each {self.key} in {self.indices}, as a job array"

    @property
    def comment(self) -> str:
        """What the line --array means, for a newcomer."""
        return (
            f"# Each element of the array is a job of its own, which starts as soon as its tasks fit; its number is "
            f'{self.key}.\n# "{self.indices}%1" would run one at a time.'
        )


def alphas(text: str) -> Array:
    """The array over ``ansatz.alpha``: "1,2,4".

    Raises:
        InputError: not a list of different whole numbers.
    """
    if not re.fullmatch(r"\d{1,9}(,\d{1,9})*", text):
        raise InputError(f"--array-alpha {text}: must be whole numbers with commas between them, such as 1,2,4")
    values = [int(word) for word in text.split(",")]
    if len(set(values)) < len(values):
        raise InputError(f"--array-alpha {text}: each number may be there once only")
    return Array("ansatz.alpha", "alpha", ",".join(map(str, values)), values)


def seeds(text: str) -> Array:
    """The array over ``run.seed``: "1-8", or a single one, "3".

    Raises:
        InputError: not a range that goes up.
    """
    match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if first > last:
        raise InputError(f"--array-seeds {text}: must be FIRST-LAST, such as 1-8")
    return Array("run.seed", "seed", f"{first}-{last}" if last > first else str(first), range(first, last + 1))
