"""The moments of the log-derivatives and the local energy, summed chunk by chunk: nothing grows with the samples.

With x = (1, O_1 - c_1, ..., O_K - c_K, E_loc - c_E) of a configuration, the sum of x* x^T over all of them holds the
number of samples, the means, the force and the quantum geometric tensor.  The c are means over a first chunk: close
enough to those over all that covariances lose no digits, <OO> - <O><O> with <O> next to 0.

So that results do not depend on the number of ranks, each chunk's contribution, which is the same whoever computes it,
is turned into integers before it is added (64-bit fixed point, a scale for each row): integer sums are exact in any
order.

Along the way, for n configurations of a chunk,

    x -> (x - c) sqrt(w),   (K + 2, n)      centred and weighted
    P = x* x^T,             (K + 2, n) x (n, K + 2) -> (K + 2, K + 2), of which one triangle is made
    round(2^b P_ij / (s_i s_j))             integers; s_i = 2^e_i is about the root mean square of row i
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pvmc.errors import NumericalError, on_every_rank
from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Floats, Integers, Numbers, plane_view
from pvmc.numerics.exact_sums import add_rounded, sum_of_blocks
from pvmc.numerics.kernels import kernel
from pvmc.numerics.triangles import add_product, zeros

BITS = 62
"""Bits of the int64 sums that may be used; one is the sign, one is room for rounding."""

MARGIN = 256.0
"""Factor by which mean squares over a chunk may exceed those over the first one."""


class OutOfRange(Exception):
    """A contribution does not fit into the fixed-point numbers: the centre was not typical.  Local."""


class NotFinite(Exception):
    """A contribution holds NaN or infinity.  Local."""


class Chunk(NamedTuple):
    """Rows of some configurations of one block.

    Attributes:
        rows: (1, O_1 ... O_K, E_loc) by configurations, float64 or complex128 (K + 2, n).
        block: number of the block on this rank.
        draws: the draws that it holds.
        weights: of smeared configurations, float64 (n,), up to a factor that all ranks have in common; None of others.
    """

    rows: Numbers
    block: int
    draws: slice
    weights: Floats | None = None


@dataclass(frozen=True)
class Centre:
    """The means that rows are centred at, and the scales of rows; the same on every rank.

    Attributes:
        means: c of the rows O_1 ... O_K, E; float64 or complex128 (K + 1,).
        exponents: int64 (K + 2,), of x = (1, O - c, E - c): about log2 of each row's root mean square.
    """

    means: Numbers
    exponents: Integers

    @classmethod
    def of(cls, mean: Numbers, mean_square: Floats) -> Centre:
        """The centre of means of O_1 ... O_K, E, (K + 1,), and of |O - c|^2, |E - c|^2, or estimates of them."""
        # Not below the rounding of c, so that a row which is constant but for rounding has a scale.
        size = np.sqrt(np.maximum(mean_square, 0.0))
        size = np.maximum(size, np.maximum(2.0**-40 * np.abs(mean), 2.0**-200))
        exponents = np.frexp(np.where(np.isfinite(size), size, 1.0))[1].astype(np.int64)
        return cls(mean, np.concatenate([[0], exponents]))

    @classmethod
    def of_rows(cls, rows: Numbers, weights: Floats | None = None) -> Centre:
        """The centre of a first chunk of rows x with c = 0, (K + 2, n), and its weights, (n,)."""
        with np.errstate(invalid="ignore", over="ignore"):
            if weights is not None:
                total = weights.sum()
                mean = rows[1:] @ weights / total
                apart = (rows[1:] - mean[:, None]) * np.sqrt(weights)
                return cls.of(mean, np.einsum("kn,kn->k", apart.conj(), apart).real / total)
            mean = rows[1:].mean(axis=1)
            planes = (rows[1:] - mean[:, None]).view(np.float64)
            return cls.of(mean, np.einsum("kn,kn->k", planes, planes) / rows.shape[1])

    def broadcast(self, comm: Communicator) -> Centre:
        """Collective.  The root's, on every rank."""
        message = np.concatenate([self.means.view(np.float64), self.exponents.astype(np.float64)])
        n_means = 2 * len(self.means) if np.iscomplexobj(self.means) else len(self.means)
        means, exponents = np.split(comm.broadcast(message), [n_means])
        return Centre(means.view(self.means.dtype), exponents.astype(np.int64))


