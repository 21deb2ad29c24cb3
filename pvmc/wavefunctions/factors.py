"""Log-derivatives as outer products: a dense layer of q p weights has q + p numbers per configuration, not q p.

    O_{W_ji} = B_j A_i,        B (q, L),  A (p, L),

with B what is propagated back to the units and A what comes in from below.  :data:`pvmc.wavefunctions.base.Factors` is
the form that the whole vector of log-derivatives takes; here is who offers it, how it is put together and multiplied
out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pvmc.numerics.arrays import Floats, Numbers, Spins
from pvmc.wavefunctions.base import Ansatz, Factors


def factors_of(psi: Any) -> Callable[[Spins, Floats], Factors] | None:
    """The method ``derivative_factors`` of a wave function; None where it has none, or says that it does not pay."""
    method: Callable[[Spins, Floats], Factors] | None = getattr(psi, "derivative_factors", None)
    return method if getattr(psi, "has_factors", True) else None


def factor_rows_of(ansatz: Ansatz) -> int | None:
    """``ansatz.factor_rows``, the rows of all B and A together; None where factors are not offered or not counted."""
    rows: int | None = getattr(ansatz, "factor_rows", None)
    return rows


def is_shorter(n_units: int, n_inputs: int) -> bool:
    """Whether an outer product of q = ``n_units`` and p = ``n_inputs`` has fewer factors than products."""
    return n_units + n_inputs < n_units * n_inputs


def outer_rows(n_units: int, n_inputs: int) -> int:
    """The number of rows of :func:`outer`."""
    return n_units + n_inputs if is_shorter(n_units, n_inputs) else n_units * n_inputs


def outer(units: Numbers, inputs: Numbers) -> tuple[Numbers, ...]:
    """The block of all units[j] * inputs[i], j major: as factors where these are fewer, else as rows.

    Args:
        units: B, (q, L), kept.
        inputs: A, (p, L), kept.
    """
    return (units, inputs) if is_shorter(len(units), len(inputs)) else (products(units, inputs),)


def products(units: Numbers, inputs: Numbers) -> Numbers:
    """All units[j] * inputs[i], (q p, L), j major."""
    rows: Numbers = (units[:, None] * inputs).reshape(-1, units.shape[1])
    return rows


def multiplied_out(factors: Factors) -> Numbers:
    """The log-derivatives, (K, L): float64 where all factors are, else complex128."""
    return np.concatenate([block[0] if len(block) == 1 else products(*block) for block in factors])


def n_rows(factors: Factors) -> int:
    """Numbers per configuration: the rows of all B and A together."""
    return sum(len(rows) for block in factors for rows in block)
