"""Provenance of a run: versions, source revision, machine.  No user name, no environment variables."""

from __future__ import annotations

import os
import platform
import shlex
import socket
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import pvmc

_PACKAGES = ("numpy", "scipy", "numba", "h5py")
_GIT_SECONDS = 5.0


def collect(mpi_library: str = "") -> dict[str, str | int]:
    """Software and machine of this process, as attributes of the results file.

    Never raises: what cannot be found out is an empty string.

    Args:
        mpi_library: name and version of the MPI library, known to the caller; empty without MPI.

    Returns:
        The root attributes of :data:`pvmc.io.schema.ROOT_ATTRIBUTES` that describe software and machine.
    """
    versions = {f"{package}_version": _version(package) for package in _PACKAGES}
    return {
        "pvmc_version": pvmc.__version__,
        "git_revision": _own_revision(),
        "command_line": shlex.join(sys.argv),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "mpi_library": " ".join(mpi_library.replace("\0", " ").split()),
        "python_version": platform.python_version(),
        **versions,
        "cpu_model": cpu_model(),
        "blas": blas(),
    }


@cache
def _own_revision() -> str:
    """The revision of this program, asked for once: what is loaded does not change when the files do."""
    return git_revision(Path(pvmc.__file__).resolve().parent)


def git_revision(package: Path) -> str:
    """Commit of the source tree that holds ``package``, with "-dirty" when tracked files differ from it.

    Empty when the package is installed outside of its own repository (a virtual environment inside some other
    project's repository must not lend its revision), or when git is missing.
    """
    top = _git(package, "rev-parse", "--show-toplevel")
    if not top or Path(top).resolve() != package.parent:
        return ""
    commit = _git(package, "rev-parse", "--verify", "HEAD")
    if not commit:
        return ""
    changes = _git(package, "status", "--porcelain", "--untracked-files=no")
    return commit if changes == "" else f"{commit}-dirty"


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name, or its architecture where the system does not tell."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return " ".join(value.split())
    return platform.processor() or platform.machine()


def blas() -> str:
    """The BLAS libraries that are loaded, such as "openblas 0.3.30 (Haswell, pthreads)"."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return ""
    found = [library for library in threadpool_info() if library.get("user_api") == "blas"]
    return "; ".join(dict.fromkeys(_blas_name(library) for library in found))


def _blas_name(library: dict[str, object]) -> str:
    name = " ".join(str(library[key]) for key in ("internal_api", "version") if library.get(key))
    details = ", ".join(str(library[key]) for key in ("architecture", "threading_layer") if library.get(key))
    return f"{name} ({details})" if details else name


@cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _git(directory: Path, *arguments: str) -> str | None:
    """Output of a git command; None when git is missing, fails, or does not answer in time."""
    command = ["git", "-C", str(directory), "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return None
    return done.stdout.strip()
