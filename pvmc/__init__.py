"""pvmc: parallel variational Monte Carlo with neural quantum states."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pvmc.io.reader import Run as Run
    from pvmc.io.reader import open_run as open_run

__version__ = "0.1.0"


_EXPORTS = ("Run", "open_run")
"""Names of :mod:`pvmc.io.reader` that stand here too: results are read without MPI, and loaded when first asked for."""


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        from importlib import import_module

        return getattr(import_module("pvmc.io.reader"), name)
    raise AttributeError(f"module 'pvmc' has no attribute '{name}'")
