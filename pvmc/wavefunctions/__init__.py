"""Variational wave functions, and the registry of those that a config file can name."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import Discriminator, Field, Tag

from pvmc.wavefunctions.base import Ansatz, WaveFunction
from pvmc.wavefunctions.composite import Product, ProductSpec
from pvmc.wavefunctions.fallback import Batched, FormulaAnsatz
from pvmc.wavefunctions.feedforward import FeedForward, FeedForwardSpec
from pvmc.wavefunctions.jastrow import Jastrow, JastrowSpec
from pvmc.wavefunctions.jastrow.meanfield import MeanField, MeanFieldSpec
from pvmc.wavefunctions.own import OwnSpec, is_own
from pvmc.wavefunctions.projection import Projected, ProjectedSpec
from pvmc.wavefunctions.rbm import RBM, RBMSpec
from pvmc.wavefunctions.shared import AnsatzSection
from pvmc.wavefunctions.symmetry import SymmetryGroup

NamedSpec: TypeAlias = Annotated[
    RBMSpec | FeedForwardSpec | MeanFieldSpec | JastrowSpec | ProductSpec | ProjectedSpec, Field(discriminator="kind")
]
"""The registry: a new wave function is a spec with ``kind`` and ``build(lattice)``, added to this union."""


def _registry(table: Any) -> str:
    """The union in which the ``kind`` of a table is looked up: that of pvmc, or the user's own."""
    kind = table.get("kind") if isinstance(table, dict) else getattr(table, "kind", None)
    return "own" if isinstance(table, OwnSpec) or is_own(kind) else "named"


AnsatzSpec: TypeAlias = Annotated[
    Annotated[NamedSpec, Tag("named")] | Annotated[OwnSpec, Tag("own")], Discriminator(_registry)
]

for _spec in (ProductSpec, ProjectedSpec):
    _spec.model_rebuild(_types_namespace={"AnsatzSpec": AnsatzSpec})

__all__ = [
    "RBM",
    "Ansatz",
    "AnsatzSection",
    "AnsatzSpec",
    "Batched",
    "FeedForward",
    "FeedForwardSpec",
    "FormulaAnsatz",
    "Jastrow",
    "JastrowSpec",
    "MeanField",
    "MeanFieldSpec",
    "OwnSpec",
    "Product",
    "ProductSpec",
    "Projected",
    "ProjectedSpec",
    "RBMSpec",
    "SymmetryGroup",
    "WaveFunction",
]
