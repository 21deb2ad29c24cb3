"""The text of a job script, from a template.

``jobs/*.sbatch`` are made from it too (``docs/generate.py``), and a test compares them.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pvmc.errors import InputError

MARGIN = 120
"""Seconds before its time limit at which a job is told to save and leave."""

LAUNCHERS = {
    "mpiexec": 'mpiexec -n "$SLURM_NTASKS"',
    "srun-pmi2": 'srun -K1 --mpi=pmi2 --cpus-per-task="$SLURM_CPUS_PER_TASK"',
    "srun-pmix": 'srun -K1 --mpi=pmix --cpus-per-task="$SLURM_CPUS_PER_TASK"',
}
"""How the ranks of a job are started, by the word for it on the command line."""

TEMPLATE = """\
#!/bin/bash
# @TITLE@.  @ORIGIN@:
#
@WRITTEN_BY@
#
# Submit it@FROM@, and look after it:
#
#     sbatch @FILE@
#     squeue --me                  # waits or runs?
#     pvmc status @STATUS@
#
# When its time is nearly over the job saves its state, leaves, and goes back into the queue; when it starts again it
# goes on where it was, to the same numbers as without the break.  The same script submitted once more goes on, too.
# docs/cluster.md tells the whole story.  Options of sbatch on the command line win over the lines #SBATCH, as in
# `sbatch --time=10:00:00 @FILE@`; what follows the script's name goes to `pvmc run`.

#SBATCH --job-name=@NAME@
@LOG@
# A job that starts again writes on in the same log.
#SBATCH --open-mode=append
@ARRAY@
# One task is one rank; each has --cpus-per-task cores (run.threads_per_rank of the input, usually 1).
@NODES@
#SBATCH --ntasks=@NTASKS@
#SBATCH --cpus-per-task=@CPUS@
# `pvmc validate CONFIG` prints the memory that each rank will need.
#SBATCH --mem-per-cpu=@MEMORY@
#SBATCH --time=@TIME@
# The queue that you belong to, where your site asks for it:
@PARTITION@
@ACCOUNT@
# The job may start again, after its time limit or when a node fails.
#SBATCH --requeue
# B: the signal goes to this script alone, @MARGIN@ s before the time limit; the script hands it on to the ranks, below.
# SLURM looks every 30 s or so: the signal may come up to a minute early.
#SBATCH --signal=B:USR1@@MARGIN@

set -uo pipefail
cd @DIRECTORY@ || exit 4

# Your MPI.  The environment that `make install` makes brings MPICH along.  For the MPI of your site, which knows the
# fast network, use `make install MPI=system`, and load the same module here:
# module load mpich
export PATH=@BIN@:"$PATH"
export OMP_NUM_THREADS="$SLURM_CPUS_PER_TASK"
# No progress bar in the log, also where a launcher lends the ranks a terminal (Open MPI's does).
export TERM=dumb

again=@AGAIN@
output=@OUTPUT@
# Another program in pvmc's place, for tests: PVMC=... sbatch ...
pvmc="${PVMC:-pvmc}"
# A time limit too short to get anywhere must not go round for ever.
max_restarts="${PVMC_MAX_RESTARTS:-100}"

# A run that is there goes on; the directory's name has nothing in it that a restart would change.
resume=()
if [ -e "$output/run.h5" ]; then
    resume=(--resume)
fi

# Signals.  While a program runs in the foreground bash keeps a signal waiting until it ends: hence the ranks run in the
# background (&), and bash waits for them.  A signal ends `wait` early, and then one has to wait again.
stopping='' cancelled='' interrupted='' launcher_pid=''
stop() {
    interrupted=yes
    [ -n "$stopping" ] && return
    stopping=yes
    echo "$(date '+%F %T') the time is nearly over: the run saves and leaves"
    if [ -n "$launcher_pid" ]; then kill -USR1 "$launcher_pid"; fi
}
# scancel and the time limit itself: SLURM tells the ranks by itself, and a job that its owner cancels stays away.
cancel() { interrupted=yes cancelled=yes; }
trap stop USR1
trap cancel TERM

# The exit code of the run.  mpiexec hands it on; srun -K1 ends the slower ranks of a run that leaves with a code
# other than 0, and then has the code of those.  So rank 0 writes its own to this file, and it is the one that counts.
PVMC_EXIT_FILE="$(mktemp)"
export PVMC_EXIT_FILE

# How the ranks are started.  Launcher and MPI must belong together, else each rank would be alone: pvmc sees that and
# stops.  -K1 ends all ranks when one dies; without it srun would wait for the others for ever.
@LAUNCHERS@

