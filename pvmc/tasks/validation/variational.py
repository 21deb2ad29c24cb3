"""Local energies, force and SR step at fixed parameters, without noise, against their definitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pvmc.estimators import Moments, estimate, local_energy, reduce_moments
from pvmc.mpi import SerialCommunicator
from pvmc.numerics.arrays import Numbers
from pvmc.sampler import Enumeration
from pvmc.sr import Step
from pvmc.statistics.thresholds import (
    UNUSED_VARIANCE,
    VALIDATED_DESCENT,
    VALIDATED_EQUATION,
    VALIDATED_GRADIENT,
    VALIDATED_ROUNDING,
)
from pvmc.tasks.validation.check import Check
from pvmc.tasks.validation.system import ExactSystem
from pvmc.vmc.job import Job
from pvmc.wavefunctions import WaveFunction

CHUNK = 4096
"""Configurations whose local energies and log-derivatives are computed at a time."""

N_DIFFERENTIATED = 24
"""Parameters along which the energy is differentiated: all, or that many at random, and N_DIRECTIONS of all at once."""

N_DIRECTIONS = 4

DIFFERENCE = 1e-3
"""Step of the differences, which are of sixth order."""

SMALL_STEP = 1e-3
"""|delta theta| of the step that must lower the energy."""

LOCAL_ENERGIES, GRADIENT, TENSOR, EQUATIONS, DESCENT = (
    "local energies",
    "gradient",
    "matrix S",
    "SR equations",
    "small SR step",
)


@dataclass(frozen=True)
class Point:
    """A job at fixed parameters.

    Attributes:
        job: the input.
        system: the same system solved exactly.
        theta: parameters, (K,).
    """

    job: Job
    system: ExactSystem
    theta: Numbers

    @cached_property
    def psi(self) -> WaveFunction:
        """The wave function at theta."""
        return self.job.ansatz.at(self.theta)

    @cached_property
    def moments(self) -> Moments:
        """Those of a run with ``[sampler] kind = "exact"``: over all configurations, F and S as they stand."""
        return self._measured(keep_rows=False)

    def step(self, iteration: int) -> Step:
        """The solver's step of an iteration, without any before, from the moments that it asks for."""
        moments = self._measured(keep_rows=True) if self.job.solver.keeps_rows else self.moments
        return self.job.solver.solve(moments, iteration, SerialCommunicator())

    def _measured(self, *, keep_rows: bool) -> Moments:
        sampler = Enumeration(self.system.basis, CHUNK, self.job.sampler.magnetization)
        comm = SerialCommunicator()
        walkers = sampler.start(range(sampler.n_blocks), comm)
        walk, job = sampler.walk(walkers, self.psi, 0), self.job
        batch = estimate(
            walk,
            job.operator,
            self.psi,
            job.ansatz.n_parameters,
            comm,
            real_parameters=self.real,
            keep_rows=keep_rows,
        )
        return reduce_moments(
            batch,
            comm,
            n_sites=job.lattice.n_sites,
            infinite_temperature=job.operator.infinite_temperature_energy,
        )

    @cached_property
    def tensor(self) -> Numbers:
        """S_kk' = <(O_k - <O_k>)* (O_k' - <O_k'>)> by its definition, (K, K); its real part for real parameters."""
        weights = np.abs(self.system.state(self.psi)) ** 2
        mean = sum(self.psi.log_derivatives(spins, lookup) @ weights[part] for part, spins, lookup in self.chunks())
        total = np.zeros((len(self.theta), len(self.theta)), dtype=np.complex128)
        for part, spins, lookup in self.chunks():
            centred = self.psi.log_derivatives(spins, lookup) - np.asarray(mean)[:, None]
            total += (centred.conj() * weights[part]) @ centred.T
        return total.real.copy() if self.real else total

    @property
    def real(self) -> bool:
        """True where the parameters are real."""
        return not np.issubdtype(self.job.ansatz.dtype, np.complexfloating)

    def energy(self, shift: Numbers) -> float:
        """<H> at theta + shift."""
        return self.system.energy_of(self.job.ansatz.at((self.theta + shift).astype(self.theta.dtype)))

    def chunks(self) -> Iterator[tuple[slice, npt.NDArray[np.int8], npt.NDArray[np.float64]]]:
        """Positions in the basis, configurations and look-ups, some at a time."""
        for start in range(0, len(self.system.basis), CHUNK):
            spins = np.ascontiguousarray(self.system.basis.spins[:, start : start + CHUNK])
            yield slice(start, start + spins.shape[1]), spins, self.psi.lookup(spins)


