"""Numbers that change with the iteration."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from pvmc.config import Section


class Schedule(Section):
    """value(p) = max(initial * decay^p, minimum) at iteration p; a plain number is a constant."""

    shorthand: ClassVar[str | None] = "initial"

    initial: float = Field(ge=0.0)
    """value at iteration 0"""
    decay: float = Field(default=1.0, gt=0.0, le=1.0)
    """factor per iteration"""
    minimum: float = Field(default=0.0, ge=0.0)
    """value below which it does not fall"""

    def __call__(self, iteration: int) -> float:
        """The value at an iteration, counted from 0."""
        return max(self.initial * self.decay**iteration, self.minimum)
