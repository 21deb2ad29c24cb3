"""Small problems without sampling noise: runs on all configurations, and what they compute by dense linear algebra."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from pvmc.estimators import Moments, Reweighting, estimate, reduce_moments
from pvmc.hamiltonians import Operator, PauliSum
from pvmc.mpi import SerialCommunicator
from pvmc.sampler.enumeration import Enumeration
from pvmc.spins.configurations import Basis
from pvmc.sr import SRSpec, build_solver
from pvmc.vmc.loop import State, StepRecord, iterate
from pvmc.wavefunctions import RBM
from tests.helpers import (
    EnumeratedMoments,
    configurations,
    energy_of,
    enumerated_moments,
    full_tensor,
    kronecker_sum,
    labels_of,
    random_rbm,
    random_strings,
    state_vector,
)

COMM = SerialCommunicator()

Numbers = npt.NDArray[Any]

Linear: TypeAlias = Literal["dense", "krylov", "minsr"]
LINEAR: tuple[Linear, ...] = get_args(Linear)


@dataclass(frozen=True)
class Problem:
    """A Hamiltonian on N sites, an RBM and its parameters.

    Attributes:
        terms: the Hamiltonian.
        rbm: the wave function.
        theta: parameters to start from.
        magnetization: that the configurations are restricted to, or None.
    """

    terms: PauliSum
    rbm: RBM
    theta: Numbers
    magnetization: int | None = None

    @property
    def operator(self) -> Operator:
        """The compiled Hamiltonian."""
        return Operator.from_pauli_sum(self.terms, self.rbm.n_sites)

    @property
    def sampler(self) -> Enumeration:
        """All configurations, in blocks that they do not fill."""
        return Enumeration(Basis.enumerate(self.rbm.n_sites, self.magnetization), 12, self.magnetization)

    @property
    def spins(self) -> npt.NDArray[np.int8]:
        """All configurations, (N, D)."""
        return configurations(self.rbm.n_sites, self.magnetization)

    def state(self, iteration: int = 0) -> State:
        """What a run starts from."""
        return State(iteration, self.theta, self.sampler.start(range(self.sampler.n_blocks), COMM))

    def run(self, spec: SRSpec, n: int, linear: Linear = "dense", state: State | None = None) -> list[StepRecord]:
        """The records of n iterations of the driver."""
        steps = iterate(state or self.state(), self.rbm, self.operator, self.sampler, build_solver(spec, linear), COMM)
        return list(itertools.islice(steps, n))

    def measured(self) -> tuple[Moments, Reweighting]:
        """What the driver measures at theta: the moments as rows, and the trial energies."""
        walk = self.sampler.walk(self.state().walkers, self.rbm.at(self.theta), 0)
        batch = estimate(
            walk,
            self.operator,
            self.rbm.at(self.theta),
            self.rbm.n_parameters,
            COMM,
            real_parameters=self.rbm.dtype == np.float64,
            keep_rows=True,
            keep_spins=True,
        )
        moments = reduce_moments(batch, COMM, n_sites=self.rbm.n_sites, infinite_temperature=0.0)
        return moments, Reweighting(batch, self.theta, self.rbm, self.operator, COMM)

    # By dense linear algebra ------------------------------------------------------------------------------------------

    def moments(self, theta: Numbers) -> EnumeratedMoments:
        """F, S and their rows from their definitions."""
        return enumerated_moments(self.rbm, theta, self.operator, self.spins)

    def rows(self, theta: Numbers) -> tuple[Numbers, Numbers]:
        """X, (D, K), and e, (D,), with S = X^dagger X and F = X^dagger e; real and imaginary parts stacked if real."""
        moments = self.moments(theta)
        root = np.sqrt(len(moments.energies))
        x, e = moments.derivatives.T / root, moments.energies / root
        if not moments.real_parameters:
            return x, e
        return np.concatenate([x.real, x.imag]), np.concatenate([e.real, e.imag])

    def tensor(self, theta: Numbers) -> Numbers:
        """S, (K, K)."""
        return full_tensor(self.moments(theta).tensor)

    @cached_property
    def matrix(self) -> Numbers:
        """H on the configurations, (D, D)."""
        labels = labels_of(self.spins)
        return kronecker_sum(self.terms, self.rbm.n_sites)[np.ix_(labels, labels)]

    def energy(self, theta: Numbers) -> float:
        """<H>."""
        return energy_of(self.rbm.at(theta), self.matrix, self.spins)

    def vector(self, theta: Numbers) -> Numbers:
        """Normalised psi, (D,)."""
        return state_vector(self.rbm.at(theta), self.spins)

    def thetas(self, records: list[StepRecord]) -> list[Numbers]:
        """The parameters that each of the first records of a run was measured at."""
        return [self.theta, *(record.state.theta for record in records[:-1])]


def random_problem(dtype: Any, n_sites: int = 5, seed: int = 3) -> Problem:
    """Random Pauli strings, with complex matrix elements, and a random RBM."""
    terms = random_strings(np.random.default_rng(seed), n_sites, 20)
    return Problem(terms, *random_rbm(n_sites, dtype, n_features=2))


def spec(**keys: Any) -> SRSpec:
    """[sr] from keys as they stand in the input; lambda = 0.01, floor = 1e-4, gamma = 0.05 unless told otherwise."""
    return SRSpec.model_validate({"learning_rate": 0.05, "shift": 0.01, "floor": 1e-4, **keys})
