"""Stochastic reconfiguration without S: conjugate gradients or MINRES on v -> X^dagger (X v) + Lambda v."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from pvmc.config import Section
from pvmc.estimators.rows import Rows
from pvmc.numerics.arrays import Booleans, Floats, Numbers

MOST_RESTARTS = 3
"""Times that a solver is started again where its true residual is larger than that of its recurrences."""

SMALLEST_TOLERANCE = 1e-15
"""Smallest relative tolerance that scipy is asked for; below it there is only rounding."""


class KrylovSpec(Section):
    """The iterative solver of ``solver = "krylov"``: one sum of K numbers over all ranks in each iteration."""

    method: Literal["cg", "minres"] = "cg"
    """conjugate gradients, or the minimal residual method, whose residual never grows"""
    tolerance: float = Field(default=1e-6, gt=0.0, lt=1.0)
    """residual |(S + Lambda) x - F| / |F| at which it stops, in the scaling of its preconditioner"""
    iterations: int = Field(default=1000, ge=1)
    """after which it stops in any case; the residual is in the results"""


class KrylovSystem:
    """S as the rows of all ranks; see :class:`pvmc.sr.linear_system.LinearSystem`.

    Every rank runs the same solver (scipy's) on the same vectors of K numbers; only the products with X^dagger are
    summed over the ranks, so that the next vector is the same everywhere.  The preconditioner is a diagonal matrix.

    Args:
        rows: X and e.
        spec: iterative method, tolerance and number of iterations.
    """

    def __init__(self, rows: Rows, spec: KrylovSpec):
        self._rows, self._spec = rows, spec
        self.variances, self.rounding = rows.variances, rows.rounding
        self.force = rows.force
        self.iterations = 0
        self._n_samples = int(rows.comm.sum(np.array([len(rows.energies)], dtype=np.int64))[0])

    def metric_times(self, vector: Numbers) -> tuple[Numbers, float]:
        """Collective. S v and v^dagger S v."""
        return self._rows.metric_times(vector)

    def solve(self, penalty: Floats, active: Booleans, centre: Numbers | None, start: Numbers | None) -> Numbers:
        """Collective. x to the tolerance, or as good as the iterations allow."""
        # D^(-1/2), (K,), of the preconditioner D; 0 for frozen directions, which stay out of the iteration.
        scale = np.where(active, 1.0 / np.sqrt(np.where(active, self._diagonal(penalty), 1.0)), 0.0)

        # A = D^(-1/2) (S + Lambda) D^(-1/2), (K,) -> (K,)
        def matrix(vector: Numbers) -> Numbers:
            unscaled = scale * vector
            return np.asarray(scale * (self.metric_times(unscaled)[0] + penalty * unscaled))

        # (S + Lambda) (x - c) = F - S c
        right = self.force if centre is None else self.force - self.metric_times(centre)[0]
        # y = D^(1/2) x of the last step as the start
        guess = None
        if start is not None and centre is None:
            guess = np.where(active, start / np.where(active, scale, 1.0), 0.0)
        solution = scale * self._to_tolerance(matrix, scale * right, guess)
        return solution if centre is None else centre + solution

    def _diagonal(self, penalty: Floats) -> Floats:
        """The diagonal of the preconditioner, float64 (K,).

        With fewer samples than parameters most of the space is left to Lambda alone: divided by Lambda it stays apart
        from the directions that S knows, and takes no iterations.  Else it is the diagonal of S + Lambda.
        """
        is_wide = self._n_samples < len(penalty) and np.all(penalty > 0.0)
        return penalty if is_wide else self.variances + penalty

    def _to_tolerance(self, matrix: Callable[[Numbers], Numbers], right: Numbers, guess: Numbers | None) -> Numbers:
        """The solution of A y = b to the tolerance of its true residual, which recurrences lose by rounding."""
        solution = np.zeros_like(right) if guess is None else guess
        target = self._spec.tolerance * float(np.linalg.norm(right))
        # Ask for half of it, so that the true residual is not above it by a little.
        asked = 0.5 * target
        self.iterations = 0
        for restart in range(MOST_RESTARTS + 1):
            residual = right - matrix(solution) if np.any(solution) else right
            norm, left = float(np.linalg.norm(residual)), self._spec.iterations - self.iterations
            if norm <= target or left <= 0:
                break
            if restart > 0:
                # MINRES measures residuals in units of |A| |y|, not of |b|: ask for as much more as it fell short.
                asked *= 0.5 * target / norm
            solution = solution + self._correction(matrix, residual, max(asked / norm, SMALLEST_TOLERANCE), left)
        return solution

    def _correction(
        self, matrix: Callable[[Numbers], Numbers], right: Numbers, tolerance: float, iterations: int
    ) -> Numbers:
        """The solution of A y = b by scipy."""
        # Sparse matrices take long to import, and most runs need none.
        from scipy.sparse.linalg import LinearOperator, cg, minres

        def count(_: Numbers) -> None:
            self.iterations += 1

        if self._spec.method == "cg":
            operator = LinearOperator((len(right),) * 2, matvec=matrix, dtype=right.dtype)
            return np.asarray(cg(operator, right, rtol=tolerance, maxiter=iterations, callback=count)[0])
        # scipy's MINRES knows real symmetric matrices: real and imaginary parts in turn make one of a Hermitian one.
        planes = np.ascontiguousarray(right).view(np.float64)

        def real_matrix(vector: Floats) -> Floats:
            return np.ascontiguousarray(matrix(np.ascontiguousarray(vector).view(right.dtype))).view(np.float64)

        operator = LinearOperator((len(planes),) * 2, matvec=real_matrix, dtype=np.float64)
        found = minres(operator, planes, rtol=tolerance, maxiter=iterations, callback=count)[0]
        return np.ascontiguousarray(found).view(right.dtype)
