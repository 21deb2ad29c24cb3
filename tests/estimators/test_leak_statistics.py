"""The leak test's variance and difference, and the errors that they claim, over many sets of independent walkers.

Two-sided tests, which fail by chance with the probability LEVEL each (Bonferroni within a test); all seeds are fixed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from pvmc.estimators.smeared import Leak, leak_of, look
from pvmc.hamiltonians import Operator, PauliSum, X, Y, Z
from pvmc.mpi import SerialCommunicator
from pvmc.sampler import Smear
from tests.designs import designed, repeats
from tests.helpers import all_pass, kronecker_sum, two_sided
from tests.table_state import TableState, random_state

LEVEL = 1e-3
N, WALKERS = 6, 1024
COMM = SerialCommunicator()
BONDS = [(i, (i + 1) % N) for i in range(N)]
TERMS = PauliSum.total([X(i) * X(j) + Y(i) * Y(j) + 0.5 * Z(i) * Z(j) for i, j in BONDS])
FIELD = PauliSum.total([Z(i) * Z(j) for i, j in BONDS]) + PauliSum.total([0.8 * X(i) for i in range(N)])


MODELS: dict[str, tuple[PauliSum, int | None]] = {"exchange": (TERMS, 0), "field": (FIELD, None)}


def state(kind: str, magnetization: int | None) -> TableState:
    """Amplitudes of similar size, some of them zero in a state with nodes."""
    psi = random_state(np.random.default_rng(3), N, magnetization=magnetization)
    vector = psi.vector / np.abs(psi.vector) * np.random.default_rng(4).uniform(0.5, 1.5, len(psi.vector))
    if kind == "nodes":
        vector[::4] = 0.0
    return TableState(vector / np.linalg.norm(vector), psi.basis)


def leaks(psi: TableState, smear: Smear, n: int, power: float) -> list[Leak]:
    """Leak tests of independent walkers in two blocks, drawn from |psi|^power."""
    rng, found = np.random.default_rng(8), []
    p = psi.probabilities ** (power / 2.0)
    for _ in range(n):
        sums, centres = [], []
        for _ in range(2):
            spins = np.ascontiguousarray(psi.basis.spins[:, rng.choice(len(p), size=WALKERS // 2, p=p / p.sum())])
            one = look(smear, psi, spins, psi.lookup(spins), rng)
            weights = np.exp((2.0 - power) * psi.log_psi(spins).real)
            sums.append(one.sums * weights)
            centres.append(one.centre)
        found.append(leak_of(np.array(sums), np.array(centres), COMM))
    return found


def z_scores(values: npt.ArrayLike, errors: npt.ArrayLike, expected: float) -> list[float]:
    """Two-sided p-values that the deviations over their claimed errors have mean 0 and variance 1."""
    z = (np.asarray(values) - expected) / np.asarray(errors)
    of_mean = two_sided(float(stats.norm.cdf(z.mean() * np.sqrt(len(z)))))
    return [of_mean, two_sided(float(stats.chi2.cdf(z @ z, len(z))))]


@pytest.mark.statistical
@repeats(100, 300)
@designed(model=MODELS, kind=["smooth", "nodes"], power=[2.0, 1.5])
def test_energy_variance_and_leak_are_what_they_should_be_within_their_errors(
    model: str, kind: str, power: float, repeats: int
) -> None:
    """Of a state without nodes the leak is 0; with nodes it is the part of the variance at them."""
    terms, magnetization = MODELS[model]
    psi = state(kind, magnetization)
    matrix = kronecker_sum(terms, N)[np.ix_(psi.basis.labels, psi.basis.labels)]
    image = matrix @ psi.vector
    energy = float(np.vdot(psi.vector, image).real)
    variance = float(np.vdot(image, image).real - energy**2)
    hidden = float(np.sum(np.abs(image[psi.vector == 0]) ** 2))
    assert (hidden > 0.02 * variance) == (kind == "nodes")
    found = leaks(psi, Smear(Operator.from_pauli_sum(terms, N), 0.5, magnetization is not None), repeats, power)
    p_values = z_scores([one.variance for one in found], [one.variance_error for one in found], variance)
    p_values += z_scores([one.energy for one in found], [one.energy_error for one in found], energy)
    p_values += z_scores([one.leak for one in found], [one.error for one in found], hidden)
    assert all_pass(p_values, LEVEL)
