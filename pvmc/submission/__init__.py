"""Job scripts for SLURM: the script of a run or an array of runs, checked, written and submitted."""

from pvmc.submission.array import Array
from pvmc.submission.request import Request, check, prepare
from pvmc.submission.sbatch import find_sbatch, submit
from pvmc.submission.script import LAUNCHERS, Script, render

__all__ = ["LAUNCHERS", "Array", "Request", "Script", "check", "find_sbatch", "prepare", "render", "submit"]
