"""The settled part of a run: what is left out, how often it is right, and what happens where nothing has settled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter
from scipy.stats import binomtest, norm

from pvmc.analysis.average import average
from tests.helpers import mean_p

Floats = npt.NDArray[np.float64]


def correlated(rng: np.random.Generator, n: int, rho: float) -> Floats:
    """A stationary series x_t = rho x_(t-1) + noise, of unit variance."""
    noise = np.sqrt(1 - rho**2) * rng.normal(size=n)
    noise[0] = rng.normal()
    return np.asarray(lfilter([1.0], [1.0, -rho], noise))


def test_iterations_before_the_energy_has_settled_are_left_out() -> None:
    """The energy falls to its level within the first 60 %, over far more than the noise."""
    rng = np.random.default_rng(1)
    series = np.concatenate([np.linspace(5.0, 0.0, 600), np.zeros(400)]) + 0.01 * rng.normal(size=1000)
    found = average(series)
    assert found is not None
    assert found.settled
    assert found.rows[0] >= 600
    assert found.rows[-1] == 999
    assert abs(found.plateau.mean) < 5 * found.plateau.error


def test_a_settled_series_is_averaged_over_its_second_half() -> None:
    found = average(np.random.default_rng(2).normal(size=800))
    assert found is not None
    assert found.settled
    np.testing.assert_array_equal(found.rows, np.arange(400, 800))


def test_the_mean_is_covered_by_its_error_nearly_as_often_as_it_should() -> None:
    """The part is chosen by the data, which must neither bias the mean nor make its error useless.

    Of settled series a 20th is taken for one that has not, and averaged over less.  It costs coverage: two standard
    errors hold the mean in at least 92 % of the cases, and never in more than the 95.5 % of a normal law; one, in at
    least 62 % and at most 68.3 %.  Each bound is refused at the level 1e-4, the mean two-sided at 1e-3.
    """
    rng, pulls = np.random.default_rng(3), []
    for _ in range(800):
        found = average(correlated(rng, 1024, 0.5))
        assert found is not None
        pulls.append(found.plateau.mean / found.plateau.error)
    assert mean_p(np.array([pulls]), np.zeros(1)) > 1e-3
    for width, least in ((1, 0.62), (2, 0.92)):
        inside, most = int((np.abs(pulls) < width).sum()), float(norm.cdf(width) - norm.cdf(-width))
        assert binomtest(inside, 800, least, alternative="less").pvalue > 1e-4
        assert binomtest(inside, 800, most, alternative="greater").pvalue > 1e-4


def test_a_series_that_drifts_all_the_time_has_not_settled() -> None:
    series = np.linspace(1.0, 0.0, 512) + 1e-5 * np.random.default_rng(4).normal(size=512)
    found = average(series)
    assert found is not None
    assert not found.settled
    np.testing.assert_array_equal(found.rows, np.arange(384, 512))


def test_energies_that_are_not_finite_are_left_out() -> None:
    series = np.random.default_rng(5).normal(size=400)
    series[[-1, -50]] = np.nan, np.inf
    found = average(series)
    assert found is not None
    assert np.isfinite(series[found.rows]).all()
    assert 399 not in found.rows
    assert average(np.array([1.0, np.nan, 1.0, 1.0])) is None


def test_a_series_without_noise_has_settled_where_it_is_constant() -> None:
    """Of an eigenstate every local energy is the same."""
    found = average(np.full(100, -3.5))
    assert found is not None
    assert found.settled
    assert (found.plateau.mean, found.plateau.error) == (-3.5, 0.0)
