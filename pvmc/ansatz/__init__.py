"""Variational wave functions, and the registry of those that a config file can name."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from pvmc.ansatz.base import Ansatz, WaveFunction
from pvmc.ansatz.feedforward import FeedForward, FeedForwardSpec
from pvmc.ansatz.rbm import RBM, RBMSpec

AnsatzSpec: TypeAlias = Annotated[RBMSpec | FeedForwardSpec, Field(discriminator="kind")]

__all__ = ["RBM", "Ansatz", "AnsatzSpec", "FeedForward", "FeedForwardSpec", "RBMSpec", "WaveFunction"]
