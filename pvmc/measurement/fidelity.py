"""The fidelity F = |<phi|psi>|^2 / (<phi|phi> <psi|psi>) of two states, from samples of both.

    F = Re ( <phi/psi>_psi <psi/phi>_phi ) ,

where <.>_psi is a mean over |psi|^2.  The norms of psi and phi, and a phase of either, drop out.  With the second
moments of the same ratios, whose product <|phi/psi|^2>_psi <|psi/phi|^2>_phi is 1 where both states vanish on the same
configurations,

    F = Re ( <phi/psi>_psi <psi/phi>_phi ) - 1/2 ( <|phi/psi|^2>_psi <|psi/phi|^2>_phi - 1 )

has the same mean and, for psi close to phi, a far smaller error: what is linear in phi/psi - 1 cancels (Sinibaldi,
Giuliani, Carleo, Vicentini, Quantum 7, 1131 (2023)).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pvmc.config import RawInput
from pvmc.errors import InputError
from pvmc.io.measurement import Estimate
from pvmc.measurement.frozen import FrozenState, first_walkers, frozen, read_state, walk
from pvmc.measurement.observable import Dataset, Findings, Setup, Tally, exact_estimate, frame_signs
from pvmc.measurement.walker_sums import Function, Totals, jackknife_variance, standard_error
from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Floats, Integers, Numbers, Spins
from pvmc.sampler import SECOND_FROZEN_STAGE, Draw, MetropolisSpec, Walkers
from pvmc.spins.configurations import Basis
from pvmc.statistics.thresholds import LARGEST_NORM_DEVIATION
from pvmc.vmc.job import Job, job_of
from pvmc.wavefunctions.base import WaveFunction
from pvmc.wavefunctions.fallback import exponential
from pvmc.wavefunctions.vectors import LogPsi, batched_log_psi, dense_vector

Combination = Callable[[Floats, Floats, float], Floats]
"""A function of the mean ratios of both sides, (3,) or (3, ...) each, and of the logarithm of their common scales."""


@dataclass(frozen=True)
class FidelityEstimate:
    """A fidelity from samples of both states.

    Attributes:
        value: F; its statistical error may carry it out of [0, 1].
        error: standard error, by the jackknife over the walkers of both.
        imaginary: Im <phi/psi> <psi/phi>, zero within error.
        imaginary_error: its standard error.
        norms: <|phi/psi|^2>_psi <|psi/phi|^2>_phi, 1 within error where both states vanish on the same configurations
            and the samples of each have seen where the other is large.  Well below 1 they have not (or the states live
            on different configurations): then the error is not to be trusted, and the control variate is wrong.
        norms_error: its standard error.
    """

    value: float
    error: float
    imaginary: float
    imaginary_error: float
    norms: float
    norms_error: float


@dataclass(frozen=True)
class TurnedState:
    """A state turned by pi about z on one sublattice, the way between a Hamiltonian with ``marshall`` and one without.

    psi'(s) = psi(s) prod_{i in B} s_i; the same turn leads back.  Neither |psi|^2 nor an entanglement entropy changes.

    Attributes:
        psi: the state.
        sublattices: +-1 of each site, (N,); those with -1 are B.
    """

    psi: LogPsi
    sublattices: Integers

    def log_psi(self, spins: Spins) -> Numbers:
        """ln psi'(s), complex128 (L,)."""
        down = np.count_nonzero(spins[self.sublattices < 0] < 0, axis=0)
        return np.asarray(self.psi.log_psi(spins) + 1j * np.pi * (down % 2))


