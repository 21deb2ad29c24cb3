"""Train states of 16 sites, measure every observable of theirs, and compare all points with exact diagonalisation.

    python benchmarks/observables.py [--samples N] [--seed S] [--runs DIR] [--markdown docs/reports/observables.md]

What a user does: `pvmc run` with the inputs of configs/observables/, then `pvmc measure` by Markov chains.  The state's
own error is known too, as the same parameters are measured by enumeration.  The exit code is 1 where the points do not
agree at the level 1e-3.  Some two minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from agreement import Agreement, agreement, pair_means
from exact_points import exact_ground_state, exact_points

from pvmc.errors import PvmcError
from pvmc.io.checkpoint import latest_checkpoint
from pvmc.io.measurement import Measurement
from pvmc.io.reader import open_run
from pvmc.measurement.measuring import measure
from pvmc.measurement.plan import MeasureRequest, directory_of
from pvmc.measurement.registry import local_values
from pvmc.mpi import SerialCommunicator
from pvmc.vmc.job import Job, load_job
from pvmc.vmc.recorder import RunRequest
from pvmc.vmc.run import run

Floats = npt.NDArray[np.float64]

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / "configs" / "observables").glob("*.toml"))
OBSERVABLES = ["magnetization", "correlations", "structure_factor", "staggered", "renyi2:lengths", "overlap"]
LEVEL = 1e-3
WALKERS = 1024
"""So few that each makes many more draws than the order of the critical Ising ring is remembered for."""
CHAINS = ['kind="metropolis"', "magnetization=0", f"walkers={WALKERS}", "block_width=512", f"samples={16 * WALKERS}"]
"""Of the sampler, in place of all configurations.  The magnetisation counts where the moves keep it."""

COMM = SerialCommunicator()


@dataclass(frozen=True)
class Comparison:
    """What came of one system.

    Attributes:
        job: the trained job.
        exact: points of the exact ground state, by name.
        found: the measurement by Markov chains.
        energy_error: of the trained state, relative to the exact energy.
        infidelity: 1 - overlap of the trained state with the exact ground space.
        to_exact: agreement of the measurement with exact diagonalisation.
        to_state: agreement with the trained state by enumeration: the sampling alone.
        added: what the state's own error adds to the chi-square of ``to_exact``.
    """

    job: Job
    exact: dict[str, Floats]
    found: Measurement
    energy_error: float
    infidelity: float
    to_exact: Agreement
    to_state: Agreement
    added: float


def main() -> int:
    """Compare all systems, print and write what came of it; 0 where all points agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2**18, metavar="N", help="configurations; default: 2^18")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the measurements; default: 1")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "observables", metavar="DIR", help="of the runs")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the page to a file")
    options = parser.parse_args()
    found = {file.stem: compare(file, options.runs / file.stem, options.samples, options.seed) for file in CONFIGS}
    text = page(found)
    print(text)
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    return 0 if all(one.to_exact.accepted(LEVEL) for one in found.values()) else 1


def compare(config: Path, directory: Path, samples: int, seed: int) -> Comparison:
    """Train one system, measure it, and compare."""
    job = load_job(config)
    overrides = [f"sampler.{setting}" for setting in CHAINS]
    go_on(run(RunRequest(job, config.read_text(encoding="utf-8"), directory, overwrite=True), COMM))
    go_on(measure(MeasureRequest(directory, OBSERVABLES), COMM))
    go_on(measure(MeasureRequest(directory, OBSERVABLES, samples, seed=seed, overrides=overrides), COMM))
    return compared(job, directory)


def go_on(code: int) -> None:
    """Ends the program where a run or a measurement was stopped."""
    if code:
        sys.exit(code)


def compared(job: Job, directory: Path) -> Comparison:
    """The first two measurements of a run: by enumeration, and by Markov chains."""
    stored = open_run(directory)
    enumerated, found = stored.measurements
    energy, vector = exact_ground_state(job.config, job.sampler.magnetization)
    exact = exact_points(vector, job.lattice)
    checkpoint, _ = latest_checkpoint(directory_of(stored.path, found.number))
    assert checkpoint is not None, "a measurement that is finished leaves its sums"
    pairs = pair_means(checkpoint.parts["measurement"])
    names = [data.name for data, _ in local_values(OBSERVABLES, job).parts]
    right = joined(exact, names)
    state = joined({name: np.atleast_1d(one.value) for name, one in enumerated.estimates.items()}, names)
    at_state = pairs - pairs.mean(axis=0) + state
    return Comparison(
        job=job,
        exact=exact,
        found=found,
        energy_error=abs(float(enumerated.estimates["energy"].value) / energy - 1.0),
        infidelity=1.0 - float(enumerated.estimates["overlap"].value),
        to_exact=agreement(pairs, right),
        to_state=agreement(pairs, state),
        added=agreement(at_state, right).statistic,
    )


