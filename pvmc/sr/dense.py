"""Stochastic reconfiguration with the dense quantum geometric tensor, solved on rank 0."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.linalg
from scipy.linalg import blas, get_lapack_funcs

from pvmc.ansatz.vector_math import kernel
from pvmc.errors import NumericalError
from pvmc.estimators import Moments
from pvmc.parallel import Communicator
from pvmc.sr.safety import capped_learning_rate, metric_norm
from pvmc.sr.schedule import Schedule


@dataclass(frozen=True)
class Step:
    """The solution of one SR problem; the same bytes on every rank.

    Attributes:
        direction: x with S x = F, (K,); the parameters change by -learning_rate * x.
        learning_rate: gamma.
        shift: relative diagonal shift lambda (0 for the pseudo-inverse).
        residual: |S x - F| / |F| of the regularised system, in the unit diagonal scaling that was solved.
        n_frozen: directions with S_kk = 0, which do not change psi and were left alone.
        force_norm: |F|.
        angle: gamma sqrt(x^dagger S x), by which the step turns the state, in radians.
    """

    direction: npt.NDArray[Any]
    learning_rate: float
    shift: float
    residual: float
    n_frozen: int
    force_norm: float
    angle: float


class Caution(Protocol):
    """How much more careful than its schedules a solver shall be."""

    @property
    def shift_factor(self) -> float:
        """What to multiply the shift by."""
        ...

    @property
    def rate_factor(self) -> float:
        """What to multiply the learning rate by."""
        ...


@dataclass(frozen=True)
class Calm:
    """No more caution than the schedules have."""

    shift_factor: float = 1.0
    rate_factor: float = 1.0


CALM = Calm()


Report: TypeAlias = tuple[float, int, float, float, float]
"""What the root says of its solution: residual, frozen directions, |F|, sqrt(x^dagger S x), and the shift it took."""


class Solver(Protocol):
    """What turns the moments of an iteration into a step."""

    def solve(self, moments: Moments, iteration: int, comm: Communicator, caution: Caution = CALM) -> Step:
        """Collective. The SR step of an iteration."""
        ...


@dataclass(frozen=True)
class DenseSolver:
    """S x = F with the K x K matrix S: every rank adds to S, rank 0 solves, all receive x.

    Attributes:
        method: "cholesky" of S with its diagonal scaled by 1 + lambda(p) (Carleo & Troyer, supplementary text), or
            "pinv", the pseudo-inverse from the eigenvalues above a relative cut-off.
        learning_rate: gamma(p).
        shift: lambda(p); used by "cholesky".
        floor: added to every S_kk, relative to the largest S_kk; holds directions that hardly change psi, which a
            relative shift leaves free to drift; used by "cholesky".
        cutoff: eigenvalues of the scaled S below cutoff times the largest are dropped; used by "pinv".
        largest_angle: largest angle in radians by which a step may turn the state: where it is longer, the shift is
            raised, and where that does not help, gamma is lowered.
    """

    method: Literal["cholesky", "pinv"]
    learning_rate: Schedule
    shift: Schedule
    floor: float
    cutoff: float
    largest_angle: float = math.inf

    def solve(self, moments: Moments, iteration: int, comm: Communicator, caution: Caution = CALM) -> Step:
        """Collective. The SR step; raises NumericalError on every rank where the system cannot be solved."""
        shift = self.shift(iteration) * caution.shift_factor if self.method == "cholesky" else 0.0
        rate = self.learning_rate(iteration) * caution.rate_factor
        solution = comm.on_root(lambda: self._solve_within(moments, shift, rate))
        # One message: what is reported of it behind the direction.
        message = np.zeros(moments.n_parameters * moments.dtype.itemsize // 8 + 5)
        direction, report = message[:-5].view(moments.dtype), message[-5:]
        if solution is not None:
            direction[:], report[:] = solution
        comm.broadcast(message)
        residual, n_frozen, force_norm, norm, shift = report.tolist()
        rate = capped_learning_rate(rate, norm, self.largest_angle)
        return Step(direction, rate, shift, residual, int(n_frozen), force_norm, rate * norm)

    def _solve_within(self, moments: Moments, shift: float, rate: float) -> tuple[npt.NDArray[Any], Report]:
        """The solution with the smallest shift, of this one and up to 1000 times it, that keeps to the largest angle.

        A step so long comes from directions in which S is next to zero and badly known: to shorten it would keep it
        pointing there, a larger shift turns it away.
        """
        for factor in (1.0, 10.0, 100.0, 1000.0):
            direction, report = self._solve_scaled(moments, factor * shift)
            if rate * report[3] <= self.largest_angle or shift == 0.0:
                break
        return direction, report

    def _solve_scaled(self, moments: Moments, shift: float) -> tuple[npt.NDArray[Any], Report]:
        """The direction and its report.

        Solve with unit diagonal: S_kk (1 + lambda) becomes 1 + lambda, whatever the parameters' scales.

        A direction with S_kk = 0 up to rounding (such as a visible bias at fixed magnetisation) does not change psi: it
        is frozen.
        """
        tensor, force = moments.tensor, moments.force
        variances = tensor.diagonal().real
        if not (np.all(np.isfinite(variances)) and np.all(np.isfinite(force))):
            raise NumericalError("S or F is not finite: psi left the range of numbers; lower sr.learning_rate")
        largest = float(np.max(variances, initial=0.0))
        rounding = np.finfo(float).eps * np.abs(moments.derivative_mean)
        active = variances > np.maximum(np.finfo(float).eps ** 2 * largest, (8.0 * rounding) ** 2)
        direction = np.zeros_like(force)
        residual = 0.0
        if active.any():
            scale = 1.0 / np.sqrt(variances[active])
            kept = tensor if active.all() else np.asfortranarray(tensor[np.ix_(active, active)])
            right = force[active] * scale
            if self.method == "cholesky":
                extra = shift + self.floor * largest * scale**2
                solution = _cholesky(_scaled(kept, scale, extra), right, shift)
            else:
                extra = np.zeros_like(scale)
                solution = self._pinv(_scaled(kept, scale, extra), right)
            direction[active] = scale * solution
            norm = float(np.linalg.norm(right))
            left = scale * _product(kept, scale * solution) + extra * solution
            residual = float(np.linalg.norm(left - right)) / norm if norm > 0 else 0.0
        if not np.all(np.isfinite(direction)):
            raise NumericalError("the SR system has no finite solution; raise sr.shift or lower sr.learning_rate")
        n_frozen, norm = int(len(active) - active.sum()), metric_norm(tensor, direction)
        return direction, (residual, n_frozen, float(np.linalg.norm(force)), norm, shift)

    def _pinv(self, lower: npt.NDArray[Any], right: npt.NDArray[Any]) -> npt.NDArray[Any]:
        try:
            values, vectors = scipy.linalg.eigh(lower, lower=True)
        except (scipy.linalg.LinAlgError, ValueError) as error:
            raise NumericalError(f"the eigenvalues of S cannot be found: {error}") from None
        kept = values > self.cutoff * values[-1]
        return vectors[:, kept] @ ((vectors[:, kept].conj().T @ right) / values[kept])


def _product(lower: npt.NDArray[Any], vector: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """S x from the lower triangle of S, (K, K) in Fortran order."""
    if np.iscomplexobj(lower):
        return np.asarray(blas.zhemv(1.0, lower, vector, lower=1))
    return np.asarray(blas.dsymv(1.0, lower, vector, lower=1))


def _scaled(lower: npt.NDArray[Any], scale: npt.NDArray[np.float64], extra: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The lower triangle times the scales of row and column, with ``extra`` added to the diagonal; Fortran order."""
    scaled = np.empty_like(lower, order="F")
    scale_triangle(lower, scale, scaled)
    scaled[np.diag_indices_from(scaled)] += extra
    return scaled


@kernel
def scale_triangle(lower: npt.NDArray[Any], scale: npt.NDArray[np.float64], scaled: npt.NDArray[Any]) -> None:
    """scaled[i, j] = lower[i, j] times both scales for i >= j, and 0 above."""
    for j in range(len(scale)):
        scaled[:j, j] = 0.0
        for i in range(j, len(scale)):
            scaled[i, j] = lower[i, j] * (scale[i] * scale[j])


def _cholesky(lower: npt.NDArray[Any], right: npt.NDArray[Any], shift: float) -> npt.NDArray[Any]:
    """The solution; the matrix is overwritten by its factor."""
    functions: Any = get_lapack_funcs(("potrf", "potrs"), (lower,))
    factorise, solve = functions
    factor, failed_at = factorise(lower, lower=1, clean=0, overwrite_a=1)
    if failed_at:
        raise NumericalError(
            f"S with relative shift {shift:.3g} is not positive definite; raise sr.shift.minimum or sampler.samples"
        )
    solution, _ = solve(factor, right, lower=1)
    return np.asarray(solution)
