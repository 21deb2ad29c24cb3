"""Variational wave functions, and the registry of those that a config file can name."""

from __future__ import annotations

from typing import TypeAlias

from pvmc.ansatz.base import Ansatz, WaveFunction
from pvmc.ansatz.rbm import RBM, RBMSpec

# With a second family: Annotated[RBMSpec | OtherSpec, Field(discriminator="kind")].
AnsatzSpec: TypeAlias = RBMSpec

__all__ = ["RBM", "Ansatz", "AnsatzSpec", "RBMSpec", "WaveFunction"]
