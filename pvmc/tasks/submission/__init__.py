"""Job scripts for SLURM: the script of a run or an array of runs, checked, written and submitted."""

from pvmc.tasks.submission.request import JobRequest, check, prepare
from pvmc.tasks.submission.script import LAUNCHERS, Array, Script, alphas, find_sbatch, render, seeds, submit

__all__ = [
    "LAUNCHERS",
    "Array",
    "JobRequest",
    "Script",
    "alphas",
    "check",
    "find_sbatch",
    "prepare",
    "render",
    "seeds",
    "submit",
]
