"""Expectation values that symmetry or reality forces to zero, and that are not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.hamiltonians import Operator
from pvmc.io.measurement import Estimate
from pvmc.measurement.operators import OperatorValues
from pvmc.measurement.registry import Observables
from pvmc.statistics.thresholds import FORBIDDEN_DEVIATIONS, LARGEST_FORBIDDEN
from pvmc.vmc.job import Job

Parities = npt.NDArray[np.bool_]

SYMMETRIES = {
    "reality": "H is real",
    "Z": "H commutes with the product of all sigma^z",
    "X": "H commutes with the product of all sigma^x",
    "Y": "H commutes with the product of all sigma^y",
}
"""What a symmetry means, in words."""

MAGNETIZATIONS = {
    "magnetization_x": np.array([[False, True, False, True]]),
    "magnetization_y": np.array([[True, True, True, False]]),
    "magnetization_z": np.array([[False, False, True, True]]),
}
"""Parities of sigma^x, sigma^y and sigma^z, as those of :func:`odd`."""


def odd(operator: Operator) -> Parities:
    """Under which of the symmetries each Pauli string of an operator is odd, bool (n_strings, 4), in their order.

    A string with n_X, n_Y and n_Z letters is odd under complex conjugation where n_Y is, under the product of all
    sigma^z where n_X + n_Y is, of all sigma^x where n_Y + n_Z is, and of all sigma^y where n_X + n_Z is.
    """
    imaginary, flipped, signs = operator.letter_parities()
    return np.stack([imaginary, flipped, signs, flipped ^ signs], axis=1)


def forced_to_zero(job: Job, observables: Observables, found: Mapping[str, Estimate]) -> list[str]:
    """Estimates that are zero in every nondegenerate level of the Hamiltonian, and here are not, a text for each.

    Args:
        job: the job of the measurement.
        observables: what was measured.
        found: the estimates.
    """
    broken = np.any(odd(job.operator), axis=0)
    kept = [not bool(one) for one in np.atleast_1d(broken)]
    if job.sampler.magnetization:  # these two lead to the opposite magnetisation
        kept[2:] = [False, False]
    texts = []
    for name, parities in _parities(observables).items():
        estimate = found.get(name)
        if estimate is None or not len(parities):
            continue
        all_odd = [bool(column.all()) for column in parities.T]
        both = [holds and is_odd for holds, is_odd in zip(kept, all_odd, strict=True)]
        reasons = [why for why, forces in zip(SYMMETRIES.values(), both, strict=True) if forces]
        value, error = float(estimate.value), float(estimate.error)
        resolved = math.isfinite(error) and abs(value) > max(LARGEST_FORBIDDEN, FORBIDDEN_DEVIATIONS * error)
        if reasons and resolved:
            number = f"{name} = {value:.2g} +- {error:.1g}"
            texts.append(f"{number}, but it is zero where the level is not degenerate: {reasons[0]}")
    return texts


def _parities(observables: Observables) -> dict[str, Parities]:
    """Parities of the observables that are one sum of Pauli strings, by the names of their estimates."""
    operators = iter([kind.operator for kind in observables.kinds if isinstance(kind, OperatorValues)])
    found: dict[str, Parities] = {}
    for part in observables.parts:
        if part.name in MAGNETIZATIONS:
            found[part.name] = MAGNETIZATIONS[part.name]
        elif part.name.startswith("operator_"):
            found[part.name] = odd(next(operators))
    return found


def advice(texts: list[str], config: Mapping[str, Any]) -> str:
    """One line about such estimates, with the key to change."""
    weights = 'ansatz.weights = "real", ' if config.get("weights") == "complex" else ""
    return f"{'; '.join(texts)}; {weights}more run.iterations or a smaller sr.learning_rate may help"
