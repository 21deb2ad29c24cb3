"""Numbers that change with the iteration."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from pvmc.config import Section


class Schedule(Section):
    """value(p) = max(initial * decay^p, minimum) at iteration p; a plain number is a constant."""

    initial: float = Field(ge=0.0)
    """value at iteration 0"""
    decay: float = Field(default=1.0, gt=0.0, le=1.0)
    """factor per iteration"""
    minimum: float = Field(default=0.0, ge=0.0)
    """value below which it does not fall"""

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        return {"initial": value} if isinstance(value, int | float) and not isinstance(value, bool) else value

    def __call__(self, iteration: int) -> float:
        """The value at an iteration, counted from 0."""
        return max(self.initial * self.decay**iteration, self.minimum)
