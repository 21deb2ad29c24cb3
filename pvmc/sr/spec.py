"""The section [sr] of the input: how the parameters are changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

from pydantic import Field

from pvmc.config import KeyProblem, Section, raise_all
from pvmc.planning.sizes import Sizes
from pvmc.planning.solver_costs import Choice, SolverName, choose
from pvmc.sr.krylov import KrylovSpec
from pvmc.sr.momentum import MomentumSpec

AUTOMATIC_RATE = {"reconfiguration": 0.025, "sgd": 7.5e-4, "momentum": 1.25e-4}
"""Learning rates where none is given, times the largest coefficient of a Pauli string (docs/reports/study.md)."""

ADAM_RATE = 3e-3
"""Learning rate of Adam, whose steps have the size of gamma in any units of the energy."""

FEW_SAMPLES_RATE = 5e-3
"""Automatic learning rate, times the scale of the Hamiltonian, where there are fewer samples than parameters."""

SAFE_STEPS: dict[str, object] = {"largest_angle": 0.2, "reject_rise": 5.0}
"""Automatic bounds on steps: radians, and errors by which the energy may rise."""

_OF_RECONFIGURATION = (
    "solver",
    "shift",
    "floor",
    "offset",
    "cutoff",
    "krylov",
    "tolerance",
    "momentum",
    "factorisation",
    "snr",
    "largest_condition",
    "adapt_shift",
    "line_search",
    "integrator",
    "largest_angle",
)
"""Keys that need S."""


class Schedule(Section):
    """value(p) = max(initial * decay^p, minimum) at iteration p; a plain number is a constant."""

    shorthand: ClassVar[str | None] = "initial"

    initial: float = Field(ge=0.0)
    """value at iteration 0"""
    decay: float = Field(default=1.0, gt=0.0, le=1.0)
    """factor per iteration"""
    minimum: float = Field(default=0.0, ge=0.0)
    """value below which it does not fall"""

    @property
    def is_zero(self) -> bool:
        """True where the value is 0 at all iterations."""
        return self.initial == 0.0 and self.minimum == 0.0

    def times(self, factor: float) -> Schedule:
        """The schedule times a factor."""
        return Schedule(initial=factor * self.initial, decay=self.decay, minimum=factor * self.minimum)

    def __call__(self, iteration: int) -> float:
        """The value at an iteration, counted from 0."""
        return max(self.initial * self.decay**iteration, self.minimum)


GIVEN_RATE_SHIFT = Schedule(initial=100.0, decay=0.9, minimum=1e-4)
GIVEN_RATE_FLOOR = Schedule(initial=1e-6)
"""lambda and the floor beside a learning rate that is given."""


class SRSpec(Section):
    """The step of the parameters along the imaginary-time flow: theta <- theta - gamma (S + Lambda)^-1 F."""

    method: Literal["reconfiguration", "sgd", "momentum", "adam"] = "reconfiguration"
    """reconfiguration; or without S, for comparison: sgd, momentum, adam"""
    solver: Literal["auto", "dense", "krylov", "minsr"] = "auto"
    """dense: S as a matrix; krylov: products with S, which is never formed; minsr: the Gram matrix of the
    samples in place of S; auto: the one that is fastest for these sizes (pvmc validate says which, and why)"""
    learning_rate: Schedule | None = None
    """gamma, in units of 1/energy: a number, or { initial, decay, minimum } for max(initial decay^p, minimum); default:
    0.025 over the scale of the Hamiltonian (0.1 / J for J S.S), less where there are fewer samples than parameters, and
    for methods that do without S; with it shift, floor, momentum, largest_angle, reject_rise and run.refine are
    automatic as far as they are not given"""

    shift: Schedule | None = None
    """lambda: Lambda_kk = lambda S_kk + floor max S_kk + offset; a number or a schedule; default: automatic, beside a
    given learning_rate { initial = 100, decay = 0.9, minimum = 1e-4 }"""
    floor: Schedule | None = None
    """part of Lambda in units of the largest S_kk; holds directions that hardly change psi; default: automatic, beside
    a given learning_rate 1e-6"""
    offset: Schedule = Schedule(initial=0.0)
    """part of Lambda that is added to the diagonal of S as it is"""
    largest_condition: float | None = Field(default=None, gt=1.0)
    """largest condition number of S + Lambda, in the scaling of a unit diagonal; lambda is raised where it is larger"""
    adapt_shift: bool = False
    """lambda times a factor that follows the ratio of the actual to the predicted change of the energy, on the same
    samples (Levenberg & Marquardt)"""

    factorisation: Literal["cholesky", "eigen"] = "cholesky"
    """of the dense solver; eigen: from the eigenvalues above the cutoff"""
    cutoff: float = Field(default=1e-8, gt=0.0, lt=1.0)
    """smallest eigenvalue kept by eigen, relative to the largest, of S + Lambda scaled to a unit diagonal of S"""
    snr: float | None = Field(default=None, gt=0.0)
    """signal-to-noise ratio of F below which eigen damps an eigenvector of S; default: all are taken"""
    krylov: KrylovSpec = KrylovSpec()
    """the iterative solver"""

    momentum: MomentumSpec | None = None
    """momentum of the reconfiguration (SPRING, MARCH); default: none"""
    mean_decay: float = Field(default=0.9, ge=0.0, lt=1.0)
    """of the running mean of F: beta_1 of adam, m of momentum"""

    integrator: Literal["euler", "heun"] = "euler"
    """euler: one step along x; heun: half of it along the x found at its end (on samples of their own)"""
    tolerance: float = Field(default=0.01, gt=0.0)
    """heun: distance of the two states, euler's and heun's, in radians, that gamma is adapted to"""
    line_search: bool = False
    """gamma times 1/2, 1 or 2, what has the lowest energy on the same samples, reweighted; kept for the next step"""
    largest_angle: float | None = Field(default=None, gt=0.0)
    """largest gamma sqrt(x^dagger S x), the angle in radians by which a step turns the state; longer ones get a larger
    shift, then a lower gamma (healthy steps stay below 0.1); default: no limit"""
    reject_rise: float | None = Field(default=None, gt=0.0)
    """take back steps after which the energy is higher by more than so many errors, up to 3 times; default: never"""

    def gamma(self, iteration: int) -> float:
        """The learning rate at an iteration."""
        schedule = self.learning_rate or self.resolved(1.0).learning_rate
        assert schedule is not None, "a resolved section has a learning rate"
        return schedule(iteration)

    def relative_shift(self, iteration: int) -> float:
        """lambda at an iteration."""
        return (self.shift or GIVEN_RATE_SHIFT)(iteration)

    def floor_at(self, iteration: int) -> float:
        """The floor at an iteration, in units of the largest S_kk."""
        return (self.floor or GIVEN_RATE_FLOOR)(iteration)

    @property
    def is_automatic(self) -> bool:
        """True where the steps are left to pvmc: no learning rate, nor another way to choose or to solve for them."""
        others = self.line_search or self.adapt_shift or self.integrator != "euler" or self.factorisation == "eigen"
        return self.learning_rate is None and self.method == "reconfiguration" and not others

    def resolved(self, scale: float, *, few_samples: bool = False) -> SRSpec:
        """The section with automatic choices replaced by what was chosen (docs/reports/convergence.md).

        Args:
            scale: of the Hamiltonian, :func:`pvmc.vmc.automatic.energy_scale`.
            few_samples: there are fewer samples than parameters: what their noise says of most directions is wrong, so
                that steps are shorter, go on in the direction of those before, and are regularised alike.
        """
        given = self.model_dump(exclude_none=True).keys() & self.model_fields_set
        if not self.is_automatic:
            rate = ADAM_RATE if self.method == "adam" else AUTOMATIC_RATE[self.method] / scale
            chosen: dict[str, object] = {
                "learning_rate": self.learning_rate or Schedule(initial=rate),
                "shift": self.shift or GIVEN_RATE_SHIFT,
                "floor": self.floor or GIVEN_RATE_FLOOR,
            }
        elif few_samples:
            chosen = SAFE_STEPS | {
                "learning_rate": Schedule(initial=FEW_SAMPLES_RATE / scale),
                "shift": Schedule(initial=0.0),
                "floor": Schedule(initial=1e-2),
                "momentum": MomentumSpec(mu=0.9),
            }
        else:
            chosen = SAFE_STEPS | {
                "learning_rate": Schedule(initial=AUTOMATIC_RATE["reconfiguration"] / scale),
                "shift": Schedule(initial=1.0, decay=0.9, minimum=1e-4),
                "floor": Schedule(initial=1e-5),
            }
        return self.model_copy(update={name: value for name, value in chosen.items() if name not in given})

    def check(self) -> None:
        """Refuse what does not go together.

        Raises:
            KeyProblem: a key has no meaning beside another one.
            KeyProblems: several have none.
        """
        raise_all(self._problems())

    def _problems(self) -> Iterator[KeyProblem]:
        eigen = self.factorisation == "eigen"
        if eigen and self.solver in ("krylov", "minsr"):
            yield KeyProblem("sr.factorisation", self.factorisation, f'needs sr.solver = "dense", not "{self.solver}"')
        unshifted = 'has no meaning for sr.factorisation = "eigen", whose cut-off takes the place of the shift'
        if eigen and self.adapt_shift:
            yield KeyProblem("sr.adapt_shift", self.adapt_shift, unshifted)
        if eigen and self.momentum is not None and self.momentum.march is not None:
            yield KeyProblem("sr.momentum.march", self.momentum.march, unshifted)
        if self.adapt_shift and self.shift is not None and self.shift.is_zero:
            yield KeyProblem("sr.adapt_shift", True, "has no meaning for sr.shift = 0, which no factor changes")
        if self.snr is not None and not eigen:
            yield KeyProblem("sr.snr", self.snr, 'needs sr.factorisation = "eigen"')
        if self.line_search and self.integrator == "heun":
            yield KeyProblem("sr.line_search", self.line_search, 'not beside sr.integrator = "heun": both adapt gamma')
        if self.method != "reconfiguration":
            allowed = "learning_rate, reject_rise" if self.method == "sgd" else "learning_rate, mean_decay, reject_rise"
            without = f'has no meaning for sr.method = "{self.method}", which does without S; allowed: {allowed}'
            yield from self._refused(_OF_RECONFIGURATION, without)
        if self.method not in ("momentum", "adam"):
            yield from self._refused(("mean_decay",), 'goes with sr.method = "momentum" or "adam", and only with these')
        if not eigen:
            yield from self._refused(("cutoff",), 'needs sr.factorisation = "eigen"')
        if self.integrator != "heun":
            yield from self._refused(("tolerance",), 'needs sr.integrator = "heun"')

    def _refused(self, keys: Iterable[str], why: str) -> Iterator[KeyProblem]:
        """Keys that would change nothing.  Defaults are silent: inputs that pvmc writes spell out every one of them."""
        for key in keys:
            value = getattr(self, key)
            is_used = key == "solver" and value == "krylov"  # products with O: what "auto" is resolved to without S
            if not is_used and value not in _SILENT.get(key, (getattr(_DEFAULTS, key),)):
                yield KeyProblem(f"sr.{key}", value, why)

    @property
    def has_uniform_penalty(self) -> bool:
        """True where Lambda is the same number for each parameter in every step."""
        is_relative = not (self.shift or GIVEN_RATE_SHIFT).is_zero or self.largest_condition is not None
        return not is_relative

    def remembered(self, linear: SolverName) -> int:
        """Largest number of vectors of K numbers in the memory."""
        if self.method != "reconfiguration":
            return {"sgd": 0, "momentum": 1, "adam": 2}[self.method]
        return (0 if self.momentum is None else 2) + (linear == "krylov")


_DEFAULTS = SRSpec()

_SILENT = {"shift": (None, GIVEN_RATE_SHIFT), "floor": (None, GIVEN_RATE_FLOOR)}
"""Values of keys that change nothing where the default is one of two."""


def resolve(spec: SRSpec, sizes: Sizes) -> Choice:
    """The solver of a section [sr]: the named one, else the only one that does what is asked for, else the fastest."""
    if spec.solver != "auto":
        return Choice(spec.solver, f'sr.solver = "{spec.solver}"')
    if spec.method != "reconfiguration":
        return Choice("krylov", f'sr.method = "{spec.method}" needs only products with O')
    if spec.factorisation == "eigen":
        return Choice("dense", 'sr.factorisation = "eigen" needs the matrix S')
    return choose(sizes)
