"""Stochastic reconfiguration with the Gram matrix T = X X^dagger of configurations, not of parameters (minSR).

With l = mean(Lambda) and W = l / Lambda,

    T = X W X^dagger                           (n, K) x (K, n) -> (n, n)
    y = (T + l)^-1 (e - X c)                   (n, n) x (n,) -> (n,), on the root
    x = c + W X^dagger y                       (K, n) x (n,) -> (K,)

is the same x as that of S + Lambda, from n by n numbers in place of K by K (Chen & Heyl, Nat. Phys. 20, 1476 (2024);
Rende et al., Commun. Phys. 7, 260 (2024)).  For real parameters with complex ln psi the real parts of all rows stand
above the imaginary parts ("stacked"), and T is (2n, 2n).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pvmc.errors import NumericalError
from pvmc.estimators.derivatives import Factored, Vector
from pvmc.estimators.rows import Rows
from pvmc.mpi import block_range
from pvmc.numerics.arrays import Booleans, Floats, Numbers, plane_view
from pvmc.numerics.triangles import TriangleSum
from pvmc.sr.dense import cholesky_solution

PIECE = 256
"""Parameters whose columns travel, and are multiplied, in one go."""

TILE = 256
"""Configurations along a side of a part of T that one rank makes from factors."""


class GramSystem:
    """S as the rows of all ranks; see :class:`pvmc.sr.linear_system.LinearSystem`.

    T is assembled on the root.  Where log-derivatives are kept as they are, the parameters are split over the ranks:
    each receives the columns of its parameters, piece after piece, so that X is on no rank.  Where they are kept as
    factors and Lambda is uniform, the tiles of T are split, which are made from products of small matrices.

    Args:
        rows: X and e.
    """

    iterations = 0

    def __init__(self, rows: Rows):
        self._rows = rows
        self.variances, self.rounding, self.force = rows.variances, rows.rounding, rows.force
        n_local = np.zeros(rows.comm.size, dtype=np.int64)
        n_local[rows.comm.rank] = len(rows.energies)
        self._counts = rows.comm.sum(n_local)
        self._start = int(self._counts[: rows.comm.rank].sum())
        self._is_stacked = rows.real_parameters and np.issubdtype(rows.chunks[0].derivatives.dtype, np.complexfloating)

    def metric_times(self, vector: Numbers) -> tuple[Numbers, float]:
        """Collective. S v and v^dagger S v."""
        return self._rows.metric_times(vector)

    def solve(self, penalty: Floats, active: Booleans, centre: Numbers | None, start: Numbers | None) -> Numbers:
        """Collective. x by a factorisation of T + l on the root."""
        if not np.all(penalty[active] > 0.0):
            raise NumericalError("minsr needs a regularisation above 0: raise sr.shift, sr.floor or sr.offset")
        rows = self._rows
        # l and W; frozen directions have W_k = 0.
        level = float(penalty[active].mean())
        weights = np.where(active, level / np.where(active, penalty, 1.0), 0.0)
        # e - X c of all configurations, (n,)
        right = self._everywhere(rows.energies if centre is None else rows.energies - rows.times(centre))
        uniform = bool(np.all(penalty == penalty[0]))
        gram = self._from_factors() if uniform and self._has_factors() else self._from_rows(weights)
        # y in place of e - X c, then x = c + W X^dagger y from each rank's part of y
        rows.comm.on_root(lambda: _solve(gram, level, right, self._is_stacked))
        rows.comm.broadcast(right)
        mine = right[self._start : self._start + len(rows.energies)]
        direction = weights * rows.adjoint(mine, float(np.linalg.norm(right)))
        return direction if centre is None else centre + direction

    def _has_factors(self) -> bool:
        return all(isinstance(chunk.derivatives, Factored) for chunk in self._rows.chunks)

    def _everywhere(self, values: Numbers) -> Numbers:
        """Collective. The values of all ranks' configurations, (n, ...), from those of this rank's."""
        everything = np.zeros((int(self._counts.sum()), *values.shape[1:]), dtype=values.dtype)
        everything[self._start : self._start + len(values)] = values
        return self._rows.comm.sum(everything)

    # From rows --------------------------------------------------------------------------------------------------------

    def _from_rows(self, weights: Floats) -> Numbers | None:
        """Collective. X W X^dagger on the root, parameters split over the ranks."""
        rows, comm = self._rows, self._rows.comm
        matrices = [chunk.derivatives.rows() for chunk in rows.chunks]
        pairs = list(zip(matrices, self._roots(), strict=True))
        # The diagonal of T gives the scales of its integer sums.
        squares = self._everywhere(np.concatenate([_squares(*pair, rows.offset, weights) for pair in pairs]))
        dtype = np.dtype(np.float64) if self._is_stacked else matrices[0].dtype
        total = TriangleSum(np.tile(squares, 2) if self._is_stacked else squares, dtype)
        n_pieces = -(-rows.n_parameters // PIECE)
        shares = [block_range(n_pieces, rank, comm.size) for rank in range(comm.size)]
        # Turn by turn a rank adds a piece of K' of its parameters, sum_k X_nk W_k X_mk*: (n, K') x (K', n) -> (n, n).
        for turn in range(len(shares[0])):
            pieces = [_piece(share, turn, rows.n_parameters) for share in shares]
            columns = self._exchanged(pairs, pieces)
            if len(columns):
                columns = columns * np.sqrt(weights[pieces[comm.rank], None])
                total.add(_stacked(columns.T) if self._is_stacked else columns.conj().T)
        return total.on_root(comm)

    def _roots(self) -> list[Floats]:
        return [chunk.root for chunk in self._rows.chunks]

    def _exchanged(self, pairs: list[tuple[Numbers, Floats]], pieces: list[slice]) -> Numbers:
        """Collective. The columns X_nk of all configurations for this rank's parameters, (K', n)."""
        rows, comm = self._rows, self._rows.comm
        sent = [
            np.concatenate([(part[piece] - rows.offset[piece, None]) * root for part, root in pairs], axis=1)
            for piece in pieces
        ]
        if comm.size == 1:
            return sent[0]
        mine = pieces[comm.rank]
        received = [np.empty((mine.stop - mine.start, int(n)), dtype=sent[0].dtype) for n in self._counts]
        comm.exchange(sent, received)
        return np.concatenate(received, axis=1)

    # From factors -----------------------------------------------------------------------------------------------------

    def _from_factors(self) -> Numbers | None:
        """Collective. X X^dagger on the root; O O^dagger is a sum over blocks of element-wise products,

        sum_ji B_jn A_in (B_jm A_im)* = (B^T B*)_nm (A^T A*)_nm,    (n, q) x (q, n) and (n, p) x (p, n).
        """
        rows, comm = self._rows, self._rows.comm
        chunks = [chunk.derivatives for chunk in rows.chunks]
        # The factors of all configurations on every rank: (n, q) and (n, p) of each block.
        local = [
            tuple(np.concatenate(arrays, axis=1).T for arrays in zip(*block, strict=True))
            for block in zip(*(part.blocks for part in chunks if isinstance(part, Factored)), strict=True)
        ]
        blocks = [tuple(self._everywhere(np.ascontiguousarray(factor)) for factor in block) for block in local]
        root = self._everywhere(np.concatenate(self._roots()))
        # Tiles of the lower triangle of T, shared out over the ranks.
        n = len(root)
        tiles = [(i, j) for i in range(0, n, TILE) for j in range(0, i + 1, TILE)]
        centring = self._centring(chunks)
        mine = [tiles[k] for k in block_range(len(tiles), comm.rank, comm.size)]
        dtype = np.result_type(*(factor.dtype for block in blocks for factor in block))
        parts = [self._tile(blocks, root, centring, slice(i, i + TILE), slice(j, j + TILE)) for i, j in mine]
        # All tiles to the root.
        flat = np.concatenate([part.reshape(-1) for part in parts]) if parts else np.empty(0)
        gathered = comm.gather(flat.astype(np.float64 if self._is_stacked else dtype))
        if gathered is None:
            return None
        return _assembled(gathered, tiles, n, self._is_stacked)

    def _centring(self, chunks: Any) -> list[tuple[Numbers, complex]]:
        """Collective. For the products of :meth:`_tile`: O_n . m, (n,), and <O> . m, with m = <O>* and <O>."""
        mean = self._rows.offset
        found = []
        for other in (mean.conj(), mean) if self._is_stacked else (mean.conj(),):
            products = self._everywhere(np.concatenate([part.times(Vector(other)) for part in chunks]))
            found.append((products, complex(mean @ other)))
        return found

    def _tile(self, blocks: Any, root: Floats, centring: list[tuple[Numbers, complex]], i: slice, j: slice) -> Numbers:
        """Elements (n, m), n of ``i`` and m of ``j``; stacked ones as (4, n, m): Re Re, Im Re, Re Im, Im Im."""
        # sqrt(w_n w_m) (O_n - <O>) . (O_m - <O>)*
        scale = root[i, None] * root[j]
        along, square = centring[0]
        gram = _gram(blocks, i, j, conjugated=True) - along[i, None] - along[j].conj()
        gram = scale * (gram + (square if np.iscomplexobj(gram) else square.real))
        if not self._is_stacked:
            return np.asarray(gram)
        # sqrt(w_n w_m) (O_n - <O>) . (O_m - <O>)
        along, square = centring[1]
        plain = scale * (_gram(blocks, i, j, conjugated=False) - along[i, None] - along[j] + square)
        # With O = R + i I: O_n O_m* holds R R + I I and I R - R I, O_n O_m holds R R - I I and R I + I R.
        parts = (gram.real + plain.real, gram.imag + plain.imag, plain.imag - gram.imag, gram.real - plain.real)
        return 0.5 * np.stack(parts)


def _squares(matrix: Numbers, root: Floats, offset: Numbers, weights: Floats) -> Floats:
    """The diagonal of X W X^dagger, float64 (n,), of a chunk."""
    centred = matrix - offset[:, None] if np.any(offset) else matrix
    planes = plane_view(centred)
    return np.asarray(np.einsum("knp,knp,k->n", planes, planes, weights) * root**2)


def _piece(share: range, turn: int, n_parameters: int) -> slice:
    """The parameters of a rank's piece in a turn; none where it has no more."""
    if turn >= len(share):
        return slice(0, 0)
    first = share[turn] * PIECE
    return slice(first, min(first + PIECE, n_parameters))