# MPICH under srun names its shared memory after the numbers of job and step.  A job that starts again has the same;
# ranks that were killed leave their memory behind, and the next would stumble on it.  Empty steps count the number up.
case "${launch[*]}" in
    *pmi2*) for ((step = 0; step < ${SLURM_RESTART_COUNT:-0}; step++)); do srun --nodes=1 --ntasks=1 true; done ;;
esac

"${launch[@]}" "$pvmc" run @RUN_ARGUMENTS@ --output "$output" "${resume[@]}" "$@" &
launcher_pid=$!
if [ -n "$stopping" ]; then kill -USR1 "$launcher_pid"; fi   # it came before there was somebody to tell

while interrupted=''; wait "$launcher_pid"; code=$?; [ -n "$interrupted" ]; do :; done
if [ -s "$PVMC_EXIT_FILE" ]; then code="$(cat "$PVMC_EXIT_FILE")"; fi
rm -f "$PVMC_EXIT_FILE"
echo "$(date '+%F %T') pvmc ended with exit code $code"

# 75: stopped with its state saved.  Any other code (0 finished, 2 bad input, 3 the numbers went bad, 4 trouble with
# files) would be the same the next time.
if [ "$code" -ne 75 ]; then
    exit "$code"
fi
if [ -n "$cancelled" ] && [ -z "$stopping" ]; then
    echo "cancelled, with its state saved; to go on: $again"
    exit 75
fi
if [ "${SLURM_RESTART_COUNT:-0}" -ge "$max_restarts" ]; then
    echo "restarted $max_restarts times: enough (PVMC_MAX_RESTARTS); to go on: $again"
    exit 75
fi
# The number alone would stand for all elements of an array where it is that of the array.
job="$SLURM_JOB_ID"
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then job="${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"; fi
echo "back into the queue as job $job, restart $((${SLURM_RESTART_COUNT:-0} + 1))"
scontrol requeue "$job" || echo "this site does not let jobs start again by themselves; to go on: $again"
exit 75
"""


@dataclass(frozen=True)
class Script:
    """The contents of a job script.

    Attributes:
        config: the input file, as the script's shell finds it from its directory.
        overrides: ``key=value`` of ``--set``.
        output: directory of the results; of an array, what its elements' directories begin with.
        name: name of the job and beginning of its log's; a plain word.
        file: the script itself.
        written_by: the command that wrote it, for its head.
        example: it is one of ``jobs/``, which run wherever the repository is.
        directory: where the job runs, as shell text.
        bin: directory of pvmc's programs, as shell text.
        ntasks, nodes, cpus, memory, time, partition, account: options of sbatch; those that are None stay out.
        launcher: a key of :data:`LAUNCHERS`.
        array: the array of runs, None for a single one.
    """

    config: str
    output: str
    name: str
    file: str
    written_by: Sequence[str]
    ntasks: int
    time: str
    example: bool = False
    overrides: Sequence[str] = ()
    directory: str = '"$SLURM_SUBMIT_DIR"'
    bin: str = '"$PWD/.venv/bin"'
    nodes: int | None = None
    cpus: int = 1
    memory: str = "2G"
    partition: str | None = None
    account: str | None = None
    launcher: str = "mpiexec"
    array: Array | None = None


def render(script: Script) -> str:
    """The text of a job script.  Every word of the user's is quoted for the shell."""
    array, output = script.array, shlex.quote(script.output)
    values = {
        "TITLE": f"pvmc under SLURM: {array.title if array else 'one run'}",
        "ORIGIN": "An example of what this writes" if script.example else "Written by",
        "FROM": " from the directory of the repository" if script.example else "",
        "WRITTEN_BY": _command_comment(script.written_by),
        "FILE": shlex.quote(script.file),
        "AGAIN": shlex.quote(f"sbatch {shlex.quote(script.file)}"),
        "STATUS": output + (f"-{array.word}{array.first}" if array else ""),
        "NAME": script.name,
        "LOG": _log(script.name, array),
        "ARRAY": f"{array.comment}\n#SBATCH --array={array.indices}\n" if array else "",
        "NODES": _option("nodes", script.nodes, "1"),
        "NTASKS": str(script.ntasks),
        "CPUS": str(script.cpus),
        "MEMORY": script.memory,
        "TIME": script.time,
        "PARTITION": _option("partition", script.partition, "standard"),
        "ACCOUNT": _option("account", script.account, "myproject"),
        "MARGIN": str(MARGIN),
        "DIRECTORY": script.directory,
        "BIN": script.bin,
        "OUTPUT": output + (f'"-{array.word}$SLURM_ARRAY_TASK_ID"' if array else ""),
        "LAUNCHERS": _launchers(script.launcher),
        "RUN_ARGUMENTS": _run_arguments(script),
    }
    text = re.sub(r"@([A-Z_]+)@", lambda match: values[match[1]], TEMPLATE)  # one pass: values may hold anything
    return re.sub(r"\n{3,}", "\n\n", text)


