"""The centred rows of one iteration, shared out over the ranks: what solvers use that never form S.

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

from pvmc.ansatz.base import Floats, Numbers
from pvmc.errors import NumericalError, on_every_rank
from pvmc.estimators.derivatives import Derivatives, Stored, Vector
from pvmc.estimators.summation import SMALLEST_BOUND, BoundedSum, ExactSum, fixed_scale
from pvmc.parallel import Communicator


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
        real_parameters: whether theta is real.
        comm: the ranks.

    Configurations are counted over all ranks in the order of the blocks, which does not depend on the number of ranks;
    nor do the bits of any sum.
    """

    def __init__(
        self, derivatives: Sequence[Derivatives], energies: Numbers, weights: Floats, comm: Communicator, *, real: bool
    ):
        """Collective. Rows of this rank's configurations.

        Args:
            derivatives: of the chunks; those that are :class:`Stored` are centred in place.
            energies: E_loc - <E>, (n_local,), in the order of the chunks.
            weights: float64 (n_local,), their sum over all ranks is 1; rows of weight 0 are set to 0.
            comm: the ranks.
            real: whether theta is real.

        Raises:
            NumericalError: a log-derivative is not finite; on every rank.
        """
        self.comm, self.real_parameters = comm, real
        stops = np.cumsum([part.n_configurations for part in derivatives])
        parts = list(zip(derivatives, np.split(weights, stops[:-1]), strict=True))
        for part, weight in parts:
            if isinstance(part, Stored):
                part.array[:, weight == 0] = 0.0
        self.mean = self._summed([part.sums(weight) for part, weight in parts])
        with on_every_rank():
            if not np.all(np.isfinite(self.mean)):
                raise NumericalError("a log-derivative is not finite: psi left the range of numbers")
        self.offset = self.mean.copy()
        if all(isinstance(part, Stored) for part in derivatives):
            for part in derivatives:
                part.rows()[:] -= self.mean[:, None]
            self.offset[:] = 0.0
        self.chunks = [RowChunk(part, np.sqrt(weight)) for part, weight in parts]
        self._squares = self._summed([part.squares(weight) for part, weight in parts])
        self.energies: Numbers = np.where(weights > 0, energies, 0.0) * np.sqrt(weights)

    @property
    def n_parameters(self) -> int:
        """K."""
        return len(self.mean)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of theta: float64 or complex128."""
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
        """Below this S_kk is nothing but rounding, float64 (K,)."""
        epsilon = np.finfo(float).eps
        # A mean is a sum of thousands of products with weights: good to some ten epsilon, not to a few.
        return np.maximum(64.0 * epsilon * np.abs(self.offset) ** 2, (64.0 * epsilon * np.abs(self.mean)) ** 2)

    @cached_property
    def force(self) -> Numbers:
        """Collective at first. F = X^dagger e, (K,), on every rank; its real part for real parameters."""
        squares = ExactSum(1)
        squares.add(np.array([float(np.vdot(self.energies, self.energies).real)]))
        return self.adjoint(self.energies, math.sqrt(float(squares.total(self.comm)[0])))

    def times(self, vector: Numbers) -> Numbers:
        """X v of this rank's configurations, (n_local,)."""
        offset, prepared = self.offset @ vector, Vector(vector)
        return np.concatenate([chunk.root * (chunk.derivatives.times(prepared) - offset) for chunk in self.chunks])

    def adjoint(self, values: Numbers, largest_norm: float) -> Numbers:
        """Collective, one sum of K numbers.  X^dagger u, (K,); its real part for real parameters.

        Args:
            values: u of this rank's configurations, (n_local,).
            largest_norm: not smaller than |u| over all ranks, the same on all.
        """
        # A power of 2 for the norm, so that the scale of each k is made only once.
        total = BoundedSum(self._scale * math.ldexp(1.0, -math.frexp(max(largest_norm, SMALLEST_BOUND))[1]))
        k, real, begin = self.n_parameters, self.real_parameters, 0
        for chunk in self.chunks:
            part = chunk.root * values[begin : begin + len(chunk.root)]
            begin += len(chunk.root)
            start = 0
            for plane, imaginary in chunk.derivatives.adjoint(part, real=real):
                total.add(plane, start)
                if imaginary is not None:
                    total.add(imaginary, k + start)
                start += len(plane)
            total.add(np.array([part.sum()], dtype=np.complex128).view(np.float64), len(self._scale) - 2)
        *parts, summed = np.split(total.total(self.comm), [k, k if real else 2 * k])
        mean = complex(*summed)
        if real:
            return np.asarray(parts[0] - (self.offset.conj() * mean).real)
        return np.asarray(parts[0] + 1j * parts[1] - self.offset.conj() * mean)

    @cached_property
    def _scale(self) -> Floats:
        """Powers of 2 for sums of O_k* u with |u| <= 1: real and imaginary parts, and those of the sum of u itself."""
        scale = fixed_scale(np.sqrt(self._squares) * (1.0 + 1e-9))
        one = fixed_scale(np.array([1.0 + 1e-9, 1.0 + 1e-9]))
        return np.concatenate([scale, one] if self.real_parameters else [scale, scale, one])

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

