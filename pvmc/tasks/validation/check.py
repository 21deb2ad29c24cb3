"""Findings of a comparison with exact diagonalisation: a number and its limit for each check of an input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pvmc.statistics.thresholds import error_scale


@dataclass(frozen=True)
class Check:
    """One comparison.

    Attributes:
        name: what is compared.
        measured: the number found; NaN where there is none.
        limit: what it may be.
        passed: whether it is.
        relation: whether ``measured`` may be at most or must be at least ``limit``.
        note: what the number means, or why there is none.
    """

    name: str
    measured: float
    limit: float
    passed: bool
    relation: Literal["<=", ">="] = "<="
    note: str = ""

    @classmethod
    def at_most(cls, name: str, measured: float, limit: float, note: str = "") -> Check:
        """A number that may not be larger than the limit; NaN does not pass."""
        return cls(name, float(measured), limit, bool(measured <= limit), "<=", note)

    @classmethod
    def at_least(cls, name: str, measured: float, limit: float, note: str = "") -> Check:
        """A number that may not be smaller than the limit; NaN does not pass."""
        return cls(name, float(measured), limit, bool(measured >= limit), ">=", note)

    @classmethod
    def broken(cls, name: str, problem: str) -> Check:
        """A comparison that could not be made."""
        return cls(name, float("nan"), float("nan"), False, "<=", problem)


@dataclass(frozen=True)
class Outcome:
    """The energies at the end of a run; total energies, in the Hamiltonian's unit.

    Attributes:
        exact: lowest energy of the sector.
        radius: bound on half the width of the spectrum of H.
        energy: mean over the plateau, as a user would quote it.
        error: its standard error.
        enumerated: <H> of the last wave function, by enumeration.
        variance: <H^2> - <H>^2 of the last wave function, by enumeration.
    """

    exact: float
    radius: float
    energy: float
    error: float
    enumerated: float
    variance: float

    @property
    def relative_error(self) -> float:
        """|E - E_exact| / |E_exact| of the plateau, relative to the radius where the exact energy is next to zero."""
        return abs(self.energy - self.exact) / self.scale

    @property
    def scale(self) -> float:
        """The energy that errors are relative to."""
        return error_scale(self.exact, self.radius) or 1.0


@dataclass(frozen=True)
class Report:
    """All checks of one input.

    Attributes:
        name: of the input.
        n_sites: N.
        ansatz: its kind, with what makes it particular.
        n_parameters: K.
        checks: in the order in which they were made.
        outcome: energies of the run; None where it broke off.
        seconds: wall time of everything.
    """

    name: str
    n_sites: int
    ansatz: str
    n_parameters: int
    checks: tuple[Check, ...]
    outcome: Outcome | None
    seconds: float

    @property
    def passed(self) -> bool:
        """True where every check passed."""
        return all(check.passed for check in self.checks)

    def check(self, name: str) -> Check:
        """The check of a name; raises KeyError where it was not made."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)
