"""Job scripts for SLURM: the script of a run or an array of runs, checked, written and submitted."""

from pvmc.tasks.submission.array import Array
from pvmc.tasks.submission.request import Request, check, prepare
from pvmc.tasks.submission.sbatch import find_sbatch, submit
from pvmc.tasks.submission.script import LAUNCHERS, Script, render

__all__ = ["LAUNCHERS", "Array", "Request", "Script", "check", "find_sbatch", "prepare", "render", "submit"]