def check_local_energies(point: Point) -> Check:
    """E_loc(s) against (H psi)(s) / psi(s) for every configuration, relative to sum_s' |H_ss' psi(s') / psi(s)|."""
    vector, matrix = point.system.state(point.psi), point.system.matrix
    alive = vector != 0
    image, scale = matrix @ vector, abs(matrix) @ np.abs(vector)
    worst = 0.0
    for part, spins, lookup in point.chunks():
        found = local_energy(point.job.operator, point.psi, spins, lookup)[alive[part]]
        size = np.abs(vector[part])[alive[part]]
        expected = image[part][alive[part]] / vector[part][alive[part]]
        error = np.abs(found - expected) / np.maximum(scale[part][alive[part]] / size, np.finfo(float).tiny)
        worst = max(worst, float(np.max(error, initial=0.0)))
    note = f"largest relative error over {np.count_nonzero(alive)} configurations"
    return Check.at_most(LOCAL_ENERGIES, worst, VALIDATED_ROUNDING, note)


def check_gradient(point: Point) -> Check:
    """dE along directions d against 2 Re sum_k d_k* F_k: single parameters, their imaginary parts, and random ones."""
    force = point.moments.force
    largest, norm = float(np.max(np.abs(force))), float(np.linalg.norm(force))
    if norm == 0.0:
        return Check.broken(GRADIENT, "the force vanishes: nothing to compare")
    rng = np.random.default_rng(0)
    worst, count = 0.0, 0
    for direction, scale in _directions(len(force), point.real, rng, largest, norm):
        slope = _slope(point, direction)
        predicted = 2.0 * float(np.vdot(direction, force).real)
        worst, count = max(worst, abs(slope - predicted) / (2.0 * scale)), count + 1
    return Check.at_most(GRADIENT, worst, VALIDATED_GRADIENT, f"largest relative error along {count} directions")


def check_tensor(point: Point) -> Check:
    """S of the moments against <(O - <O>)* (O - <O>)> by sums over all configurations, relative to the largest S_kk."""
    lower = point.moments.tensor
    found = np.tril(lower) + np.tril(lower, -1).conj().T
    expected = point.tensor
    error = float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))
    return Check.at_most(TENSOR, error, VALIDATED_ROUNDING, "largest error, relative to the largest element")


def check_equations(point: Point) -> Check:
    """The solver's x in the regularised equations with S by definition, in the scaling of a unit diagonal.

    The residual |A x - F| / (|A| |x| + |F|) is what is judged: small for every sound solver, however ill-conditioned A.
    """
    sr, iteration = point.job.config.sr, point.job.config.run.n_iterations // 2
    if sr.method != "reconfiguration" or sr.snr is not None:
        return Check.at_most(EQUATIONS, 0.0, VALIDATED_EQUATION, "steps of this kind solve no such equations")
    step = point.step(iteration)
    tensor, force = point.tensor, point.moments.force
    variances = tensor.diagonal().real
    if not np.any(variances) or not np.any(step.direction):
        return Check.broken(EQUATIONS, "no parameter changes psi: S or x vanishes")
    active = variances > UNUSED_VARIANCE * variances.max()  # parameters that do not change psi at all are left alone
    scale = 1.0 / np.sqrt(variances[active])
    scaled = tensor[np.ix_(active, active)] * scale[:, None] * scale
    right, solution = force[active] * scale, step.direction[active] / scale
    frozen = float(np.max(np.abs(step.direction[~active]), initial=0.0) / np.max(np.abs(step.direction)))
    is_raised = sr.largest_condition or sr.largest_angle  # then it may be above the schedule
    shift = step.shift if is_raised else sr.relative_shift(iteration)
    added = shift + (sr.floor_at(iteration) * variances.max() + sr.offset(iteration)) * scale**2
    frame, diagonal = _regularisation(point.job, scaled, added)
    outside = float(np.linalg.norm(solution - frame @ (frame.conj().T @ solution)) / np.linalg.norm(solution))
    matrix = frame.conj().T @ scaled @ frame + diagonal
    right, solution = frame.conj().T @ right, frame.conj().T @ solution
    bound = np.linalg.norm(matrix, 2) * np.linalg.norm(solution) + np.linalg.norm(right)
    residual = float(np.linalg.norm(matrix @ solution - right) / bound)
    direct = np.linalg.solve(matrix, right)
    apart, condition = np.linalg.norm(solution - direct) / np.linalg.norm(direct), np.linalg.cond(matrix)
    note = f"residual of the regularised S x = F; x - dense solution {apart:.1e} at condition {condition:.0e}"
    limit = max(VALIDATED_EQUATION, 10.0 * sr.krylov.tolerance) if step.solver_iterations else VALIDATED_EQUATION
    return Check.at_most(EQUATIONS, max(residual, outside, frozen), limit, note)


