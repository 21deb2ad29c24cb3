"""Momentum of stochastic reconfiguration: earlier directions enter the linear problem."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from pvmc.config import Section
from pvmc.numerics.arrays import Floats, Numbers
from pvmc.sr.step import Memory


class MomentumSpec(Section):
    """SPRING: x minimises |X x - e|^2 + (x - mu x')^dagger Lambda (x - mu x'), x' being the last direction.

    Directions that the samples say nothing about go on as before (Goldshlager, Abrahamsen & Lin, J. Comput. Phys. 516,
    113351 (2024)).
    """

    mu: float = Field(default=0.9, ge=0.0, lt=1.0)
    """part of the last direction that is kept; 0 is plain stochastic reconfiguration"""
    largest_norm: float | None = Field(default=None, gt=0.0)
    """largest |gamma x|; longer steps are shortened; default: no limit"""
    march: float | None = Field(default=None, gt=0.0, lt=1.0)
    """beta of MARCH: sr.shift is relative to a running root mean square of how much each parameter's step changes, in
    place of S_kk; default: off"""


def centre(spec: MomentumSpec | None, memory: Memory) -> Numbers | None:
    """mu times the last direction; None without momentum, or at the first step."""
    if spec is None or spec.mu == 0.0 or "direction" not in memory:
        return None
    return np.asarray(spec.mu * memory["direction"])


def weights(spec: MomentumSpec | None, memory: Memory) -> Floats | None:
    """Weights that the shift of MARCH is relative to, float64 (K,) of mean 1; None without it or in its first steps.

    Gu et al., arXiv:2507.02644: Lambda in proportion to the root of v, a running mean of |x_p - x_(p-1)|^2 of each
    parameter.  A hundredth of the mean of v is added to each, so that parameters that rest are not free to run away.
    """
    if spec is None or spec.march is None or "changes" not in memory:
        return None
    squares = memory["changes"]
    root = np.sqrt(squares + 0.01 * squares.mean())
    return np.asarray(root / root.mean()) if root.mean() > 0 else None


def memory_of_direction(spec: MomentumSpec | None, memory: Memory, direction: Numbers) -> dict[str, Numbers]:
    """The memory of this direction for the next step."""
    if spec is None:
        return {}
    found: dict[str, Numbers] = {"direction": direction}
    if spec.march is not None and "direction" in memory:
        change = np.abs(direction - memory["direction"]) ** 2
        before = memory.get("changes")
        found["changes"] = change if before is None else spec.march * before + (1.0 - spec.march) * change
    return found
