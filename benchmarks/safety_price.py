"""What safety costs, in percent of an iteration: checkpoints, sums that are the same at any number of ranks, stopping.

    python benchmarks/safety_price.py [--pairs P] [--json FILE]

Iterations with and without reproducible sums take turns in one process, so that other work on the machine slows both;
each is compared with the one beside it.  Times are medians.
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
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from pvmc.mpi import Communicator, SerialCommunicator, limit_threads, node_of, world
from pvmc.vmc.checkpoints import CheckpointPolicy
from pvmc.vmc.interruptions import Signals
from pvmc.vmc.job import Job, load_job
from pvmc.vmc.loop import iterate
from pvmc.vmc.recorder import Recorder, RunRequest
from pvmc.vmc.spec import CheckpointSpec
from pvmc.vmc.start import compile_kernels, initial_state
from pvmc.vmc.stop import StopWatcher

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "heisenberg_chain.toml"
CASES = {
    "ring of 40, alpha = 4, 8192 samples": ["ansatz.alpha=4"],
    "ring of 12, alpha = 1, 512 samples": ["lattice.length=12", "sampler.walkers=128", "sampler.samples=512"],
}
WARM_UP = 3
"""Pairs that do not count."""

INTERVALS = (600.0, 10.0)
"""Seconds between two checkpoints: the default, and a short one."""


@dataclass(frozen=True)
class Price:
    """What one case costs on a number of ranks.

    Attributes:
        seconds: wall time of an iteration, without other work on the machine (the least).
        reproducible: percent that reproducible sums add to an iteration, the quartiles over the pairs.
        checkpoint: seconds that a checkpoint takes, the median.
        decide: seconds that it takes to decide whether to stop, the median.
    """

    seconds: float
    reproducible: tuple[float, float, float]
    checkpoint: float
    decide: float

    def text(self) -> str:
        """The lines that are printed."""
        lower, middle, upper = self.reproducible
        shares = [f"{100 * self.checkpoint / interval:.4f} % at one every {interval:g} s" for interval in INTERVALS]
        return (
            f"    reproducible sums {middle:+.1f} % (quartiles {lower:+.1f} and {upper:+.1f} %)\n"
            f"    a checkpoint takes {1e3 * self.checkpoint:.1f} ms: {', '.join(shares)}\n"
            f"    decide takes {1e6 * self.decide:.0f} us: {100 * self.decide / self.seconds:.3f} %"
        )


def main() -> int:
    """Measure and print all cases; or, on ranks of its own, one case for the process that started them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=40, metavar="P", help="iterations of either kind; default: 40")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to a file as well")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        _measure(load_job(CONFIG, options.measure), options.pairs, options.json, world())
        return 0
    found = {}
    for case, ranks in product(CASES, (1, 2)):
        name = f"{case}, {ranks} rank{'s' if ranks > 1 else ''}"
        price = on_ranks(ranks, ["--measure", *CASES[case], "--pairs", str(options.pairs)])
        print(f"{name}: {1e3 * price.seconds:.2f} ms an iteration\n{price.text()}", flush=True)
        found[name] = asdict(price)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


def on_ranks(ranks: int, arguments: Sequence[str]) -> Price:
    """What this program measures on a number of ranks."""
    launcher = shutil.which("mpiexec", path=Path(sys.executable).parent) or shutil.which("mpiexec")
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "price.json"
        command = [str(launcher), "-n", str(ranks), sys.executable, __file__, *arguments, "--json", str(file)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return Price(**json.loads(file.read_text(encoding="utf-8")))


def _measure(job: Job, pairs: int, file: Path, comm: Communicator) -> None:
    """Collective. The price of one case, to a JSON file."""
    limit_threads(1)
    exact, plain = iteration_seconds(job, pairs, comm)
    quartiles = np.percentile(100 * (exact / plain - 1), [25, 50, 75]).tolist()
    decide = decide_seconds(comm)
    price = Price(float(exact.min()), tuple(quartiles), comm.root_value(lambda: checkpoint_seconds(job)), decide)
    if comm.rank == 0:
        file.write_text(json.dumps(asdict(price)), encoding="utf-8")


def iteration_seconds(job: Job, pairs: int, comm: Communicator) -> npt.NDArray[np.float64]:
    """Collective. Seconds of iterations with reproducible sums, and of those without beside them, (2, pairs)."""
    state = initial_state(job, comm)
    compile_kernels(job, state, comm, node_of(comm))
    loops = [
        iterate(state, job.ansatz, job.operator, job.sampler, job.solver, comm, exact_sums=exact)
        for exact in (True, False)
    ]
    seconds = np.zeros((2, pairs))
    for pair in range(-WARM_UP, pairs):
        for kind in (0, 1) if pair % 2 else (1, 0):
            comm.barrier()
            start = time.perf_counter()
            next(loops[kind])
            seconds[kind, pair] = time.perf_counter() - start  # those that warm up are overwritten
    return comm.max(seconds)


def checkpoint_seconds(job: Job, repeats: int = 15) -> float:
    """Seconds that a checkpoint takes on the disk of the current directory, its gathering left out."""
    with tempfile.TemporaryDirectory(dir=".") as directory:
        request = RunRequest(job, "", Path(directory) / "run")
        state = initial_state(job, SerialCommunicator())
        with Recorder(request, 1) as recorder:
            parts = {"rollback": {"retry": np.zeros(3)}}
            seconds = []
            for i in range(repeats):
                start = time.perf_counter()
                recorder.save(i, state.theta, state.walkers.spins, parts)
                seconds.append(time.perf_counter() - start)
            return median(seconds)


def decide_seconds(comm: Communicator, repeats: int = 2000) -> float:
    """Collective. Seconds that a decision takes, ranks in step."""
    policy = CheckpointPolicy(CheckpointSpec(), 0, time.monotonic())
    watcher = StopWatcher(10**9, Signals(), Path("."), checkpoints=policy)
    seconds = []
    for iteration in range(repeats):
        comm.barrier()
        start = time.perf_counter()
        watcher.decide(iteration, comm)
        seconds.append(time.perf_counter() - start)
    return median(seconds)


if __name__ == "__main__":
    sys.exit(main())