class RatioSums:
    """Sums of phi(s)/psi(s) and of its squared modulus over samples s of |psi|^2, walker by walker of this rank.

    Each walker keeps the scale e^c of its largest ratio apart: ln phi - ln psi holds the unknown norms of both.

    Args:
        n_blocks: blocks of walkers on this rank.
        width: L, walkers in a block.
        magnetization: sum_i s_i of the sector that phi is restricted to, or None: configurations outside count 0.
    """

    def __init__(self, n_blocks: int, width: int, *, magnetization: int | None = None):
        self.magnetization = magnetization
        self._scales = np.full((n_blocks, width), -np.inf)
        self._sums = np.zeros((n_blocks, width, 3))
        self._weights = np.zeros((n_blocks, width))

    def add(self, psi: LogPsi, phi: LogPsi, draw: Draw, weights: Floats | None = None) -> None:
        """Add a draw of one block.

        Args:
            psi: the state that was sampled.
            phi: the other one.
            draw: configurations from |psi|^2.
            weights: of the walkers, float64 (L,), where they were drawn from another distribution; a common factor of
                all does not matter.  Walkers of weight 0 count nothing.
        """
        weights = np.ones(draw.spins.shape[1]) if weights is None else weights
        change = self._log_ratios(psi, phi, draw.spins)
        change[weights == 0] = -np.inf
        scales = self._scales[draw.block]
        largest = np.maximum(scales, change.real)
        shift = np.where(np.isfinite(largest), largest, 0.0)
        sums = self._sums[draw.block]
        with np.errstate(over="ignore", invalid="ignore"):  # psi = 0 at a sample leaves the sums NaN, or inf
            factor, ratio = np.exp(scales - shift), exponential(change - shift)
            terms = np.stack([ratio.real, ratio.imag, np.abs(ratio) ** 2], axis=1)
            sums *= np.stack([factor, factor, factor**2], axis=1)
            sums += weights[:, None] * terms
        self._scales[draw.block] = largest
        self._weights[draw.block] += weights

    def _log_ratios(self, psi: LogPsi, phi: LogPsi, spins: Spins) -> npt.NDArray[np.complex128]:
        """ln phi - ln psi, complex128 (L,); -inf outside the sector of phi."""
        change = np.full(spins.shape[1], -np.inf, dtype=np.complex128)
        inside = np.arange(spins.shape[1])
        if self.magnetization is not None:
            inside = np.flatnonzero(spins.sum(axis=0, dtype=np.int64) == self.magnetization)
        members = np.ascontiguousarray(spins[:, inside])
        with np.errstate(invalid="ignore"):
            change[inside] = batched_log_psi(phi, members) - batched_log_psi(psi, members)
        return change

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The sums so far, by blocks along the first axis of each array."""
        return {"scales": self._scales.copy(), "sums": self._sums.copy(), "weights": self._weights.copy()}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state of this rank's blocks.

        Raises:
            ValueError: it is that of other blocks.
        """
        own = {"scales": self._scales, "sums": self._sums, "weights": self._weights}
        for name, array in own.items():
            if state[name].shape != array.shape:
                raise ValueError(f"{name} of ratios are {array.shape}, not {state[name].shape}")
        for name, array in own.items():
            array[:] = state[name]

    def scaled(self, comm: Communicator) -> tuple[Floats, Floats, float]:
        """Collective. The sums on one scale of all walkers of all ranks.

        Returns:
            Re, Im and squared modulus of ratios e^-c, float64 (n_blocks, L, 3); weights (n_blocks, L); and c.
        """
        largest = float(comm.max(np.array([self._scales.max(initial=-np.inf)]))[0])
        common = largest if np.isfinite(largest) else 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            factor = np.exp(self._scales - common)
            return self._sums * np.stack([factor, factor, factor**2], axis=-1), self._weights, common


def fidelity(forward: RatioSums, backward: RatioSums, comm: Communicator, *, control: bool = False) -> FidelityEstimate:
    """Collective. The fidelity of two states.

    Args:
        forward: sums of phi/psi over samples of psi.
        backward: sums of psi/phi over samples of phi, from chains independent of the first ones (other random
            numbers: of the same sampler, its walk with stage 1).
        comm: the ranks.
        control: use the second moments too, see above; only where both states vanish on the same configurations.
    """
    sides = [side.scaled(comm) for side in (forward, backward)]
    totals = [Totals(sums, weights, comm) for sums, weights, _ in sides]
    logarithm = sides[0][2] + sides[1][2]

    def estimate(function: Combination) -> tuple[float, float]:
        first, second = (total.means for total in totals)
        whole = float(function(first, second, logarithm))
        partly: tuple[Function, Function] = (
            lambda means: function(means, second, logarithm),
            lambda means: function(first, means, logarithm),
        )
        variance = 0.0
        for of_one, total, (sums, weights, _) in zip(partly, totals, sides, strict=True):
            left_out = of_one(total.leave_one_out(sums, weights))
            variance += jackknife_variance(left_out, whole, comm, total.n_units)
        return whole, standard_error(variance)

    value = estimate(_controlled if control else _real)
    return FidelityEstimate(*value, *estimate(_imaginary), *estimate(_norms))


