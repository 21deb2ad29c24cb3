"""Stochastic reconfiguration with the dense quantum geometric tensor on one rank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg
from scipy.linalg import blas, get_lapack_funcs

from pvmc.errors import NumericalError
from pvmc.estimators.rows import ROUNDING, Rows
from pvmc.numerics.arrays import Booleans, Floats, Numbers
from pvmc.numerics.exact_sums import ExactSum
from pvmc.numerics.kernels import kernel
from pvmc.numerics.triangles import TriangleSum

SNR_POWER = 6
"""Exponent of the filter of noise (Schmitt & Heyl)."""

LARGE = 1500
"""Parameters from which the matrix is factorised in single precision and the solution refined: half the time."""

REFINEMENTS = 20
"""Corrections after which single precision is given up."""

REFINED = 1e-11
"""Largest relative residual of a refined solution.  Corrections go on beyond it as long as they help."""

SMALLEST_SIGNAL = 1e30
"""Largest ratio of noise to signal in the filter; its power is still a number."""


@dataclass(frozen=True)
class Noise:
    """The statistical error of F.

    Attributes:
        covariance: of the summands of F over configurations, (K, K), lower triangle.
        n_samples: number of (independent) configurations.
        threshold: ratio of signal to noise below which a direction is damped.
    """

    covariance: Numbers
    n_samples: int
    threshold: float


@dataclass(frozen=True)
class DenseSystem:
    """S as its lower triangle; solved by Cholesky factorisation.  Local: nothing communicates.

    Attributes:
        tensor: S, (K, K) in Fortran order, zero above the diagonal.
        force: F, (K,).
        derivative_mean: <O>, (K,).
    """

    tensor: Numbers
    force: Numbers
    derivative_mean: Numbers

    iterations = 0

    @property
    def variances(self) -> Floats:
        """S_kk, float64 (K,)."""
        return np.ascontiguousarray(self.tensor.diagonal().real)

    @property
    def rounding(self) -> Floats:
        """S_kk that is nothing but the rounding of O - <O>, float64 (K,)."""
        return np.asarray((ROUNDING * np.abs(self.derivative_mean)) ** 2)

    def metric_times(self, vector: Numbers) -> tuple[Numbers, float]:
        """S v and v^dagger S v."""
        product = _product(self.tensor, vector)
        return product, float(np.vdot(vector, product).real)

    def solve(self, penalty: Floats, active: Booleans, centre: Numbers | None, start: Numbers | None) -> Numbers:
        """x by a factorisation of S + Lambda, scaled to a unit diagonal of S."""
        # S with a unit diagonal: (K', K') of the K' active directions, d_k = 1 / sqrt(S_kk)
        scale = 1.0 / np.sqrt(self.variances[active])
        kept = self.tensor if active.all() else np.asfortranarray(self.tensor[np.ix_(active, active)])
        # x = c + d (d S d + d Lambda d)^-1 d (F - S c)
        right = self.force if centre is None else self.force - self.metric_times(centre)[0]
        direction = np.zeros_like(self.force) if centre is None else centre.astype(self.force.dtype)
        scaled = Scaled(kept, scale, penalty[active] * scale**2)
        direction[active] += scale * self._scaled_solution(scaled, scale * right[active], active)
        return direction

    def _scaled_solution(self, scaled: Scaled, right: Numbers, active: Booleans) -> Numbers:
        """y of the scaled S + Lambda and the scaled right-hand side."""
        found = refined_solution(scaled, right) if len(right) >= LARGE else None
        return cholesky_solution(scaled.matrix(right.dtype), right) if found is None else found


@dataclass(frozen=True)
class SpectralSystem(DenseSystem):
    """As :class:`DenseSystem`, from the eigenvalues and eigenvectors of S scaled to a unit diagonal.

    Attributes:
        cutoff: eigenvalues below cutoff times the largest are dropped.
        noise: the error of F: components along eigenvectors that are smaller than their error are damped (Schmitt
            & Heyl, Phys. Rev. Lett. 125, 100503 (2020)); None: they are all taken.
    """

    cutoff: float
    noise: Noise | None = None

    def _scaled_solution(self, scaled: Scaled, right: Numbers, active: Booleans) -> Numbers:
        try:
            values, vectors = scipy.linalg.eigh(scaled.matrix(right.dtype), lower=True)
        except (scipy.linalg.LinAlgError, ValueError) as error:
            raise NumericalError(f"the eigenvalues of S cannot be found: {error}") from None
        # Components of F along the eigenvectors that are kept: (K', j)^dagger x (K',) -> (j,)
        large = values > self.cutoff * values[-1]
        along = vectors[:, large].conj().T @ right
        if self.noise is not None:
            along = along * _filter(self.noise, active, scaled.scale[:, None] * vectors[:, large], along)
        return np.asarray(vectors[:, large] @ (along / values[large]))


def _filter(noise: Noise, active: Booleans, vectors: Numbers, along: Numbers) -> Floats:
    """1 / (1 + (threshold / snr)^6) of each component ``along`` of F; ``vectors`` in units of the parameters."""
    # error_j^2 = v_j^dagger C v_j / n, (K', K') x (K', j) -> (j,)
    covariance = np.asfortranarray(noise.covariance[np.ix_(active, active)])
    spread = np.einsum("kj,kj->j", vectors.conj(), _matrix_product(covariance, vectors)).real
    error = np.sqrt(np.maximum(spread, 0.0) / noise.n_samples)
    ratio = noise.threshold * error / np.maximum(np.abs(along), np.finfo(float).tiny)
    return np.asarray(1.0 / (1.0 + np.minimum(ratio, SMALLEST_SIGNAL) ** SNR_POWER))


def _product(lower: Numbers, vector: Numbers) -> Numbers:
    """S x from the lower triangle of S, (K, K) in Fortran order."""
    if np.iscomplexobj(lower):
        return np.asarray(blas.zhemv(1.0, lower, vector, lower=1))
    return np.asarray(blas.dsymv(1.0, lower, vector, lower=1))


def _matrix_product(lower: Numbers, columns: Numbers) -> Numbers:
    """S X from the lower triangle of S."""
    if np.iscomplexobj(lower):
        return np.asarray(blas.zhemm(1.0, lower, columns, lower=1))
    return np.asarray(blas.dsymm(1.0, lower, columns, lower=1))


@dataclass(frozen=True)
class Scaled:
    """S + Lambda with a unit diagonal of S.

    Attributes:
        lower: S, lower triangle.
        scale: 1 / sqrt(S_kk), float64 (K,).
        extra: Lambda_kk / S_kk, float64 (K,).
    """

    lower: Numbers
    scale: Floats
    extra: Floats

    def matrix(self, dtype: npt.DTypeLike) -> Numbers:
        """The lower triangle, of a dtype; Fortran order."""
        scaled = np.empty(self.lower.shape, dtype=dtype, order="F")
        scale_triangle(self.lower, self.scale, scaled)
        scaled[np.diag_indices_from(scaled)] += self.extra.astype(scaled.real.dtype)
        return scaled

    def times(self, vector: Numbers) -> Numbers:
        """The product with a vector."""
        return np.asarray(self.scale * _product(self.lower, self.scale * vector) + self.extra * vector)


@kernel
def scale_triangle(lower: Numbers, scale: Floats, scaled: Numbers) -> None:
    """scaled[i, j] = lower[i, j] times both scales for i >= j, and 0 above."""
    for j in range(len(scale)):
        scaled[:j, j] = 0.0
        for i in range(j, len(scale)):
            scaled[i, j] = lower[i, j] * (scale[i] * scale[j])


def cholesky_solution(lower: Numbers, right: Numbers) -> Numbers:
    """The solution of A x = b by Cholesky; A, (n, n) lower triangle in Fortran order, is overwritten by its factor."""
    functions: Any = get_lapack_funcs(("potrf", "potrs"), (lower,))
    factorise, solve = functions
    factor, failed_at = factorise(lower, lower=1, clean=0, overwrite_a=1)
    if failed_at:
        raise NumericalError(
            "S with its regularisation is not positive definite; raise sr.shift.minimum or sampler.samples"
        )
    solution, _ = solve(factor, right, lower=1)
    return np.asarray(solution)


def refined_solution(scaled: Scaled, right: Numbers) -> Numbers | None:
    """The solution from a factor in single precision, refined with residuals in double precision.

    Each correction leaves about 1e-7 times the condition number of the residual; None where that does not do (then
    double precision must).  Langou et al., SC'06, doi:10.1145/1188455.1188573.
    """
    # Factorise in single precision.
    single: Any = np.complex64 if np.iscomplexobj(right) else np.float32
    matrix = scaled.matrix(single)
    functions: Any = get_lapack_funcs(("potrf", "potrs"), (matrix,))
    factorise, solve = functions
    factor, failed_at = factorise(matrix, lower=1, clean=0, overwrite_a=1)
    if failed_at:
        return None
    # y <- y + A_single^-1 (b - A y) until the residual stops falling.
    solution, residual = np.zeros_like(right), right
    sizes = [float(np.linalg.norm(right))]
    for _ in range(REFINEMENTS):
        if sizes[-1] == 0.0:
            break
        correction, _info = solve(factor, (residual / sizes[-1]).astype(single), lower=1)
        refined = solution + sizes[-1] * correction.astype(right.dtype)
        residual = right - scaled.times(refined)
        now = float(np.linalg.norm(residual))
        if not now < 0.5 * sizes[-1]:  # rounding, or a matrix beyond single precision
            break
        solution = refined
        sizes.append(now)
    return solution if sizes[-1] <= REFINED * sizes[0] else None


# S and the noise of F from rows that are kept -------------------------------------------------------------------------


def tensor_of(rows: Rows) -> Numbers:
    """Collective. S = X^dagger X on the root, lower triangle in Fortran order; empty elsewhere."""
    # Variances that are differences may be too small, by their rounding.
    return _summed(rows, _centred(rows), rows.variances + rows.rounding)


def force_covariance(rows: Rows) -> Numbers:
    """Collective. Covariance of f_n with F = (1/n) sum_n f_n, on the root as :func:`tensor_of`.

    f_n = n X_n* e_n, for real parameters its real part; n is the number of configurations.  Independent ones are
    assumed: F has the covariance C / n.
    """
    # Scale of the integer sums from the diagonal sum_n |f_n|^2 / n, (K,).
    n = int(rows.comm.sum(np.array([len(rows.energies)], dtype=np.int64))[0])
    squares = ExactSum(rows.n_parameters, rows.square_unit)
    for piece in _summands(rows, n):
        squares.add(np.asarray((np.abs(piece) ** 2).sum(axis=1)))
    # sum_n f_n* f_n^T / n, (K, n) x (n, K) -> (K, K), less F* F^T
    total = _summed(rows, _summands(rows, n), squares.total(rows.comm))
    if total.size:
        total -= np.tril(np.outer(rows.force, rows.force.conj()))
    return total


def _centred(rows: Rows) -> Iterator[Numbers]:
    """X^T chunk by chunk, (K, n); for real parameters real and imaginary parts side by side."""
    for chunk in rows.chunks:
        centred = (chunk.derivatives.rows() - rows.offset[:, None]) * chunk.root
        if rows.real_parameters and np.iscomplexobj(centred):
            yield np.concatenate([centred.real, centred.imag], axis=1)
        else:
            yield centred


def _summands(rows: Rows, n: int) -> Iterator[Numbers]:
    """sqrt(n) X_n e_n* chunk by chunk, (K, n): their squares sum up to the mean square of f."""
    start = 0
    for chunk in rows.chunks:
        energies = rows.energies[start : start + len(chunk.root)]
        start += len(chunk.root)
        centred = (chunk.derivatives.rows() - rows.offset[:, None]) * chunk.root
        product = np.sqrt(n) * centred * energies.conj()
        yield np.ascontiguousarray(product.real) if rows.real_parameters else product


def _summed(rows: Rows, pieces: Iterator[Numbers], squares: Floats) -> Numbers:
    """Collective. The sum of x* x^T over pieces of all ranks."""
    total = TriangleSum(squares, rows.dtype)
    for piece in pieces:
        total.add(piece)
    found = total.on_root(rows.comm)
    return np.empty((0, 0)) if found is None else found
