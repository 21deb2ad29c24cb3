"""pvmc: parallel variational Monte Carlo with neural quantum states.

Compiled kernels are kept beside the source, or where that is read-only in the user's cache (~/.cache/numba).  The
environment variable PVMC_CACHE_DIR, read when pvmc is first imported, names another directory: on a cluster one that
all nodes see.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pvmc.io.reader import Run as Run
    from pvmc.io.reader import open_run as open_run

__version__ = "0.1.0"


def _choose_kernel_cache() -> None:
    """Tell the compiler where its cache is, for places that it would not find by itself."""
    chosen = os.environ.get("PVMC_CACHE_DIR")
    own_places = (os.path.dirname(__file__), os.path.expanduser("~"))
    if not chosen and "NUMBA_CACHE_DIR" not in os.environ and not any(os.access(p, os.W_OK) for p in own_places):
        chosen = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"pvmc-{os.getuid()}")
        os.makedirs(chosen, mode=0o700, exist_ok=True)
        if os.stat(chosen).st_uid != os.getuid():
            return  # somebody else's code is not for us to run
    if chosen:
        os.environ["NUMBA_CACHE_DIR"] = os.path.abspath(chosen)


_choose_kernel_cache()


_EXPORTS = ("Run", "open_run")
"""Names of :mod:`pvmc.io.reader` that stand here too: results are read without MPI, and loaded when first asked for."""


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        from importlib import import_module

        return getattr(import_module("pvmc.io.reader"), name)
    raise AttributeError(f"module 'pvmc' has no attribute '{name}'")
