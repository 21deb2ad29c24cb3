"""The moments of the log-derivatives and the local energy, summed chunk by chunk: nothing grows with the samples.

With x = (1, O_1 - c_1, ..., O_K - c_K, E_loc - c_E) of a configuration, the sum of x* x^T over all of them holds the
number of samples, the means, the force and the quantum geometric tensor.  The c are means over a first chunk: close
enough to those over all that covariances lose no digits, <OO> - <O><O> with <O> next to 0.

So that results do not depend on the number of ranks, each chunk's contribution, which is the same whoever computes it,
is turned into integers before it is added (64-bit fixed point, a scale for each row): integer sums are exact in any
order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Floats, Integers, Numbers
from pvmc.numerics.exact_sums import add_rounded
from pvmc.numerics.kernels import kernel
from pvmc.numerics.packed import add_product, zeros

BITS = 62
"""Of the int64 sums that may be used; one is the sign, one is room for rounding."""


class OutOfRange(Exception):
    """A contribution does not fit into the fixed-point numbers: the reference was not typical.  Local."""


class NotFinite(Exception):
    """A contribution holds NaN or infinity.  Local."""


@dataclass(frozen=True)
class Reference:
    """Where rows are centred and how they are scaled; the same on every rank.

    Attributes:
        centre: c of the rows O_1 ... O_K, E; float64 or complex128 (K + 1,).
        exponents: int64 (K + 2,), of x = (1, O - c, E - c): about log2 of each row's root mean square.
    """

    centre: Numbers
    exponents: Integers

    @classmethod
    def of(cls, mean: Numbers, mean_square: Floats) -> Reference:
        """From the means of O_1 ... O_K, E, (K + 1,), and of |O - c|^2, |E - c|^2, or estimates of them."""
        size = np.sqrt(np.maximum(mean_square, 0.0))
        size = np.maximum(size, np.maximum(2.0**-40 * np.abs(mean), 2.0**-200))
        exponents = np.frexp(np.where(np.isfinite(size), size, 1.0))[1].astype(np.int64)
        return cls(mean, np.concatenate([[0], exponents]))

    @classmethod
    def of_rows(cls, rows: Numbers, weights: Floats | None = None) -> Reference:
        """From a first chunk of rows x with c = 0, (K + 2, n), and its weights, (n,)."""
        with np.errstate(invalid="ignore", over="ignore"):
            if weights is not None:
                total = weights.sum()
                mean = rows[1:] @ weights / total
                apart = (rows[1:] - mean[:, None]) * np.sqrt(weights)
                return cls.of(mean, np.einsum("kn,kn->k", apart.conj(), apart).real / total)
            mean = rows[1:].mean(axis=1)
            planes = (rows[1:] - mean[:, None]).view(np.float64)
            return cls.of(mean, np.einsum("kn,kn->k", planes, planes) / rows.shape[1])

    def broadcast(self, comm: Communicator) -> Reference:
        """Collective.  The root's, on every rank."""
        message = np.concatenate([self.centre.view(np.float64), self.exponents.astype(np.float64)])
        n_centre = 2 * len(self.centre) if np.iscomplexobj(self.centre) else len(self.centre)
        centre, exponents = np.split(comm.broadcast(message), [n_centre])
        return Reference(centre.view(self.centre.dtype), exponents.astype(np.int64))


class MomentMatrix:
    """Sum over chunks of x* x^T, (K + 2, K + 2); its real part for real parameters.

    Args:
        reference: centre and scale of the rows.
        n_samples: configurations over all ranks, that is the sum of their weights.
        n_chunks: chunks over all ranks.
        real_parameters: whether theta is real.
        exact: fixed point, the same bits at any number of ranks; else floating point.
        margin: factor by which a row's mean square over a chunk may exceed that of the reference.
        any_weights: whether the sum of the weights is not known to be n_samples (it is of that order).
    """

    def __init__(
        self,
        reference: Reference,
        n_samples: int,
        n_chunks: int,
        *,
        is_complex: bool,
        real_parameters: bool,
        exact: bool,
        margin: float,
        any_weights: bool = False,
    ):
        self.reference, self.exact = reference, exact
        self._n_samples, self._n_chunks = n_samples, n_chunks
        self._is_real = real_parameters or not is_complex
        self._any_weights = any_weights
        size = len(reference.exponents)
        bits = (BITS - int(np.ceil(np.log2(n_samples * margin)))) // 2
        self._scales = np.ldexp(1.0, bits - reference.exponents)
        n_pairs = size * (size + 1) // 2
        # Re(x* x^T) has no imaginary parts of <x>, which the real part of <x>* <x> needs: they go below the triangle.
        n_more = size - 1 if self._is_real and is_complex else 0
        shape = n_pairs + n_more, 1 if self._is_real else 2
        self._sums: Numbers = zeros(shape, np.int64 if exact else np.float64)
        self._triangle, self._imaginary = self._sums[:n_pairs], self._sums[n_pairs:, 0]

    @property
    def n_parameters(self) -> int:
        """K."""
        return len(self.reference.centre) - 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the sum: float64 or complex128."""
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
        if weights is not None:
            rows[:, weights == 0] = 0.0  # where psi vanishes E_loc is no number, and does not count
        with np.errstate(invalid="ignore", over="ignore"):
            rows[1:] -= self.reference.centre[:, None]
            if weights is not None:
                rows *= np.sqrt(weights)
        imaginary = rows[1:].imag @ rows[0].real if len(self._imaginary) else np.empty(0)
        if self._is_real and np.iscomplexobj(rows):
            # Re(x* x^T) = Re x Re x^T + Im x Im x^T: the parts side by side are one real product.
            rows = np.concatenate([rows.real, rows.imag], axis=1)
        planes = rows.view(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            squares = np.einsum("kn,kn->k", planes, planes)
        if not np.all(np.isfinite(squares)):
            raise NotFinite
        if self.exact and np.max(squares * self._scales**2) * self._n_chunks > 2.0**BITS:
            raise OutOfRange
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
        total, k = comm.sum_to_root(self._sums), self.n_parameters
        if total is None:
            return np.empty(0), np.empty(0), np.empty((0, 0))
        scales = 1.0 / self._scales if self.exact else np.ones(k + 2)
        shift, force = np.empty((2, k + 1), dtype=self.dtype)
        tensor = zeros((k, k), self.dtype).T
        weight, imaginary = 1.0 / self._total_weight(total), np.zeros(k + 1)
        if len(self._imaginary):
            imaginary[:] = total[-(k + 1) :, 0] * weight * scales[1:] * scales[0]
        unpack_covariances(total, scales, weight, imaginary, *map(_planes, (shift, force, tensor)))
        mean = self.reference.centre[:-1] + shift[:-1]
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
    for i in range(1, size):  # the first column is <x>*
        factor = weight * scales[i] * scales[0]
        shift[i - 1, 0] = sums[i, 0] * factor
        if n_planes == 2:
            shift[i - 1, 1] = -sums[i, 1] * factor
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
            if i == size - 1:  # E* O_j, of which the force is the conjugate
                force[j - 1, 0] = real
                if n_planes == 2:
                    force[j - 1, 1] = -second
            else:
                tensor[j - 1, i - 1, 0] = real
                if n_planes == 2:
                    tensor[j - 1, i - 1, 1] = second
            position += 1


def _planes(array: Numbers) -> Floats:
    """A matrix in Fortran order as float64 (column, row, real and imaginary part); a vector as (row, part)."""
    columns = array.T
    return columns.view(np.float64).reshape(*columns.shape, -1)