def _stacked(rows: Numbers) -> Floats:
    """Real above imaginary parts."""
    return np.concatenate([rows.real, rows.imag])


def _gram(blocks: Any, i: slice, j: slice, *, conjugated: bool) -> Numbers:
    """sum_k O_nk O_mk* (or O_nk O_mk), n of ``i`` and m of ``j``."""
    total: Any = 0.0
    for block in blocks:
        product: Any = 1.0
        for factor in block:
            product = product * (factor[i] @ (factor[j].conj() if conjugated else factor[j]).T)
        total = total + product
    return np.asarray(total)


def _assembled(flat: Numbers, tiles: list[tuple[int, int]], n: int, is_stacked: bool) -> Numbers:
    """T, lower triangle in Fortran order, from its tiles in their order."""
    size = 2 * n if is_stacked else n
    gram = np.zeros((size, size), dtype=flat.dtype, order="F")
    start = 0
    for i, j in tiles:
        height, width = min(TILE, n - i), min(TILE, n - j)
        count = height * width * (4 if is_stacked else 1)
        part = flat[start : start + count].reshape(-1, height, width)
        start += count
        here, there = slice(i, i + height), slice(j, j + width)
        gram[here, there] = part[0]
        if is_stacked:
            below, right = slice(n + i, n + i + height), slice(n + j, n + j + width)
            gram[below, there], gram[below, right] = part[1], part[3]
            if i != j:  # Im Re of (m, n) is Re Im of (n, m)
                gram[n + j : n + j + width, here] = part[2].T
    return gram


def _solve(gram: Numbers | None, level: float, right: Numbers, is_stacked: bool) -> None:
    """Overwrite the right-hand side b, (n,), by (T + l)^-1 b."""
    assert gram is not None, "the root has T"
    gram[np.diag_indices_from(gram)] += level
    if is_stacked:
        solution = cholesky_solution(gram, np.concatenate([right.real, right.imag]))
        right[:] = solution[: len(right)] + 1j * solution[len(right) :]
    else:
        right[:] = cholesky_solution(gram, right)
