"""The log-derivatives of a chunk of configurations: what is needed of the matrix O, whichever way it is kept.

O_k of the chunk's configurations is K by n numbers.  Where the ansatz offers factors, O[j p + i] = B_j A_i as for the
weights between two layers, q + p numbers take the place of q p, and products with O become products of small matrices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import numpy as np

from pvmc.ansatz.base import Floats, Numbers
from pvmc.ansatz.vector_math import kernel

Planes: TypeAlias = tuple[Floats, Floats | None]
"""Real and imaginary parts, each contiguous; None where only real parts are asked for."""


class Vector:
    """v, (K,): what O is multiplied by, real for real parameters.  Its parts are taken once, not for each chunk."""

    def __init__(self, numbers: Numbers):
        self.numbers = np.ascontiguousarray(numbers)
        self.is_complex = np.iscomplexobj(numbers)

    @cached_property
    def planes(self) -> Planes:
        """Real and imaginary parts."""
        if not self.is_complex:
            return self.numbers, None
        return np.ascontiguousarray(self.numbers.real), np.ascontiguousarray(self.numbers.imag)


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

    def times(self, vector: Vector) -> Numbers:
        """sum_k O_kn v_k, (n,)."""
        ...

    def adjoint(self, values: Numbers, *, real: bool) -> Iterator[Planes]:
        """sum_n O_kn* u_n, in consecutive parts of k; with ``real``, real parts alone."""
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

    def times(self, vector: Vector) -> Numbers:
        """sum_k O_kn v_k, (n,)."""
        if np.iscomplexobj(self.array) and not vector.is_complex:
            # Real and imaginary parts stand next to each other: half the work of complex numbers.
            product: Numbers = (vector.numbers @ self.array.view(np.float64)).view(np.complex128)
            return product
        return np.asarray(vector.numbers @ self.array)

    def adjoint(self, values: Numbers, *, real: bool) -> Iterator[Planes]:
        """sum_n O_kn* u_n of all k."""
        if not np.iscomplexobj(self.array):
            yield self.array @ _flat(values.real), None if real else self.array @ _flat(values.imag)
        elif real:
            yield self.array.view(np.float64) @ values.astype(np.complex128).view(np.float64), None
        else:
            product = self.array @ values.conj()
            yield _flat(product.real), -product.imag

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

    @cached_property
    def _planes(self) -> list[tuple[Floats, Floats]]:
        """Real and imaginary parts of each B, made once: kernels read them again and again."""
        return [(np.ascontiguousarray(outer.real), np.ascontiguousarray(outer.imag)) for outer, *_ in self.blocks]

    def times(self, vector: Vector) -> Numbers:
        """sum_k O_kn v_k, (n,): sum_j B_j (V A)_j."""
        total, turned = np.zeros((2, 2, self.n_configurations))  # with the real part of v, and with its imaginary part
        start = 0
        for (outer, *inner), planes in zip(self.blocks, self._planes, strict=True):
            part = slice(start, start + len(outer) * (len(inner[0]) if inner else 1))
            start = part.stop
            if not inner:
                for target, plane in zip((total, turned), vector.planes, strict=True):
                    if plane is not None:
                        target += plane[part] @ planes[0], plane[part] @ planes[1]
            elif np.iscomplexobj(inner[0]):
                product = (vector.numbers[part].reshape(len(outer), -1) @ inner[0]) * outer
                total += _parts(product.sum(axis=0))
            else:
                real, imaginary = vector.planes
                add_contracted(*planes, real[part].reshape(len(outer), -1) @ inner[0], *total)
                if imaginary is not None:
                    add_contracted(*planes, imaginary[part].reshape(len(outer), -1) @ inner[0], *turned)
        if vector.is_complex or np.issubdtype(self.dtype, np.complexfloating):
            return np.asarray((total[0] - turned[1]) + 1j * (total[1] + turned[0]))
        return np.asarray(total[0])

    def adjoint(self, values: Numbers, *, real: bool) -> Iterator[Planes]:
        """sum_n O_kn* u_n: (B* u) A^dagger, block by block."""
        given = np.ascontiguousarray(values.real), np.ascontiguousarray(values.imag)
        for (outer, *inner), planes in zip(self.blocks, self._planes, strict=True):
            if not inner:
                along, across = planes
                imaginary = None if real else along @ given[1] - across @ given[0]
                yield along @ given[0] + across @ given[1], imaginary
                continue
            weighted = np.empty(outer.shape), np.empty(outer.shape)
            weigh(*planes, *given, *weighted)
            if np.iscomplexobj(inner[0]):
                product = (weighted[0] + 1j * weighted[1]) @ inner[0].conj().T
                yield _flat(product.real), None if real else _flat(product.imag)
            else:
                imaginary = None if real else (weighted[1] @ inner[0].T).reshape(-1)
                yield (weighted[0] @ inner[0].T).reshape(-1), imaginary

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


def _flat(values: Floats) -> Floats:
    return np.ascontiguousarray(values).reshape(-1)


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
def weigh(
    outer: Floats, outer_imaginary: Floats, values: Floats, values_imaginary: Floats, real: Floats, imaginary: Floats
) -> None:
    """real + i imaginary = outer* values, (q, n); all by real and imaginary parts."""
    for j in range(outer.shape[0]):
        for n in range(outer.shape[1]):
            real[j, n] = outer[j, n] * values[n] + outer_imaginary[j, n] * values_imaginary[n]
            imaginary[j, n] = outer[j, n] * values_imaginary[n] - outer_imaginary[j, n] * values[n]


@kernel
def add_contracted(outer: Floats, outer_imaginary: Floats, inner: Floats, real: Floats, imaginary: Floats) -> None:
    """real[n] + i imaginary[n] += sum over j of (outer + i outer_imaginary)[j, n] times inner[j, n]."""
    for j in range(outer.shape[0]):
        for n in range(outer.shape[1]):
            real[n] += outer[j, n] * inner[j, n]
            imaginary[n] += outer_imaginary[j, n] * inner[j, n]
