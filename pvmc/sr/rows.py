"""S, and the noise of F, as matrices on the root from rows that are kept."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pvmc.estimators.rows import Rows
from pvmc.numerics.arrays import Floats, Numbers
from pvmc.numerics.exact_sums import ExactSum
from pvmc.numerics.triangles import TriangleSum


def tensor_of(rows: Rows) -> Numbers:
    """Collective. S = X^dagger X on the root, lower triangle in Fortran order; empty elsewhere."""
    # Variances that are differences may be too small, by their rounding.
    return _summed(rows, _centred(rows), rows.variances + rows.rounding)


def force_covariance(rows: Rows) -> Numbers:
    """Collective. Covariance of f_n with F = (1/n) sum_n f_n, on the root as :func:`tensor_of`.

    f_n = n X_n* e_n, for real parameters its real part; n is the number of configurations.  Independent ones are
    assumed: F has the covariance C / n.
    """
    n = int(rows.comm.sum(np.array([len(rows.energies)], dtype=np.int64))[0])
    squares = ExactSum(rows.n_parameters, rows.square_unit)
    for piece in _summands(rows, n):
        squares.add(np.asarray((np.abs(piece) ** 2).sum(axis=1)))
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