def joined(points: dict[str, Floats], names: Sequence[str]) -> Floats:
    """The points one after the other, with purities in place of entropies: they are what is averaged."""
    return np.concatenate([*(points[name] for name in names), np.exp(-points["renyi2"])])


HEAD = """\
# Observables of 16 sites against exact diagonalisation

Made by `python benchmarks/observables.py --markdown docs/reports/observables.md`; do not edit.  States are trained by
`pvmc run` with the inputs of `configs/observables/`, and measured by `pvmc measure` with Markov chains.  The exact
numbers are made of the ground-state vector by their definitions (`benchmarks/exact_points.py`).

All points of a measurement are of the same configurations.  Chi-square is that of all of them: Hotelling's T^2 with
their full covariance, from the means of pairs of walkers, and p is that of its F distribution.  Points that follow from
others (S(q), m_s^2) must do so to 1e-6.  A system passes where neither the two-sided p nor that of the largest single
deviation (Bonferroni) refuses it at the level 1e-3 together.

What the state's own error adds to chi-square ("added by the state") is found by enumeration of the same parameters,
with which the measurement is compared too ("p of sampling").  The weights of the Ising ring are real for its sake:
complex ones leave a phase, <sigma^y> of 3e-5 in place of 0, which has so little scatter that these samples see it as
100 errors.

`tests/measurement/test_sixteen_sites.py` does the same with the exact states themselves.

| system | rel. error of E | 1 - overlap | samples | points, indep. | chi-square | p | largest deviation | \
added by the state | p of sampling | result |
|---|---|---|---|---|---|---|---|---|---|---|
"""


def page(found: dict[str, Comparison]) -> str:
    """The page: a summary, and every point."""
    rows = [summary(name, one) for name, one in found.items()]
    return HEAD + "\n".join(rows) + "\n" + "".join(section(name, one) for name, one in found.items())


def summary(name: str, one: Comparison) -> str:
    """The row of one system."""
    test = one.to_exact
    points = len(joined(one.exact, [data.name for data, _ in local_values(OBSERVABLES, one.job).parts]))
    cells = [
        name,
        f"{one.energy_error:.1e}",
        f"{one.infidelity:.1e}",
        str(one.found.attributes["n_samples"]),
        f"{points}, {test.degrees}",
        f"{test.statistic:.1f}",
        f"{test.p_value:.3f}",
        f"{test.largest:.2f} sigma",
        f"{one.added:.2f}",
        f"{one.to_state.p_value:.3f}",
        "pass" if test.accepted(LEVEL) else "FAIL",
    ]
    return f"| {' | '.join(cells)} |"


def section(name: str, one: Comparison) -> str:
    """Every point of one system: exact, measured with the error of the last digits, deviation in errors."""
    lattice = one.job.lattice
    half = lattice.n_sites // 2
    momenta = lattice.momenta()[:, 0] / np.pi
    distances = [(str(r), r) for r in range(1, half + 1)]
    ordered = sorted((q, k) for k, q in enumerate(momenta) if -1e-9 < q < 1 + 1e-9)
    text = [f"\n## {name}\n", "sigma: Pauli matrices; deviations in standard errors, - where a point has none.\n"]
    text += pairs_table("r", "C", "correlation", distances, one)
    text += pairs_table("q / pi", "S", "structure_factor", [(f"{q:.3f}", k) for q, k in ordered], one)
    text += ["| | exact | measured | deviation |", "|---|---|---|---|"]
    single = ["magnetization_x", "magnetization_y", "magnetization_z", "staggered_magnetization_squared"]
    text += [f"| {entry} | {point(one, entry, 0)} |" for entry in single]
    text += [f"| renyi2 of {length + 1} sites | {point(one, 'renyi2', length)} |" for length in range(half)]
    return "\n".join(text) + "\n"


def pairs_table(axis: str, symbol: str, name: str, rows: Sequence[tuple[str, int]], one: Comparison) -> Iterator[str]:
    """Lines of a table with xx, yy and zz side by side."""
    head = " | ".join(f"{symbol} {letters} exact | measured | deviation" for letters in ("xx", "yy", "zz"))
    yield f"| {axis} | {head} |"
    yield "|" + "---|" * 10
    for label, index in rows:
        yield f"| {label} | {' | '.join(point(one, f'{name}_{a}{a}', index) for a in 'xyz')} |"
    yield ""


def point(one: Comparison, name: str, index: int) -> str:
    """Three cells of one point."""
    estimate = one.found.estimates[name]
    value, error = (float(np.atleast_1d(array)[index]) for array in (estimate.value, estimate.error))
    exact = float(one.exact[name][index])
    if error < 1e-12:
        return f"{round(exact, 5) + 0.0:.5f} | {round(value, 5) + 0.0:.5f} | -"
    digits = 1 - int(np.floor(np.log10(error)))
    measured = f"{value:.{digits}f}({round(error * 10**digits)})"
    return f"{exact:.{digits}f} | {measured} | {(value - exact) / error:+.2f}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PvmcError as error:
        sys.exit(f"observables.py: {error}")
