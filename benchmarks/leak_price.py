"""What the leak test costs, in percent of an iteration of the 40-site Heisenberg ring.

    python benchmarks/leak_price.py [--pairs P] [--json FILE]

Iterations with a test in each and iterations without take turns in one process, each pair from the same state, so that
other work on the machine slows both; times are processor times of the process.  A run has a test every
``run.leak_every`` iterations (10): its price is the difference over that number.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from pvmc.estimators import LeakTest
from pvmc.mpi import SerialCommunicator, limit_threads, node_of
from pvmc.vmc.job import Job, load_job
from pvmc.vmc.loop import iterate
from pvmc.vmc.start import compile_kernels, initial_state

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "heisenberg_chain.toml"
CASES = {"alpha = 1": ["ansatz.alpha=1"], "alpha = 4": ["ansatz.alpha=4"]}
WARM_UP = 3
"""Pairs that do not count."""


@dataclass(frozen=True)
class Price:
    """What one case costs.

    Attributes:
        seconds: processor time of an iteration without a test, the median.
        one: percent that a test adds to an iteration that has one, the quartiles over the pairs.
        interval: iterations from one test to the next.
    """

    seconds: float
    one: tuple[float, float, float]
    interval: int

    def text(self) -> str:
        """The line that is printed."""
        lower, middle, upper = self.one
        return (
            f"{1e3 * self.seconds:.1f} ms an iteration; a test adds {middle:.1f} % to it (quartiles {lower:.1f} and "
            f"{upper:.1f} %): {middle / self.interval:.2f} % of a run with one every {self.interval} iterations"
        )


def main() -> None:
    """Measure and print all cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20, metavar="P", help="iterations of either kind; default: 20")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to a file as well")
    options = parser.parse_args()
    limit_threads(1)
    found = {}
    for name, overrides in CASES.items():
        price = price_of(load_job(CONFIG, overrides), options.pairs)
        print(f"ring of 40, {name}: {price.text()}", flush=True)
        found[name] = asdict(price)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def price_of(job: Job, pairs: int) -> Price:
    """The price of a test of one job."""
    comm, interval = SerialCommunicator(), job.config.run.leak_every
    test = LeakTest.of(job.sampler, job.operator, interval)
    assert test is not None, "the job has leak tests"
    state = initial_state(job, comm)
    compile_kernels(job, state, comm, node_of(comm))
    tests = (replace(test, interval=1), None)
    loops = [iterate(state, job.ansatz, job.operator, job.sampler, job.solver, comm, leak_test=one) for one in tests]
    seconds = np.zeros((2, pairs))
    for pair in range(-WARM_UP, pairs):
        for kind in (0, 1) if pair % 2 else (1, 0):
            start = time.process_time()
            next(loops[kind])
            seconds[kind, pair] = time.process_time() - start  # those that warm up are overwritten
    lower, middle, upper = np.percentile(100.0 * (seconds[0] / seconds[1] - 1.0), [25, 50, 75]).tolist()
    return Price(float(np.median(seconds[1])), (lower, middle, upper), interval)


if __name__ == "__main__":
    main()
