"""The log-derivatives O of a chunk of configurations, kept as a matrix or as factors, and products with them.

O_k of the chunk's configurations is K by n numbers.  Where the ansatz offers factors, O[j p + i] = B_j A_i as for the
weights between two layers, q + p numbers take the place of q p, and products with O become products of small matrices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from pvmc.numerics.arrays import Booleans, Floats, Numbers
from pvmc.numerics.kernels import kernel


class Vector:
    """A vector v, (K,), that O is multiplied by, real for real parameters; its parts are made once for all chunks."""

    def __init__(self, numbers: Numbers):
        self.numbers = np.ascontiguousarray(numbers)
        self.is_complex = np.iscomplexobj(numbers)
        self._planes: dict[tuple[int, int], Floats] = {}

    def planes(self, part: slice) -> Floats:
        """Real and, of complex numbers, imaginary parts of some, (n_planes, size)."""
        key = part.start, part.stop
        if key not in self._planes:
            values = self.numbers[part]
            self._planes[key] = np.stack([values.real, values.imag]) if self.is_complex else values[None]
        return self._planes[key]


class Derivatives(Protocol):
    """O of n configurations, (K, n)."""

    @property
    def n_configurations(self) -> int:
        """n."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """dtype of O: float64 or complex128."""
        ...

    def times(self, vector: Vector) -> Numbers:
        """sum_k O_kn v_k, (n,)."""
        ...

    def adjoint(self, values: Numbers, *, real: bool) -> Iterator[Floats]:
        """sum_n O_kn* u_n, part by part of k: real and imaginary parts, (2, size); with ``real``, (1, size)."""
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
    """O as a matrix.

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
        """dtype of O."""
        return self.array.dtype

    def times(self, vector: Vector) -> Numbers:
        """sum_k O_kn v_k, (n,)."""
        if np.iscomplexobj(self.array) and not vector.is_complex:
            # Real and imaginary parts stand next to each other: half the work of complex numbers.
            # (K,) x (K, 2n) -> (2n,)
            product: Numbers = (vector.numbers @ self.array.view(np.float64)).view(np.complex128)
            return product
        return np.asarray(vector.numbers @ self.array)

    def adjoint(self, values: Numbers, *, real: bool) -> Iterator[Floats]:
        """sum_n O_kn* u_n of all k."""
        if np.iscomplexobj(self.array) and real:
            # Re(O* u) = Re O Re u + Im O Im u: (K, 2n) x (2n,) -> (K,)
            yield (self.array.view(np.float64) @ values.astype(np.complex128).view(np.float64))[None]
        elif np.iscomplexobj(self.array):
            # O* u = (O u*)*: (K, n) x (n,) -> (K,)
            product = self.array @ values.conj()
            yield np.stack([product.real, -product.imag])
        else:
            planes = [values.real] if real else [values.real, values.imag]
            yield np.stack([self.array @ np.ascontiguousarray(plane) for plane in planes])

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
        """dtype of O."""
        return np.result_type(*(rows.dtype for block in self.blocks for rows in block))

    @cached_property
    def _planes(self) -> list[Floats]:
        """Real and imaginary parts of each B, (2, q, n), made once: kernels read them again and again."""
        return [np.stack([outer.real, outer.imag]) for outer, *_ in self.blocks]

    def times(self, vector: Vector) -> Numbers:
        """sum_k O_kn v_k, (n,): sum_j B_j (V A)_j."""
        total, start = np.zeros((2, self.n_configurations)), 0
        for (outer, *inner), planes in zip(self.blocks, self._planes, strict=True):
            part = slice(start, start + len(outer) * (len(inner[0]) if inner else 1))
            start = part.stop
            # V = v of this block as (q, p): sum_ji V_ji B_jn A_in
            if inner and np.iscomplexobj(inner[0]):
                # (q, p) x (p, n) -> (q, n), times B, summed over q
                product = (vector.numbers[part].reshape(len(outer), -1) @ inner[0]) * outer
                total += _parts(product.sum(axis=0))
            elif inner:
                # Real A: real and imaginary parts of V below each other, (2q, p) x (p, n) -> (2q, n)
                stacked = vector.planes(part).reshape(-1, len(inner[0]))
                add_contracted(planes, (stacked @ inner[0]).reshape(-1, *outer.shape), total)
            else:
                products = vector.planes(part) @ planes  # (plane of B, plane of v, n)
                total += products[:, 0]
                if vector.is_complex:
                    total[0] -= products[1, 1]
                    total[1] += products[0, 1]
        if vector.is_complex or np.issubdtype(self.dtype, np.complexfloating):
            return np.asarray(total[0] + 1j * total[1])
        return np.asarray(total[0])

    def adjoint(self, values: Numbers, *, real: bool) -> Iterator[Floats]:
        """sum_n O_kn* u_n: (B* u) A^dagger, block by block."""
        given, n_planes = _parts(values), 1 if real else 2
        for (outer, *inner), planes in zip(self.blocks, self._planes, strict=True):
            if not inner:
                products = planes @ given.T  # (plane of B, q, plane of u)
                yield np.stack(
                    [products[0, :, 0] + products[1, :, 1], products[0, :, 1] - products[1, :, 0]][:n_planes]
                )
                continue
            # sum_n B_jn* A_in* u_n: (q, n) x (n, p) -> (q, p)
            if np.iscomplexobj(inner[0]):
                product = (outer.conj() * values) @ inner[0].conj().T
                yield _parts(product.reshape(-1))[:n_planes]
                continue
            weighted = np.empty((n_planes, *outer.shape))
            weigh(planes, given, weighted)
            yield (weighted.reshape(-1, outer.shape[1]) @ inner[0].T).reshape(n_planes, -1)

    def sums(self, weights: Floats) -> Numbers:
        """sum_n w_n O_kn, (K,)."""
        # sum_n w_n B_jn A_in: (q, n) x (n, p) -> (q, p)
        parts = [
            _product(outer * weights, inner[0].T).reshape(-1) if inner else outer @ weights
            for outer, *inner in self.blocks
        ]
        return np.concatenate(parts)

    def squares(self, weights: Floats) -> Floats:
        """sum_n w_n |O_kn|^2, float64 (K,)."""
        parts = []
        for outer, *inner in self.blocks:
            # sum_n w_n |B_jn|^2 |A_in|^2: (q, n) x (n, p) -> (q, p)
            left = _squared(outer) * weights
            parts.append((left @ _squared(inner[0]).T).reshape(-1) if inner else left.sum(axis=1))
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


