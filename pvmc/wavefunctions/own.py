"""A user's own wave function, named in the input file.

``kind = "module:Class"`` imports the class from a module (installed, or in the working directory);
``kind = "path/to/file.py:Class"`` from a file.  Any other word may be an entry point of the group "pvmc.ansatz".  The
class is called with the lattice and the keywords of ``[ansatz.options]``, and must give either

- ``n_parameters``, ``log_psi(theta, spins)`` and ``log_derivatives(theta, spins)``
  (:class:`pvmc.wavefunctions.fallback.Formula`), which is enough; or
- all of :class:`pvmc.wavefunctions.base.Ansatz`, with ``at(theta)``, for look-ups and speed of their own.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from pvmc.config import KeyProblem
from pvmc.errors import PvmcError
from pvmc.wavefunctions.base import Ansatz
from pvmc.wavefunctions.fallback import FormulaAnsatz
from pvmc.wavefunctions.shared import AnsatzSection, LatticeOfSites

GROUP = "pvmc.ansatz"
"""The group of entry points under which packages offer wave functions."""

FORMULA = {"log_psi": 2, "log_derivatives": 2}
ANSATZ = ("n_sites", "n_parameters", "dtype", "parameter_blocks", "lookup_size", "table_bytes", "initial_parameters")


class OwnSpec(AnsatzSection):
    """A class of the user's."""

    open_tag: ClassVar[str | None] = "module:Class"

    kind: str
    """module:Class, file.py:Class, or the name of an entry point."""
    options: dict[str, Any] = {}
    """Keywords that the class is called with, after the lattice."""

    def build(self, lattice: LatticeOfSites) -> Ansatz:
        """An instance of the class as an ansatz.

        Raises:
            KeyProblem: the class cannot be found or called, or lacks what a wave function needs.
        """
        factory = self._find()
        try:
            made = factory(lattice, **self.options)
        except (KeyProblem, PvmcError):
            raise
        except TypeError as error:
            called = ", ".join(["lattice", *(f"{name}={value!r}" for name, value in self.options.items())])
            raise self._problem(f"cannot be called as {_name(factory)}({called}): {error}") from None
        except Exception as error:
            raise self._problem(f"{_name(factory)} failed: {type(error).__name__}: {error}") from None
        return self._as_ansatz(made, factory, lattice)

    def _as_ansatz(self, made: Any, factory: Any, lattice: LatticeOfSites) -> Ansatz:
        if callable(getattr(made, "at", None)):
            missing = [name for name in ANSATZ if not hasattr(made, name)]
            if missing:
                raise self._problem(f"{_name(factory)} has at(theta) but lacks {', '.join(missing)}")
            ansatz: Ansatz = made
            return ansatz
        missing = [name for name in ("n_parameters", *FORMULA) if not hasattr(made, name)]
        if missing:
            raise self._problem(
                f"{_name(factory)} lacks {', '.join(missing)}; it needs n_parameters, log_psi(theta, spins) and "
                "log_derivatives(theta, spins)"
            )
        for name, count in FORMULA.items():
            self._check_call(getattr(made, name), f"{_name(factory)}.{name}", count)
        try:
            return FormulaAnsatz(made, lattice.n_sites)
        except (TypeError, ValueError) as error:
            raise self._problem(f"{_name(factory)}: {error}") from None

    def _check_call(self, method: Any, name: str, count: int) -> None:
        """Refuse a method that cannot be called with (theta, spins)."""
        if not callable(method):
            raise self._problem(f"{name} is no method")
        try:
            signature = inspect.signature(method)
        except (TypeError, ValueError):
            return  # compiled: it has none to check
        try:
            signature.bind(*[None] * count)
        except TypeError:
            raise self._problem(f"{name}{signature} cannot be called as (theta, spins)") from None

    def _find(self) -> Any:
        """The class, or whatever makes the wave function."""
        if ":" not in self.kind:
            return self._load_entry_point()
        place, _, attribute = self.kind.rpartition(":")
        if not place or not attribute.isidentifier():
            raise self._problem('must be "module:Class" or "path/to/file.py:Class"')
        try:
            module = _module_of_file(Path(place)) if place.endswith(".py") else _module(place)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("pvmc.ansatz"):
                raise self._problem(
                    f"{place} imports from pvmc.ansatz, which is called pvmc.wavefunctions now"
                ) from None
            raise self._problem(f"module {error.name} not found (searched: installed packages, {Path.cwd()})") from None
        except FileNotFoundError:
            raise self._problem(f"file {place} not found in {Path.cwd()}") from None
        except Exception as error:
            raise self._problem(f"importing {place} failed: {type(error).__name__}: {error}") from None
        if not callable(getattr(module, attribute, None)):
            offered = [
                name
                for name, item in vars(module).items()
                if inspect.isclass(item) and item.__module__ == module.__name__
            ]
            raise self._problem(f"{place} has no class {attribute}; it has: {', '.join(offered) or 'none'}")
        return getattr(module, attribute)

    def _load_entry_point(self) -> Any:
        found = entry_points(group=GROUP, name=self.kind)
        try:
            return next(iter(found)).load()
        except StopIteration:
            raise self._problem(f'no entry point of the group "{GROUP}" has this name') from None
        except Exception as error:
            raise self._problem(f"its entry point cannot be loaded: {type(error).__name__}: {error}") from None

    def _problem(self, text: str) -> KeyProblem:
        return KeyProblem("ansatz.kind", self.kind, " ".join(text.split()))


def is_own(kind: object) -> bool:
    """True where a ``kind`` names a user's class: it has a colon, or is the name of an entry point."""
    return isinstance(kind, str) and (":" in kind or bool(entry_points(group=GROUP, name=kind)))


def _name(factory: Any) -> str:
    return str(getattr(factory, "__name__", type(factory).__name__))


def _module(name: str) -> ModuleType:
    """A module of the path, or of the working directory where the path has none of this name."""
    here = str(Path.cwd())
    if here in sys.path:
        return importlib.import_module(name)
    sys.path.append(here)  # last, so that it can hide nothing
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(here)


def _module_of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(path)
    name = f"pvmc_own_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for their module there
    spec.loader.exec_module(module)
    return module