def _command_comment(words: Sequence[str]) -> str:
    """The command as comment lines of a readable width, each but the last continued."""
    lines = [""]
    for word in map(shlex.quote, words):
        if len(lines[-1]) + len(word) > 105 and lines[-1]:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return " \\\n".join(f"#     {'    ' if k else ''}{line}" for k, line in enumerate(lines))


def _log(name: str, array: Array | None) -> str:
    if array is None:
        return f"# %j is the number of the job.\n#SBATCH --output={name}-%j.log"
    return f"# %A is the number of the array, %a that of the element.\n#SBATCH --output={name}-%A-{array.word}%a.log"


def _option(name: str, value: object, example: str) -> str:
    """A line for sbatch; commented out where there is no value."""
    return f"##SBATCH --{name}={example}" if value is None else f"#SBATCH --{name}={value}"


def _launchers(chosen: str) -> str:
    """One line that holds, the others as comments."""
    lines = [f"launch=({LAUNCHERS[chosen]})"]
    notes = {"mpiexec": "asks SLURM for nodes and tasks itself", "srun-pmi2": "MPICH", "srun-pmix": "Open MPI"}
    lines += [f"# launch=({text})   # {notes[name]}" for name, text in LAUNCHERS.items() if name != chosen]
    return "\n".join(lines)


def _run_arguments(script: Script) -> str:
    words = [shlex.quote(script.config)]
    for override in script.overrides:
        words += ["--set", shlex.quote(override)]
    if script.array:
        words += ["--set", f'"{script.array.key}=$SLURM_ARRAY_TASK_ID"']
    return " ".join(words)


def find_sbatch() -> str:
    """The program sbatch.

    Raises:
        InputError: it is not here.
    """
    found = shutil.which("sbatch")
    if found is None:
        raise InputError(
            "--go: there is no sbatch on PATH; leave --go out, copy the script to a machine that submits to SLURM, and "
            "call sbatch there"
        )
    return found


def submit(file: Path) -> str:
    """Submit a script; the number of the job.

    Raises:
        InputError: SLURM does not take it.
    """
    done = subprocess.run(
        [find_sbatch(), "--parsable", str(file)], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        reason = " ".join(done.stderr.split()).replace("sbatch: error: ", "") or f"exit code {done.returncode}"
        raise InputError(f"sbatch did not take {file}: {reason}")
    return done.stdout.strip().split(";")[0]  # "JOB;CLUSTER" where there are several clusters


@dataclass(frozen=True)
class Array:
    """The number of an element is the value of the key.

    Attributes:
        key: the key of the input file.
        word: what names of directories and logs call it.
        indices: the elements, as SLURM writes them: "1,2,4" or "1-8".
        values: the elements, first to last.
    """

    key: str
    word: str
    indices: str
    values: Sequence[int]

    @property
    def first(self) -> int:
        """The first element."""
        return self.values[0]

    @property
    def title(self) -> str:
        """A few words for the head of the script."""
        return f"one run for each {self.key} in {self.indices}, as a job array"

    @property
    def comment(self) -> str:
        """Comment that explains the line --array."""
        return (
            f"# Each element of the array is a job of its own, which starts as soon as its tasks fit; its number is "
            f'{self.key}.\n# "{self.indices}%1" would run one at a time.'
        )


def alphas(text: str) -> Array:
    """The array over ``ansatz.alpha``: "1,2,4".

    Raises:
        InputError: not a list of different whole numbers.
    """
    if not re.fullmatch(r"\d{1,9}(,\d{1,9})*", text):
        raise InputError(f"--array-alpha {text}: must be whole numbers with commas between them, such as 1,2,4")
    values = [int(word) for word in text.split(",")]
    if len(set(values)) < len(values):
        raise InputError(f"--array-alpha {text}: each number may be there once only")
    return Array("ansatz.alpha", "alpha", ",".join(map(str, values)), values)


def seeds(text: str) -> Array:
    """The array over ``run.seed``: "1-8", or a single one, "3".

    Raises:
        InputError: not a range that goes up.
    """
    match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if first > last:
        raise InputError(f"--array-seeds {text}: must be FIRST-LAST, such as 1-8")
    return Array("run.seed", "seed", f"{first}-{last}" if last > first else str(first), range(first, last + 1))