def _scaled(product: Floats, logarithm: float) -> Floats:
    """A product times the exponential; inf or NaN, without a warning, beyond the range of float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(product * np.exp(logarithm))


def _real(first: Floats, second: Floats, logarithm: float) -> Floats:
    """Re of the product of mean ratios."""
    return _scaled(first[0] * second[0] - first[1] * second[1], logarithm)


def _imaginary(first: Floats, second: Floats, logarithm: float) -> Floats:
    """Im of the product of mean ratios."""
    return _scaled(first[0] * second[1] + first[1] * second[0], logarithm)


def _norms(first: Floats, second: Floats, logarithm: float) -> Floats:
    """The product of mean squared moduli."""
    return _scaled(first[2] * second[2], 2.0 * logarithm)


def _controlled(first: Floats, second: Floats, logarithm: float) -> Floats:
    """The real part with the control variate."""
    return np.asarray(_real(first, second, logarithm) - 0.5 * (_norms(first, second, logarithm) - 1.0))


# As an observable ----------------------------------------------------------------------------------------------------

_TEXT = re.compile(r"(?:(?P<name>[A-Za-z]\w*(?<!_error))=)?(?P<path>.+?)(?:@(?P<iteration>\d{1,18}))?\Z", re.ASCII)


@dataclass(frozen=True)
class OtherState:
    """The state that psi is compared with, as the command line names it.

    Attributes:
        name: of the estimate: "fidelity", or "fidelity_NAME".
        path: directory or file of a run or a fit.
        iteration: whose parameters; None for the last saved ones.
    """

    name: str
    path: Path
    iteration: int | None

    @classmethod
    def parse(cls, argument: str) -> OtherState:
        """Read the text after the colon of an observable.

        Raises:
            InputError: there is no run in it.
        """
        found = _TEXT.match(argument.strip())
        if not found:
            raise InputError(f'--observables "fidelity:{argument}": must be fidelity:[NAME=]RUN[@ITERATION]')
        name, iteration = found["name"], found["iteration"]
        path = Path(found["path"].strip())
        return cls(f"fidelity_{name}" if name else "fidelity", path, None if iteration is None else int(iteration))

    def spelled_out(self, state: FrozenState) -> str:
        """The observable with all that it means, so that it means the same later on, from another directory."""
        name = self.name.removeprefix("fidelity").removeprefix("_")
        at = "" if state.saved.path.name == "fit.h5" else f"@{state.iteration}"
        return f"fidelity:{f'{name}=' if name else ''}{state.saved.path.resolve()}{at}"


def read_others(names: Sequence[str]) -> dict[str, FrozenState]:
    """The states that are compared with, by the observable; for the root alone.

    The observables are spelled out: with the file and the iteration that they mean now.

    Raises:
        InputError: no such run or parameters, or two of one name.
        StorageError: a file cannot be read.
    """
    others = [OtherState.parse(argument) for argument in Fidelity.arguments(names)]
    if twice := [name for name, count in Counter(other.name for other in others).items() if count > 1]:
        raise InputError(f"--observables: two are stored as {twice[0]}: tell them apart as fidelity:NAME=RUN")
    found = {}
    for other in others:
        state = read_state(other.path, other.iteration)
        found[other.spelled_out(state)] = state
    return found


class Fidelity(Tally):
    """The fidelity of psi, which is measured, and phi, which has walkers of its own.

    Args:
        label: name of the estimate.
        job: that of psi, with the sampler of the measurement.
        other: that of phi, as well.
        walked: phi in the frame of its own Hamiltonian, in which it is sampled.
        walkers: those of phi on this rank.
    """

    name = "fidelity"
    help = (
        "|<phi|psi>|^2 with the state phi of another run or fit, or of another iteration of this one "
        "(`RUN@ITERATION`); stored as `fidelity` or `fidelity_NAME`"
    )
    argument = "[NAME=]RUN"
    examples = ("fidelity:[NAME=]RUN[@ITERATION]",)
    needs_argument = True
    datasets = tuple(
        Dataset(name, "|<phi|psi>|^2 with the state of another run or fit") for name in ("fidelity", "fidelity_NAME")
    )

    def __init__(self, label: str, job: Job, other: Job, walked: WaveFunction, walkers: Walkers):
        self.label, self._walked, self._walkers = label, walked, walkers
        self._sampler = other.sampler
        turn = frame_signs(job) * frame_signs(other)
        self._phi: LogPsi = walked if (turn > 0).all() else TurnedState(walked, turn.astype(np.int64))
        self._sectors = job.sampler.magnetization, other.sampler.magnetization
        n_blocks, width = len(walkers.spins), job.sampler.width
        self._forward = RatioSums(n_blocks, width, magnetization=self._sectors[1])
        self._backward = RatioSums(n_blocks, width, magnetization=self._sectors[0])

    @classmethod
    def create(cls, arguments: Sequence[str], setup: Setup) -> Iterator[Self]:
        """One for each other state, before the first draw.

        phi is sampled with as many walkers and draws as psi, by moves of its own.

        Raises:
            InputError: the other one has other sites or another magnetisation, or does not fit its parameters.
        """
        job = setup.job
        for argument in arguments:
            state = setup.states[f"{cls.name}:{argument}"]
            raw = _sampled_alike(state, job)
            other = job_of(raw)
            other = replace(other, sampler=frozen(other.sampler, setup.seed))
            theta = state.saved.fitting(other.ansatz.parameter_blocks, other.ansatz.dtype)
            _require_comparable(job, other, state.saved.path)
            walkers = first_walkers(other.sampler, state.walkers, setup.comm)
            yield cls(OtherState.parse(argument).name, job, other, other.ansatz.at(theta), walkers)

    def compile(self) -> None:
        """Run the kernels that phi is sampled with."""
        first = Walkers(self._walkers.spins[:1], self._walkers.first_block)
        for draw in walk(self._sampler.short(), first, self._walked, 1, SECOND_FROZEN_STAGE):
            self._phi.log_psi(draw.spins)

    def add(self, psi: WaveFunction, draw: Draw) -> None:
        """Add a draw of one block of psi."""
        self._forward.add(psi, self._phi, draw)

    def end_batch(self, psi: WaveFunction, batch: int) -> None:
        """Draw as many configurations from phi, and add them."""
        draws = walk(self._sampler, self._walkers, self._walked, batch, SECOND_FROZEN_STAGE)
        for draw in draws:
            self._backward.add(self._phi, psi, draw)
        self._walkers = draws.walkers

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The walkers of phi, and the sums over the ratios of both."""
        sides = {"forward": self._forward, "backward": self._backward}
        sums = {f"{side}_{key}": array for side, ratios in sides.items() for key, array in ratios.state().items()}
        return {"walkers": self._walkers.spins, **sums}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state of this rank's blocks."""
        self._walkers = Walkers(state["walkers"].copy(), self._walkers.first_block)
        for side, ratios in (("forward", self._forward), ("backward", self._backward)):
            ratios.restore({key: state[f"{side}_{key}"] for key in ratios.state()})

    def findings(self, comm: Communicator) -> Findings:
        """Collective. The fidelity: with second moments as a control variate where that has the smaller error.

        The control variate takes both states to vanish on the same configurations.  Where the product of norms is not
        1, they do not, or the samples of one have not seen where the other is large: then it is left out.
        """
        plain = fidelity(self._forward, self._backward, comm)
        believed = _norms_agree(plain)
        best = plain
        if believed and self._sectors[0] == self._sectors[1]:
            controlled = fidelity(self._forward, self._backward, comm, control=True)
            best = min(plain, controlled, key=lambda found: found.error)
        doubts = {} if believed else {self.label: _doubt(self.label, plain)}
        return Findings({self.label: Estimate(best.value, best.error)}, doubts)

    def of_vector(self, vector: npt.NDArray[np.complex128], basis: Basis) -> dict[str, Estimate]:
        """|<phi|psi>|^2 of states of few spins."""
        own = Basis.enumerate(basis.n_sites, self._sectors[1])
        phi = dense_vector(self._phi, own)
        _, here, there = np.intersect1d(basis.labels, own.labels, assume_unique=True, return_indices=True)
        return {self.label: exact_estimate(float(abs(np.vdot(phi[there], vector[here])) ** 2))}


