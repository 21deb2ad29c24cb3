"""The regularised linear problem (S + Lambda) x = F, in whatever form S is kept, and its checked solution.

Lambda is diagonal.  With a centre c the problem is to minimise |X x - e|^2 + (x - c)^dagger Lambda (x - c), that is
(S + Lambda)(x - c) = F - S c: how momentum enters (SPRING, see :mod:`pvmc.sr.momentum`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from pvmc.errors import NumericalError
from pvmc.numerics.arrays import Booleans, Floats, Numbers

LARGER_SHIFTS = (1.0, 10.0, 100.0, 1000.0)
"""Factors of the shift that are tried until the step is not longer than the largest angle."""

POWER_STEPS = 16
"""Power iterations for the largest eigenvalue of S: a bound on the condition number need not be sharp."""


class LinearSystem(Protocol):
    """S and F of an iteration, and a way to solve (S + Lambda) x = F."""

    @property
    def variances(self) -> Floats:
        """S_kk, float64 (K,)."""
        ...

    @property
    def rounding(self) -> Floats:
        """Bound on S_kk where it is nothing but rounding, float64 (K,)."""
        ...

    @property
    def force(self) -> Numbers:
        """F, (K,)."""
        ...

    def metric_times(self, vector: Numbers) -> tuple[Numbers, float]:
        """S v, (K,), and v^dagger S v."""
        ...

    def solve(self, penalty: Floats, active: Booleans, centre: Numbers | None, start: Numbers | None) -> Numbers:
        """x, (K,), for Lambda = ``penalty`` > 0, with x_k = 0 where not ``active``.

        Args:
            penalty: float64 (K,).
            active: bool (K,).
            centre: c, or None for 0.
            start: where an iterative solver may begin.
        """
        ...

    @property
    def iterations(self) -> int:
        """Iterations of the last solution; 0 for direct solvers."""
        ...


@dataclass(frozen=True)
class Requirements:
    """Requirements on the solution: Lambda, limits of the step, and the centre of momentum.

    Attributes:
        shift: lambda, added to the diagonal in units of S_kk (or of ``weights``).
        floor: added to the diagonal, in units of the largest S_kk.
        offset: added to the diagonal as it is.
        rate: gamma, for the largest angle.
        largest_angle: largest gamma sqrt(x^dagger S x), in radians; where it is longer, the shift is raised.
        largest_condition: bound on the condition number of S + Lambda, in the scaling of a unit diagonal of S.
        weights: float64 (K,) of mean 1, in place of S_kk / mean(S_kk) in what ``shift`` is relative to; None: S_kk.
        centre: c, (K,), or None.
        start: where an iterative solver may begin, (K,), or None.
        reference: a direction whose distance from x is asked for, (K,), or None.
    """

    shift: float
    floor: float
    offset: float
    rate: float
    largest_angle: float = math.inf
    largest_condition: float = math.inf
    weights: Floats | None = None
    centre: Numbers | None = None
    start: Numbers | None = None
    reference: Numbers | None = None

    def penalty(self, variances: Floats) -> Floats:
        """Lambda, float64 (K,)."""
        scale = variances if self.weights is None else self.weights * variances.mean()
        return np.asarray(self.shift * scale + self.floor * variances.max(initial=0.0) + self.offset)


@dataclass(frozen=True)
class Solution:
    """x and its diagnostics; the same bytes on every rank.

    Attributes:
        direction: x, (K,).
        n_frozen: directions with S_kk = 0, which were left alone.
        residual: |(S + Lambda)(x - c) - (F - S c)| / |F|, each k divided by sqrt(S_kk).
        force_norm: |F|.
        norm: sqrt(x^dagger S x).
        shift: lambda that was taken.
        slope: Re F^dagger x.
        distance: sqrt((x - r)^dagger S (x - r)) from the reference r; 0 where there is none.
        iterations: of an iterative solver.
    """

    direction: Numbers
    n_frozen: int
    residual: float
    force_norm: float
    norm: float
    shift: float
    slope: float
    distance: float = 0.0
    iterations: int = 0


def solved(system: LinearSystem, required: Requirements) -> Solution:
    """The solution with the smallest shift, of the required's and up to 1000 times it, that keeps to the largest angle.

    A step too long comes from directions in which S is next to zero and badly known: to shorten it would keep it
    pointing there, a larger shift turns it away.  A direction with S_kk = 0 up to rounding (such as a visible bias at
    fixed magnetisation) does not change psi: it is frozen.

    Raises:
        NumericalError: S or F is not finite, or there is no finite solution.
    """
    # S_kk and F, float64 (K,) and (K,)
    variances, force = system.variances, system.force
    if not (np.all(np.isfinite(variances)) and np.all(np.isfinite(force))):
        raise NumericalError("S or F is not finite: psi left the range of numbers; lower sr.learning_rate")
    # Directions with S_kk above rounding.
    smallest = np.finfo(float).eps ** 2 * float(np.max(variances, initial=0.0))
    active: Booleans = variances > np.maximum(smallest, system.rounding)
    # lambda >= largest eigenvalue of S / largest condition number, in the scaling of a unit diagonal
    if math.isfinite(required.largest_condition):
        least = largest_eigenvalue(system, active) / required.largest_condition
        required = replace(required, shift=max(required.shift, least))
    # Raise lambda until gamma sqrt(x^dagger S x) <= largest angle.
    for factor in LARGER_SHIFTS:
        shift = factor * required.shift
        solution = _once(system, replace(required, shift=shift), active)
        if required.rate * solution.norm <= required.largest_angle or required.shift == 0.0:
            break
    return solution


def _once(system: LinearSystem, required: Requirements, active: Booleans) -> Solution:
    """The solution with the shift as required."""
    variances, force = system.variances, system.force
    n_frozen = len(active) - int(active.sum())
    if not active.any():
        return Solution(np.zeros_like(force), n_frozen, 0.0, float(np.linalg.norm(force)), 0.0, required.shift, 0.0)
    # x for Lambda = penalty, (K,)
    penalty = required.penalty(variances)
    centre = None if required.centre is None else np.where(active, required.centre, 0.0)
    direction = system.solve(penalty, active, centre, required.start)
    if not np.all(np.isfinite(direction)):
        raise NumericalError("the SR system has no finite solution; raise sr.shift or lower sr.learning_rate")
    # Residual r = (S + Lambda) x - Lambda c - F, every k divided by sqrt(S_kk)
    product, square = system.metric_times(direction)
    left = product + penalty * (direction if centre is None else direction - centre)
    scale = 1.0 / np.sqrt(variances[active])
    right = float(np.linalg.norm(scale * force[active]))
    apart = 0.0 if required.reference is None else system.metric_times(direction - required.reference)[1]
    return Solution(
        direction=direction,
        n_frozen=n_frozen,
        residual=float(np.linalg.norm(scale * (left - force)[active])) / right if right > 0 else 0.0,
        force_norm=float(np.linalg.norm(force)),
        norm=math.sqrt(max(0.0, square)),
        shift=required.shift,
        slope=float(np.vdot(force, direction).real),
        distance=math.sqrt(max(0.0, apart)),
        iterations=system.iterations,
    )


def largest_eigenvalue(system: LinearSystem, active: Booleans) -> float:
    """Largest eigenvalue of S scaled to a unit diagonal, from below, by power iteration with products with S."""
    scale = np.where(active, 1.0 / np.sqrt(np.where(active, system.variances, 1.0)), 0.0)
    # Not orthogonal to the eigenvector: phases that no symmetry shares.
    vector = (scale > 0) * np.cos(1.0 + np.arange(len(scale), dtype=np.float64)).astype(system.force.dtype)
    value = 0.0
    for _ in range(POWER_STEPS):
        vector = vector / np.linalg.norm(vector)
        product = scale * system.metric_times(scale * vector)[0]
        value, vector = float(np.linalg.norm(product)), product
        if value == 0.0:
            break
    return value