class MomentMatrix:
    """Sum over chunks of x* x^T, (K + 2, K + 2); its real part for real parameters.

    Args:
        centre: centre and scale of the rows.
        n_samples: configurations over all ranks, that is the sum of their weights.
        n_chunks: chunks over all ranks.
        real_parameters: theta is real.
        exact: fixed point, the same bits at any number of ranks; else floating point.
        margin: factor by which a row's mean square over a chunk may exceed that of the centre.
        any_weights: the sum of the weights is not known to be n_samples (it is of that order).
    """

    def __init__(
        self,
        centre: Centre,
        n_samples: int,
        n_chunks: int,
        *,
        is_complex: bool,
        real_parameters: bool,
        exact: bool,
        margin: float,
        any_weights: bool = False,
    ):
        self.centre, self.exact = centre, exact
        self._n_samples, self._n_chunks = n_samples, n_chunks
        self._is_real = real_parameters or not is_complex
        self._any_weights = any_weights
        size = len(centre.exponents)
        # |sum over chunks of x_i* x_j| <= n margin s_i s_j (Cauchy and Schwarz) must fit into BITS: half of the bits
        # that are left go into the scale of each of both rows.
        bits = (BITS - int(np.ceil(np.log2(n_samples * margin)))) // 2
        self._scales = np.ldexp(1.0, bits - centre.exponents)
        n_pairs = size * (size + 1) // 2
        # Re(x* x^T) has no imaginary parts of <x>, which the real part of <x>* <x> needs: they go below the triangle.
        n_more = size - 1 if self._is_real and is_complex else 0
        shape = n_pairs + n_more, 1 if self._is_real else 2
        self._sums: Numbers = zeros(shape, np.int64 if exact else np.float64)
        self._triangle, self._imaginary = self._sums[:n_pairs], self._sums[n_pairs:, 0]

    @property
    def n_parameters(self) -> int:
        """K."""
        return len(self.centre.means) - 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """dtype of the sum: float64 or complex128."""
        return np.dtype(np.float64 if self._is_real else np.complex128)

    def add(self, rows: Numbers, weights: Floats | None = None) -> None:
        """Add a chunk.

        Args:
            rows: x with c = 0, float64 or complex128 (K + 2, n), C-contiguous; overwritten.
            weights: float64 (n,), of the configurations; means are over their sum over all ranks.

        Raises:
            NotFinite: it holds NaN or infinity.
            OutOfRange: the chunk does not fit into the fixed-point numbers.
        """
        # x -> (x - c) sqrt(w), (K + 2, n)
        if weights is not None:
            rows[:, weights == 0] = 0.0  # where psi vanishes E_loc is no number, and does not count
        with np.errstate(invalid="ignore", over="ignore"):
            rows[1:] -= self.centre.means[:, None]
            if weights is not None:
                rows *= np.sqrt(weights)
        # Im sum_n x, (K + 1, n) x (n,) -> (K + 1,), for real parameters
        imaginary = rows[1:].imag @ rows[0].real if len(self._imaginary) else np.empty(0)
        if self._is_real and np.iscomplexobj(rows):
            # Re(x* x^T) = Re x Re x^T + Im x Im x^T: the parts side by side, (K + 2, 2n), are one real product.
            rows = np.concatenate([rows.real, rows.imag], axis=1)
        # The diagonal of P bounds all of it: |P_ij|^2 <= P_ii P_jj.
        planes = rows.view(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            squares = np.einsum("kn,kn->k", planes, planes)
        if not np.all(np.isfinite(squares)):
            raise NotFinite
        if self.exact and np.max(squares * self._scales**2) * self._n_chunks > 2.0**BITS:
            raise OutOfRange
        # P, (K + 2, n) x (n, K + 2), rounded at the scales of row and column, added to the triangle
        add_product(rows, self._scales if self.exact else None, self._triangle)
        if not self.exact:
            self._imaginary += imaginary
        else:
            add_rounded(imaginary, self._scales[1:] * self._scales[0], self._imaginary)

    def covariances(self, comm: Communicator) -> tuple[Numbers, Numbers, Numbers]:
        """Collective.  <O>, the force <E O*> - <E><O*> and <O* O> - <O*><O> of all ranks, on the root; empty elsewhere.

        Returns:
            (K,), (K,), and (K, K) in Fortran order, the upper triangle zero.
        """
        # One sum of integers over all ranks, (K + 2)(K + 3) / 2 of them for real parameters, twice as many else.
        total, k = comm.sum_to_root(self._sums), self.n_parameters
        if total is None:
            return np.empty(0), np.empty(0), np.empty((0, 0))
        scales = 1.0 / self._scales if self.exact else np.ones(k + 2)
        shift, force = np.empty((2, k + 1), dtype=self.dtype)
        tensor = zeros((k, k), self.dtype).T
        weight, imaginary = 1.0 / self._total_weight(total), np.zeros(k + 1)
        if len(self._imaginary):
            imaginary[:] = total[-(k + 1) :, 0] * weight * scales[1:] * scales[0]
        unpack_covariances(total, scales, weight, imaginary, *(plane_view(array.T) for array in (shift, force, tensor)))
        mean = self.centre.means[:-1] + shift[:-1]
        return mean + 1j * imaginary[:-1] if len(self._imaginary) else mean, force[:-1], tensor

    def _total_weight(self, sums: npt.NDArray[Any]) -> float:
        """Sum of the weights: the number of samples, or the first entry of x* x^T over all ranks."""
        if not self._any_weights:
            return float(self._n_samples)
        return float(sums[0, 0]) * (float(self._scales[0]) ** -2.0 if self.exact else 1.0)


@kernel
def unpack_covariances(
    sums: npt.NDArray[Any],
    scales: Floats,
    weight: float,
    imaginary: Floats,
    shift: Floats,
    force: Floats,
    tensor: Floats,
) -> None:
    """Means and covariances from packed sums of x* x^T, x = (1, O - c, E - c).

    Args:
        sums: (n_pairs, n_planes), triangle i >= j column by column.
        scales: float64 (K + 2,); a sum is the number times the scales of row and column.
        weight: 1 / n.
        imaginary: Im <x> of O - c and E - c, (K + 1,), where the sums are real parts of x* x^T; 0 elsewhere.
        shift: <x> of O - c and E - c, (K + 1, n_planes), written.
        force: <E O*> - <E><O*>, (K + 1, n_planes), written; the last is the variance of E.
        tensor: <O_i* O_j> - <O_i*><O_j>, indices (j, i, plane), i >= j, written.
    """
    size, n_planes = len(scales), sums.shape[1]
    # Column 0, x_0 = 1: <x_i>* of O - c and E - c.
    for i in range(1, size):
        factor = weight * scales[i] * scales[0]
        shift[i - 1, 0] = sums[i, 0] * factor
        if n_planes == 2:
            shift[i - 1, 1] = -sums[i, 1] * factor
    # Columns 1 ... K + 1: <x_i* x_j> - <x_i>* <x_j>, i >= j.
    position = size
    for j in range(1, size):
        column = weight * scales[j]
        for i in range(j, size):
            factor = column * scales[i]
            real = sums[position, 0] * factor - shift[i - 1, 0] * shift[j - 1, 0]
            real -= imaginary[i - 1] * imaginary[j - 1]
            second = 0.0
            if n_planes == 2:
                real -= shift[i - 1, 1] * shift[j - 1, 1]
                second = sums[position, 1] * factor
                second -= shift[i - 1, 0] * shift[j - 1, 1] - shift[i - 1, 1] * shift[j - 1, 0]
            # The last row is <E* O_j> - <E>*<O_j>, of which the force is the conjugate; the others are the tensor.
            if i == size - 1:
                force[j - 1, 0] = real
                if n_planes == 2:
                    force[j - 1, 1] = -second
            else:
                tensor[j - 1, i - 1, 0] = real
                if n_planes == 2:
                    tensor[j - 1, i - 1, 1] = second
            position += 1


# The moments of all chunks --------------------------------------------------------------------------------------------


def collect(
    chunks: Callable[[], Iterable[Chunk]],
    comm: Communicator,
    *,
    n_chunks: int,
    n_samples: int,
    is_complex: bool,
    real_parameters: bool,
    weights: Floats | None = None,
    exact_sums: bool = True,
) -> MomentMatrix:
    """Collective. The moments of this rank's chunks, with one centre for all ranks.

    Args:
        chunks: makes the chunks, the same ones at every call.
        comm: the ranks.
        n_chunks: chunks over all ranks.
        n_samples: configurations over all ranks.
        is_complex: the rows are complex.
        real_parameters: theta is real.
        weights: float64 (n_blocks, n_draws, L), their sum over all ranks is n_samples; None for equal ones.
        exact_sums: the same bits at any number of ranks.

    Raises:
        NumericalError: rows that are not finite; on every rank.
    """
    settings = {"is_complex": is_complex, "real_parameters": real_parameters, "exact": exact_sums}
    if weights is None:
        # Centre and scales of all ranks are those of the root's first chunk.
        matrix = None
        problem = _NOTHING
        for chunk in chunks():
            if matrix is None:
                centre = Centre.of_rows(chunk.rows, chunk.weights).broadcast(comm)
                settings["any_weights"] = chunk.weights is not None
                matrix = MomentMatrix(centre, n_samples, n_chunks, margin=MARGIN, **settings)
            problem = max(problem, _added(matrix, chunk, None))
        assert matrix is not None, "a rank owns at least one block"
        if _worst(problem, comm) == _NOTHING:
            return matrix
    # Where that chunk was not typical, or weights have to be known first: centre at the means of all, which costs one
    # more walk over the draws.
    centre = _overall_centre(chunks, weights, comm)
    matrix = MomentMatrix(centre, n_samples, n_chunks, margin=8.0 * n_chunks, **settings)
    problem = max(_added(matrix, chunk, weights) for chunk in chunks())
    assert _worst(problem, comm) == _NOTHING, "no chunk holds more than all of them"
    return matrix


_NOTHING, _OUT_OF_RANGE, _NOT_FINITE = 0, 1, 2

_ROUNDING = 2.0**-46
"""Relative accuracy of a mean of squares, with room for 2^7 roundings."""


def _added(matrix: MomentMatrix, chunk: Chunk, weights: Floats | None) -> int:
    """Add a chunk; return its problem."""
    try:
        matrix.add(chunk.rows, _weights(chunk, weights))
    except OutOfRange:
        return _OUT_OF_RANGE
    except NotFinite:
        return _NOT_FINITE
    return _NOTHING


def _weights(chunk: Chunk, weights: Floats | None) -> Floats | None:
    """The weights of a chunk, (n,): its own, or those of all, (n_blocks, n_draws, L); None where all weigh the same."""
    return chunk.weights if weights is None else weights[chunk.block, chunk.draws].reshape(-1)


def _worst(problem: int, comm: Communicator) -> int:
    """Collective. The worst problem of all ranks; NumericalError on every rank for numbers that are not finite."""
    worst = int(comm.max(np.array([problem], dtype=np.int64))[0])
    require_finite(worst != _NOT_FINITE)
    return worst


def _overall_centre(chunks: Callable[[], Iterable[Chunk]], weights: Floats | None, comm: Communicator) -> Centre:
    """Collective. Means over all configurations of all ranks, the same bits at any number of ranks."""
    # Per chunk: sum w, sum w x (real and imaginary parts), sum w |x|^2; 1 + 2 (K + 1) + (K + 1) numbers.
    partials = []
    for chunk in chunks():
        rows = chunk.rows[1:]
        own = _weights(chunk, weights)
        weight = np.ones(rows.shape[1]) if own is None else own
        if not np.all(weight > 0):
            rows, weight = np.ascontiguousarray(rows[:, weight > 0]), weight[weight > 0]
        planes = plane_view(rows)
        squares = np.einsum("knp,knp,n->k", planes, planes, weight)
        sums = (rows @ weight).astype(np.complex128).view(float)
        partials.append(np.concatenate([[weight.sum()], sums, squares]))
    all_sums = sum_of_blocks(np.array(partials), comm, exact=True)
    total = all_sums[1:] / all_sums[0]
    require_finite(bool(np.all(np.isfinite(total))))
    size = len(total) // 3
    mean = total[: 2 * size].view(np.complex128)
    # <|x|^2> - |<x>|^2 is nothing but rounding below the rounding of both, as the variance of E close to an eigenstate.
    mean_square = np.maximum(total[2 * size :] - np.abs(mean) ** 2, _ROUNDING * total[2 * size :])
    return Centre.of(mean if np.iscomplexobj(rows) else mean.real.copy(), mean_square)


def require_finite(finite: bool) -> None:
    """NumericalError where values that all ranks have alike are not finite."""
    with on_every_rank():
        if not finite:
            raise NumericalError("the local energy or a log-derivative is not finite: psi left the range of numbers")
