"""Synthetic batches for the solvers: the same numbers as plain rows, as factors and as streamed moments, on any ranks.

Log-derivatives are those of a layer of weights between q units and p inputs behind k plain parameters,

    O = (P_1 ... P_k, B_1 A_1, B_1 A_2, ... B_q A_p),

with correlated random P, B and A, so that K = k + q p and every derivative has a mean that does not vanish.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.estimators import Estimates, Moments, reduce_moments
from pvmc.estimators.derivatives import Derivatives, Factored, Stored
from pvmc.estimators.local import Kept
from pvmc.estimators.moment_matrix import Chunk, collect
from pvmc.mpi import Communicator, block_range

Numbers = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

FIELDS = {
    "all real": (False, False, False, True),
    "complex": (True, True, False, False),
    "complex, and A": (True, True, True, False),
    "real theta, complex psi": (True, True, False, True),
    "real theta, complex psi and A": (True, True, True, True),
    "real theta and psi, complex H": (True, False, False, True),
}
"""Complex energies, complex P and B, complex A, real parameters."""


@dataclass(frozen=True)
class Problem:
    """Log-derivatives and local energies of blocks of configurations.

    Attributes:
        plain: P, (n_blocks, k, n_draws, L).
        outer: B, (n_blocks, q, n_draws, L).
        inner: A, (n_blocks, p, n_draws, L).
        energies: (n_blocks, n_draws, L).
        weights: float64 (n_blocks, n_draws, L) whose sum is the number of those above 0; None where all are 1.
        real: whether theta is real.
        step: draws in a chunk.
    """

    plain: Numbers
    outer: Numbers
    inner: Numbers
    energies: Numbers
    weights: Floats | None
    real: bool
    step: int

    @property
    def n_parameters(self) -> int:
        """K."""
        return self.plain.shape[1] + self.outer.shape[1] * self.inner.shape[1]

    @property
    def n_samples(self) -> int:
        """Configurations that count."""
        return self.energies.size if self.weights is None else int(np.count_nonzero(self.weights))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of O."""
        return np.result_type(self.plain, self.outer, self.inner)

    def derivatives(self) -> Numbers:
        """O of all configurations in the order of the blocks, (K, n)."""
        products = self.outer[:, :, None] * self.inner[:, None]
        both = np.concatenate([self.plain, products.reshape(len(products), -1, *products.shape[3:])], axis=1)
        return np.moveaxis(both, 1, 0).reshape(self.n_parameters, -1)

    def batch(self, comm: Communicator, layout: str, *, exact_sums: bool = True) -> Estimates:
        """Collective where moments are streamed. What a rank of ``comm`` measures: "streamed", "stored", "factored"."""
        mine = block_range(len(self.energies), comm.rank, comm.size)
        here = slice(mine.start, mine.stop)
        energies = self.energies[here].transpose(1, 0, 2).reshape(self.energies.shape[1], -1)
        weights = None if self.weights is None else self.weights[here]
        by_draw = None if weights is None else weights.transpose(1, 0, 2).reshape(len(energies), -1)
        kept = matrix = None
        if layout == "streamed":
            matrix = collect(
                lambda: self._streamed(mine),
                comm,
                n_chunks=len(self.energies) * len(self._draws()),
                n_samples=self.n_samples,
                is_complex=np.issubdtype(self.dtype, np.complexfloating),
                real_parameters=self.real,
                weights=weights,
                exact_sums=exact_sums,
            )
        else:
            order = np.arange(energies.size).reshape(len(energies), len(mine), -1).transpose(1, 0, 2).reshape(-1)
            kept = Kept([self._kept(*place, layout) for place in self._chunks(mine)], order, self.real)
        return Estimates(energies, matrix, 1, 2, len(mine), self.n_samples, by_draw, {}, kept)

    def moments(self, comm: Communicator, layout: str, *, exact_sums: bool = True) -> Moments:
        """Collective. The moments of all ranks."""
        batch = self.batch(comm, layout, exact_sums=exact_sums)
        return reduce_moments(batch, comm, n_sites=4, infinite_temperature=0.0)

    def explicit(self) -> tuple[Numbers, Numbers]:
        """X, (n, K), and e, (n,), by their definitions, in longer numbers (real for real psi); what is dead is 0."""
        weights = np.ones(self.energies.size) if self.weights is None else self.weights.reshape(-1)
        w = weights.astype(np.longdouble) / weights.astype(np.longdouble).sum()
        o = np.where(w > 0, self.derivatives(), 0.0).astype(np.clongdouble)
        e = np.where(w > 0, self.energies.reshape(-1), 0.0).astype(np.clongdouble)
        x, e = ((o - (o @ w)[:, None]) * np.sqrt(w)).T, (e - e @ w) * np.sqrt(w)
        # The imaginary part of E_loc drops out of F where psi is real, and theta with it.
        return (x, e) if np.issubdtype(self.dtype, np.complexfloating) else (x.real, e.real)

    def tensor_and_force(self) -> tuple[Numbers, Numbers]:
        """S and F by their definitions."""
        x, e = self.explicit()
        tensor, force = x.conj().T @ x, x.conj().T @ e
        kind = np.float64 if self.real else np.complex128
        return (tensor.real if self.real else tensor).astype(kind), (force.real if self.real else force).astype(kind)

    def _draws(self) -> range:
        return range(0, self.energies.shape[1], self.step)

    def _chunks(self, blocks: range) -> Iterator[tuple[int, slice]]:
        """Block and draws of each chunk."""
        for block in blocks:
            for start in self._draws():
                yield block, slice(start, min(start + self.step, self.energies.shape[1]))

    def _factors(self, block: int, draws: slice) -> list[Numbers]:
        """P, B and A of a chunk, made anew."""
        parts = (part[block][:, draws] for part in (self.plain, self.outer, self.inner))
        return [part.reshape(len(part), -1).copy() for part in parts]

    def _kept(self, block: int, draws: slice, layout: str) -> Derivatives:
        plain, outer, inner = self._factors(block, draws)
        factored = Factored([(plain,), (outer, inner)])
        return factored if layout == "factored" else Stored(factored.rows().astype(self.dtype))

    def _streamed(self, blocks: range) -> Iterator[Chunk]:
        for block, draws in self._chunks(blocks):
            rows = self._kept(block, draws, "stored").rows()
            energies = self.energies[block, draws].reshape(1, -1)
            energies = energies if np.iscomplexobj(rows) else energies.real
            everything = np.concatenate([np.ones(energies.shape), rows, energies]).astype(rows.dtype)
            yield Chunk(everything, block - blocks.start, draws)


