"""What safety costs, in percent of an iteration: checkpoints, sums that are the same at any number of ranks, stopping.

    python benchmarks/safety_price.py [--pairs P] [--json FILE]

Times are medians.  With and without reproducible sums are measured in turns, pair after pair, since other work on the
machine changes from minute to minute; the price of a pair is compared, not of the whole.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np

from pvmc.estimators import EnergyStatistics
from pvmc.job import Job, load_job
from pvmc.parallel import Communicator, SerialCommunicator, limit_threads, world
from pvmc.recorder import Recorder, RunRequest
from pvmc.runtime import CheckpointPolicy, CheckpointSpec, Signals, StopWatcher
from pvmc.simulation import initial_state

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "heisenberg_chain.toml"
CASES = {
    "ring of 40, alpha = 4, 8192 samples": ["ansatz.alpha=4"],
    "ring of 12, alpha = 1, 512 samples": ["lattice.length=12", "sampler.walkers=128", "sampler.samples=512"],
}
INTERVALS = (600.0, 10.0)
"""Seconds between two checkpoints: the default, and a short one."""


@dataclass(frozen=True)
class Price:
    """What one case costs on a number of ranks.

    Attributes:
        case: the job.
        ranks: number of ranks.
        seconds: wall time of an iteration, the median.
        reproducible: percent that reproducible sums add to it, the median over the pairs; the least and the largest.
        checkpoint: seconds that a checkpoint takes, the median.
        decide: seconds that the decision takes whether to stop, the median.
    """

    case: str
    ranks: int
    seconds: float
    reproducible: tuple[float, float, float]
    checkpoint: float
    decide: float

    def text(self) -> str:
        """The lines that are printed."""
        middle, least, largest = self.reproducible
        shares = [f"{100 * self.checkpoint / interval:.4f} % at one every {interval:g} s" for interval in INTERVALS]
        return "\n".join(
            [
                f"{self.case}, {self.ranks} rank{'s' if self.ranks > 1 else ''}: {1e3 * self.seconds:.2f} ms",
                f"    reproducible sums {middle:+.1f} % (pairs: {least:+.1f} to {largest:+.1f} %)",
                f"    a checkpoint takes {1e3 * self.checkpoint:.1f} ms: {', '.join(shares)}",
                f"    decide takes {1e6 * self.decide:.0f} us: {100 * self.decide / self.seconds:.3f} %",
            ]
        )


def main() -> int:
    """Measure and print; or, on ranks of its own, measure one thing for the process that started them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7, metavar="P", help="with and without, in turns; default: 7")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to a file as well")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        _measure(options.measure, options.json)
        return 0
    prices = [price(case, sets, ranks, options.pairs) for case, sets in CASES.items() for ranks in (1, 2)]
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in prices], indent=2) + "\n", encoding="utf-8")
    return 0


def price(case: str, sets: Sequence[str], ranks: int, pairs: int) -> Price:
    """What a case costs, printed."""
    seconds, percent = [], []
    for pair in range(pairs):
        order = (False, True) if pair % 2 else (True, False)
        found = {exact: bench(sets, ranks, exact) for exact in order}
        seconds.append(found[True])
        percent.append(100 * (found[True] / found[False] - 1))
    own = on_ranks(ranks, [__file__, "--measure", *sets])
    reproducible = (median(percent), min(percent), max(percent))
    result = Price(case, ranks, median(seconds), reproducible, own["checkpoint"], own["decide"])
    print(result.text(), flush=True)
    return result


def bench(sets: Sequence[str], ranks: int, exact: bool) -> float:
    """Seconds of an iteration, by ``pvmc bench``."""
    changes = [*sets, f"run.reproducible={str(exact).lower()}"]
    options = [text for change in changes for text in ("--set", change)]
    return float(on_ranks(ranks, ["-m", "pvmc", "bench", str(CONFIG), "--iterations", "25", *options])["seconds"])


def on_ranks(ranks: int, arguments: Sequence[str]) -> dict[str, float]:
    """What a program of ours writes to its --json."""
    launcher = shutil.which("mpiexec", path=Path(sys.executable).parent) or shutil.which("mpiexec")
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "numbers.json"
        command = [str(launcher), "-n", str(ranks), sys.executable, *arguments, "--json", str(file)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return dict(json.loads(file.read_text(encoding="utf-8")))


def _measure(sets: Sequence[str], file: Path | None) -> None:
    """Collective. Seconds of a checkpoint and of a decision, to a JSON file."""
    comm = world()
    limit_threads(1)
    seconds = {"decide": decide_seconds(comm)}
    job = load_job(CONFIG, sets)
    seconds["checkpoint"] = comm.root_value(lambda: checkpoint_seconds(job))
    if comm.rank == 0 and file is not None:
        file.write_text(json.dumps(seconds), encoding="utf-8")


def checkpoint_seconds(job: Job, repeats: int = 15) -> float:
    """Seconds that a checkpoint takes on the disk of the current directory, its gathering left out."""
    with tempfile.TemporaryDirectory(dir=".") as directory:
        request = RunRequest(job, "", Path(directory) / "run")
        state = initial_state(job, SerialCommunicator())
        with Recorder(request, 1) as recorder:
            numbers = {"retry": np.zeros(3)}
            return median(recorder.save(i, state.theta, state.walkers.spins, numbers) for i in range(repeats))


def decide_seconds(comm: Communicator, repeats: int = 2000) -> float:
    """Collective. Seconds that a decision takes, ranks in step."""
    energy = EnergyStatistics(-1.0 + 0j, 0.1, 0.01, 1.0, 1.0, 1e-3, 0.5, 100)
    policy = CheckpointPolicy(CheckpointSpec(), 0, time.monotonic())
    watcher = StopWatcher(10**9, Signals(), Path("."), checkpoints=policy)
    seconds = []
    for iteration in range(repeats):
        comm.barrier()
        start = time.perf_counter()
        watcher.decide(iteration, energy, comm)
        seconds.append(time.perf_counter() - start)
    return median(seconds)


if __name__ == "__main__":
    sys.exit(main())
