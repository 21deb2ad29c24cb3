"""Heavy tails of the local energy: their exponent, from counts alone, and errors of means whose tail was not drawn.

Where psi nearly vanishes the local energy is large, |E_loc| = |(H psi)(s) / psi(s)|, and |E_loc - E| exceeds x with a
probability that falls as x^-a.  With a < 4 the variance of the variance, with a < 2 the variance itself comes from
configurations that are hardly drawn: what most series of draws give is too small, and so is the error made of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pvmc.statistics.thresholds import (
    HEAVY_SQUARES,
    HEAVY_TAIL_ERRORS,
    MISSED_DEVIATIONS,
    SMALLEST_TAIL,
    UNSEEN_COUNT,
)

BINS = 128
"""Bins of |x|^2, each a factor of 2 wide, the first for all that is smaller and the last for all that is larger."""

FIRST_EXPONENT = -80
"""|x|^2 < 2^-80 is in the first bin: differences of local energies next to rounding, in units of the radius of H."""

FEWEST_LARGEST = 64
"""The tail is made of at most this many of the largest entries, or of twice the square root of their number."""


def count_squares(deviations: NDArray[Any], unit: float) -> NDArray[np.int64]:
    """Numbers of the entries x by |x / unit|^2, int64 (BINS,): sums of them are exact, over blocks and over ranks.

    Args:
        deviations: local energies less their mean, float64 or complex128, of any shape; those not finite do not count.
        unit: of the order of the largest energies, in their units; 0 counts as 1.
    """
    scaled = np.abs(deviations.ravel()) / (unit or 1.0)
    scaled = scaled[np.isfinite(scaled)]
    exponents = 2 * np.frexp(scaled)[1] - (np.frexp(scaled)[0] < math.sqrt(0.5))  # |x|^2 < 2^exponent, at least half
    places = np.where(scaled > 0, np.clip(exponents - FIRST_EXPONENT, 0, BINS - 1), 0)
    return np.bincount(places, minlength=BINS).astype(np.int64)


@dataclass(frozen=True)
class Tail:
    """Decay of the probability of large deviations, P(|x| > X) ~ X^-exponent.

    Attributes:
        exponent: inf where nothing is far larger than the rest; NaN where nothing was counted.
        error: its standard error; inf or NaN with the exponent.
    """

    exponent: float
    error: float

    def is_below(self, limit: float, errors: float) -> bool:
        """True where the exponent lies below a limit by so many errors."""
        return self.exponent + errors * self.error < limit


def tail_of(counts: NDArray[np.int64]) -> Tail:
    """The tail of counts (BINS,) of :func:`count_squares`, by the estimator of largest likelihood.

    Of a Pareto tail every bin holds the part q = 2^(-a/2) of the entries from the bin before on, so that the numbers m
    of bins above the first are geometric: mean m = q / (1 - q).  It is B. M. Hill's estimator (Ann. Stat. 3, 1163
    (1975)) of values known to a factor of sqrt(2), whose error is larger by a few percent.  The tail begins where, from
    below, so few entries are left for the first time: given their number, the ones above are independent of the choice.
    """
    n = int(counts.sum())
    if n == 0:
        return Tail(math.nan, math.nan)
    above = np.cumsum(counts[::-1])[::-1]  # entries from each bin on
    few = np.flatnonzero(above <= max(FEWEST_LARGEST, 2.0 * math.sqrt(n)))
    first = int(few[0]) if len(few) else BINS - 1
    k, steps = int(above[first]), float(counts[first:] @ np.arange(BINS - first))
    if steps == 0:
        return Tail(math.inf, math.inf)
    q = steps / (k + steps)
    return Tail(-2.0 * math.log2(q), 2.0 * (1.0 - q) / (math.log(2.0) * math.sqrt(q * k)))


def unseen_variance(counts: NDArray[np.int64], unit: float) -> float:
    """The part of <|x|^2> that comes from entries beyond the largest, in squares of its unit; 0 of a light tail.

    Of n entries of a Pareto tail c are expected beyond X_1 c^(-1/a), X_1 the largest, so that those beyond it down to
    c = UNSEEN_COUNT add up to X_1^2 / n times the integral of c^(-2/a) from there to 1.

    Args:
        counts: of :func:`count_squares`, int64 (BINS,).
        unit: the unit of the entries that they were made with.
    """
    tail = tail_of(counts)
    if not tail.is_below(HEAVY_SQUARES, HEAVY_TAIL_ERRORS):
        return 0.0
    power = 1.0 - 2.0 / max(tail.exponent, SMALLEST_TAIL)
    integral = -math.expm1(power * math.log(UNSEEN_COUNT)) / power if power else -math.log(UNSEEN_COUNT)
    largest = math.ldexp(math.sqrt(0.5), int(np.flatnonzero(counts)[-1]) + FIRST_EXPONENT)  # the middle of its bin
    return largest * integral / int(counts.sum()) * (unit or 1.0) ** 2


def missed_variance(seen: float, whole: float, error: float) -> float:
    """The part of a variance that draws miss, in its units; 0 where it is not resolved.

    Args:
        seen: the variance by the draws.
        whole: the variance by smeared draws, whose tail is light (:mod:`pvmc.estimators.smeared`).
        error: standard error of ``whole``.
    """
    missed = whole - seen
    return missed if missed > MISSED_DEVIATIONS * error else 0.0


def error_with_missed(error: float, missed: float, tau: float, n: float, bound: float = math.inf) -> float:
    """Standard error of a mean of n draws some of whose variance they have missed: sqrt(error^2 + tau missed / n).

    With error^2 = tau seen / n this is sqrt(tau whole / n), the standard deviation of the mean over repeated series of
    draws, also of those few that come to the tail.  Where the mean lacks the part p x of configurations of probability
    p << 1/n, x from the mean, the error holds it: x sqrt(p/n) > p x.

    Args:
        error: by the scatter of the draws.
        missed: the variance that they have missed.
        tau: autocorrelation time in draws.
        n: number of draws.
        bound: how far the mean may be off by what smeared draws say of it, where they do: their distance from it and
            their own error.
    """
    if not missed > 0:
        return error
    deviation = math.sqrt(error**2 + missed * max(1.0, tau) / n)
    return max(error, min(deviation, bound)) if math.isfinite(bound) else deviation


def variance_error_with_missed(error: float, missed: float, whole_error: float) -> float:
    """Standard error of a variance by draws that have missed a part of it: the part with its own error, or ``error``
    where that is larger."""
    return max(error, missed + whole_error) if missed > 0 else error
