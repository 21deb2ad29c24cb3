"""Names of array types, for annotations."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Spins: TypeAlias = npt.NDArray[np.int8]
"""Spins +1 and -1; (N, L) with the walkers last, or (n, N) as rows of a list."""
Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Booleans: TypeAlias = npt.NDArray[np.bool_]
Numbers: TypeAlias = npt.NDArray[Any]
"""float64 or complex128."""
