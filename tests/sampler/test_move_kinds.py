"""Every kind of move, and mixtures of them, sample |psi|^2; tempering crosses barriers that flips do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pvmc.estimators import local_energy
from pvmc.estimators.energy import energy_statistics
from pvmc.hamiltonians import Operator, X, Y, Z
from pvmc.hamiltonians.heisenberg import xxz
from pvmc.hamiltonians.ising import transverse_field_ising
from pvmc.lattice import chain, rectangle
from pvmc.mpi import SerialCommunicator
from pvmc.sampler import Metropolis, Moves, MoveWeights, Tempering, Walkers, advance, start
from pvmc.sampler.moves import Maps
from pvmc.sampler.spec import MetropolisSpec
from pvmc.wavefunctions import RBM
from tests.designs import designed
from tests.helpers import (
    all_pass,
    binomial_p,
    chi_square_p,
    configurations,
    labels_of,
    random_rbm,
    two_sided,
)
from tests.sampler.chains import counted, probabilities

LEVEL = 1e-3
"""Significance of each test, two-sided."""

N_SITES = 6
RING = chain(N_SITES)


def heisenberg() -> Operator:
    return Operator.from_pauli_sum(xxz(RING.bonds(), 1.0, 1.0), N_SITES)


def ising() -> Operator:
    return Operator.from_pauli_sum(transverse_field_ising(N_SITES, RING.bonds(), 1.0, 1.0), N_SITES)


def three_body() -> Operator:
    """Terms that flip one, two and three spins, in no order that conserves anything."""
    strings = [X(i) * X((i + 1) % 6) * Y((i + 2) % 6) + 0.5 * X(i) * Z((i + 1) % 6) for i in range(6)]
    return Operator.from_pauli_sum(sum(strings, 0.3 * X(0) * X(3)), N_SITES)


OPERATORS = {"heisenberg": heisenberg, "ising": ising, "three_body": three_body}

CASES: list[tuple[str, dict[str, float], int | None]] = [
    ("heisenberg", {"hamiltonian": 1.0}, 0),
    ("heisenberg", {"hamiltonian": 1.0, "exchange_any": 0.5}, 2),
    ("ising", {"hamiltonian": 1.0}, None),
    ("three_body", {"hamiltonian": 1.0}, None),
    ("ising", {"flip": 1.0, "global_flip": 0.3}, None),
    ("heisenberg", {"exchange": 1.0, "global_flip": 0.3}, 0),
    ("ising", {"flip": 1.0, "translation": 0.4}, None),
    ("heisenberg", {"exchange": 1.0, "translation": 0.4}, -2),
    ("three_body", {"flip": 0.4, "exchange": 1.0, "hamiltonian": 1.0, "global_flip": 0.2, "translation": 0.3}, None),
]


def sampler(weights: dict[str, float], operator: Operator | None = None, **counts: object) -> Metropolis:
    moves = Moves.build(MoveWeights(**weights), RING, operator)
    settings = {"seed": 5, "n_draws": 12, "sweep": 2 * N_SITES, "burn_in": 10, "discard": 1}
    return Metropolis(moves, **(settings | counts))  # type: ignore[arg-type]


@pytest.mark.statistical
@designed(strength=1, case=CASES, dtype=[np.complex128, np.float64])
def test_samples_follow_the_wave_function(case: tuple[str, dict[str, float], int | None], dtype: type) -> None:
    """The last draw of each of 6400 independent chains, against |psi|^2 on all configurations."""
    model, weights, magnetization = case
    rbm, theta = random_rbm(N_SITES, dtype, scale=0.35)
    metropolis = sampler(weights, OPERATORS[model](), n_draws=1, burn_in=25)
    walkers = start("random", range(100), 64, RING, magnetization, 3)
    _, samples = advance(metropolis, walkers, rbm.at(theta), 0)
    expected = probabilities(rbm.at(theta), N_SITES, magnetization)
    counts = counted(samples.spins)
    assert counts[expected == 0].sum() == 0, "the magnetisation is kept"
    assert 0 < samples.accepted < samples.proposed
    assert chi_square_p(counts[expected > 0], expected[expected > 0]) > LEVEL


@pytest.mark.statistical
@pytest.mark.parametrize(("model", "weights", "magnetization"), CASES, ids=str)
def test_detailed_balance(model: str, weights: dict[str, float], magnetization: int | None) -> None:
    """Started from |psi|^2 itself, one proposal leads from s to s' as often as from s' to s.

    Per pair of configurations the number of steps there less the number back has mean 0 and variance their sum.
    """
    rbm, theta = random_rbm(N_SITES, np.complex128, scale=0.35)
    start_from = probabilities(rbm.at(theta), N_SITES, magnetization)
    labels = np.random.default_rng(8).choice(2**N_SITES, size=300 * 64, p=start_from)
    spins = (1 - 2 * ((labels >> np.arange(N_SITES)[:, None]) & 1)).astype(np.int8)
    walkers = Walkers(np.ascontiguousarray(spins.reshape(N_SITES, 300, 64).transpose(1, 0, 2)), 0)
    metropolis = sampler(weights, OPERATORS[model](), n_draws=1, sweep=1, burn_in=0)
    after, _ = advance(metropolis, walkers, rbm.at(theta), 0)
    there = np.zeros((2**N_SITES, 2**N_SITES))
    ends = labels_of(after.spins.transpose(1, 0, 2).reshape(N_SITES, -1))
    np.add.at(there, (labels, ends), 1)
    above = np.triu_indices(2**N_SITES, 1)
    forth, back = there[above], there.T[above]
    often = forth + back >= 16
    assert often.sum() > 10
    statistic = np.sum((forth - back)[often] ** 2 / (forth + back)[often])
    assert stats.chi2.sf(statistic, int(often.sum())) > LEVEL


def test_every_map_alone_leaves_any_distribution_as_it_is() -> None:
    """p K = p for the step of one map, half forwards and half backwards, of all symmetries with and without a flip.

    K from the images that :class:`Maps` gives, on all configurations of a rectangle, with Metropolis' acceptance; p is
    a random distribution.  Forwards alone, only maps that are their own inverse would do.
    """
    lattice = rectangle((3, 2), periodic=(True, False))
    group = lattice.group("space")
    maps = Maps(np.concatenate([group, group]), np.repeat(np.array([1, -1], dtype=np.int8), len(group)))
    spins = configurations(lattice.n_sites)
    p = np.random.default_rng(2).exponential(size=spins.shape[1])
    p, here = p / p.sum(), np.arange(len(p))

    def flow(k: int, backwards: bool) -> np.ndarray:
        """p_s K(s -> s') - p_s for one sense, summed over s."""
        there = labels_of(maps.apply(k, spins, np.full(len(p), backwards)))
        passing = np.minimum(p, p[there])
        return np.bincount(there, weights=passing, minlength=len(p)) - passing

    assert len(maps) == 24
    own_inverse = [np.array_equal(g[g], np.arange(lattice.n_sites)) for g in maps.permutations]
    assert 0 < sum(own_inverse) < len(maps)
    for k in range(len(maps)):
        np.testing.assert_allclose(flow(k, False) + flow(k, True), 0.0, rtol=0, atol=1e-15)
        assert (np.abs(flow(k, False)).max() < 1e-15) == own_inverse[k]
        images = maps.apply(k, maps.apply(k, spins, here % 2 == 0), here % 2 == 1)
        np.testing.assert_array_equal(images, spins, "there and back")


def test_walkers_of_a_block_turn_a_map_round_by_fair_bits_of_their_own() -> None:
    moves = Moves.build(MoveWeights(flip=1.0, translation=1.0), RING)
    rng = np.random.default_rng(4)
    chosen = moves.choose(rng, 1000)
    backwards = moves.senses(rng, chosen, 64)
    assert backwards.shape == (np.count_nonzero(chosen >= N_SITES), 64)
    n = backwards.size
    together = np.count_nonzero(backwards[:, ::2] == backwards[:, 1::2])
    assert all_pass([binomial_p(int(backwards.sum()), n, 0.5), binomial_p(together, n // 2, 0.5)], LEVEL)
    before = rng.bit_generator.state["state"]["state"]
    assert moves.senses(rng, np.arange(N_SITES), 64).shape == (0, 64)
    assert rng.bit_generator.state["state"]["state"] == before, "without maps the random numbers stay what they are"


def pulls(
    weights: dict[str, float],
    operator: Operator,
    magnetization: int | None,
    width: int,
    tempering: Tempering | None = None,
) -> np.ndarray:
    """(E - exact)/error of 60 independent iterations of 256 walkers in blocks of a width, 8 draws each.

    The state is random, without symmetry; walkers (and replicas) start from its |psi|^2 itself, by the enumeration
    that also gives local energies and their exact mean.
    """
    rbm, theta = random_rbm(N_SITES, np.complex128, scale=0.35)
    psi, spins, n_blocks = rbm.at(theta), configurations(N_SITES, magnetization), 256 // width
    labels = labels_of(spins)
    energies = np.zeros(2**N_SITES)
    energies[labels] = local_energy(operator, psi, spins, psi.lookup(spins)).real
    energies -= probabilities(rbm.at(theta), N_SITES, magnetization) @ energies
    betas = tempering.betas if tempering else (1.0,)
    found = []
    for seed in range(60):
        rng = np.random.default_rng([seed, 9])
        starts = [
            rng.choice(
                2**N_SITES, size=(n_blocks, width), p=probabilities(rbm.at(theta), N_SITES, magnetization, 2.0 * beta)
            )
            for beta in betas
        ]
        shape = configurations(N_SITES)[:, np.concatenate(starts, axis=1)].transpose(1, 0, 2)
        counts = {"n_draws": 8, "sweep": N_SITES, "burn_in": 0, "discard": 0}
        metropolis = sampler(weights, operator, seed=seed, tempering=tempering, **counts)
        _, samples = advance(metropolis, Walkers(np.ascontiguousarray(shape), 0), psi, 0)
        series = energies[labels_of(samples.spins.transpose(2, 1, 0, 3).reshape(N_SITES, -1))].reshape(8, -1)
        mean = float(series.mean())
        result = energy_statistics(series - mean, mean, N_SITES, 0.0, 1, 1, SerialCommunicator())
        found.append(mean / result.error)
    return np.array(found)


def pull_p_values(values: np.ndarray) -> list[float]:
    """Two-sided p-values of the mean square, 1 where errors are right, and of the mean, 0 where there is no bias."""
    square, mean = float(np.sum(values**2)), float(np.sum(values)) / np.sqrt(len(values))
    return [two_sided(float(stats.chi2.cdf(square, len(values)))), two_sided(float(stats.norm.cdf(mean)))]


@pytest.mark.statistical
@designed(strength=1, case=CASES, width=[64, 256])
def test_errors_are_as_large_as_the_deviations(case: tuple[str, dict[str, float], int | None], width: int) -> None:
    """Of the energy, for every kind of move and mixtures: the walkers of a block are independent, at any width.

    With translations that were the same for all walkers of a block of 256, deviations were 1.28 to 1.72 times as large
    as the claimed errors.
    """
    model, weights, magnetization = case
    assert all_pass(pull_p_values(pulls(weights, OPERATORS[model](), magnetization, width)), LEVEL)


@pytest.mark.statistical
@pytest.mark.parametrize(("betas", "width"), [((1.0, 0.9, 0.8), 64), ((1.0, 0.4, 0.1), 256)])
def test_errors_with_tempering_are_as_large_as_the_deviations(betas: tuple[float, ...], width: int) -> None:
    """A walker exchanges configurations with replicas of its own alone, so that walkers stay independent."""
    values = pulls({"flip": 1.0, "translation": 0.3}, ising(), None, width, Tempering(betas))
    assert all_pass(pull_p_values(values), LEVEL)


def test_a_mixture_is_the_same_whatever_the_order_of_its_runs() -> None:
    """A sweep in which maps interrupt the kernel's runs of flips equals the same proposals made one at a time."""
    rbm, theta = random_rbm(N_SITES, np.complex128, "translation", scale=0.3)
    psi = rbm.at(theta)
    metropolis = sampler({"flip": 1.0, "global_flip": 0.5, "translation": 0.5})
    rng = np.random.default_rng(1)
    chosen, uniforms = metropolis.moves.choose(rng, 200), rng.random((200, 16))
    backwards = metropolis.moves.senses(rng, chosen, 16)
    assert np.any(chosen >= N_SITES) and np.any(chosen < N_SITES)
    first = start("random", range(1), 16, RING, None, 4).spins[0]
    second = first.copy()
    accepted = metropolis._propose(psi, first, psi.lookup(first), chosen, uniforms, backwards)
    one_by_one = np.zeros(16, dtype=np.int64)
    n_maps = np.cumsum(chosen >= N_SITES)
    for k in range(200):
        senses = backwards[n_maps[k] - (chosen[k] >= N_SITES) : n_maps[k]]
        step = chosen[k : k + 1], uniforms[k : k + 1], senses
        one_by_one += metropolis._propose(psi, second, psi.lookup(second), *step)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(accepted, one_by_one)


# Tempering ------------------------------------------------------------------------------------------------------------


@pytest.mark.statistical
def test_every_replica_samples_its_own_power() -> None:
    """After many sweeps with swaps, lane group r follows |psi|^(2 beta_r); r = 0 is what is measured."""
    rbm, theta = random_rbm(N_SITES, np.complex128, scale=0.4)
    tempering = Tempering((1.0, 0.6, 0.2))
    metropolis = sampler({"flip": 1.0}, tempering=tempering, n_draws=1, burn_in=25)
    walkers, samples = advance(metropolis, start("random", range(100), 192, RING, None, 6), rbm.at(theta), 0)
    np.testing.assert_array_equal(samples.spins[:, 0], walkers.spins[:, :, :64])
    for r, beta in enumerate(tempering.betas):
        counts = counted(walkers.spins[:, :, 64 * r : 64 * (r + 1)])
        assert chi_square_p(counts, probabilities(rbm.at(theta), N_SITES, None, 2.0 * beta)) > LEVEL
    wrong = chi_square_p(counted(samples.spins), probabilities(rbm.at(theta), N_SITES, None, 1.2))
    assert wrong < 1e-9, "the test tells the replicas apart"


def bimodal(n_sites: int) -> tuple[RBM, np.ndarray]:
    """psi of a ferromagnet with a domain wall energy: all up and all down, with rare configurations between.

    One hidden unit per bond, theta = 2 (s_i + s_j), so that psi falls by cosh(4) = 27 with every domain wall.
    """
    rbm = RBM(chain(n_sites).group("translation"), 1, dtype=np.float64)
    theta = np.zeros(rbm.n_parameters)
    rbm.block(theta, "features")[0, :2] = 2.0
    return rbm, theta


def test_tempering_crosses_a_barrier_that_flips_do_not() -> None:
    """All walkers start in the up valley; half of the exact weight is in the down valley."""
    rbm, theta = bimodal(N_SITES)
    psi = rbm.at(theta)
    expected = probabilities(rbm.at(theta), N_SITES)
    assert expected[0] == pytest.approx(expected[-1]) and expected[0] + expected[-1] > 0.99
    up = np.ones((8, N_SITES, 32), dtype=np.int8)
    stuck, _ = advance(sampler({"flip": 1.0}, burn_in=40), Walkers(up, 0), psi, 0)
    assert np.mean(stuck.spins.sum(axis=1) < 0) < 0.02, "plain flips stay in their valley"
    tempering = Tempering(tuple(0.02 ** (r / 7) for r in range(8)))
    metropolis = sampler({"flip": 1.0}, tempering=tempering, burn_in=200)
    _, samples = advance(metropolis, Walkers(np.tile(up, (1, 1, 8)), 0), psi, 0)
    down = np.mean(samples.spins.sum(axis=2) < 0)
    assert 0.35 < down < 0.65
    _, flipped = advance(sampler({"flip": 1.0, "global_flip": 0.2}, burn_in=40), Walkers(up, 0), psi, 0)
    assert 0.35 < np.mean(flipped.spins.sum(axis=2) < 0) < 0.65, "so does the global flip"


# Parity ---------------------------------------------------------------------------------------------------------------


@pytest.mark.statistical
@pytest.mark.parametrize("n_sites", [4, 5])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"discard": 0},
        {"moves": MoveWeights(hamiltonian=1.0)},
        {"start": "neel"},
        {"sweep": 6, "tempering": {"replicas": 2, "smallest_beta": 0.5}},
        {"power": 1.0},
    ],
    ids=str,
)
def test_the_parity_of_a_walker_is_drawn_anew_for_every_draw(settings: dict[str, object], n_sites: int) -> None:
    """On a flat |psi|^2 prod_i s_i of each draw is a fair bit, whatever it was before, from any start.

    With as many proposals of single flips for all, an even number kept it and an odd number inverted it.  It follows
    that the claimed error of its mean is that of independent samples.
    """
    lattice = chain(n_sites, periodic=False)  # has Neel order for any number of sites
    operator = Operator.from_pauli_sum(transverse_field_ising(n_sites, lattice.bonds(), 1.0, 1.0), n_sites)
    spec = MetropolisSpec.model_validate({"walkers": 512, "block_width": 128, "samples": 4096} | settings)
    metropolis = spec.resolved(lattice, operator).build(lattice, operator, seed=3)
    rbm = RBM(lattice.group("none"), 1, dtype=np.float64)
    psi = rbm.at(np.zeros(rbm.n_parameters))
    walkers = metropolis.start(range(4), SerialCommunicator())
    parities = []
    for iteration in range(2):
        walkers, samples = advance(metropolis, walkers, psi, iteration)
        parities.append(samples.spins.prod(axis=2).transpose(1, 0, 2).reshape(8, -1))
    series = np.concatenate(parities).astype(np.float64)  # (16, 512)
    kept = int(np.count_nonzero(series[1:] == series[:-1]))
    first = int(np.count_nonzero(series[0] > 0))
    alike = int(np.count_nonzero(series[:, 1:] == series[:, :-1]))
    p_values = [
        binomial_p(kept, 15 * 512, 0.5),
        binomial_p(alike, 16 * 511, 0.5),
        binomial_p(first, 512, 0.5),
        two_sided(float(stats.chi2.cdf(16 * np.sum(series.mean(axis=0) ** 2), 512))),
    ]
    assert all_pass(p_values, LEVEL)


def test_proposals_are_counted_as_they_are_offered() -> None:
    """Half of the walkers have one more before each draw; where all moves keep the magnetisation, none has."""
    lattice, psi = chain(6), random_rbm(6, np.float64)
    for weights, uneven in (({"exchange": 1.0}, False), ({"flip": 1.0}, True)):
        spec = MetropolisSpec(walkers=512, block_width=128, samples=4096, moves=MoveWeights(**weights))
        metropolis = spec.build(lattice, heisenberg() if not uneven else ising(), seed=3)
        assert metropolis.uneven == uneven
        _, samples = advance(metropolis, metropolis.start(range(4), SerialCommunicator()), psi[0].at(psi[1]), 1)
        fixed = 512 * 6 * 9
        assert metropolis.mean_proposals == 6 * 9 + (4.5 if uneven else 0)
        if uneven:
            assert binomial_p(samples.proposed - fixed, 9 * 512, 0.5) > LEVEL
        else:
            assert samples.proposed == fixed
