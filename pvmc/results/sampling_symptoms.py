"""Signs that a run was sampled badly: numbers, walkers and chains of its last iterations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pvmc.results.judged import Judged, Symptom
from pvmc.results.plateau import missed_by_draws
from pvmc.statistics import mean
from pvmc.statistics.autocorrelation import independent_samples
from pvmc.statistics.mean import independent_error
from pvmc.statistics.tails import Tail
from pvmc.statistics.thresholds import (
    FEWEST_PER_ITERATION,
    FEWEST_PER_PARAMETER,
    FEWEST_SCATTER,
    HEAVY_TAIL,
    HEAVY_TAIL_ERRORS,
    LARGEST_LEAK,
    LARGEST_V_SCORE,
    LEAK_DEVIATIONS,
    LEAK_V_SCORE,
    MOST_SPIKES,
    MOST_STUCK_LOOKS,
    SMALLEST_ACCEPTANCE,
    SMALLEST_EFFECTIVE_PART,
    SPIKE_R_HAT,
    STRONG_DAMPING,
    r_hat_limit,
)

FINITE = ("energy", "energy_error", "variance", "update_norm")
"""Series that a run always measures."""


def not_finite(part: Judged) -> Iterator[Symptom]:
    """Numbers that are not finite; the first such series."""
    for series in FINITE:
        bad = ~np.isfinite(part.series(series))
        recorded = np.isfinite(part.run.series[series]).any() or series == "energy"  # not by earlier versions
        if recorded and bad.any():
            text = f"{series.replace('_', ' ')} not finite in {bad.sum()} of the last {bad.size} iterations"
            yield Symptom("not finite", f"{text}; a smaller sr.learning_rate or a larger sr.shift may help")
            return


def retries(part: Judged) -> Iterator[Symptom]:
    """Numbers that went bad, after which the run went back: it goes on, with less learned than it seems."""
    n = part.run.retries
    if n:
        often = "once" if n == 1 else f"{n} times"
        text = f"the numbers went bad {often}, and the run went back and tried again with smaller steps"
        yield Symptom("retries", f"{text}: set a smaller sr.learning_rate, or a larger sr.shift or sampler.samples")


def stuck(part: Judged) -> Iterator[Symptom]:
    """Walkers in a mode of their own: those that the run itself has seen, or spikes of R-hat.

    Half of the walkers in another mode are no outliers to the other half: the run does not see them as stuck.
    """
    if part.is_constant:
        return
    looks = part.series("stuck_walkers")
    looks = looks[looks >= 0]
    if looks.size and (looks > 0).mean() >= MOST_STUCK_LOOKS:
        n = int(looks.max())
        walkers, own = ("1 walker was", "its") if n == 1 else (f"up to {n} walkers were", "their")
        text = f"{walkers} stuck in a mode of {own} own in {(looks > 0).sum()} of {looks.size} looks"
        yield Symptom("stuck", f"{text}: they bias the energy; tempering or moves over longer distances may help")
        return
    values = part.run.series["r_hat"][part.plateau.rows]
    values = values[~np.isnan(values)]  # infinite where no walker varies
    spikes = int((values > SPIKE_R_HAT).sum())
    if part.is_enough and spikes > min(max(0, values.size - 1), max(1, MOST_SPIKES * values.size)):
        often = f"in {spikes} of {values.size} iterations"
        text = f"R-hat above {SPIKE_R_HAT} {often}: walkers are stuck in modes of their own"
        yield Symptom("stuck", f"{text}; tempering or moves over longer distances may help")


def disagreement(part: Judged) -> Iterator[Symptom]:
    """Chains that do not agree, by the median of R-hat."""
    r_hat, limit = part.r_hat, r_hat_limit(part.draws)
    if r_hat is not None and part.is_enough and r_hat > limit and not part.is_constant:
        text = f"R-hat {r_hat:.3f} (median of the last {part.last} iterations), above {limit:.3g}: the walkers do"
        yield Symptom("R-hat", f"{text} not agree; a larger sampler.sweep or sampler.discard, or tempering may help")


def standstill(part: Judged) -> Iterator[Symptom]:
    """Walkers that hardly move, unless they sit on the configurations of an eigenstate."""
    if part.is_eigenstate:
        return
    acceptance = part.mean("acceptance")
    if acceptance is not None and part.is_enough and acceptance < SMALLEST_ACCEPTANCE:
        text = f"acceptance {acceptance:.2g} over the last {part.last} iterations: the walkers hardly move"
        yield Symptom("acceptance", f"{text}; other sampler.moves or tempering may help")


def few_count(part: Judged) -> Iterator[Symptom]:
    """Weights that let few of the samples count."""
    effective, samples = part.mean("effective_samples"), part.mean("n_samples")
    if effective is None or not samples or not part.is_enough:
        return
    if effective < SMALLEST_EFFECTIVE_PART * samples:
        text = f"the weights of {samples:.0f} samples count as {effective:.0f} equal ones: sampler.power is far from 2"
        yield Symptom("weights", f"{text}; a power closer to 2 has smaller errors")


def _few_for_parameters(part: Judged, samples: float) -> Iterator[Symptom]:
    """Too few samples for S, where it is hardly damped; methods without S have none of this."""
    parameters, sr = int(part.run.attributes["n_parameters"]), part.run.config.get("sr", {})
    if sr.get("method", "reconfiguration") != "reconfiguration" or samples >= FEWEST_PER_PARAMETER * parameters:
        return
    damping = (part.mean("shift") or 0.0) + _final(sr.get("floor", 0.0))
    if damping >= STRONG_DAMPING:
        return
    state = "singular" if samples < parameters else "half noise"
    text = f"{samples:.0f} samples per iteration for {parameters} parameters: S is {state}, and hardly damped"
    keys = f"sampler.samples to {FEWEST_PER_PARAMETER * parameters:.0f}, or sr.floor or sr.shift.minimum to"
    yield Symptom("parameters", f"{text} (Lambda = {damping:.1g} S_kk); raise {keys} {STRONG_DAMPING:g}")


def _final(schedule: Any) -> float:
    """The value of a schedule after many iterations, as the stored input has it."""
    if isinstance(schedule, Mapping):
        decays = float(schedule.get("decay", 1.0)) < 1.0
        return float(schedule.get("minimum", 0.0) if decays else schedule.get("initial", 0.0))
    return float(schedule)


def few_samples(part: Judged) -> Iterator[Symptom]:
    """Too few samples for the parameters, or for an error."""
    samples, tau = part.mean("n_samples"), part.mean("autocorrelation_time")
    exact = part.run.config.get("sampler", {}).get("kind") == "exact"
    if samples and not exact:
        yield from _few_for_parameters(part, samples)
    judged = not exact and not part.is_constant
    independent = independent_samples(samples, tau)
    if judged and independent < FEWEST_PER_ITERATION:
        text = f"{independent:.0f} independent samples per iteration (tau {tau:.2g})"
        yield Symptom("samples", f"{text}: raise sampler.samples, or sampler.sweep")


CURE = "start again with sampler.smear = 0.2, another ansatz (ansatz.alpha, ansatz.init_scale) or another sampler.start"
"""Advice in warnings of a leak."""


@dataclass(frozen=True)
class LeakFound:
    """Result of leak tests, in units of energy^2, of all sites together.

    Attributes:
        variance: of H, by smeared draws.
        leak: the part of it that the walkers do not see.
        error: standard error of the leak.
        v_score: N leak / (E - E_inf)^2; None where the energies are not known.
    """

    variance: float
    leak: float
    error: float
    v_score: float | None

    @classmethod
    def of(cls, variance: float, leak: float, error: float, v_score: float, sampled: float) -> LeakFound:
        """With its V-score by those of the sampled variance, which both have the same energies."""
        return cls(variance, leak, error, leak * v_score / sampled if sampled > 0 else None)

    @property
    def is_large(self) -> bool:
        """True where the leak is resolved, most of the variance, and enough to matter."""
        resolved = self.leak > LEAK_DEVIATIONS * self.error
        matters = self.v_score is None or self.v_score > LEAK_V_SCORE
        return resolved and self.leak > LARGEST_LEAK * self.variance and matters

    def text(self, n_sites: int) -> str:
        """The text of a warning: the variance, the part of it that the walkers see, and advice."""
        seen = max(0.0, self.variance - self.leak) / n_sites
        whole = f"leak test: variance/N is {self.variance / n_sites:.2g} +- {self.error / n_sites:.1g}"
        why = "psi nearly vanishes where H psi does not, and variance, V-score and gradient miss it"
        return f"{whole}, of which the walkers see {seen:.2g}: {why}; {CURE}"


def leak_text(leak: float, error: float, units: str) -> str:
    """A leak per site in words: its value, and if the walkers miss any variance.

    Args:
        leak, error: per site, in ``units`` squared.
        units: of the energy; what it multiplies, in brackets, is left out.
    """
    unit = units.split(" (")[0]
    seen = f"{leak:.2g} +- {error:.1g} {f'({unit})' if '/' in unit else unit}^2"
    if leak > LEAK_DEVIATIONS * error:
        return f"{seen} hidden from the walkers: sampled variance/N is too small"
    return f"{seen}: no part of variance/N is hidden from the walkers"


def leak_found(part: Judged) -> LeakFound | None:
    """The mean of the leak tests of a part of a run; None where there was none.

    Its error is not less than that of independent tests with their own errors.
    """
    series, rows = part.run.series, part.plateau.rows
    rows = rows[np.isfinite(series["leak"][rows]) & np.isfinite(series["leak_error"][rows])]
    if not len(rows):
        return None
    leaks, errors = series["leak"][rows], series["leak_error"][rows]
    error = mean(leaks, errors).error if len(rows) >= FEWEST_SCATTER else independent_error(errors)
    leak = float(leaks.mean())
    return LeakFound(float(series["variance_smeared"][rows].mean()), leak, error, _v_score_of_leak(part, leak))


def _v_score_of_leak(part: Judged, leak: float) -> float | None:
    """The V-score of a variance at the energies of a part: V-score and variance of the run are in this proportion."""
    v_score, variance = part.run.series["v_score"][part.plateau.rows], part.run.series["variance"][part.plateau.rows]
    known = np.isfinite(v_score) & np.isfinite(variance) & (variance > 0)
    return leak * float(np.median(v_score[known] / variance[known])) if known.any() else None


def tail_found(part: Judged) -> Tail | None:
    """The tail of the local energy over the leak tests of a part of a run; None where there are too few.

    Means are taken of 1 / exponent, which is 0 where an iteration has no tail.
    """
    exponents = part.run.series["tail_exponent"][part.plateau.rows]
    exponents = exponents[~np.isnan(exponents)]
    if len(exponents) < FEWEST_SCATTER:
        return None
    inverse = mean(1.0 / exponents)
    if not inverse.mean > 0:
        return Tail(math.inf, math.inf)
    return Tail(1.0 / inverse.mean, inverse.error / inverse.mean**2)


def tail_text(exponent: float, error: float) -> str:
    """The exponent of the tail of the local energy with its error."""
    return f"{exponent:.2f} +- {error:.2f}" if math.isfinite(exponent) else "none: no tail"


def tail_warning(tail: Tail, variance: float, missed: float, v_score: float, error: float) -> str:
    """The text of a warning of heavy tails: too heavy for errors made of the scatter of draws, and far from every
    eigenstate, or where draws have missed a part of the variance; "" where there is nothing to warn of.

    Args:
        tail: of the local energy.
        variance: by the draws, of all sites.
        missed: the part of the variance that they miss.
        v_score: by ``variance``.
        error: of the energy per site.
    """
    limit = LEAK_V_SCORE if missed > 0 else LARGEST_V_SCORE
    whole = v_score * (1.0 + missed / variance) if variance > 0 else v_score
    if not tail.is_below(HEAVY_TAIL, HEAVY_TAIL_ERRORS) or not whole > limit:
        return ""
    exponent = f"exponent {tail_text(tail.exponent, tail.error)}, below {HEAVY_TAIL:g}"
    seen = "the variance of the draws is too small" if missed > 0 else "the variance may be too small"
    return f"local energies have heavy tails ({exponent}): the error of E/N is at least {error:.1e}, and {seen}"


def heavy_tails(part: Judged) -> Iterator[Symptom]:
    """Local energies whose tails are too heavy for errors made of the scatter of draws."""
    tail, v_score, variance = tail_found(part), part.mean("v_score"), part.mean("variance")
    if tail is None or v_score is None or variance is None or not part.is_enough or part.is_constant:
        return
    missed = missed_by_draws(part.run, part.plateau.rows)
    if text := tail_warning(tail, variance, missed, v_score, part.plateau.error):
        yield Symptom("tails", f"{text}; sampler.smear = 0.2 draws the tails as well")


def leaks(part: Judged) -> Iterator[Symptom]:
    """Variance that the walkers do not see: neither those of the tests, nor all draws of the part, of which there are
    many more.  Rare configurations with a large local energy are missed by the few, and are no hidden region."""
    found, sampled = leak_found(part), part.mean("variance")
    if found is None or not found.is_large:
        return
    if sampled is None or found.variance - sampled > LARGEST_LEAK * found.variance:
        yield Symptom("leak", found.text(part.run.n_sites))
