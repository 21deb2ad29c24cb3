"""The log-derivatives of a chunk of configurations: what is needed of the matrix O, whichever way it is kept.

O_k of the chunk's configurations is K by n numbers.  Where the ansatz offers factors, O[j p + i] = B_j A_i as for the
weights between two layers, q + p numbers take the place of q p, and products with O become products of small matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pvmc.ansatz.base import Booleans, Floats, Numbers
from pvmc.ansatz.vector_math import kernel


class Derivatives(Protocol):
    """O of n configurations, (K, n)."""

    @property
    def n_configurations(self) -> int:
        """n."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of O: float64 or complex128."""
        ...

    def times(self, vector: Numbers) -> Numbers:
        """sum_k O_kn v_k, (n,); real v for real parameters."""
        ...

    def adjoint(self, values: Numbers) -> Numbers:
        """sum_n O_kn* u_n, (K,)."""
        ...

    def real_adjoint(self, values: Numbers) -> Floats:
        """The real part of :meth:`adjoint`."""
        ...

    def sums(self, weights: Floats) -> Numbers:
        """sum_n w_n O_kn, (K,), of the dtype of O."""
        ...

    def squares(self, weights: Floats) -> Floats:
        """sum_n w_n |O_kn|^2, float64 (K,)."""
        ...

    def rows(self) -> Numbers:
        """O itself, (K, n); not to be changed."""
        ...

    def clear(self, configurations: Booleans) -> None:
        """Set O of some configurations to 0 in place, whatever it is (NaN where psi vanishes); bool (n,)."""
        ...


