"""The launcher that started this process, the world of ranks that it belongs to, and the terminal behind it."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import threadpoolctl

from pvmc.errors import InputError
from pvmc.mpi.communicator import Communicator, MpiCommunicator, SerialCommunicator


@dataclass(frozen=True)
class Launcher:
    """The program that started this process, as the environment tells.

    Attributes:
        name: the program, in words.
        rank: this process's number among those it started.
        size: how many it started; None where it does not say.
    """

    name: str
    rank: int
    size: int | None


# The nearest launcher first: mpiexec itself may use srun to start its helpers on the nodes.
_LAUNCHERS = (
    ("Open MPI's mpiexec", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("MVAPICH's mpiexec", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    ("a PMI launcher (mpiexec of MPICH or Intel MPI, or srun --mpi=pmi2)", "PMI_RANK", "PMI_SIZE"),
    ("srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ("PALS' mpiexec", "PALS_RANKID", ""),
    ("a PMIx launcher", "PMIX_RANK", ""),
)

_PMIX = ("PMIX_NAMESPACE", "PMIX_RANK")
_PMI = ("PMI_FD", "PMI_PORT", "PMI_RANK")

_TERMINALS = ("/dev/pts/", "/dev/tty")


def launcher(environment: Mapping[str, str] = os.environ) -> Launcher | None:
    """The MPI launcher that started this process, or None when it was started by hand."""
    for name, rank, size in _LAUNCHERS:
        if name == "srun" and "SLURM_STEP_ID" not in environment:
            continue  # a batch script has SLURM_PROCID too, but is no step
        if rank in environment or size in environment:
            return Launcher(name, _number(environment.get(rank)) or 0, _number(environment.get(size)))
    return None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _load_mpi() -> Any:
    """The module ``mpi4py.MPI``, MPI not yet initialised; finalised at exit if it ever is."""
    import mpi4py

    mpi4py.rc.initialize = False
    mpi4py.rc.finalize = True
    return importlib.import_module("mpi4py.MPI")


def world() -> Communicator:
    """Collective.  All ranks of this job; starts MPI.

    Without mpi4py or an MPI library, and where the variable PVMC_NO_MPI=1 asks for it, this process alone.

    Raises:
        InputError: a launcher started several processes, but MPI cannot be loaded, or each would be a world of its own.
    """
    if os.environ.get("PVMC_NO_MPI") == "1":
        return SerialCommunicator()
    started_by = launcher()
    try:
        mpi = _load_mpi()
    except (ImportError, RuntimeError) as error:
        if started_by is None or started_by.size == 1:
            return SerialCommunicator()
        raise _start_error(
            f"{started_by.name} started this program, but MPI cannot be loaded ({_one_line(error)}). Install mpi4py "
            "and the MPI library that this launcher belongs to, or set MPI4PY_LIBMPI to that library's file"
        ) from error
    if not mpi.Is_initialized():
        if started_by is not None:
            _require_common_language(started_by, mpi)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # mpi4py warns of what is refused below
            mpi.Init_thread(mpi.THREAD_FUNNELED)
    comm = MpiCommunicator(mpi, mpi.COMM_WORLD)
    if started_by is not None:
        _require_one_world(started_by, comm.size, _library_name(mpi))
    return comm


def _require_common_language(started_by: Launcher, mpi: Any) -> None:
    several = started_by.size is not None and started_by.size > 1
    if not speaks_with(mpi.Get_library_version(), os.environ, several):
        raise _different_mpis(started_by, f"({_library_name(mpi)}) does not know its language")


def speaks_with(description: str, environment: Mapping[str, str], several: bool) -> bool:
    """True where a library may see the processes that a launcher has started; False where it certainly does not.

    Open MPI speaks PMIx alone since version 5, and MPICH as most have it speaks PMI-1 and PMI-2 alone.

    Args:
        description: what the library says of itself, all lines.
        environment: of this process, as the launcher has set it.
        several: the launcher says that it started several processes.  One alone needs no launcher's help from
            Open MPI.
    """
    if found := re.match(r"Open MPI v(\d+)\.", description):
        return int(found[1]) < 5 or not several or _any(_PMIX, environment)
    if description.startswith("MPICH"):
        return "pmix" in description.lower() or not _any(_PMIX, environment) or _any(_PMI, environment)
    return True


def _any(names: tuple[str, ...], environment: Mapping[str, str]) -> bool:
    return any(name in environment for name in names)


def _require_one_world(started_by: Launcher, size: int, library: str) -> None:
    if started_by.size is not None and started_by.size != size:
        raise _different_mpis(started_by, f"({library}) sees {size}")


def _different_mpis(started_by: Launcher, problem: str) -> InputError:
    count = "this process" if started_by.size in (None, 1) else f"{started_by.size} processes"
    return _start_error(
        f"{started_by.name} started {count}, but the MPI library {problem}: launcher and library belong to different "
        "MPIs, and each process would do the whole run. Use this library's own mpiexec (for srun: --mpi=pmi2 with "
        "MPICH, --mpi=pmix with Open MPI), or point MPI4PY_LIBMPI to the launcher's library; PVMC_NO_MPI=1 runs "
        "independent copies on purpose"
    )


def _start_error(message: str) -> InputError:
    error = InputError(message)
    error.collective = True  # every process of the launcher finds the same
    return error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _library_name(mpi: Any) -> str:
    """First line of the library's description, such as "MPICH Version: 5.0.0" or "Open MPI v5.0.8"."""
    return " ".join(mpi.Get_library_version().strip("\x00\n ").splitlines()[0].split(",")[0].split())


