"""Decorators of compiled kernels, and the directory that keeps what the compiler made of them.

The compiler's own cache (numba's) looks at the file of a kernel, and not at those of the kernels that it calls: after
an update old and new code would run together.  Here the directory of the cache is named after a digest of all that a
kernel is made of: every source file that holds kernels, the versions of the compiler and of numpy, and the processor.
Other sources, versions or processors have other directories; old ones are removed when a new one is made.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite import binding
from numba.core import config as numba_config

PACKAGE = Path(__file__).parents[1]

PREFIX = "kernels-"
"""Start of the names of the directories; the digest follows."""

KEPT = 4
"""Directories of other digests that stay, those used last: of other nodes, versions, branches."""

IN_USE_SECONDS = 3600.0
"""A directory that a program has used within this time is not removed."""

MARK_SECONDS = 600.0
"""Shortest time between two marks of use of a directory: ranks that start together do not all write."""

_IMPORTS = (
    b"\nfrom pvmc.numerics.kernels import ",
    b"\nimport numba",
    b"\nfrom numba",
    b"\nimport llvmlite",
    b"\nfrom llvmlite",
)
"""Import lines of a source file that holds kernels, at the start of a line."""

_FASTMATH = {"contract", "nsz", "arcp"}


def whole_registers() -> bool:
    """True where kernels are compiled for vectors of 512 bits.

    LLVM keeps to 256 bits on most processors that have 512, since a few wide instructions among others may lower the
    clock.  Kernels that do nothing else gain up to 1.7x: here the compiler is told to use them.  The features are part
    of the key under which kernels are cached; NUMBA_CPU_FEATURES in the environment overrides all this.
    """
    config: Any = numba_config
    if config.CPU_FEATURES is None and "+avx512f" in (features := _processor()[1]):
        config.CPU_FEATURES = f"{features},-prefer-256-bit"
    return "-prefer-256-bit" in (config.CPU_FEATURES or "")


def kernel(function: Callable[..., Any]) -> Any:
    """Decorator of every kernel: multiply-adds may be fused, inf and NaN keep their meaning, x/0 takes no branch."""
    return _compiled(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Decorator as :func:`kernel`, for functions called so often, with so little to do, that the call would count.

    A call left in a loop would keep it from becoming vector code.
    """
    return _compiled(function, forceinline=True)


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    dispatcher: Any = numba.njit(fastmath=_FASTMATH, error_model="numpy", **options)(function)
    directory = kernel_directory()
    if directory is not None and hasattr(dispatcher, "enable_caching"):  # not with NUMBA_DISABLE_JIT=1
        with _cache_in(directory), contextlib.suppress(RuntimeError):  # "no locator": the disk has changed its mind
            dispatcher.enable_caching()
    return dispatcher


@contextlib.contextmanager
def _cache_in(directory: Path) -> Iterator[None]:
    """Kernels defined within are cached in a directory and nowhere else; other programs' kernels where they were."""
    config: Any = numba_config
    wanted = {"CACHE_DIR": str(directory), "CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    before = {name: getattr(config, name) for name in wanted if hasattr(config, name)}
    for name in before:
        setattr(config, name, wanted[name])
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(config, name, value)


@functools.cache
def kernel_directory() -> Path | None:
    """Directory of the compiled kernels of this program, made where it is not there; None where no place is writable.

    The first usable one of ``$PVMC_CACHE_DIR``, ``$NUMBA_CACHE_DIR``, ``__pycache__`` of the package, the user's cache
    (``$XDG_CACHE_HOME/pvmc`` or ``~/.cache/pvmc``), and ``pvmc-UID`` in the directory of temporary files.
    """
    name = PREFIX + digest(PACKAGE)
    found = (directory for place, private in _places() if (directory := prepare(place, name, private)))
    return next(found, None)


def _places() -> Iterator[tuple[Path, bool]]:
    """Directories that may keep kernels, best first, each with True where only one of our own will do."""
    config: Any = numba_config
    for chosen in (os.environ.get("PVMC_CACHE_DIR"), config.CACHE_DIR):
        if chosen:
            yield Path(chosen).absolute(), False
    yield PACKAGE / "__pycache__", False
    with contextlib.suppress(RuntimeError):  # no home
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pvmc", False
    yield Path(tempfile.gettempdir()) / f"pvmc-{os.getuid()}", True  # where anybody may write


def prepare(place: Path, name: str, private: bool = False) -> Path | None:
    """A directory for kernels, ready to be written to; None where that cannot be.

    Many processes may do this at the same time, on several machines.

    Args:
        place: where it is to be.
        name: its own name.
        private: accept ``place`` only where it belongs to this user, who else would run somebody else's code.
    """
    directory = place / name
    try:
        place.mkdir(mode=0o700 if private else 0o777, parents=True, exist_ok=True)
        if private and place.stat().st_uid != os.getuid():
            return None
        if not directory.is_dir():
            directory.mkdir(exist_ok=True)
            remove_old(place, directory)
        tempfile.TemporaryFile(dir=directory).close()
        if time.time() - directory.stat().st_mtime > MARK_SECONDS:
            os.utime(directory)
    except OSError:
        return None
    return directory


def remove_old(place: Path, new: Path) -> None:
    """Remove the directories of kernels in ``place`` that are too many, but for ``new`` and those in use.

    A program that is at work in a removed one compiles again what it misses.  What cannot be removed stays.
    """
    with contextlib.suppress(OSError):
        others = [entry for entry in place.glob(f"{PREFIX}*") if entry != new and entry.is_dir()]
        used = {entry: entry.stat().st_mtime for entry in others}
        for entry in sorted(others, key=lambda entry: used[entry], reverse=True)[KEPT:]:
            if time.time() - used[entry] > IN_USE_SECONDS:
                shutil.rmtree(entry, ignore_errors=True)
    if place == PACKAGE / "__pycache__":  # versions before 0.2 kept kernels beside each module
        for stale in (*PACKAGE.rglob("__pycache__/*.nbi"), *PACKAGE.rglob("__pycache__/*.nbc")):
            if stale.parent.name == "__pycache__":
                with contextlib.suppress(OSError):
                    stale.unlink()


def digest(package: Path) -> str:
    """16 hexadecimal digits for all that kernels are made of: sources, compiler, numpy, Python and processor."""
    total = hashlib.blake2b(digest_size=8)
    for path, content in kernel_sources(package):
        total.update(f"{path.relative_to(package)} {len(content)}\n".encode())
        total.update(content)
    tools = (numba.__version__, llvmlite.__version__, np.__version__, sys.implementation.cache_tag)
    total.update("\n".join((*tools, *_processor())).encode())
    return total.hexdigest()


def kernel_sources(package: Path) -> list[tuple[Path, bytes]]:
    """The source files of a package that hold kernels, or what kernels are compiled from, with their contents.

    They import this module or the compiler; constants and functions that kernels use come from nowhere else (a test
    compares).
    """
    found = []
    for directory, subdirectories, names in os.walk(package):
        subdirectories[:] = sorted(name for name in subdirectories if name != "__pycache__")
        for name in sorted(names):
            if name.endswith(".py"):
                with open(os.path.join(directory, name), "rb") as file:
                    content = file.read()
                if any(line in content for line in _IMPORTS):
                    found.append((Path(directory, name), content))
    return found


def _processor() -> tuple[str, str]:
    """Name and features of the processor that kernels are compiled for."""
    from numba.core.codegen import get_host_cpu_features

    config: Any = numba_config
    features = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    return str(config.CPU_NAME or binding.get_host_cpu_name()), str(features)


whole_registers()
