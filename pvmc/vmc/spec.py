"""The input of a run: the section [run] and the file as a whole."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from pvmc.config import Section, to_toml
from pvmc.fit import FitSpec
from pvmc.hamiltonians import HamiltonianSpec
from pvmc.lattice import LatticeSpec
from pvmc.sampler import MetropolisSpec, SamplerSpec
from pvmc.sr import SRSpec
from pvmc.vmc.interruptions import TimeSpec
from pvmc.vmc.refinement import RefineSpec
from pvmc.wavefunctions import AnsatzSpec


class CheckpointSpec(Section):
    """How often the state is saved from which a run goes on; it is always saved when the run stops."""

    iterations: int | None = Field(default=None, ge=1)
    """iterations between two checkpoints; default: only minutes count"""
    minutes: float = Field(default=10.0, ge=0.0)
    """wall time between two checkpoints, in minutes; 0: only iterations count"""
    cost: float = Field(default=0.03, gt=0.0, le=1.0)
    """largest part of the time that may go to checkpoints: where they take more, they become rarer"""
    seconds: float = Field(default=1.0, ge=0.0)
    """most wall time whose iterations are lost if the processes are killed: a state that is not forced to the disk is
    written so often, at most after each iteration; 0: never"""


class ConvergenceSpec(Section):
    """A run stops early, as finished, when all the criteria that are given hold over its last iterations."""

    window: int = Field(default=100, ge=16)
    """iterations over which the criteria must hold"""
    error: float | None = Field(default=None, gt=0.0)
    """largest standard error of the mean E/N over the window, its iterations' correlation accounted for"""
    variance: float | None = Field(default=None, gt=0.0)
    """largest mean of variance/N over the window, in squared units of energy per site"""
    v_score: float | None = Field(default=None, gt=0.0)
    """largest mean V-score over the window, N variance / (E - E_inf)^2"""

    @model_validator(mode="after")
    def _some_criterion(self) -> ConvergenceSpec:
        if self.error is None and self.variance is None and self.v_score is None:
            raise ValueError("must give at least one of error, variance and v_score")
        return self


SEED_LIMIT = 2**63
"""Seeds are smaller."""


MOST_ITERATIONS, DEFAULT_ITERATIONS = 10000, 500
"""Iterations where none are given: the most of a run that ends by itself, and those of any other run."""


class RunSpec(Section):
    """The run as a whole."""

    seed: int = Field(default=1, ge=0, lt=SEED_LIMIT)
    """seed of all random numbers"""
    iterations: int | None = Field(default=None, ge=1)
    """SR iterations; default: until the run has converged (run.refine), at most 10000, or 500 beside a given
    sr.learning_rate"""
    starts: int | None = Field(default=None, ge=1, le=1000)
    """seeds that are tried before the run, from seed on; the run is that of the one with the lowest energy; default: 4
    of a run that ends where it has converged, on up to 64 sites with up to 1000 parameters, else 1"""
    start_iterations: int = Field(default=100, ge=8)
    """SR iterations of each trial; its energy is that of their plateau, as of a run"""
    save_every: int = Field(default=50, ge=1)
    """iterations between two saved sets of parameters (the first and last are always saved)"""
    leak_every: int = Field(default=10, ge=0)
    """iterations between two leak tests, which look where psi vanishes but H psi does not; 0 for none"""
    threads_per_rank: int = Field(default=1, ge=1)
    """BLAS threads of each rank"""
    reproducible: bool = True
    """the same bits at any number of ranks (of one kind of processor), by sums of integers"""
    checkpoint: CheckpointSpec = CheckpointSpec()
    """how often the state is saved"""
    time: TimeSpec = TimeSpec()
    """when to stop for lack of time"""
    stop: ConvergenceSpec | None = None
    """criteria by which the run ends early; default: none"""
    refine: RefineSpec | None = None
    """smaller learning rates as the energy converges, and the end of the run: { levels, rate, window, ends_run };
    default: automatic where sr.learning_rate is not given"""
    retries: int = Field(default=6, ge=0, le=100)
    """times that a run whose numbers go bad goes back and tries again with smaller steps, before it gives up; a bad
    start is drawn again, up to 8 times; 0: it gives up at once"""
    reference: Literal["auto", "none"] | float = "auto"
    """exact total energy to compare with: auto (found where one is known or cheap), none, or a number"""

    @property
    def n_iterations(self) -> int:
        """The iterations of a resolved section."""
        return self.iterations or (MOST_ITERATIONS if self.refine is not None else DEFAULT_ITERATIONS)

    @property
    def n_starts(self) -> int:
        """The starts of a resolved section."""
        return self.starts or 1

    def resolved(self) -> RunSpec:
        """The section with the numbers of iterations and of starts written out."""
        return self.model_copy(update={"iterations": self.n_iterations, "starts": self.n_starts})


class JobConfig(Section):
    """A complete input file."""

    lattice: LatticeSpec
    """sites and bonds: kind = "chain", "rectangle", "kagome", ... or "graph\""""
    hamiltonian: HamiltonianSpec
    """the model: model = "heisenberg", "ising", "j1j2", ..., or "terms" for a sum of Pauli strings of your own"""
    ansatz: AnsatzSpec
    """the wave function: kind = "rbm", "feedforward", "jastrow", "product", "projected", "module:Class", ..."""
    sampler: SamplerSpec = MetropolisSpec()
    """configurations in the proportions of |psi|^2: kind = "metropolis" (default) or "exact\""""
    sr: SRSpec = SRSpec()
    """stochastic reconfiguration"""
    run: RunSpec = RunSpec()
    """the run as a whole"""
    fit: FitSpec | None = None
    """supervised fit of the wave function to a target, by pvmc fit"""


def example_config(model: str) -> str:
    """A commented input file for about 20 sites, a chain where the model allows it, every key written out.

    Args:
        model: name of the Hamiltonian, such as "heisenberg".
    """
    lattices: dict[str, dict[str, Any]] = {
        "compass": {"kind": "rectangle", "size": [4, 5]},
        "kitaev": {"kind": "honeycomb", "size": [3, 3]},
    }
    ising_by_hand = [{"coefficient": -1.0, "operator": "Zi Zj"}, {"coefficient": -0.5, "operator": "Xi"}]
    tables = {
        "lattice": lattices.get(model, {"kind": "chain", "length": 20}),
        "hamiltonian": {"model": model} | ({"patterns": ising_by_hand} if model == "terms" else {}),
        "ansatz": {"kind": "rbm", "alpha": 2},
    }
    config = JobConfig.model_validate(tables)
    return f"# Input of pvmc; every key stands here with its default.\n\n{to_toml(config, commented=True)}"
