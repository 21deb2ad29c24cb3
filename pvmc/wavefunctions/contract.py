"""The contract of an ansatz, tested on random spins and parameters: what ``pvmc check-ansatz`` prints.

Everything that the sampler, the estimators and SR rely on (:mod:`pvmc.wavefunctions.base`) is compared with ln psi
alone: ratios and look-ups with ln psi from scratch, log-derivatives with central differences; factors, where a wave
function offers them, with the log-derivatives that they are another form of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pvmc.numerics.arrays import Numbers, Spins
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions.base import Ansatz, Factors, WaveFunction
from pvmc.wavefunctions.fallback import Batched
from pvmc.wavefunctions.log_derivatives import factor_rows_of, factors_of, multiplied_out, n_rows
from pvmc.wavefunctions.symmetry import claimed_symmetry

WIDTH = 16
"""Walkers that are looked at."""

SPREAD = 0.1
"""Standard deviation of what is added to the initial parameters, so that none of them is zero."""

N_DIFFERENTIATED = 48
"""Parameters whose derivative is compared with differences: all, or that many at random."""

STEP = 1e-5
"""Of the central differences."""


@dataclass(frozen=True)
class ClauseResult:
    """One clause of the contract.

    Attributes:
        name: what is checked.
        passed: True where it holds.
        error: the number measured; None where there is none.
        limit: what it may be at most.
        note: the fault, or the reason why nothing was checked.
    """

    name: str
    passed: bool
    error: float | None = None
    limit: float | None = None
    note: str = ""


class Violation(Exception):
    """A clause is broken in a way that has no number."""


@dataclass
class Probe:
    """An ansatz with random parameters and configurations of sizeable |psi|, int8 (N, L)."""

    ansatz: Ansatz
    seed: int = 1
    width: int = WIDTH
    theta: Numbers = field(init=False)
    psi: WaveFunction = field(init=False)
    spins: Spins = field(init=False)
    flips: FlipSets = field(init=False)

    def __post_init__(self) -> None:
        rng = self.rng()
        start = self.ansatz.initial_parameters(rng)
        noise = rng.normal(scale=SPREAD, size=(2, len(start)))
        shift = noise[0] + 1j * noise[1] if np.iscomplexobj(start) else noise[0]
        self.theta = (start + shift).astype(start.dtype)
        self.psi = self.ansatz.at(self.theta)
        n_sites = self.ansatz.n_sites
        candidates = rng.choice(np.array([-1, 1], dtype=np.int8), size=(n_sites, 16 * self.width))
        sizes = np.real(self.psi.log_psi(candidates))
        self.spins = np.ascontiguousarray(candidates[:, np.argsort(-sizes, kind="stable")[: self.width]])
        sets = [rng.choice(n_sites, k, replace=False).tolist() for k in range(1, min(4, n_sites) + 1) for _ in range(4)]
        self.flips = FlipSets.from_lists(sets)

    def rng(self) -> np.random.Generator:
        """A generator that always starts at the same state."""
        return np.random.default_rng(self.seed)


def check_ansatz(ansatz: Ansatz, seed: int = 1) -> list[ClauseResult]:
    """Test every clause of the contract; a clause that raises an error is a broken one."""
    try:
        probe = Probe(ansatz, seed)
    except Exception as error:
        return [ClauseResult("initial parameters, at(theta), log_psi", False, note=_said(error))]
    return [_measured(probe, *clause) for clause in CLAUSES]


def _measured(probe: Probe, name: str, limit: float | None, measure: Callable[[Probe], float | None]) -> ClauseResult:
    try:
        size = measure(probe)
    except Violation as violation:
        return ClauseResult(name, False, limit=limit, note=str(violation))
    except Exception as error:
        return ClauseResult(name, False, limit=limit, note=_said(error))
    if size is None:
        return ClauseResult(name, True, note=NOTHING.get(measure, ""))
    return ClauseResult(name, bool(size <= (limit or 0.0)), size, limit)


def table(checks: Sequence[ClauseResult]) -> str:
    """The checks as lines of text, one each."""
    lines = [f"{'':<6}{'check':<58}{'error':>10}{'limit':>10}"]
    for check in checks:
        numbers = "" if check.error is None else f"{check.error:>10.1e}{check.limit or 0.0:>10.0e}"
        note = f"  {check.note}" if check.note else ""
        lines.append(f"{'pass' if check.passed else 'FAIL':<6}{check.name:<58}{numbers}{note}".rstrip())
    return "\n".join(lines)


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


# Clauses --------------------------------------------------------------------------------------------------------------


def _require(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise Violation(f"{what} is {found}, must be {expected}")


def _shapes(probe: Probe) -> None:
    """Shapes and dtypes of everything that is returned; parameter blocks that cover theta in order."""
    ansatz, psi, spins = probe.ansatz, probe.psi, probe.spins
    n, width = ansatz.n_parameters, probe.width
    start = ansatz.initial_parameters(probe.rng())
    _require("shape of initial_parameters", start.shape, (n,))
    _require("dtype of initial_parameters", start.dtype, np.dtype(ansatz.dtype))
    if str(np.dtype(ansatz.dtype)) not in ("float64", "complex128"):
        raise Violation(f"dtype is {ansatz.dtype}, must be float64 or complex128")
    if np.iscomplexobj(start):
        _require("dtype of psi at complex parameters", np.dtype(psi.dtype), np.dtype(np.complex128))
    stop = 0
    for name, (part, shape) in ansatz.parameter_blocks.items():
        _require(f"start of parameter block {name}", part.start, stop)
        _require(f"size of parameter block {name}", int(np.prod(shape)), part.stop - part.start)
        stop = part.stop
    _require("end of the last parameter block", stop, n)
    lookup = psi.lookup(spins)
    _require("shape of lookup", lookup.shape, (ansatz.lookup_size, width))
    _require("dtype of lookup", lookup.dtype, np.dtype(np.float64))
    _require("lookup.flags.c_contiguous", lookup.flags.c_contiguous, True)
    wanted = np.ones((len(probe.flips), width), dtype=np.bool_)
    results = {
        "log_psi": (psi.log_psi(spins), (width,)),
        "ratios": (psi.ratios(spins, lookup, probe.flips, wanted), wanted.shape),
        "log_derivatives": (psi.log_derivatives(spins, lookup), (n, width)),
    }
    for name, (values, expected) in results.items():
        _require(f"shape of {name}", np.shape(values), expected)
        _require(f"dtype of {name}", np.asarray(values).dtype, np.dtype(psi.dtype))
        if not np.all(np.isfinite(values)):
            raise Violation(f"{name} is not finite")


def _determinism(probe: Probe) -> None:
    """The same bytes twice; theta is not kept and spins are not touched."""
    ansatz, spins = probe.ansatz, probe.spins.copy()
    if not np.array_equal(ansatz.initial_parameters(probe.rng()), ansatz.initial_parameters(probe.rng())):
        raise Violation("initial_parameters differ between two generators of the same state")
    theta = probe.theta.copy()
    psi = ansatz.at(theta)
    first = psi.log_psi(spins)
    theta[:] = 0.0
    if not np.array_equal(psi.log_psi(spins), first):
        raise Violation("log_psi gives other numbers at the second call, or keeps theta instead of a copy")
    if not np.array_equal(psi.lookup(spins), psi.lookup(spins)):
        raise Violation("lookup gives other numbers at the second call")
    psi.ratios(spins, psi.lookup(spins), probe.flips, np.ones((len(probe.flips), probe.width), dtype=np.bool_))
    psi.log_derivatives(spins, psi.lookup(spins))
    if not np.array_equal(spins, probe.spins):
        raise Violation("the spins are changed by a method other than metropolis")


def _walkers(probe: Probe) -> float:
    """ln psi of a walker alone against that in a block."""
    whole = probe.psi.log_psi(probe.spins)
    alone = [probe.psi.log_psi(np.ascontiguousarray(probe.spins[:, [lane]]))[0] for lane in range(probe.width)]
    return _largest(_difference(np.array(alone), whole))


def _ratios(probe: Probe) -> float:
    """Ratios against differences of ln psi, for sets of one to four sites; relative where above 1."""
    psi, spins, flips = probe.psi, probe.spins, probe.flips
    wanted = np.ones((len(flips), probe.width), dtype=np.bool_)
    wanted[::2, ::3] = False
    ratios = psi.ratios(spins, psi.lookup(spins), flips, wanted)
    if np.any(ratios[~wanted]):
        raise Violation("ratios are not 0 where not wanted")
    worst, before = 0.0, psi.log_psi(spins)
    for k in range(len(flips)):
        flipped = spins.copy()
        flipped[flips[k]] *= -1
        expected = np.where(wanted[k], np.exp(psi.log_psi(flipped) - before), 0.0)
        worst = max(worst, _largest((ratios[k] - expected) / np.maximum(1.0, np.abs(expected))))
    return worst


def _differences(probe: Probe, direction: complex) -> float:
    """Log-derivatives against central differences of ln psi along a direction, relative to the larger of 1 and O_k."""
    ansatz, psi, spins = probe.ansatz, probe.psi, probe.spins
    derivatives = psi.log_derivatives(spins, psi.lookup(spins))
    chosen = probe.rng().permutation(ansatz.n_parameters)[:N_DIFFERENTIATED]
    worst = 0.0
    for k in chosen:
        shift = np.zeros_like(probe.theta)
        shift[k] = STEP * direction if np.iscomplexobj(shift) else STEP
        ahead, behind = ansatz.at(probe.theta + shift).log_psi(spins), ansatz.at(probe.theta - shift).log_psi(spins)
        slope = _difference(ahead, behind) / (2 * STEP * direction)
        worst = max(worst, _largest((derivatives[k] - slope) / np.maximum(1.0, np.abs(slope))))
    return worst


def _real_axis(probe: Probe) -> float:
    return _differences(probe, 1.0)


def _imaginary_axis(probe: Probe) -> float | None:
    return _differences(probe, 1j) if np.iscomplexobj(probe.theta) else None


def _derivatives_in_place(probe: Probe) -> float:
    """log_derivatives written into a part of a larger array."""
    psi, spins = probe.psi, probe.spins
    lookup = psi.lookup(spins)
    large = np.full((probe.ansatz.n_parameters, 2, probe.width), 7.0, dtype=psi.dtype)
    if psi.log_derivatives(spins, lookup, out=large[:, 1]) is None:
        raise Violation("log_derivatives returns None; must return out")
    if np.any(large[:, 0] != 7.0):
        raise Violation("log_derivatives writes beside out")
    return _largest(large[:, 1] - psi.log_derivatives(spins, lookup))


def _factors(probe: Probe) -> float | None:
    """Factors multiplied out against log-derivatives, relative to the larger of 1 and O_k; their form and number."""
    psi, spins = probe.psi, probe.spins
    method, claimed = factors_of(psi), factor_rows_of(probe.ansatz)
    if method is None:
        _require("factor_rows of an ansatz without factors", claimed, None)
        return None
    lookup = psi.lookup(spins)
    factors = method(spins, lookup)
    _require_form(factors, probe)
    if claimed is not None:
        _require("factor_rows of the ansatz", claimed, n_rows(factors))
    expected, found = psi.log_derivatives(spins, lookup), multiplied_out(factors)
    _require("number of log-derivatives made by the factors", len(found), len(expected))
    error = _largest((found - expected) / np.maximum(1.0, np.abs(expected)))
    for rows in (rows for block in factors for rows in block):
        rows[:] = 0.0  # they are the caller's: the next ones must not know
    if _largest(multiplied_out(method(spins, lookup)) - found) > 0.0:
        raise Violation("the factors are not made anew, or not the same at the second call")
    return error


def _require_form(factors: Factors, probe: Probe) -> None:
    """One or two arrays for every block, each (k, L), float64 or complex128, C-contiguous, none sharing memory."""
    seen: list[Numbers] = []
    for number, block in enumerate(factors):
        if len(block) not in (1, 2):
            raise Violation(f"entry {number} of the factors has {len(block)} arrays, must have 1 or 2")
        for rows in block:
            name = f"entry {number} of the factors"
            _require(f"shape of {name}", rows.shape, (len(rows), probe.width))
            allowed = ("float64",) if np.dtype(probe.psi.dtype) == np.float64 else ("float64", "complex128")
            if str(rows.dtype) not in allowed:
                raise Violation(f"dtype of {name} is {rows.dtype}, must be {' or '.join(allowed)}")
            _require(f"flags.c_contiguous of {name}", rows.flags.c_contiguous, True)
            if any(np.shares_memory(rows, other) for other in (probe.spins, *seen)):
                raise Violation(f"{name} shares memory with another one or with the spins")
            seen.append(rows)


def _sweeps(probe: Probe, conserving: bool) -> float:
    """The look-up after Metropolis steps against one made anew; the walk against one by ln psi alone, same uniforms."""
    psi, flips, rng = probe.psi, probe.flips, probe.rng()
    spins, expected = probe.spins.copy(), probe.spins.copy()
    lookup = psi.lookup(spins)
    keep = np.full(len(flips), conserving)
    chosen = rng.integers(0, len(flips), size=6 * probe.ansatz.n_sites)
    uniforms = rng.random((len(chosen), probe.width))
    accepted = psi.metropolis(spins, lookup, flips, keep, chosen, uniforms)
    judge = _OnlyLogPsi(psi)
    counted = judge.metropolis(expected, judge.lookup(expected), flips, keep, chosen, uniforms)
    if not np.array_equal(spins, expected):
        different = int(np.any(spins != expected, axis=0).sum())
        raise Violation(f"{different} of {probe.width} walkers end elsewhere than by |psi(s')/psi(s)|^2 from log_psi")
    if not np.array_equal(accepted, counted):
        raise Violation("the numbers of accepted moves are wrong")
    if not conserving and not accepted.any():
        raise Violation("no move was accepted, so that nothing was tested")
    fresh = psi.lookup(spins)
    return _largest(_phases(lookup - fresh) / np.maximum(1.0, np.abs(fresh)))


def _free_sweeps(probe: Probe) -> float:
    return _sweeps(probe, False)


def _conserving_sweeps(probe: Probe) -> float:
    return _sweeps(probe, True)


def _symmetry(probe: Probe) -> float | None:
    """psi(g s) = chi(g) psi(s) for the symmetries that the ansatz claims, relative to the largest |psi|."""
    group = claimed_symmetry(probe.ansatz)
    if group is None or len(group) == 1:
        return None
    here = probe.psi.log_psi(probe.spins)
    largest = np.max(np.real(here))
    return max(
        _largest(np.exp(probe.psi.log_psi(group.act(g, probe.spins)) - largest) - character * np.exp(here - largest))
        for g, character in enumerate(group.characters)
    )


class _OnlyLogPsi(Batched):
    """A wave function of which only ln psi is used."""

    def __init__(self, psi: WaveFunction):
        self.psi, self.dtype = psi, np.dtype(psi.dtype)

    def log_psi(self, spins: Spins) -> Numbers:
        return self.psi.log_psi(spins)


def _difference(first: Numbers, second: Numbers) -> Numbers:
    """first - second of two ln psi, the phase within (-pi, pi]."""
    change = first - second
    return change.real + 1j * np.angle(np.exp(1j * change.imag)) if np.iscomplexobj(change) else change


def _phases(change: Numbers) -> Numbers:
    """Differences of look-ups with whole multiples of 2 pi taken away, which a phase of psi may have gathered."""
    turns = np.rint(change / (2 * np.pi))
    return np.where(np.abs(change - 2 * np.pi * turns) < 1e-6, change - 2 * np.pi * turns, change)


def _largest(values: Numbers) -> float:
    return float(np.max(np.abs(values), initial=0.0))


Clause = tuple[str, float | None, Callable[[Probe], float | None]]

CLAUSES: list[Clause] = [
    ("shapes, dtypes and parameter blocks", None, _shapes),
    ("same numbers at every call, theta and spins left alone", None, _determinism),
    ("walkers independent of each other", 1e-10, _walkers),
    ("ratios against ln psi, sets of 1 to 4 sites", 1e-9, _ratios),
    ("log-derivatives against differences, real axis", 1e-6, _real_axis),
    ("the same along the imaginary axis (holomorphic)", 1e-6, _imaginary_axis),
    ("log-derivatives into a part of a larger array", 1e-12, _derivatives_in_place),
    ("factors agree with log-derivatives", 1e-12, _factors),
    ("walk and look-up after Metropolis steps", 1e-8, _free_sweeps),
    ("the same with moves that keep the magnetisation", 1e-8, _conserving_sweeps),
    ("claimed symmetry psi(g s) = chi(g) psi(s)", 1e-10, _symmetry),
]
"""Name, limit of the error, and what measures it; the error None says that there was nothing to measure."""

NOTHING: dict[Callable[[Probe], float | None], str] = {_symmetry: "none claimed", _factors: "none offered"}
"""The note where there was nothing to measure."""


def failed(checks: Sequence[ClauseResult]) -> Iterator[ClauseResult]:
    """The broken clauses."""
    return (check for check in checks if not check.passed)