@dataclass(frozen=True)
class Stored:
    """O as it stands.

    Attributes:
        array: float64 or complex128 (K, n), C-contiguous.
    """

    array: Numbers

    @property
    def n_configurations(self) -> int:
        """n."""
        return int(self.array.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of O."""
        return self.array.dtype

    def times(self, vector: Numbers) -> Numbers:
        """sum_k O_kn v_k, (n,)."""
        if np.iscomplexobj(self.array) and not np.iscomplexobj(vector):
            # Real and imaginary parts stand next to each other: half the work of complex numbers.
            product: Numbers = (vector @ self.array.view(np.float64)).view(np.complex128)
            return product
        return np.asarray(vector @ self.array)

    def adjoint(self, values: Numbers) -> Numbers:
        """sum_n O_kn* u_n, (K,)."""
        product: Numbers = (self.array @ values.conj()).conj()
        return product

    def real_adjoint(self, values: Numbers) -> Floats:
        """Re sum_n O_kn* u_n, float64 (K,)."""
        if not np.iscomplexobj(self.array):
            return np.asarray(self.array @ np.ascontiguousarray(values.real))
        return np.asarray(self.array.view(np.float64) @ values.astype(np.complex128).view(np.float64))

    def sums(self, weights: Floats) -> Numbers:
        """sum_n w_n O_kn, (K,)."""
        return np.asarray(self.array @ weights)

    def squares(self, weights: Floats) -> Floats:
        """sum_n w_n |O_kn|^2, float64 (K,)."""
        planes = self.array.view(np.float64)
        both = weights.repeat(2) if np.iscomplexobj(self.array) else weights
        return np.asarray(np.einsum("kn,kn,n->k", planes, planes, both))

    def rows(self) -> Numbers:
        """O."""
        return self.array

    def clear(self, configurations: Booleans) -> None:
        """Set O of these configurations to 0."""
        self.array[:, configurations] = 0.0


@dataclass(frozen=True)
class Factored:
    """O as products, block by block of theta.

    Attributes:
        blocks: (B,) where the rows of O are those of B, (k, n); (B, A) where O[j p + i] = B_j A_i with B (q, n) and
            A (p, n).  In the order of theta.
    """

    blocks: Sequence[tuple[Numbers, ...]]

    @property
    def n_configurations(self) -> int:
        """n."""
        return int(self.blocks[0][0].shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of O."""
        return np.result_type(*(rows.dtype for block in self.blocks for rows in block))

    def times(self, vector: Numbers) -> Numbers:
        """sum_k O_kn v_k, (n,): sum_j B_j (V A)_j."""
        total = np.zeros(self.n_configurations, dtype=np.result_type(vector, self.dtype))
        start = 0
        for outer, *inner in self.blocks:
            size = len(outer) * (len(inner[0]) if inner else 1)
            part = vector[start : start + size]
            start += size
            if not inner:
                total += part @ outer
                continue
            _add_contracted(total, outer, _product(part.reshape(len(outer), -1), inner[0]))
        return total

    def adjoint(self, values: Numbers) -> Numbers:
        """sum_n O_kn* u_n, (K,): (B* u) A^dagger."""
        parts = []
        for outer, *inner in self.blocks:
            if not inner:
                parts.append((outer @ values.conj()).conj())
            else:
                parts.append(_product(outer.conj() * values, inner[0].conj().T).reshape(-1))
        return np.concatenate(parts)

    def real_adjoint(self, values: Numbers) -> Floats:
        """Re sum_n O_kn* u_n, float64 (K,)."""
        parts: list[Floats] = []
        for outer, *inner in self.blocks:
            weighted = outer.conj() * values
            if not inner:
                parts.append(weighted.real.sum(axis=1))
            elif np.iscomplexobj(inner[0]):
                parts.append(_product(weighted, inner[0].conj().T).real.reshape(-1))
            else:
                parts.append((np.ascontiguousarray(weighted.real) @ inner[0].T).reshape(-1))
        return np.concatenate(parts)

    def sums(self, weights: Floats) -> Numbers:
        """sum_n w_n O_kn, (K,)."""
        parts = [
            _product(outer * weights, inner[0].T).reshape(-1) if inner else outer @ weights
            for outer, *inner in self.blocks
        ]
        return np.concatenate(parts)

    def squares(self, weights: Floats) -> Floats:
        """sum_n w_n |O_kn|^2, float64 (K,)."""
        parts = []
        for outer, *inner in self.blocks:
            left = _squared(outer)
            parts.append((left * weights @ _squared(inner[0]).T).reshape(-1) if inner else left @ weights)
        return np.concatenate(parts)

    def rows(self) -> Numbers:
        """O, (K, n)."""
        parts = [
            (outer[:, None] * inner[0]).reshape(-1, self.n_configurations) if inner else outer
            for outer, *inner in self.blocks
        ]
        return np.concatenate(parts)

    def clear(self, configurations: Booleans) -> None:
        """Set O of these configurations to 0: all factors, as 0 times NaN is none."""
        for block in self.blocks:
            for factor in block:
                factor[:, configurations] = 0.0


def _squared(array: Numbers) -> Floats:
    return np.asarray(array.real**2 + array.imag**2) if np.iscomplexobj(array) else np.asarray(array**2)


def _product(left: Numbers, right: Numbers) -> Numbers:
    """A matrix product; a complex and a real matrix take two real products, not the four of complex ones."""
    if np.iscomplexobj(left) and not np.iscomplexobj(right):
        planes = np.concatenate([left.real, left.imag]) @ right
        joined: Numbers = planes[: len(left)] + 1j * planes[len(left) :]
        return joined
    return np.asarray(left @ right)


def _add_contracted(total: Numbers, outer: Numbers, inner: Numbers) -> None:
    """total_n += sum_j B_jn C_jn."""
    if np.iscomplexobj(outer) and np.iscomplexobj(inner):
        add_contracted(outer, inner, total)
    else:
        total += np.einsum("jn,jn->n", outer, inner)


@kernel
def add_contracted(left: Numbers, right: Numbers, total: Numbers) -> None:
    """total[n] += sum over j of left[j, n] times right[j, n]."""
    for j in range(left.shape[0]):
        for n in range(left.shape[1]):
            total[n] += left[j, n] * right[j, n]
