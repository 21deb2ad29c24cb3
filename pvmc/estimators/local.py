"""Estimators of a rank, configuration by configuration: local energies and log-derivatives."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pvmc.estimators.derivatives import Derivatives, Factored, Stored
from pvmc.estimators.moment_matrix import Chunk, MomentMatrix, collect, require_finite
from pvmc.estimators.smeared import Hidden, SmearedValues, smeared_values
from pvmc.hamiltonians import Operator
from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Floats, Integers, Numbers, Spins
from pvmc.numerics.exact_sums import sum_of_blocks
from pvmc.sampler import Draws
from pvmc.sampler.base import CHUNK_COLUMNS
from pvmc.statistics.tails import Tail, count_squares, tail_of
from pvmc.wavefunctions.base import Factors, WaveFunction
from pvmc.wavefunctions.log_derivatives import factors_of


@dataclass(frozen=True)
class Kept:
    """The log-derivatives of this rank's configurations, chunk by chunk.

    Attributes:
        derivatives: O of each chunk.
        order: positions of their configurations in ``Estimates.energies`` (flat), int64 (n_local,).
        real_parameters: theta is real.
    """

    derivatives: Sequence[Derivatives]
    order: Integers
    real_parameters: bool


@dataclass(frozen=True)
class Estimates:
    """Estimates of one rank from its configurations of one iteration.

    Attributes:
        energies: local energies, float64 or complex128 (n_draws, n_walkers); a column is a Markov chain.
        matrix: moments of the log-derivatives and the energy, of this rank; None where the log-derivatives are kept.
        accepted: accepted proposals.
        proposed: proposals.
        n_blocks: blocks of walkers on this rank, next to each other in ``energies``.
        n_samples: configurations of all ranks, dead ones not counted.
        weights: float64 (n_draws, n_walkers), their sum over all ranks is n_samples; None where all weigh the same.
        seconds: wall time of each phase.
        kept: the log-derivatives, where they are kept.
        spins: the configurations, int8 (n_blocks, n_draws, N, L), where they are kept.
        is_exact: the weights are those of all configurations there are, without statistical error.
        is_smeared: the configurations were drawn from a smeared |psi|^2.
    """

    energies: Numbers
    matrix: MomentMatrix | None
    accepted: int
    proposed: int
    n_blocks: int
    n_samples: int
    weights: Floats | None
    seconds: dict[str, float]
    kept: Kept | None = None
    spins: Spins | None = None
    is_exact: bool = True
    is_smeared: bool = False

    def tail(self, mean: complex, unit: float, comm: Communicator) -> Tail:
        """Collective. The tail of w (E_loc - mean) over the configurations of all ranks.

        Args:
            mean: mean local energy over all ranks.
            unit: of the order of the radius of H.
            comm: the ranks.
        """
        apart: Numbers = self.energies - mean
        if self.weights is not None:
            apart = np.where(self.weights > 0, apart, 0.0) * self.weights
        return tail_of(comm.sum(count_squares(apart, unit)))

    @property
    def exact_sums(self) -> bool:
        """True where sums have the same bits at any number of ranks."""
        return self.matrix is None or self.matrix.exact


def local_energy(
    operator: Operator, psi: WaveFunction, spins: npt.NDArray[np.int8], lookup: npt.NDArray[np.float64]
) -> npt.NDArray[Any]:
    """E_loc(s) = sum_{s'} H_{s s'} psi(s') / psi(s), shape (L,), for configurations (N, L).

    float64 when both the Hamiltonian and psi are real, complex128 otherwise; units of the Hamiltonian.
    Carleo & Troyer, Science 355, 602 (2017), supplementary text.
    """
    # H_{s s'} and psi(s') / psi(s) for s' = s flipped on X, (n_flips, L) each
    amplitudes = operator.amplitudes(spins)
    ratios = psi.ratios(spins, lookup, operator.flips, amplitudes != 0)
    return operator.diagonal(spins) + np.einsum("kl,kl->l", amplitudes, ratios)


def estimate(
    draws: Draws,
    operator: Operator,
    psi: WaveFunction,
    n_parameters: int,
    comm: Communicator,
    *,
    real_parameters: bool,
    exact_sums: bool = True,
    keep_rows: bool = False,
    keep_spins: bool = False,
) -> Estimates:
    """Collective. Walk over the draws of this rank; local energies and log-derivatives on the way.

    Args:
        draws: configurations and their look-ups.
        operator: the Hamiltonian.
        psi: the wave function that they belong to.
        n_parameters: K.
        comm: the ranks.
        real_parameters: theta is real.
        exact_sums: moments with the same bits at any number of ranks; those of kept rows always have.
        keep_rows: the log-derivatives are kept (in factors where psi offers them), and no moments are made.
        keep_spins: the configurations are kept.

    Raises:
        NumericalError: a local energy or log-derivative is not finite; on every rank.
    """
    walk = DrawEstimates(draws, operator, psi, n_parameters, keep_spins=keep_spins)
    n_chunks = len(walk.starts) * draws.n_blocks
    n_samples, all_chunks = comm.sum(np.array([walk.energies.size, n_chunks], dtype=np.int64)).tolist()
    # w, (n_blocks, n_draws, L), with a sum over all ranks of n_samples
    weights = None
    if draws.log_weights is not None:
        weights, n_samples = _normalised(draws.log_weights, comm)
    # O kept chunk by chunk, or S and F summed up chunk by chunk
    matrix = kept = None
    if keep_rows:
        kept = Kept(list(walk.derivatives()), walk.order(), real_parameters)
    else:
        matrix = collect(
            walk.chunks,
            comm,
            n_chunks=all_chunks,
            n_samples=n_samples,
            is_complex=np.issubdtype(psi.dtype, np.complexfloating),
            real_parameters=real_parameters,
            weights=weights,
            exact_sums=exact_sums,
        )
    if draws.smear is not None:
        weights = _with_mean_one(walk.weights, n_samples, comm)
    return Estimates(
        energies=walk.energies.reshape(draws.n_draws, -1),
        matrix=matrix,
        accepted=draws.accepted,
        proposed=draws.proposed,
        n_blocks=draws.n_blocks,
        n_samples=n_samples,
        weights=None if weights is None else weights.transpose(1, 0, 2).reshape(draws.n_draws, -1),
        seconds=walk.seconds,
        kept=kept,
        spins=walk.spins,
        is_exact=draws.is_exact,
        is_smeared=draws.smear is not None,
    )


class DrawEstimates:
    """Local energies and log-derivatives of draws, made chunk by chunk.

    Attributes:
        energies: float64 or complex128 (n_draws, n_blocks, L), filled by :meth:`chunks` or :meth:`derivatives`.
        starts: the first draw of each chunk of a block.
        seconds: wall time in sampling, local energies, log-derivatives, and in the products of their rows.
        spins: int8 (n_blocks, n_draws, N, L), filled like the energies; None where they are not kept.
        weights: of smeared configurations, float64 (n_blocks, n_draws, L), filled like the energies; empty for others.
    """

    def __init__(
        self, draws: Draws, operator: Operator, psi: WaveFunction, n_parameters: int, *, keep_spins: bool = False
    ):
        self._draws, self._operator, self._psi = draws, operator, psi
        self._n_parameters = n_parameters
        shape = draws.n_draws, draws.n_blocks, draws.width
        self.energies = np.empty(shape, dtype=np.result_type(psi.dtype, operator.dtype))
        self._step = max(1, CHUNK_COLUMNS // draws.width)
        self.starts = range(0, draws.n_draws, self._step)
        self.seconds = dict.fromkeys(("sampling", "local_energies", "derivatives", "products"), 0.0)
        kept = draws.n_blocks, draws.n_draws, operator.n_sites, draws.width
        self.spins = np.empty(kept, dtype=np.int8) if keep_spins else None
        self.weights = np.empty((draws.n_blocks, draws.n_draws, draws.width) if draws.smear else 0)

    def order(self) -> Integers:
        """Positions of the configurations of the chunks in ``energies`` (flat), int64 (n_local,)."""
        position = np.arange(self.energies.size).reshape(self.energies.shape)
        return np.ascontiguousarray(position.transpose(1, 0, 2).reshape(-1))

    def chunks(self) -> Iterator[Chunk]:
        """Walk over the draws; a chunk's rows are valid until the next."""
        k, memory = self._n_parameters, dict[int, Numbers]()
        is_real = not np.issubdtype(self._psi.dtype, np.complexfloating)
        clock = _Clock(self.seconds)
        for place, spins, lookup, energies, hidden in self._measured(clock):
            if place.n not in memory:
                memory[place.n] = np.empty((k + 2, place.n), dtype=self._psi.dtype)
            # x = (1, O_1 ... O_K, E_loc), (K + 2, n): this draw's L columns
            rows = memory[place.n]
            rows[0, place.columns], rows[k + 1, place.columns] = 1.0, energies.real if is_real else energies
            clock.lap("local_energies")
            self._derive(spins, lookup, hidden, rows[1 : k + 1, place.columns])
            clock.lap("derivatives")
            if place.is_last:
                yield Chunk(rows, place.block, place.draws, self._weights_of(place))
                clock.lap("products")

    def derivatives(self) -> Iterator[Derivatives]:
        """Walk over the draws; the log-derivatives of each chunk, in memory of their own."""
        factors = factors_of(self._psi)
        clock = _Clock(self.seconds)
        for place, spins, lookup, _, hidden in self._measured(clock):
            clock.lap("local_energies")
            if place.columns.start == 0:
                parts = []
                shape = (0 if factors else self._n_parameters), place.n
                rows = np.empty(shape, dtype=self._psi.dtype)
            if factors:
                parts.append(_without(hidden, factors(spins, lookup)))
            else:
                self._derive(spins, lookup, hidden, rows[:, place.columns])
            if place.is_last:
                yield _joined(parts) if factors else Stored(rows)
            clock.lap("derivatives")

    def _derive(self, spins: Spins, lookup: Floats, hidden: Hidden | None, out: Numbers) -> None:
        """The log-derivatives of a draw into ``out``, (K, L)."""
        self._psi.log_derivatives(spins, lookup, out=out)
        if hidden is not None:
            out[:, hidden.lanes] = hidden.derivatives(self._psi, spins, out[:, hidden.lanes])

    def _weights_of(self, place: _Place) -> Floats | None:
        """The weights of a chunk of smeared configurations."""
        return self.weights[place.block, place.draws].reshape(-1) if self._draws.smear else None

    def _measured(self, clock: _Clock) -> Iterator[tuple[_Place, Spins, Floats, Numbers, Hidden | None]]:
        """Walk over the draws: the place of each in its chunk, spins, look-up, local energies (which are kept, as the
        weights of smeared ones are), and where psi vanishes."""
        width, smear = self._draws.width, self._draws.smear
        for block, draw, spins, lookup in self._draws:
            clock.lap("sampling")
            # The chunk holds the draws start ... stop - 1 of the block; this one its columns, L wide.
            start = draw - draw % self._step
            stop = min(start + self._step, self._draws.n_draws)
            columns = slice((draw - start) * width, (draw - start + 1) * width)
            if smear is None:
                energies, hidden = local_energy(self._operator, self._psi, spins, lookup), None
            else:
                values: SmearedValues = smeared_values(smear, self._psi, spins, lookup)
                energies, self.weights[block, draw], hidden = values.energies, values.weights, values.hidden
            self.energies[draw, block] = energies
            if self.spins is not None:
                self.spins[block, draw] = spins
            place = _Place(block, slice(start, stop), columns, (stop - start) * width)
            yield place, spins, lookup, energies, hidden


class _Place(NamedTuple):
    """Place of a draw in its chunk: the chunk's block, draws and size, and the draw's columns."""

    block: int
    draws: slice
    columns: slice
    n: int

    @property
    def is_last(self) -> bool:
        return bool(self.columns.stop == self.n)


def _without(hidden: Hidden | None, factors: Factors) -> Factors:
    """Factors of a draw, 0 where psi vanishes: products of factors have no part there."""
    if hidden is not None:
        for block in factors:
            for factor in block:
                factor[:, hidden.lanes] = 0.0
    return factors


def _joined(parts: Sequence[Factors]) -> Factored:
    """The factors of a chunk from those of its draws."""
    blocks = [
        tuple(np.concatenate(arrays, axis=1) for arrays in zip(*block, strict=True))
        for block in zip(*parts, strict=True)
    ]
    return Factored(blocks)


def _normalised(logarithms: Floats, comm: Communicator) -> tuple[Floats, int]:
    """Collective. Weights with these logarithms up to a factor, and their sum over all ranks: how many are alive."""
    largest = comm.max(np.array([logarithms.max()]))
    require_finite(bool(np.isfinite(largest[0])))
    weights = np.exp(logarithms - largest)
    total = sum_of_blocks(weights.reshape(len(weights), -1).sum(axis=1)[:, None], comm, exact=True)
    n_alive = int(comm.sum(np.array([np.isfinite(logarithms).sum()], dtype=np.int64))[0])
    return weights * (n_alive / total), n_alive


def _with_mean_one(weights: Floats, n_samples: int, comm: Communicator) -> Floats:
    """Collective. Weights times the factor that makes their sum over all ranks the number of configurations."""
    total = sum_of_blocks(weights.reshape(len(weights), -1).sum(axis=1)[:, None], comm, exact=True)
    require_finite(bool(total[0] > 0))
    return weights * (n_samples / total)


class _Clock:
    """Adds the wall time between laps to a table."""

    def __init__(self, seconds: dict[str, float]):
        self._seconds, self._last = seconds, time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._seconds[name] += now - self._last
        self._last = now