def problem(
    fields: str,
    *,
    n_blocks: int = 3,
    n_draws: int = 5,
    width: int = 8,
    step: int = 2,
    shape: tuple[int, int, int] = (4, 5, 6),
    weighted: bool = False,
    constant: complex | None = None,
    seed: int = 11,
) -> Problem:
    """A random problem.

    Args:
        fields: one of FIELDS.
        n_blocks, n_draws, width, step: how the configurations are shared out.
        shape: k, q and p.
        weighted: weights between 0 and 5, a tenth of them 0 with energies that are no numbers.
        constant: value of the first log-derivative in every configuration; None: it scatters as others do.
        seed: of the random numbers.
    """
    complex_energies, complex_units, complex_inputs, real = FIELDS[fields]
    rng = np.random.default_rng(seed)
    n = n_blocks * n_draws * width
    common = rng.normal(size=(4, n))

    def rows(count: int, is_complex: bool) -> Numbers:
        found: Numbers = 0.6 + 0.4 * rng.normal(size=(count, 4)) @ common + rng.normal(size=(count, n))
        return found + 1j * (rows(count, False) - 1.0) if is_complex else found

    k, q, p = shape
    plain, outer, inner = rows(k, complex_units), rows(q, complex_units), rows(p, complex_inputs)
    if constant is not None:
        plain[0] = constant
    energies = -20.0 + common[0] - 0.5 * common[2] + 0.1 * common[1] ** 2 + 0.2 * rng.normal(size=n)
    if complex_energies:
        energies = energies + 0.4j * (common[1] + rng.normal(size=n))
    weights = None
    if weighted:
        weights = np.where(rng.random(n) < 0.1, 0.0, rng.uniform(0.01, 5.0, size=n))
        energies[weights == 0] = np.nan
        weights *= np.count_nonzero(weights) / weights.sum()
        weights = weights.reshape(n_blocks, n_draws, width)

    def blocks(part: Numbers) -> Numbers:
        return np.moveaxis(part.reshape(len(part), n_blocks, n_draws, width), 1, 0).copy()

    shaped = energies.reshape(n_blocks, n_draws, width)
    return Problem(blocks(plain), blocks(outer), blocks(inner), shaped, weights, real, step)
