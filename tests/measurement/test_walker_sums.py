"""Sums of a measurement over its Markov chains, against the draws that they are made of."""

from __future__ import annotations

import numpy as np
import pytest

from pvmc.measurement.walker_sums import WalkerSums

BLOCKS, WIDTH, DRAWS = 2, 3, 50


def summed(values: np.ndarray, energies: np.ndarray) -> WalkerSums:
    """The chains of values (draws, blocks, n_values, L) and energies (draws, blocks, L), in two batches."""
    chains = WalkerSums.empty(BLOCKS, values.shape[2], WIDTH)
    for batch in np.array_split(np.arange(len(values)), 2):
        for number, draw in enumerate(batch):
            for block in range(BLOCKS):
                chains.add(block, number, values[draw, block], energies[draw, block])
        chains.draws += len(batch)
    return chains


def gelman_rubin(draws: np.ndarray) -> float:
    """R-hat of draws (n, n_chains), by its definition."""
    n = len(draws)
    within, between = draws.var(axis=0, ddof=1).mean(), draws.mean(axis=0).var(ddof=1)
    return float(np.sqrt(((n - 1) / n * within + between) / within))


def test_r_hat_of_every_value() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(DRAWS, BLOCKS, 4, WIDTH))
    values[:, :, 1] += rng.normal(size=(BLOCKS, WIDTH))  # chains that disagree
    values[:, :, 2] = np.pi  # a constant, up to rounding
    values[:, :, 3] = np.sign(rng.normal(size=(BLOCKS, WIDTH)))  # chains that never leave their sign
    chains = summed(values, rng.normal(size=(DRAWS, BLOCKS, WIDTH)).astype(complex))
    found = chains.r_hats()
    flat = values.transpose(0, 2, 1, 3).reshape(DRAWS, 4, -1)
    np.testing.assert_allclose(found[:2], [gelman_rubin(flat[:, k]) for k in (0, 1)], rtol=1e-10)
    assert found[1] > 1.2 > found[0]
    assert found[2] == 1.0 and found[3] > 1e3
    means, errors = chains.means()
    np.testing.assert_allclose(means, flat.mean(axis=(0, 2)), rtol=1e-12)
    np.testing.assert_allclose(errors[:2], flat[:, :2].mean(axis=0).std(axis=1, ddof=1) / np.sqrt(6), rtol=1e-10)


def test_one_draw_has_no_r_hat() -> None:
    chains = summed(np.ones((1, BLOCKS, 2, WIDTH)), np.ones((1, BLOCKS, WIDTH), dtype=complex))
    assert np.isnan(chains.r_hats()).all()


@pytest.mark.parametrize(
    ("energy", "radius"), [(-3.3, 7.0), (1e-17, 7.0), (0.1 + 7.0 / 3.0, 1e-3), (-(2.0**200) / 3.0, 2.0**200)]
)
def test_energies_without_scatter_above_rounding_have_no_times(energy: float, radius: float) -> None:
    """Walkers of a product state or an eigenstate: what is left of their differences is rounding."""
    size = max(abs(energy), radius)
    noise = np.random.default_rng(5).normal(size=(DRAWS, BLOCKS, WIDTH))
    apart = np.arange(BLOCKS * WIDTH).reshape(BLOCKS, WIDTH)  # of each walker, at all draws
    for scatter in (0.0 * noise, 1e-15 * noise, 1e-15 * apart + 0.0 * noise):
        result = summed(noise[:, :, None], energy + size * scatter + 0j).energy_statistics(8, 0.0, radius)
        assert (result.r_hat, result.autocorrelation_time) == (1.0, 1.0)
    result = summed(noise[:, :, None], energy + size * 1e-9 * apart + 0.0 * noise + 0j).energy_statistics(
        8, 0.0, radius
    )
    assert result.r_hat > 1e3 and result.autocorrelation_time > DRAWS / 2


def test_tails_go_on_from_a_checkpoint_and_begin_anew_where_it_has_none() -> None:
    """Every energy counts, with the distance from the mean of its block so far; files of earlier versions lack them."""
    energies = np.random.default_rng(6).standard_cauchy(size=(DRAWS, BLOCKS, WIDTH)) + 0j
    chains = summed(np.ones((DRAWS, BLOCKS, 1, WIDTH)), energies)
    assert chains.tails.sum() == energies.size
    assert 0.4 < chains.tail().exponent < 2.0
    saved = chains.saved()
    restored = WalkerSums.restored(saved, range(1, 2), True)
    np.testing.assert_array_equal(restored.tails, chains.tails[1:])
    earlier = WalkerSums.restored({name: saved[name] for name in saved if name != "tails"}, range(1, 2), True)
    assert earlier.tails.shape == restored.tails.shape and not earlier.tails.any()
    assert np.isnan(earlier.tail().exponent)
