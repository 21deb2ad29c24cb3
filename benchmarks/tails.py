"""Coverage of claimed errors where local energies have heavy tails, against enumeration.

    python benchmarks/tails.py [--repeats 400] [--samples 4096 16384] [--only NAME ...] [--page docs/reports/tails.md]

Each state is measured again and again with independent draws of its |psi|^2, by the code of ``pvmc measure``, and the
table says how often the exact energy and variance lie within one claimed error: 68 % of the time, were everything
normal.  The last table is of the plateau of runs whose parameters stay.  Half an hour on one core.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from health import HIDDEN, chain
from page import table, wrapped

from pvmc.config import RawInput
from pvmc.estimators import LeakTest, local_energy
from pvmc.estimators.smeared import EPSILON
from pvmc.exact import Basis
from pvmc.io.reader import Run
from pvmc.io.schema import ITERATION, SERIES
from pvmc.measurement.measuring import Sampling
from pvmc.measurement.observable import Setup
from pvmc.measurement.registry import Observables
from pvmc.measurement.smeared_variance import Energy, errors_with_missed
from pvmc.mpi import SerialCommunicator, limit_threads
from pvmc.results.plateau import plateau, plateau_of
from pvmc.sampler import Draw, Smear, Walkers
from pvmc.sampler.base import Walk
from pvmc.vmc.job import Job, job_of
from pvmc.vmc.loop import State, iterate
from pvmc.vmc.recorder import series
from pvmc.vmc.start import initial_state
from pvmc.wavefunctions.base import WaveFunction
from pvmc.wavefunctions.vectors import dense_vector

COMM = SerialCommunicator()
BLOCKS, WIDTH, DRAWS = 4, 256, 4
"""Walkers of a measurement, and draws of each in a batch."""

RUN_ITERATIONS = 128
"""Iterations of a run whose parameters stay, of 1024 samples each; its plateau is the second half."""


def frustrated(scale: float = 0.01, seed: int = 1) -> dict[str, Any]:
    """A J1-J2 ring of 12 sites, J2 = 0.5, with complex weights."""
    ansatz = {"symmetry": "none", "weights": "complex", "shared_filters": False, "init_scale": scale}
    return chain(12, "j1j2", alpha=1, hamiltonian={"j2": 0.5}, ansatz=ansatz, run={"seed": seed})


def imaginary(theta: Any) -> Any:
    """Purely imaginary parameters: psi is a product of cosines, real and with nodes."""
    return 1j * theta.real


ISING: dict[str, Any] = {
    "lattice": {"kind": "chain", "length": 12},
    "hamiltonian": {"model": "ising", "field": 1.0},
    "ansatz": {"kind": "jastrow"},
    "run": {"iterations": 1},
}
GOOD = chain(10, "ising", alpha=1)
NEARLY_EXACT = chain(10, "heisenberg", alpha=1, ansatz={"symmetry": "none", "weights": "complex"})


@dataclass(frozen=True)
class Case:
    """A state: an input, the iterations that it is trained for, and what then is done to its parameters."""

    tables: dict[str, Any]
    iterations: int = 0
    change: Callable[[Any], Any] = lambda theta: theta


CASES: dict[str, Case] = {
    "cosines, scale 0.3": Case(frustrated(0.3), 0, imaginary),
    "cosines, scale 0.5": Case(frustrated(0.5), 0, imaginary),
    "cosines, scale 1": Case(frustrated(1.0), 0, imaginary),
    "complex RBM, scale 0.5": Case(frustrated(0.5)),
    "complex RBM, scale 0.7": Case(frustrated(0.7)),
    "complex RBM, scale 1": Case(frustrated(1.0)),
    "hidden region": Case(HIDDEN, 400),
    "half trained": Case(frustrated(), 150),
    "Jastrow, opposite sign": Case(ISING, 0, lambda theta: 0.0 * theta - 0.25),
    "Heisenberg ring, nearly exact": Case(NEARLY_EXACT, 300),
    "Ising ring, light tails": Case(GOOD, 200),
}


@dataclass(frozen=True)
class Exact:
    """A state and all that is known of it by enumeration; energy and variance of all sites."""

    job: Job
    state: State
    psi: WaveFunction
    basis: Basis
    cumulative: Any
    energy: float
    variance: float


def exact_of(case: Case) -> Exact:
    """The state of a case, by all configurations."""
    job = job_of(RawInput(case.tables, "case", "case"))
    state = initial_state(job, COMM)
    steps = iterate(state, job.ansatz, job.operator, job.sampler, job.solver, COMM)
    for step in itertools.islice(steps, case.iterations):
        state = step.state
    state = replace(state, theta=case.change(state.theta))
    psi = job.ansatz.at(state.theta)
    basis = Basis.enumerate(job.lattice.n_sites, job.sampler.magnetization)
    weights = np.abs(dense_vector(psi, basis)) ** 2
    alive = weights > 0
    energies = local_energy(job.operator, psi, basis.spins, psi.lookup(basis.spins))[alive]
    weights = np.where(alive, weights, 0.0) / weights.sum()
    mean = float((weights[alive] * energies).sum().real)
    variance = float((weights[alive] * np.abs(energies - mean) ** 2).sum())
    cumulative = np.cumsum(weights)
    return Exact(job, state, psi, basis, cumulative / cumulative[-1], mean, variance)


@dataclass(frozen=True)
class Independent:
    """A sampler of independent configurations of an enumerated |psi|^2."""

    exact: Exact
    seed: int
    n_blocks: int = BLOCKS
    width: int = WIDTH
    n_draws: int = DRAWS
    growth = None
    power = 2.0

    @property
    def magnetization(self) -> int | None:
        """That of the state."""
        return self.exact.job.sampler.magnetization

    def start(self, blocks: range, comm: Any) -> Walkers:
        """Walkers that nothing is made of."""
        return Walkers(np.repeat(self.exact.basis.spins[None, :, :1], self.width, 2).repeat(len(blocks), 0), 0)

    def walk(self, walkers: Walkers, psi: Any, iteration: int, *, n_draws: Any = None, stage: int = 0) -> Walk:
        """Fresh draws."""
        return IndependentWalk(self, walkers, psi, iteration)


class IndependentWalk(Walk):
    """The draws of a batch."""

    log_weights, smear, is_exact, accepted, proposed = None, None, False, 1, 1

    def __init__(self, sampler: Independent, walkers: Walkers, psi: Any, iteration: int):
        self._sampler, self._walkers, self._psi = sampler, walkers, psi
        self._seed = sampler.seed, iteration
        self.n_blocks, self.n_draws, self.width = len(walkers.spins), sampler.n_draws, sampler.width

    @property
    def walkers(self) -> Walkers:
        """The last draws."""
        return self._walkers

    def __iter__(self) -> Iterator[Draw]:
        rng = np.random.default_rng(self._seed)  # a second walk has the same draws
        for block, draw in itertools.product(range(self.n_blocks), range(self.n_draws)):
            exact = self._sampler.exact
            chosen = np.searchsorted(exact.cumulative, rng.random(self.width))
            spins = np.ascontiguousarray(exact.basis.spins[:, chosen])
            self._walkers.spins[block] = spins
            yield Draw(block, draw, spins, self._psi.lookup(spins))


COLUMNS = ("E", "E now", "E smeared", "variance", "variance now", "variance smeared")
HEAD = ("state", "samples", "exponent", "E, by scatter", "claimed", "smeared", "growth", "variance, jackknife",
        "claimed", "smeared", "growth")  # fmt: skip


def measured(exact: Exact, samples: int, seed: int) -> tuple[list[tuple[float, float]], float]:
    """Values and errors of COLUMNS in one measurement, and the exponent of the tail."""
    job = replace(exact.job, sampler=Independent(exact, seed))
    tallies = tuple(Energy.create([""], Setup(job, exact.psi, seed, {}, False, COMM)))
    sampling = Sampling.begun(job, exact.psi, Observables((), tallies), None, COMM)
    for _ in range(samples // (BLOCKS * WIDTH * DRAWS)):
        sampling.draw()
    infinite = job.operator.infinite_temperature_energy
    plain = sampling.sums.statistics_of_all(job.lattice.n_sites, infinite, job.operator.radius, COMM)
    found = tallies[0].findings(COMM).estimates
    of_energy, of_variance = found["energy_smeared"], found["variance_smeared"]
    jackknife = sampling.sums.jackknife_errors(job.lattice.n_sites, infinite)
    unseen = sampling.sums.unseen_variance(job.operator.radius)
    values = [
        (plain.mean.real, plain.error),
        (plain.mean.real, sampling.energy().error),
        (float(of_energy.value), float(of_energy.error)),
        (plain.variance, jackknife[0]),
        (plain.variance, errors_with_missed(plain, jackknife, unseen, of_variance)[0]),
        (float(of_variance.value), float(of_variance.error)),
    ]
    return values, sampling.sums.tail().exponent


def coverage(values: Any, errors: Any, truth: float) -> str:
    """Part of the values that have the truth within one error."""
    return f"{100 * np.mean(np.abs(np.asarray(values) - truth) <= np.asarray(errors)):.0f} %"


def row(name: str, exact: Exact, samples: int, repeats: int) -> list[str]:
    """The row of a state and a number of samples."""
    found = [measured(exact, samples, seed) for seed in range(repeats)]
    numbers = np.array([values for values, _ in found])
    covered = [
        coverage(numbers[:, k, 0], numbers[:, k, 1], exact.energy if k < 3 else exact.variance)
        for k in range(len(COLUMNS))
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = [f"{np.nanmedian(numbers[:, k + 1, 1] / numbers[:, k, 1]):.2g}" for k in (0, 3)]
    exponent = f"{np.median([value for _, value in found]):.1f}"
    return [name, str(samples), exponent, *covered[:3], growth[0], *covered[3:], growth[1]]


def plateau_row(name: str, exact: Exact, repeats: int) -> list[str]:
    """Coverage of the plateau of runs whose parameters stay: by the scatter of iterations, and as it is claimed."""
    ends = []
    job = exact.job
    for seed in range(repeats):
        sampler = Independent(exact, seed, n_draws=1)
        test = LeakTest(Smear(job.operator, EPSILON, sampler.magnetization is not None), 2.0, seed, WIDTH, 10)
        walkers, rows = sampler.start(range(BLOCKS), COMM), []
        for iteration in range(RUN_ITERATIONS):  # each from the same parameters, as no step is kept
            state = State(iteration, exact.state.theta, walkers)
            steps = iterate(state, job.ansatz, job.operator, sampler, job.solver, COMM, leak_test=test)
            rows.append(series(next(steps)))
        columns = {one.name: np.array([found.get(one.name, one.fill) for found in rows]) for one in SERIES}
        columns[ITERATION.name] = np.arange(RUN_ITERATIONS)
        run = Run(Path("run.h5"), {"n_sites": job.lattice.n_sites}, columns, None, "", "", "")
        before, after = plateau(run.energy_per_site), plateau_of(run)
        ends.append((after.value, before.error, after.error))
    values, before, after = np.array(ends).T
    truth = exact.energy / exact.job.lattice.n_sites
    return [name, coverage(values, before, truth), coverage(values, after, truth), f"{np.median(after / before):.2g}"]


PLATEAU_HEAD = ("state", "by scatter", "claimed", "growth")
PLATEAUS = ("cosines, scale 0.5", "Ising ring, light tails")


def main() -> None:
    """Print the tables, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=400, help="measurements of each state; default: 400")
    parser.add_argument("--samples", type=int, nargs="+", default=[4096, 16384], help="of each measurement")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="states whose names contain one of these texts")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page to a file")
    options = parser.parse_args()
    limit_threads(1)
    rows, plateaus = [], []
    for name, case in CASES.items():
        if options.only and not any(text in name for text in options.only):
            continue
        exact = exact_of(case)
        for samples in options.samples:
            rows.append(row(name, exact, samples, options.repeats))
            print(" | ".join(rows[-1]), flush=True)
        if name in PLATEAUS:
            plateaus.append(plateau_row(name, exact, options.repeats // 4))
            print(" | ".join(plateaus[-1]), flush=True)
    if options.page:
        options.page.write_text(page(rows, plateaus, options.repeats), encoding="utf-8")


def page(rows: Sequence[Sequence[str]], plateaus: Sequence[Sequence[str]], repeats: int) -> str:
    """The page docs/reports/tails.md."""
    text = [
        "# Errors where local energies have heavy tails\n",
        "Written by `python benchmarks/tails.py --page docs/reports/tails.md`.\n",
        f"Each state is measured {repeats} times with independent draws of its |psi|^2, by the code of `pvmc measure`; "
        "the part of the measurements that have the exact energy, or variance, within one error.  68 % is that of a "
        "normal distribution.  By scatter and by jackknife are the errors that the draws show; claimed is the one "
        "that is stored, with the variance that draws miss by the leak test, and for the variance that of "
        "configurations rarer than all draws ([statistics.md](../statistics.md)); "
        "smeared are the values of smeared draws with their own errors; growth is the median of the claimed error over "
        "the one before.  The exponent is that of the tail of |E_loc - E|, median over the measurements, inf where "
        "no tail is seen.\n",
        table(HEAD, rows),
        f"The plateau of runs of {RUN_ITERATIONS} iterations of 1024 independent samples, all at the same "
        f"parameters, {repeats // 4} runs each: by the scatter of the iterations, and as `status`, `analyze` and "
        "`report` claim it.\n",
        table(PLATEAU_HEAD, plateaus),
    ]
    return wrapped("\n".join(text))


if __name__ == "__main__":
    main()
