"""What several tests share: operators as Kronecker products, wave functions by enumeration, two-sided chi-square tests.

Configurations are enumerated so that bit i of the row is set where s_i = -1; site 0 is the last Kronecker factor.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse, stats
from scipy.signal import lfilter

from pvmc.estimators import EnergyStatistics, Estimates, Moments, local_energy
from pvmc.estimators.moment_matrix import Chunk, collect
from pvmc.hamiltonians import Operator, PauliSum, X, Y, Z
from pvmc.lattice import chain
from pvmc.mpi import SerialCommunicator
from pvmc.wavefunctions import RBM, WaveFunction

Numbers = npt.NDArray[Any]
Spins = npt.NDArray[np.int8]

LETTERS = {"X": X, "Y": Y, "Z": Z}
PAULI = {
    "X": sparse.csr_array(np.array([[0.0, 1.0], [1.0, 0.0]], dtype=complex)),
    "Y": sparse.csr_array(np.array([[0.0, -1.0j], [1.0j, 0.0]])),
    "Z": sparse.csr_array(np.diag([1.0 + 0.0j, -1.0])),
}


# Series ---------------------------------------------------------------------------------------------------------------


def autoregressive(rho: float, n_chains: int, n: int, seed: int | np.random.Generator = 1) -> npt.NDArray[np.float64]:
    """Stationary AR(1) chains x_t = rho x_(t-1) + noise, of mean 0 and variance 1, (n_chains, n): rho(t) = rho^t."""
    noise = np.random.default_rng(seed).normal(size=(n_chains, n)) * np.sqrt(1 - rho**2)
    noise[:, 0] /= np.sqrt(1 - rho**2)
    return np.asarray(lfilter([1.0], [1.0, -rho], noise, axis=1))


def exact_error(rho: float, n_chains: int, n: int) -> float:
    """Standard error of the mean over all of these chains, from rho(t) at all lags."""
    lags = np.arange(1, n)
    return float(np.sqrt((1.0 + 2.0 * np.sum((1.0 - lags / n) * rho**lags)) / (n * n_chains)))


# Operators ------------------------------------------------------------------------------------------------------------


@cache
def pauli(letter: str, site: int, n_sites: int) -> sparse.csr_array:
    """sigma^letter on one of N sites, (2^N, 2^N)."""
    left, right = sparse.eye_array(2 ** (n_sites - 1 - site)), sparse.eye_array(2**site)
    return sparse.csr_array(sparse.kron(sparse.kron(left, PAULI[letter]), right))


def kronecker_string(letters: Mapping[int, str], n_sites: int) -> sparse.csr_array:
    """The product of sigma^letters[site] over the given sites, (2^N, 2^N)."""
    product = sparse.csr_array(sparse.eye_array(2**n_sites, dtype=complex))
    for site, letter in letters.items():
        product = sparse.csr_array(product @ pauli(letter, site, n_sites))
    return product


def kronecker_sum(terms: PauliSum, n_sites: int) -> Numbers:
    """The dense matrix of a sum of Pauli strings, from its ``terms``."""
    total = sparse.csr_array((2**n_sites, 2**n_sites), dtype=complex)
    for string, coefficient in terms.terms.items():
        total = total + coefficient * kronecker_string(dict(string), n_sites)
    return total.toarray()


def compiled_matrix(operator: Operator) -> sparse.csr_array:
    """The matrix, row by row from ``diagonal`` and ``amplitudes``."""
    spins = configurations(operator.n_sites)
    rows = np.arange(spins.shape[1])
    masks = np.array([sum(1 << int(site) for site in operator.flips[k]) for k in range(len(operator.flips))], dtype=int)
    columns = np.concatenate([rows, (rows ^ masks[:, None]).ravel()])
    values = np.concatenate([operator.diagonal(spins), operator.amplitudes(spins).ravel()])
    return sparse.csr_array((values, (np.resize(rows, len(columns)), columns)), shape=(len(rows), len(rows)))


def random_strings(
    rng: np.random.Generator, n_sites: int, n_strings: int, letters: str = "XYZ", largest: int = 4
) -> PauliSum:
    """Random strings of up to ``largest`` distinct sites, and an identity, with normal coefficients."""
    strings = []
    for _ in range(n_strings):
        sites = rng.choice(n_sites, size=rng.integers(1, largest + 1), replace=False)
        string = PauliSum({(): float(rng.standard_normal())})
        for site in sites.tolist():
            string = string * LETTERS[str(rng.choice(list(letters)))](site)
        strings.append(string)
    return PauliSum.total(strings) + float(rng.standard_normal())


# Wave functions -------------------------------------------------------------------------------------------------------


def configurations(n_sites: int, magnetization: int | None = None) -> Spins:
    """All configurations, int8 (N, D), or those of one magnetisation."""
    labels = np.arange(2**n_sites)
    spins = (1 - 2 * ((labels >> np.arange(n_sites)[:, None]) & 1)).astype(np.int8)
    if magnetization is not None:
        spins = spins[:, spins.sum(axis=0, dtype=np.int64) == magnetization]
    return np.ascontiguousarray(spins)


def labels_of(spins: Spins) -> npt.NDArray[np.int64]:
    """Rows of configurations (N, L) in the enumeration of all, (L,)."""
    return (1 << np.arange(len(spins), dtype=np.int64)) @ (spins < 0)


def random_rbm(
    n_sites: int,
    dtype: npt.DTypeLike,
    symmetry: str = "none",
    *,
    n_features: int = 2,
    scale: float = 0.3,
    visible_bias: bool = True,
    seed: int = 7,
) -> tuple[RBM, Numbers]:
    """An RBM on a ring and random parameters of standard deviation ``scale``."""
    group = chain(n_sites).group(symmetry)
    rbm = RBM(group, n_features, dtype=dtype, visible_bias=visible_bias, init_scale=scale)
    return rbm, rbm.initial_parameters(np.random.default_rng(seed))


def state_vector(psi: WaveFunction, spins: Spins) -> Numbers:
    """psi(s), normalised over the given configurations, complex128 (D,)."""
    logarithm = psi.log_psi(spins).astype(np.complex128)
    vector: Numbers = np.exp(logarithm - logarithm.real.max())
    return vector / np.linalg.norm(vector)


def energy_of(psi: WaveFunction, matrix: Any, spins: Spins) -> float:
    """<psi|H|psi> of the normalised psi on the given configurations, with the matrix of H on them."""
    vector = state_vector(psi, spins)
    return float(np.vdot(vector, matrix @ vector).real)


def slope(function: Callable[[float], float], h: float = 1e-3) -> float:
    """The derivative of a function at 0 by central differences of sixth order."""
    first, second, third = (function(m * h) - function(-m * h) for m in (1, 2, 3))
    return (45.0 * first - 9.0 * second + third) / (60.0 * h)


@dataclass(frozen=True)
class EnumeratedMoments(Moments):
    """Moments with the rows that they are made of: weighted and centred O_k, (K, D), and E_loc, (D,)."""

    derivatives: Numbers
    energies: Numbers
    real_parameters: bool


def batch_of(
    energies: Numbers, derivatives: Numbers, accepted: int, proposed: int, real_parameters: bool, *, exact: bool = True
) -> Estimates:
    """What ``estimate`` makes of local energies (n_draws, n_walkers) and log-derivatives (K, n_draws n_walkers)."""

    def chunks() -> Iterator[Chunk]:
        row = energies.reshape(1, -1)
        rows = np.concatenate([np.ones(row.shape), derivatives, row if np.iscomplexobj(derivatives) else row.real])
        yield Chunk(rows.astype(derivatives.dtype), 0, slice(0, len(energies)))

    matrix = collect(
        chunks,
        SerialCommunicator(),
        n_chunks=1,
        n_samples=energies.size,
        is_complex=np.iscomplexobj(derivatives),
        real_parameters=real_parameters,
        exact_sums=exact,
    )
    return Estimates(energies, matrix, accepted, proposed, 1, energies.size, None, {})


def enumerated_moments(rbm: RBM, theta: Numbers, operator: Operator, spins: Spins) -> EnumeratedMoments:
    """The moments without noise: every configuration once, its rows weighted so that averages are those of |psi|^2.

    A column s is multiplied by sqrt(D |psi(s)|^2) after centring, so that sums over columns divided by D are
    expectation values.
    """
    psi = rbm.at(theta)
    weights = np.abs(state_vector(psi, spins)) ** 2
    lookup = psi.lookup(spins)
    energies = local_energy(operator, psi, spins, lookup)
    derivatives = psi.log_derivatives(spins, lookup)
    mean, energy = derivatives @ weights, energies @ weights
    root = np.sqrt(weights * len(weights))
    rows, column = (derivatives - mean[:, None]) * root, (energies - energy) * root
    force = rows.conj() @ column / len(weights)
    real = rbm.dtype == np.float64
    n = len(root)
    statistics = EnergyStatistics(complex(energy), 0.0, float(np.mean(abs(column) ** 2)), 1.0, 1.0, 0.0, 1.0, n, n)
    tensor = rows.conj() @ rows.T / len(weights)
    force, tensor = (force.real, tensor.real) if real else (force, tensor)
    tensor = np.asfortranarray(np.tril(tensor))
    return EnumeratedMoments(statistics, mean, force, tensor, len(rows), force.dtype, rows, column, real)


def full_tensor(lower: Numbers) -> Numbers:
    """A Hermitian matrix from its lower triangle."""
    return lower + np.tril(lower, -1).conj().T


# Disks ----------------------------------------------------------------------------------------------------------------


@contextmanager
def mounted_disk(disk: Path, size: str) -> Iterator[Path]:
    """A file system of its own in a new directory, of a size such as "512k"; a skip where none can be mounted."""
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"cannot mount a small disk: {error}")
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# Statistics -----------------------------------------------------------------------------------------------------------


def two_sided(probability_below: float) -> float:
    """The two-sided p-value of a statistic from its distribution function: too good a fit is improbable too."""
    return 2.0 * min(probability_below, 1.0 - probability_below)


def chi_square_p(counts: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Two-sided p-value of Pearson's chi-square; cells expected fewer than 8 times are put together."""
    counts, probabilities = np.asarray(counts, dtype=float), np.asarray(probabilities, dtype=float)
    expected = probabilities / probabilities.sum() * counts.sum()
    order = np.argsort(expected)
    counts, expected = counts[order], expected[order]
    together = int(np.count_nonzero(expected < 8.0))
    if together > 0:
        together = max(together, int(np.searchsorted(np.cumsum(expected), 8.0)) + 1)
        counts = np.append(counts[together:], counts[:together].sum())
        expected = np.append(expected[together:], expected[:together].sum())
    assert len(counts) > 1, "nothing to compare"
    statistic = float(np.sum((counts - expected) ** 2 / expected))
    return two_sided(float(stats.chi2.cdf(statistic, len(counts) - 1)))


def mean_p(samples: Numbers, expected: Numbers) -> float:
    """Two-sided p-value that independent sample vectors (K, n) have the mean ``expected``, (K,), by their covariance.

    Complex entries count as two.  Directions with next to no scatter are left out: too few samples carry them.
    """
    deviation = samples.mean(axis=1) - expected
    if np.iscomplexobj(samples):
        samples = np.concatenate([samples.real, samples.imag])
        deviation = np.concatenate([deviation.real, deviation.imag])
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(samples)))
    free = values > 1e-5 * values[-1]
    along = vectors[:, free].T @ deviation
    statistic = float(np.sum(along**2 / values[free])) * samples.shape[1]
    return two_sided(float(stats.chi2.cdf(statistic, int(free.sum()))))


def binomial_p(successes: int, trials: int, probability: float) -> float:
    """Two-sided p-value of a number of successes."""
    return float(stats.binomtest(successes, trials, probability).pvalue)


def all_pass(p_values: Iterable[float], level: float) -> bool:
    """Whether a family of tests passes at a family-wise level (Bonferroni)."""
    p_values = list(p_values)
    return min(p_values) > level / len(p_values)
