"""Hamiltonians: Pauli strings compiled to a diagonal part and flip groups, and the named models."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pvmc.hamiltonians.cluster_ising import ClusterIsingSpec
from pvmc.hamiltonians.couplings import check_numbers, check_terms
from pvmc.hamiltonians.dzyaloshinskii_moriya import DzyaloshinskiiMoriyaSpec
from pvmc.hamiltonians.heisenberg import HeisenbergSpec, J1J2Spec, XXZSpec, XYZSpec
from pvmc.hamiltonians.ising import IsingSpec
from pvmc.hamiltonians.kitaev import CompassSpec, KitaevSpec
from pvmc.hamiltonians.long_range import HaldaneShastrySpec, LongRangeIsingSpec, LongRangeXXZSpec
from pvmc.hamiltonians.operator import Operator
from pvmc.hamiltonians.pauli import PauliSum, X, Y, Z, lowering, raising
from pvmc.hamiltonians.rydberg import RydbergSpec
from pvmc.hamiltonians.terms import TermsSpec

HamiltonianSpec = Annotated[
    IsingSpec
    | HeisenbergSpec
    | XXZSpec
    | XYZSpec
    | J1J2Spec
    | DzyaloshinskiiMoriyaSpec
    | KitaevSpec
    | CompassSpec
    | HaldaneShastrySpec
    | LongRangeIsingSpec
    | LongRangeXXZSpec
    | ClusterIsingSpec
    | RydbergSpec
    | TermsSpec,
    Field(discriminator="model"),
]
"""The registry of models: a new one is a spec with ``model`` and ``build(lattice)``, added to this union."""

__all__ = [
    "HamiltonianSpec",
    "Operator",
    "PauliSum",
    "X",
    "Y",
    "Z",
    "check_numbers",
    "check_terms",
    "lowering",
    "raising",
]
