"""Hamiltonians: Pauli strings compiled to a diagonal part and flip groups, and the named models."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pvmc.hamiltonians.heisenberg import HeisenbergSpec, XXZSpec
from pvmc.hamiltonians.ising import IsingSpec
from pvmc.hamiltonians.operator import Operator
from pvmc.hamiltonians.pauli import PauliSum, X, Y, Z

HamiltonianSpec = Annotated[IsingSpec | HeisenbergSpec | XXZSpec, Field(discriminator="model")]
"""The registry of models: a new one is a spec with ``model`` and ``build(lattice)``, added to this union."""

__all__ = ["HamiltonianSpec", "Operator", "PauliSum", "X", "Y", "Z"]
