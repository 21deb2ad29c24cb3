"""Kill runs at random moments, go on with them, and compare the results bit by bit with a run that nothing disturbed.

    python benchmarks/kills.py --jobs 50 --ranks 20 [--seed S] [--json FILE]

``--jobs`` times SIGKILL goes to a whole job, mpiexec and all ranks; ``--ranks`` times to one rank alone, after which
the rest of the job has to end by itself.  The moments lie anywhere from the start of the processes to their end, and
each resume has another number of ranks, 1 to 4.  The exit code is 1 where anything is not as it should be.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from processes import Job
from run_bits import bits_of, differences

from pvmc.errors import PvmcError
from pvmc.io.checkpoint import latest_checkpoint
from pvmc.io.reader import open_run
from pvmc.io.schema import FILE_NAME

LONGEST = 120.0
"""Seconds after which a job that was not killed counts as hung."""

INPUT = """\
[lattice]
kind = "chain"
length = 8
[hamiltonian]
model = "heisenberg"
[ansatz]
kind = "rbm"
alpha = 1
[sampler]
walkers = 64
block_width = 16
samples = 128
[sr]
reject_rise = 3.0          # remembers the energy before: that too has to survive
[run]
iterations = {iterations}
save_every = 7
checkpoint = {{ iterations = 3, minutes = 0, cost = 1.0 }}
"""


@dataclass
class Tally:
    """What happened.

    Attributes:
        job_kills: times that a whole job was killed.
        rank_kills: times that one rank was killed.
        before_results: kills before there was a results file: the run began again.
        resumes: starts with --resume.
        files_read: results files and checkpoints looked at after kills.
        unreadable: those of them that could not be read.
        refused: starts that ended by themselves otherwise than as finished.
        finished: runs that were killed at least once and got to their end.
        differing: those of them with other numbers than the undisturbed run.
        undisturbed_differing: undisturbed runs, one for each number of ranks, that differ from the first.
        slowest_end: longest time in seconds for a job to end after one of its ranks was killed.
        mean_end: mean of these times.
        seconds: wall time of the campaign.
        notes: one line for each thing that is not as it should be.
    """

    job_kills: int = 0
    rank_kills: int = 0
    before_results: int = 0
    resumes: int = 0
    files_read: int = 0
    unreadable: int = 0
    refused: int = 0
    finished: int = 0
    differing: int = 0
    undisturbed_differing: int = 0
    slowest_end: float = 0.0
    mean_end: float = 0.0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def good(self) -> bool:
        """Whether all is as it should be."""
        return not (self.unreadable or self.refused or self.differing or self.undisturbed_differing or self.notes)

    def text(self) -> str:
        """The table that is printed."""
        numbers = {name: value for name, value in asdict(self).items() if name != "notes"}
        shown = {name: f"{value:.2f}" if isinstance(value, float) else str(value) for name, value in numbers.items()}
        return "\n".join([*(f"{name.replace('_', ' '):<24}{value:>8}" for name, value in shown.items()), *self.notes])


class Campaign:
    """Runs that are killed and go on.

    Args:
        root: a directory for their files.
        launcher: the mpiexec.
        seed: of the moments, the numbers of ranks and the ranks that are killed.
        iterations: of each run.
        most_ranks: resumes have 1 to so many ranks.
    """

    def __init__(self, root: Path, launcher: str, seed: int, iterations: int, most_ranks: int):
        self.root, self.launcher = root, launcher
        self.rank_counts = range(1, most_ranks + 1)
        self.tally = Tally()
        self.config = root / "chain.toml"
        self.config.write_text(INPUT.format(iterations=iterations))
        self._random = np.random.default_rng(seed)
        self._durations: dict[int, float] = {}
        self._reference: dict[str, bytes] = {}
        self._ends: list[float] = []

    def carry_out(self, jobs: int, ranks: int) -> Tally:
        """So many kills of jobs and of single ranks, in random order; what happened."""
        begin = time.monotonic()
        self._run_undisturbed()
        kinds = [*(["job"] * jobs), *(["rank"] * ranks)]
        pending = [kinds[i] for i in self._random.permutation(len(kinds))]
        number = 0
        while pending:
            self._run_with_kills(self.root / f"run{number}", pending)
            number += 1
        self.tally.slowest_end = max(self._ends, default=0.0)
        self.tally.mean_end = float(np.mean(self._ends)) if self._ends else 0.0
        self.tally.seconds = time.monotonic() - begin
        return self.tally

    def _run_undisturbed(self) -> None:
        """One run for each number of ranks: what the others are compared with, and how long they take."""
        for ranks in (1, *self.rank_counts):  # the first one compiles, and its time does not count
            directory = self.root / "undisturbed"
            start = time.monotonic()
            code = self._start(directory, ranks, "--overwrite").wait(LONGEST)
            self._durations[ranks] = time.monotonic() - start
            if code != 0:
                raise SystemExit(f"an undisturbed run on {ranks} ranks ended with {code}:\n{self._last_words()}")
            bits = bits_of(directory)
            self._reference = self._reference or bits
            if found := differences(self._reference, bits):
                self.tally.undisturbed_differing += 1
                self.tally.notes.append(f"undisturbed on {ranks} ranks: other {', '.join(found)}")

    def _run_with_kills(self, directory: Path, pending: list[str]) -> None:
        """One run to its end, with kills as long as there are any to come."""
        kills, history, ranks = 0, [], 0
        while True:
            ranks = int(self._random.choice([n for n in self.rank_counts if n != ranks]))
            resume = (directory / FILE_NAME).exists()
            job = self._start(directory, ranks, *(["--resume"] if resume else []))
            self.tally.resumes += resume
            moment = self._random.uniform(0.0, self._durations[ranks]) if pending else LONGEST
            code = job.wait(moment)
            history.append(f"{ranks} ranks {moment:.3f} s {pending[-1] if pending else 'end'}")
            if code is None and not pending:
                job.kill()
                raise SystemExit(f"a run on {ranks} ranks hung:\n{self._last_words()}")
            if code is None and not self._kill(job, pending):
                code = job.wait(LONGEST)  # it ended just before
            if code is not None:
                break
            kills += 1
            self._look_at(directory)
        if code != 0:
            self.tally.refused += 1
            self.tally.notes.append(f"{directory.name} on {ranks} ranks ended with {code}: {self._last_words(1)}")
        elif kills:
            self._compare(directory, history)
        shutil.rmtree(directory)

    def _kill(self, job: Job, pending: list[str]) -> bool:
        """The next kill; whether there was still something to kill."""
        if pending[-1] == "job":
            job.kill()
            self.tally.job_kills += 1
        else:
            seconds = job.kill_rank(int(self._random.integers(max(self.rank_counts))))
            if seconds is None:
                return False
            self._ends.append(seconds)
            self.tally.rank_kills += 1
        pending.pop()
        return True

    def _look_at(self, directory: Path) -> None:
        """Read all files that a kill has left."""
        if not (directory / FILE_NAME).exists():
            self.tally.before_results += 1
            return
        try:
            self.tally.files_read += 1
            run = open_run(directory)
            for iteration in run.saved_iterations().tolist():
                run.parameters(iteration)
        except PvmcError as error:
            self._unreadable(str(error))
        try:
            checkpoint, passed_over = latest_checkpoint(directory)
            self.tally.files_read += checkpoint is not None
        except PvmcError as error:
            passed_over = [str(error)]
        for line in passed_over:
            self._unreadable(line)

    def _unreadable(self, line: str) -> None:
        self.tally.unreadable += 1
        self.tally.notes.append(f"unreadable: {line}")

    def _compare(self, directory: Path, history: list[str]) -> None:
        self.tally.finished += 1
        found = differences(self._reference, bits_of(directory))
        if found:
            self.tally.differing += 1
            self.tally.notes.append(f"{directory.name} ({'; '.join(history)}): other {', '.join(found[:5])}")

    def _start(self, directory: Path, ranks: int, *options: str) -> Job:
        arguments = ["run", str(self.config), "--output", str(directory), *options]
        return Job(ranks, arguments, self.root / "log", self.launcher)

    def _last_words(self, lines: int = 10) -> str:
        return "\n".join((self.root / "log").read_text(errors="replace").splitlines()[-lines:])


def main() -> int:
    """Carry out the campaign; 0 where all is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=50, metavar="N", help="kills of whole jobs; default: 50")
    parser.add_argument("--ranks", type=int, default=20, metavar="M", help="kills of single ranks; default: 20")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random; default: 1")
    parser.add_argument("--iterations", type=int, default=100, help="of each run; default: 100")
    parser.add_argument("--most-ranks", type=int, choices=(2, 3, 4), default=4, help="of a resume; default: 4")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to a file as well")
    options = parser.parse_args()
    launcher = shutil.which("mpiexec", path=Path(sys.executable).parent) or shutil.which("mpiexec")
    if launcher is None:
        parser.error("no mpiexec beside python or on PATH")
    with tempfile.TemporaryDirectory() as root:
        campaign = Campaign(Path(root), launcher, options.seed, options.iterations, options.most_ranks)
        tally = campaign.carry_out(options.jobs, options.ranks)
    print(tally.text())
    if options.json:
        options.json.write_text(json.dumps(asdict(tally) | {"seed": options.seed}, indent=2) + "\n", encoding="utf-8")
    return 0 if tally.good() else 1


if __name__ == "__main__":
    sys.exit(main())
