"""The fidelity with the state of another run or fit, as a tally of a measurement."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.config import validate
from pvmc.errors import InputError
from pvmc.exact import Basis
from pvmc.io.measurement import Estimate
from pvmc.measurement.fidelity import FidelityEstimate, RatioSums, Turned, fidelity
from pvmc.measurement.frame import frame_signs
from pvmc.measurement.frozen import FrozenState, first_walkers, frozen, walk
from pvmc.measurement.observable import Findings, Tally, exact_estimate
from pvmc.mpi import Communicator
from pvmc.sampler import SECOND_FROZEN_STAGE, Draw, MetropolisSpec, Walkers
from pvmc.statistics.thresholds import LARGEST_NORM_DEVIATION
from pvmc.vmc.job import Job, JobConfig, build_job
from pvmc.wavefunctions.base import WaveFunction
from pvmc.wavefunctions.vectors import LogPsi, dense_vector

FIDELITY = "fidelity:"
"""Begins the observable on the command line, ``fidelity:[NAME=]RUN[@ITERATION]``."""

_TEXT = re.compile(r"(?:(?P<name>[A-Za-z]\w*(?<!_error))=)?(?P<path>.+?)(?:@(?P<iteration>\d{1,18}))?\Z", re.ASCII)


@dataclass(frozen=True)
class OtherState:
    """Whom a state is compared with, as the command line says it.

    Attributes:
        name: of the estimate: "fidelity", or "fidelity_NAME".
        path: directory or file of a run or a fit.
        iteration: whose parameters; None for the last saved ones.
    """

    name: str
    path: Path
    iteration: int | None

    @classmethod
    def parse(cls, text: str) -> OtherState:
        """Reads an observable.

        Raises:
            InputError: there is no run in it.
        """
        found = _TEXT.match(text.removeprefix(FIDELITY).strip())
        if not found:
            raise InputError(f'--observables "{text}": must be {FIDELITY}[NAME=]RUN[@ITERATION]')
        name, iteration = found["name"], found["iteration"]
        path = Path(found["path"].strip())
        return cls(f"fidelity_{name}" if name else "fidelity", path, None if iteration is None else int(iteration))

    def spelled_out(self, state: FrozenState) -> str:
        """The observable with all that it means, so that it means the same later on, from another directory."""
        name = self.name.removeprefix("fidelity").removeprefix("_")
        at = "" if state.saved.path.name == "fit.h5" else f"@{state.iteration}"
        return f"{FIDELITY}{f'{name}=' if name else ''}{state.saved.path.resolve()}{at}"


class Comparison(Tally):
    """The fidelity of psi, which is measured, and phi, which has walkers of its own.

    Args:
        name: of the estimate.
        job: that of psi, with the sampler of the measurement.
        other: that of phi, as well.
        walked: phi in the frame of its own Hamiltonian, in which it is sampled.
        walkers: those of phi on this rank.
    """

    def __init__(self, name: str, job: Job, other: Job, walked: WaveFunction, walkers: Walkers):
        self.name, self._walked, self._walkers = name, walked, walkers
        self._sampler = other.sampler
        turn = frame_signs(job) * frame_signs(other)
        self._phi: LogPsi = walked if (turn > 0).all() else Turned(walked, turn.astype(np.int64))
        self._sectors = job.sampler.magnetization, other.sampler.magnetization
        n_blocks, width = len(walkers.spins), job.sampler.width
        self._forward = RatioSums(n_blocks, width, magnetization=self._sectors[1])
        self._backward = RatioSums(n_blocks, width, magnetization=self._sectors[0])

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
        """Collective.  The fidelity: with second moments as a control variate where that has the smaller error.

        The control variate takes both states to vanish on the same configurations.  Where the product of norms is not
        1, they do not, or the samples of one have not seen where the other is large: then it is left out.
        """
        plain = fidelity(self._forward, self._backward, comm)
        believed = _norms_agree(plain)
        best = plain
        if believed and self._sectors[0] == self._sectors[1]:
            controlled = fidelity(self._forward, self._backward, comm, control=True)
            best = min(plain, controlled, key=lambda found: found.error)
        doubts = {} if believed else {self.name: _doubt(self.name, plain)}
        return Findings({self.name: Estimate(best.value, best.error)}, doubts)

    def of_vector(self, vector: npt.NDArray[np.complex128], basis: Basis) -> dict[str, Estimate]:
        """|<phi|psi>|^2 of states of few spins."""
        own = Basis.enumerate(basis.n_sites, self._sectors[1])
        phi = dense_vector(self._phi, own)
        _, here, there = np.intersect1d(basis.labels, own.labels, assume_unique=True, return_indices=True)
        return {self.name: exact_estimate(float(abs(np.vdot(phi[there], vector[here])) ** 2))}


def compare(name: str, job: Job, state: FrozenState, seed: int, comm: Communicator) -> Comparison:
    """Collective.  The comparison of a job's state with another one, before the first draw.

    phi is sampled with as many walkers and draws as psi, by moves of its own.

    Raises:
        InputError: the other one has other sites or another magnetisation, or does not fit its parameters.
    """
    other = build_job(validate(JobConfig, raw := _sampled_alike(state, job)), raw)
    other = replace(other, sampler=frozen(other.sampler, seed))
    theta = state.saved.fitting(other.ansatz.parameter_blocks, other.ansatz.dtype)
    if other.lattice.n_sites != job.lattice.n_sites:
        raise InputError(f"{state.saved.path} has {other.lattice.n_sites} sites, not {job.lattice.n_sites}")
    sectors = [sampler.magnetization for sampler in (job.sampler, other.sampler)]
    if None not in sectors and sectors[0] != sectors[1]:
        raise InputError(f"{state.saved.path} has the magnetisation {sectors[1]}, not {sectors[0]}: the fidelity is 0")
    return Comparison(name, job, other, other.ansatz.at(theta), first_walkers(other.sampler, state.walkers, comm))


def _sampled_alike(state: FrozenState, job: Job) -> Any:
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