def limit_threads(n_threads: int) -> dict[str, int]:
    """Let the linear algebra libraries of this process use ``n_threads`` threads.

    Ranks that together have more threads than cores slow each other down many times over.

    Returns:
        Threads now in use, by library: those loaded when it was called (numpy's, scipy's).
    """
    threadpoolctl.threadpool_limits(limits=n_threads)
    return describe_threads()


def describe_threads() -> dict[str, int]:
    """Threads of the linear algebra and OpenMP libraries loaded now, by name, version and file name."""
    threads = {}
    for pool in threadpoolctl.threadpool_info():
        name = f"{pool['internal_api']} {pool['version'] or ''}".strip()
        threads[f"{name} ({os.path.basename(pool['filepath'])})"] = int(pool["num_threads"])
    return threads


def mpi_library() -> str:
    """Name and version of the MPI library; empty without one.  Does not start MPI."""
    try:
        return _library_name(_load_mpi())
    except (ImportError, RuntimeError):
        return ""


def describe_mpi() -> dict[str, str]:
    """The MPI in use: ``library``, ``standard``, ``mpi4py``, ``launcher``.  Does not start MPI."""
    started_by = launcher()
    launched = "none" if started_by is None else f"{started_by.name}, {started_by.size or '?'} processes"
    try:
        mpi = _load_mpi()
    except (ImportError, RuntimeError) as error:
        return {"library": f"none ({_one_line(error)})", "standard": "", "mpi4py": "", "launcher": launched}
    return {
        "library": _library_name(mpi),
        "standard": ".".join(map(str, mpi.Get_version())),
        "mpi4py": importlib.import_module("mpi4py").__version__,
        "launcher": launched,
    }


def on_terminal(stream: TextIO) -> bool:
    """True where the output of a process to a stream of its own ends on a terminal.

    Open MPI gives each rank a terminal of its own, also where all of them go to a file: then that of the launcher, the
    parent process, counts.  Where it cannot be seen, as on another node, there is none.
    """
    if not stream.isatty() or "OMPI_COMM_WORLD_RANK" not in os.environ:
        return stream.isatty()
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{os.getppid()}/fd/1").startswith(_TERMINALS)
    return False
