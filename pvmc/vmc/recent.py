"""The last iterations of a run, as rows of numbers."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

SPARE = 2
"""Times as many rows are kept as are asked for: a run that goes back a little finds its older ones still there."""


class Recent:
    """Rows of numbers by iteration, the last ones kept.

    The same whether the rows came one by one or were read back from a results file.

    Args:
        names: what the columns are, by the names of the results file's series.
        length: how many rows :attr:`rows` has at most.
    """

    def __init__(self, names: Sequence[str], length: int):
        self.names, self.length = tuple(names), length
        self._rows: deque[tuple[float, ...]] = deque(maxlen=SPARE * length)

    def add(self, iteration: int, *values: float) -> None:
        """A row, unless a number in it is not finite; rows of this iteration and later ones go: the run went back."""
        self.forget(iteration)
        if all(map(math.isfinite, values)):
            self._rows.append((iteration, *values))

    def forget(self, iteration: int) -> None:
        """Forget this iteration and all later ones."""
        while self._rows and self._rows[-1][0] >= iteration:
            self._rows.pop()

    def replay(self, series: Mapping[str, npt.NDArray[Any]]) -> None:
        """Add the rows of a results file."""
        columns = [series[name][-SPARE * self.length :].tolist() for name in ("iteration", *self.names)]
        for row in zip(*columns, strict=True):
            self.add(*row)

    def __len__(self) -> int:
        return min(len(self._rows), self.length)

    @property
    def rows(self) -> npt.NDArray[np.float64]:
        """The last rows, (n, number of names), oldest first."""
        last = list(self._rows)[-self.length :]
        return np.array(last, dtype=np.float64).reshape(len(last), 1 + len(self.names))[:, 1:]