def _require_comparable(job: Job, other: Job, path: Path) -> None:
    """InputError where the states have other sites, or are orthogonal by their magnetisations."""
    if other.lattice.n_sites != job.lattice.n_sites:
        raise InputError(f"{path} has {other.lattice.n_sites} sites, not {job.lattice.n_sites}")
    sectors = [sampler.magnetization for sampler in (job.sampler, other.sampler)]
    if None not in sectors and sectors[0] != sectors[1]:
        raise InputError(f"{path} has the magnetisation {sectors[1]}, not {sectors[0]}: the fidelity is 0")


def _sampled_alike(state: FrozenState, job: Job) -> RawInput:
    """The input of the other job with the numbers of walkers and samples of this one."""
    mine = job.config.sampler.model_dump(mode="json", exclude_none=True)
    own = state.raw.tables["sampler"]
    if isinstance(job.config.sampler, MetropolisSpec) and own.get("kind", "metropolis") == "metropolis":
        mine = own | {key: mine[key] for key in ("walkers", "block_width", "samples")}
    return replace(state.raw, tables={**state.raw.tables, "sampler": mine})


def _norms_agree(found: FidelityEstimate) -> bool:
    apart = abs(found.norms - 1.0)
    return math.isfinite(found.norms_error) and apart <= LARGEST_NORM_DEVIATION * found.norms_error + 1e-12


def _doubt(name: str, found: FidelityEstimate) -> str:
    return (
        f"{name}: the product of the norms is {found.norms:.3g} +- {found.norms_error:.1g}, not 1: the samples of one "
        "state have not seen where the other one is large, or one vanishes where the other does not"
    )