def _regularisation(job: Job, scaled: Numbers, added: Numbers) -> tuple[Numbers, Numbers]:
    """The columns that span the solutions, and what is added to the diagonal, as ``[sr]`` asks for.

    Args:
        job: the input.
        scaled: S with a unit diagonal.
        added: Lambda_kk over each S_kk, (K,).
    """
    sr = job.config.sr
    if sr.factorisation == "eigen":
        values, vectors = np.linalg.eigh(scaled)
        kept = vectors[:, values > sr.cutoff * values[-1]]
        return kept, np.zeros((kept.shape[1], kept.shape[1]))
    return np.eye(len(scaled)), np.diag(added)


def check_descent(point: Point) -> Check:
    """A small step along the solver's direction lowers the energy, about as much as F predicts."""
    iteration = point.job.config.run.n_iterations // 2
    direction = point.step(iteration).direction
    if not np.any(direction):
        return Check.broken(DESCENT, "no parameter changes psi: x vanishes")
    shift = -SMALL_STEP * direction / np.linalg.norm(direction)
    predicted = 2.0 * float(np.vdot(shift, point.moments.force).real)
    change = point.energy(shift) - point.energy(np.zeros_like(shift))
    if not predicted < 0.0:
        return Check.broken(DESCENT, "the step does not point downhill: x* F is not positive")
    note = f"energy change over its linear prediction {predicted:.2e}, |delta theta| = {SMALL_STEP:g}"
    return Check.at_least(DESCENT, change / predicted, VALIDATED_DESCENT, note)


POINTWISE: tuple[tuple[str, Callable[[Point], Check]], ...] = (
    (LOCAL_ENERGIES, check_local_energies),
    (GRADIENT, check_gradient),
    (TENSOR, check_tensor),
    (EQUATIONS, check_equations),
    (DESCENT, check_descent),
)
"""The checks of this file, which need no communication."""


def _directions(
    n: int, real: bool, rng: np.random.Generator, largest: float, norm: float
) -> Iterator[tuple[Numbers, float]]:
    """Directions of length 1 in theta, and the size of the force that an error along them is relative to."""
    for k in rng.permutation(n)[:N_DIFFERENTIATED]:
        unit = np.zeros(n, dtype=np.complex128)
        unit[k] = 1.0
        yield (unit.real if real else unit), largest
        if not real:
            yield 1j * unit, largest
    for _ in range(N_DIRECTIONS):
        parts = rng.normal(size=(2, n))
        direction = parts[0] if real else parts[0] + 1j * parts[1]
        yield direction / np.linalg.norm(direction), norm


def _slope(point: Point, direction: Numbers) -> float:
    """The derivative of the energy along a direction by central differences of sixth order."""
    steps = (m * DIFFERENCE * direction for m in (1, 2, 3))
    first, second, third = (point.energy(step) - point.energy(-step) for step in steps)
    return (45.0 * first - 9.0 * second + third) / (60.0 * DIFFERENCE)
