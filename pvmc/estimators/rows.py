"""The centred rows of one iteration, shared out over the ranks: for solvers that never form S.

With n configurations of weights w, X_nk = sqrt(w_n/n) (O_k(s_n) - <O_k>) and e_n = sqrt(w_n/n) (E_loc(s_n) - <E>), so
that S = X^dagger X and F = X^dagger e (for real parameters their real parts).  Each rank holds the rows of its own
configurations, chunk by chunk; X itself is on no rank.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pvmc.errors import NumericalError, on_every_rank
from pvmc.estimators.derivatives import Derivatives, Stored, Vector
from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Floats, Numbers
from pvmc.numerics.exact_sums import BoundedSum, ExactSum, common_units, fixed_scale

ROUNDING = 512.0 * float(np.finfo(float).eps)
"""Relative error of a mean over configurations: a chunk of some hundreds is summed one after the other, and equal
summands are rounded alike."""

SMALLEST = 2.0**-450
"""Norms of O_k and u below count as this: the product of two such still has a scale."""


@dataclass(frozen=True)
class RowChunk:
    """Some configurations of one block.

    Attributes:
        derivatives: O - offset, (K, n).
        root: sqrt(w/n), float64 (n,).
    """

    derivatives: Derivatives
    root: Floats


class Rows:
    """X and e of all ranks' configurations.

    Attributes:
        chunks: of this rank, in the order of its configurations.
        energies: e of this rank, float64 or complex128 (n_local,).
        offset: what is still to be subtracted from the chunks' O, (K,): <O>, or 0 where it has been.
        mean: <O>, (K,).
        real_parameters: theta is real.
        comm: the ranks.

    Configurations are counted over all ranks in the order of the blocks, which does not depend on the number of ranks;
    nor do the bits of any sum.
    """

    def __init__(
        self, derivatives: Sequence[Derivatives], energies: Numbers, weights: Floats, comm: Communicator, *, real: bool
    ):
        """Collective. Rows of this rank's configurations.

        Args:
            derivatives: of the chunks, changed in place: cleared where weights are 0, and centred if all are Stored.
            energies: E_loc - <E>, (n_local,), in the order of the chunks.
            weights: float64 (n_local,), their sum over all ranks is 1; rows of weight 0 are set to 0.
            comm: the ranks.
            real: theta is real.

        Raises:
            NumericalError: a log-derivative is not finite; on every rank.
        """
        self.comm, self.real_parameters = comm, real
        # O of configurations of weight 0 may be NaN: set to 0.
        stops = np.cumsum([part.n_configurations for part in derivatives])
        parts = list(zip(derivatives, np.split(weights, stops[:-1]), strict=True))
        for part, weight in parts:
            part.clear(weight == 0)
        # <O_k> = sum_n w_n O_kn, (K, n) x (n,) -> (K,), over all ranks
        with np.errstate(invalid="ignore", over="ignore"):
            self.mean = self._summed([part.sums(weight) for part, weight in parts])
        with on_every_rank():
            if not np.all(np.isfinite(self.mean)):
                raise NumericalError("a log-derivative is not finite: psi left the range of numbers")
        # Plain rows are centred in place, O - <O>; of factors <O> is subtracted from products, as ``offset``.
        self.offset = self.mean.copy()
        if all(isinstance(part, Stored) for part in derivatives):
            for part in derivatives:
                part.rows()[:] -= self.mean[:, None]
            self.offset[:] = 0.0
        self.chunks = [RowChunk(part, np.sqrt(weight)) for part, weight in parts]
        # sum_n w_n |O_kn - c_k|^2, (K,), and e = sqrt(w) (E_loc - <E>), (n_local,)
        self._squares = self._summed([part.squares(weight) for part, weight in parts])
        self.energies: Numbers = np.where(weights > 0, energies, 0.0) * np.sqrt(weights)

    @property
    def n_parameters(self) -> int:
        """K."""
        return len(self.mean)

    @property
    def dtype(self) -> np.dtype[Any]:
        """dtype of theta: float64 or complex128."""
        return np.dtype(np.float64 if self.real_parameters else np.complex128)

    @cached_property
    def variances(self) -> Floats:
        """S_kk, float64 (K,), on every rank."""
        return np.maximum(0.0, self._squares - np.abs(self.offset) ** 2)

    @cached_property
    def _deviations(self) -> Floats:
        """sqrt(S_kk), (K,)."""
        return np.sqrt(self.variances)

    @property
    def rounding(self) -> Floats:
        """Bound on S_kk where it is nothing but rounding, float64 (K,)."""
        return np.maximum(ROUNDING * np.abs(self.offset) ** 2, (ROUNDING * np.abs(self.mean)) ** 2)

    @cached_property
    def force(self) -> Numbers:
        """Collective at first. F = X^dagger e, (K,), on every rank; its real part for real parameters."""
        squares = ExactSum(1, self.square_unit)  # chunk by chunk: how many of them a rank has must not be seen
        for part in self.split(self.energies):
            squares.add(np.array([float(np.vdot(part, part).real)]))
        return self.adjoint(self.energies, math.sqrt(float(squares.total(self.comm)[0])))

    @cached_property
    def square_unit(self) -> float:
        """Collective at first. A power of 2 near the largest |e|^2, for sums of such."""
        return float(common_units((np.abs(self.energies) ** 2)[:, None], self.comm)[0])

    def split(self, values: Numbers) -> list[Numbers]:
        """Values of this rank's configurations, (n_local,), chunk by chunk."""
        return np.split(values, np.cumsum([len(chunk.root) for chunk in self.chunks])[:-1])

    def times(self, vector: Numbers) -> Numbers:
        """X v of this rank's configurations, (n_local,)."""
        # sqrt(w_n) (sum_k O_kn v_k - sum_k <O_k> v_k), (n, K) x (K,) -> (n,) for each chunk
        offset, prepared = self.offset @ vector, Vector(vector)
        return np.concatenate([chunk.root * (chunk.derivatives.times(prepared) - offset) for chunk in self.chunks])

    def adjoint(self, values: Numbers, largest_norm: float) -> Numbers:
        """Collective, one sum of K numbers.  X^dagger u, (K,); its real part for real parameters.

        Args:
            values: u of this rank's configurations, (n_local,).
            largest_norm: not smaller than |u| over all ranks, the same on all.
        """
        # A power of 2 for the norm, so that the scale of each k is made only once.
        total = BoundedSum(self._scale * math.ldexp(1.0, -math.frexp(max(largest_norm, SMALLEST))[1]))
        # Per chunk sum_n O_kn* sqrt(w_n) u_n, (K, n) x (n,) -> (K,), and sum_n sqrt(w_n) u_n, as integers.
        for chunk, own in zip(self.chunks, self.split(values), strict=True):
            part, start = chunk.root * own, 0
            for planes in chunk.derivatives.adjoint(part, real=self.real_parameters):
                total.add(planes.reshape(-1), start)
                start += planes.size
            total.add(np.array([part.sum()], dtype=np.complex128).view(np.float64), start)
        return self._assembled(total.total(self.comm))

    def _assembled(self, sums: Floats) -> Numbers:
        """X^dagger u from the sums over all ranks of O* u and of u."""
        product, start = np.empty(self.n_parameters, dtype=self.dtype), 0
        for part in self._parts:
            size = part.stop - part.start
            product[part] = sums[start : start + size]
            if not self.real_parameters:
                product[part].imag = sums[start + size : start + 2 * size]
            start += self._n_planes * size
        # X^dagger u = sum_n O_kn* sqrt(w_n) u_n - <O_k>* sum_n sqrt(w_n) u_n
        if np.any(self.offset):
            shift = self.offset.conj() * complex(sums[-2], sums[-1])
            product -= shift.real if self.real_parameters else shift
        return product

    @property
    def _n_planes(self) -> int:
        return 1 if self.real_parameters else 2

    @cached_property
    def _parts(self) -> list[slice]:
        """Consecutive parts of k that products with X^dagger are made of."""
        chunk = self.chunks[0]
        zero = np.zeros(len(chunk.root))
        sizes = [planes.shape[1] for planes in chunk.derivatives.adjoint(zero, real=self.real_parameters)]
        stops = np.cumsum(sizes).tolist()
        return [slice(stop - size, stop) for stop, size in zip(stops, sizes, strict=True)]

    @cached_property
    def _scale(self) -> Floats:
        """Powers of 2 for sums of O_k* u with |u| <= 1, part by part, real and imaginary; and for those of u itself."""
        scale = fixed_scale(np.maximum(np.sqrt(self._squares) * (1.0 + 1e-9), SMALLEST))
        one = fixed_scale(np.array([1.0 + 1e-9, 1.0 + 1e-9]))
        return np.concatenate([*(np.tile(scale[part], self._n_planes) for part in self._parts), one])

    def metric_times(self, vector: Numbers) -> tuple[Numbers, float]:
        """Collective, one sum of K numbers.  S v, (K,), and v^dagger S v."""
        # |X v| <= sum_k |X_k| |v_k| with |X_k|^2 = S_kk: a bound that needs no message.
        largest = float(self._deviations @ (np.abs(vector.real) + np.abs(vector.imag)))
        product = self.adjoint(self.times(vector), largest)
        return product, float(np.vdot(vector, product).real)

    def _summed(self, parts: Sequence[Numbers]) -> Numbers:
        """Collective. The sum of vectors over all chunks of all ranks."""
        total = ExactSum(len(parts[0].view(np.float64)))
        for part in parts:
            total.add(np.ascontiguousarray(part).view(np.float64))
        return total.total(self.comm).view(parts[0].dtype)
