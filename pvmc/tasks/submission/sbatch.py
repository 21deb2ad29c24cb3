"""Handing a script to SLURM."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from pvmc.errors import InputError


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