def _parts(values: Numbers) -> Floats:
    """Real and imaginary parts, (2, n)."""
    return np.stack([values.real, values.imag])


def _squared(array: Numbers) -> Floats:
    return np.asarray(array.real**2 + array.imag**2) if np.iscomplexobj(array) else np.asarray(array**2)


def _product(left: Numbers, right: Numbers) -> Numbers:
    """A matrix product; a complex and a real matrix take two real products, not the four of complex ones."""
    if np.iscomplexobj(left) and not np.iscomplexobj(right):
        planes = np.concatenate([left.real, left.imag]) @ right
        joined: Numbers = planes[: len(left)] + 1j * planes[len(left) :]
        return joined
    return np.asarray(left @ right)


@kernel
def weigh(outer: Floats, values: Floats, weighted: Floats) -> None:
    """weighted = outer* values by real and imaginary parts: (2, q, n) and (2, n) to (2, q, n), or (1, q, n)."""
    for j in range(outer.shape[1]):
        for n in range(outer.shape[2]):
            weighted[0, j, n] = outer[0, j, n] * values[0, n] + outer[1, j, n] * values[1, n]
        if len(weighted) == 2:
            for n in range(outer.shape[2]):
                weighted[1, j, n] = outer[0, j, n] * values[1, n] - outer[1, j, n] * values[0, n]


@kernel
def add_contracted(outer: Floats, inner: Floats, total: Floats) -> None:
    """total[n] += sum over j of (outer inner)[j, n] by real and imaginary parts: (2, q, n); inner may be real."""
    for j in range(outer.shape[1]):
        for n in range(outer.shape[2]):
            total[0, n] += outer[0, j, n] * inner[0, j, n]
            total[1, n] += outer[1, j, n] * inner[0, j, n]
        if len(inner) == 2:
            for n in range(outer.shape[2]):
                total[0, n] -= outer[1, j, n] * inner[1, j, n]
                total[1, n] += outer[0, j, n] * inner[1, j, n]
