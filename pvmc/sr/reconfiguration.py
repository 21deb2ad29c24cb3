"""Stochastic reconfiguration: from the moments of an iteration to the step of the parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pvmc.errors import NumericalError
from pvmc.estimators import Moments, Reweighting
from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Numbers
from pvmc.planning.solver_costs import SolverName
from pvmc.sr.dense import DenseSystem, Noise, SpectralSystem, force_covariance, tensor_of
from pvmc.sr.krylov import KrylovSystem
from pvmc.sr.linear_system import LinearSystem, Requirements, Solution, solved
from pvmc.sr.minsr import GramSystem
from pvmc.sr.momentum import centre, memory_of_direction, weights
from pvmc.sr.spec import SRSpec
from pvmc.sr.step import NO_DAMPING, NOTHING, Damping, Memory, Step, capped_learning_rate, number, remembered

SEARCHED = (0.5, 1.0, 2.0)
"""Factors of gamma that a line search compares."""

TRUSTED = 0.5
"""Effective part of the samples below which an energy by reweighting is not used."""

DAMPED_FLOOR = 1e-4
"""With a relative shift of 0, damping raises sr.floor in its place: to this times (shift_factor - 1), in units of the
largest S_kk, or to shift_factor times the floor where that is larger.  It is the last lambda by default."""

RATE_RANGE = 2.0**-6, 2.0**6
SHIFT_RANGE = 1e-3, 1e6
"""Ranges of the adapted factors of gamma and lambda."""


@dataclass(frozen=True)
class Reconfiguration:
    """theta <- theta - gamma (S + Lambda)^-1 F (Sorella, Phys. Rev. Lett. 80, 4558 (1998)).

    Attributes:
        spec: the section [sr].
        linear: solver of the linear problem.
    """

    spec: SRSpec
    linear: SolverName

    @property
    def keeps_rows(self) -> bool:
        """True where the rows are needed, in place of S and F."""
        return self.linear != "dense" or self.spec.snr is not None

    @property
    def keeps_spins(self) -> bool:
        """True where the energy of other parameters on the same configurations is needed."""
        return self.spec.line_search or self.spec.adapt_shift

    @property
    def is_second_order(self) -> bool:
        """True where a step is made of two (Heun)."""
        return self.spec.integrator == "heun"

    def solve(
        self,
        moments: Moments,
        iteration: int,
        comm: Communicator,
        damping: Damping = NO_DAMPING,
        *,
        memory: Memory = NOTHING,
    ) -> Step:
        """Collective. The SR step; raises NumericalError on every rank where the system cannot be solved."""
        required = self._requirements(iteration, damping, memory)
        solution = self._solution(moments, required, comm)
        rate = self._shortened(required.rate, solution)
        rate, adapted = self._adapted(moments.reweighting, solution, rate, memory)
        return self._step(solution, solution.direction, rate, self._remembered(memory, solution) | adapted)

    def corrected(
        self, first: Step, moments: Moments, iteration: int, comm: Communicator, damping: Damping, memory: Memory
    ) -> Step:
        """Collective. Heun's step: half along the first direction x, half along x' at the end of the first step.

        The distance of the two states, gamma/2 sqrt((x' - x)^dagger S (x' - x)), grows with gamma^2.  The next gamma,
        and this one where it is too large, are such that it is the tolerance (a shorter first step would have led to a
        point in between, with a direction in between).

        Args:
            first: the step at theta.
            moments: those at theta less the first step.
            iteration, comm, damping, memory: as of the first step.
        """
        required = replace(self._requirements(iteration, damping, memory), reference=first.direction)
        solution = self._solution(moments, required, comm)
        rate = first.learning_rate
        distance = 0.5 * rate * solution.distance
        factor = math.sqrt(self.spec.tolerance / distance) if distance > 0.0 else math.inf
        part = min(1.0, factor)
        direction = first.direction + 0.5 * part * (solution.direction - first.direction)
        grown = number(memory, "rate_factor", 1.0) * min(max(0.9 * factor, 0.5), 2.0)
        adapted = {"rate_factor": remembered(_within(grown, RATE_RANGE))}
        rate = self._shortened(part * rate, solution)
        step = self._step(solution, direction, rate, dict(first.memory) | adapted)
        return replace(step, force_norm=first.force_norm, n_frozen=first.n_frozen, shift=first.shift)

    def _requirements(self, iteration: int, damping: Damping, memory: Memory) -> Requirements:
        """Requirements on the solution in an iteration: schedules, times damping and adapted factors."""
        spec, shift, floor = self.spec, self.spec.relative_shift(iteration), self.spec.floor_at(iteration)
        if shift == 0.0:  # no factor raises it; Lambda keeps its form, the same for all parameters
            floor = max(floor * damping.shift_factor, DAMPED_FLOOR * (damping.shift_factor - 1.0))
        required = Requirements(
            shift=shift * damping.shift_factor * number(memory, "shift_factor", 1.0),
            floor=floor,
            offset=spec.offset(iteration) * damping.shift_factor,
            rate=spec.gamma(iteration) * damping.rate_factor * number(memory, "rate_factor", 1.0),
            largest_angle=spec.largest_angle or math.inf,
            largest_condition=spec.largest_condition or math.inf,
            weights=weights(spec.momentum, memory),
            centre=centre(spec.momentum, memory),
            start=memory.get("start"),
        )
        if spec.factorisation == "eigen":  # its cut-off takes the place of the shift
            required = replace(required, shift=0.0, floor=0.0, offset=0.0)
        return required

    def _shortened(self, rate: float, solution: Solution) -> float:
        """gamma, lowered where the step is longer than it may be."""
        spec = self.spec
        rate = capped_learning_rate(rate, solution.norm, spec.largest_angle or math.inf)
        if spec.momentum and spec.momentum.largest_norm:
            rate = capped_learning_rate(rate, float(np.linalg.norm(solution.direction)), spec.momentum.largest_norm)
        return rate

    def _remembered(self, memory: Memory, solution: Solution) -> dict[str, Numbers]:
        found = memory_of_direction(self.spec.momentum, memory, solution.direction)
        return found | {"start": solution.direction} if self.linear == "krylov" else found

    def _step(self, solution: Solution, direction: Numbers, rate: float, memory: Memory) -> Step:
        return Step(
            direction=direction,
            learning_rate=rate,
            shift=solution.shift,
            residual=solution.residual,
            n_frozen=solution.n_frozen,
            force_norm=solution.force_norm,
            angle=rate * solution.norm,
            memory=memory,
            solver_iterations=solution.iterations,
        )

    # The linear problem -----------------------------------------------------------------------------------------------

    def _solution(self, moments: Moments, required: Requirements, comm: Communicator) -> Solution:
        """Collective. The solution of the linear problem."""
        if self.linear == "dense":
            return on_root_alone(self._dense(moments, comm), required, moments, comm)
        rows = moments.rows
        assert rows is not None, "the rows are kept"
        system: LinearSystem = GramSystem(rows) if self.linear == "minsr" else KrylovSystem(rows, self.spec.krylov)
        return on_all(lambda: solved(system, required))

    def _dense(self, moments: Moments, comm: Communicator) -> Callable[[], DenseSystem]:
        """Collective where rows are kept. The system as a function that makes it, to be called on the root."""
        spec, rows = self.spec, moments.rows
        if rows is None:
            parts = moments.tensor, moments.force, moments.derivative_mean
        else:
            parts = tensor_of(rows), rows.force, rows.mean
        if spec.factorisation == "cholesky":
            return lambda: DenseSystem(*parts)
        if spec.snr is None:
            return lambda: SpectralSystem(*parts, spec.cutoff)
        assert rows is not None, "the noise is known from rows"
        covariance, samples, threshold = force_covariance(rows), moments.energy.n_samples, spec.snr
        return lambda: SpectralSystem(*parts, spec.cutoff, Noise(covariance, samples, threshold))

    # gamma and lambda by the energy on the same samples ---------------------------------------------------------------

    def _adapted(
        self, reweighting: Reweighting | None, solution: Solution, rate: float, memory: Memory
    ) -> tuple[float, dict[str, Numbers]]:
        """Collective. gamma, and the factors of gamma and lambda for the next step."""
        kept = {name: memory[name] for name in ("rate_factor", "shift_factor") if name in memory}
        if reweighting is None or rate == 0.0:
            return rate, kept
        factors = SEARCHED if self.spec.line_search else (1.0,)
        rates = {factor: self._shortened(factor * rate, solution) for factor in factors}
        changes = {factor: _change(reweighting, rates[factor] * solution.direction) for factor in factors}
        best = min(changes, key=lambda factor: changes[factor])
        if not math.isfinite(changes[best]):  # all of them far from the samples
            best = min(factors)
        if self.spec.line_search:
            kept["rate_factor"] = remembered(_within(number(memory, "rate_factor", 1.0) * best, RATE_RANGE))
        if self.spec.adapt_shift:
            kept["shift_factor"] = remembered(
                _marquardt(number(memory, "shift_factor", 1.0), changes[best], -rates[best] * solution.slope)
            )
        return rates[best], kept


def _change(reweighting: Reweighting, shift: Numbers) -> float:
    """Collective. Change of the energy by -shift on the same samples; inf where too few of them count."""
    try:
        found = reweighting.change(-shift)
    except NumericalError as error:
        if not error.collective:
            raise
        return math.inf
    is_good = found.effective_part >= TRUSTED and math.isfinite(found.change)
    return found.change if is_good else math.inf


def _marquardt(factor: float, actual: float, predicted: float) -> float:
    """The next factor of lambda: smaller where the model of the energy held, larger where it failed.

    The model is E + 2 Re F^dagger d + d^dagger (S + Lambda) d / gamma, whose minimum d = -gamma x lies at
    -gamma Re F^dagger x (Marquardt, J. Soc. Indust. Appl. Math. 11, 431 (1963)).
    """
    ratio = actual / predicted if predicted < 0.0 else 0.0
    if not math.isfinite(ratio) or ratio < 0.25:
        factor *= 2.0
    elif ratio > 0.75:
        factor /= 1.5
    return _within(factor, SHIFT_RANGE)


def _within(value: float, limits: tuple[float, float]) -> float:
    return min(max(value, limits[0]), limits[1])


def on_all(function: Callable[[], Solution]) -> Solution:
    """Collective. The solution that all ranks compute alike; a failure is collective too."""
    try:
        return function()
    except NumericalError as error:
        error.collective = True
        raise


REPORTED = ("residual", "n_frozen", "force_norm", "norm", "shift", "slope", "distance")
"""Numbers of the solution that rank 0 sends after x."""


def on_root_alone(
    system: Callable[[], LinearSystem], required: Requirements, moments: Moments, comm: Communicator
) -> Solution:
    """Collective. The solution by rank 0, on every rank: one message with x and then the numbers of REPORTED."""
    found = comm.on_root(lambda: solved(system(), required))
    message = np.zeros(moments.n_parameters * moments.dtype.itemsize // 8 + len(REPORTED))
    direction, report = message[: -len(REPORTED)].view(moments.dtype), message[-len(REPORTED) :]
    if found is not None:
        direction[:] = found.direction
        report[:] = [getattr(found, name) for name in REPORTED]
    comm.broadcast(message)
    known = dict(zip(REPORTED, report.tolist(), strict=True))
    return Solution(direction, int(known.pop("n_frozen")), **known)
