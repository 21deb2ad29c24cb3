"""Whether all points of a measurement agree with numbers that are known: one chi-square with their full covariance.

The points of a measurement are made of the same configurations, so that their deviations are correlated, and some are
linear in each other.  Walkers are independent: the covariance is that of the means of single walkers, or of pairs of
them where entropies are among the points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]

NO_SCATTER = 1e-9
"""Standard deviation of a pair's mean below which a point, or a combination of points, is one that cannot vary: sigma^z
where it is conserved, S(q) less the sum of C(r), an eigenstate's energy."""

NO_DEVIATION = 1e-6
"""Largest deviation along these that counts as rounding."""


@dataclass(frozen=True)
class Agreement:
    """How far means lie from what is expected.

    Attributes:
        statistic: Hotelling's T^2 = n d^T C^-1 d, with the deviations d of the means and the covariance C of one unit;
            chi-square for many units.
        degrees: p, the combinations of points that vary.
        n_units: n, independent units that means and covariance were made of.
        p_value: probability of a larger one (Hotelling, Ann. Math. Stat. 2, 360 (1931)): T^2 (n - p) / (p (n - 1)) has
            the F distribution with p and n - p degrees of freedom.
        largest: largest deviation of a single point, in its standard error.
        largest_p: probability of a larger one among so many points, at most (Student's t, Bonferroni): a single point
            that is off counts little among many others in the statistic.
        unmoved: largest deviation among the combinations that cannot vary; rounding, if all is well.
    """

    statistic: float
    degrees: int
    n_units: int
    p_value: float
    largest: float
    largest_p: float
    unmoved: float

    @property
    def two_sided(self) -> float:
        """The two-sided p-value: too good a fit is improbable too."""
        return 2.0 * min(self.p_value, 1.0 - self.p_value)

    def accepted(self, level: float) -> bool:
        """Whether all points agree, by two tests at half the level each, and nothing is off that cannot vary."""
        return min(self.two_sided, self.largest_p) >= level / 2.0 and self.unmoved <= NO_DEVIATION


def agreement(samples: Floats, expected: Floats) -> Agreement:
    """Hotelling's test of the means of independent units.

    Args:
        samples: float64 (n_units, n_points).
        expected: float64 (n_points,).

    Raises:
        ValueError: no more units than points that vary.
    """
    n_units = len(samples)
    deviation = samples.mean(axis=0) - expected
    covariance = np.cov(samples, rowvar=False)
    variances, directions = np.linalg.eigh(covariance)
    along = directions.T @ deviation
    varies = variances > NO_SCATTER**2 + np.finfo(float).eps * len(expected) * variances[-1]
    degrees = int(varies.sum())
    if not 0 < degrees < n_units:
        raise ValueError(f"{n_units} units are too few for {degrees} points")
    statistic = n_units * float(np.sum(along[varies] ** 2 / variances[varies]))
    f = statistic * (n_units - degrees) / (degrees * (n_units - 1))
    p_value = float(stats.f.sf(f, degrees, n_units - degrees))
    errors = np.sqrt(np.diag(covariance) / n_units)
    moving = errors > NO_SCATTER
    largest = float(np.max(np.abs(deviation[moving]) / errors[moving], initial=0.0))
    largest_p = min(1.0, 2.0 * float(stats.t.sf(largest, n_units - 1)) * int(moving.sum()))
    unmoved = float(np.abs(along[~varies]).max(initial=0.0))
    return Agreement(statistic, degrees, n_units, p_value, largest, largest_p, unmoved)


def pair_means(numbers: Mapping[str, npt.NDArray[Any]]) -> Floats:
    """What each pair of walkers found, float64 (n_pairs, n_values + n_regions): local values, then purities.

    Args:
        numbers: the sums of a measurement, as its checkpoints hold them; walker l of a block of L is paired with
            walker l + L/2 for the purities, and so it is here.
    """
    sums = numbers["sums"] / numbers["draws"]
    half = sums.shape[2] // 2
    values = (sums[:, :, :half] + sums[:, :, half:]) / 2.0
    columns = values
    if "renyi2_sums" in numbers:
        columns = np.concatenate([values, numbers["renyi2_sums"][..., 0] / numbers["renyi2_weights"]], axis=1)
    return columns.transpose(0, 2, 1).reshape(-1, columns.shape[1])
