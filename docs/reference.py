"""Pages of the site with the public names of pvmc and of each of its packages, from their docstrings.

The packages are found by walking pvmc; what a page shows is what ``__all__`` of the package holds.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import pkgutil
import re
import sys
from types import ModuleType
from typing import Any

import pvmc

SECTION = "Reference"
"""Heading of index.md under which the pages stand in the menu."""

INDEX, TITLE = "api.md", "Python interface"
"""The page that lists the packages, and its title."""


def packages() -> list[ModuleType]:
    """pvmc, and each package and module of it that has public names (``__all__``), in alphabetical order."""
    names = sorted(info.name for info in pkgutil.walk_packages(pvmc.__path__, "pvmc.") if not info.name.endswith("__"))
    found = [importlib.import_module(name) for name in names]
    return [module for module in [pvmc, *found] if public(module)]


def public(module: ModuleType) -> list[str]:
    """The public names of a module: its ``__all__``."""
    return sorted(getattr(module, "__all__", ()), key=str.lower)


def summary(module: ModuleType) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join((inspect.getdoc(module) or "").split("\n\n")[0].split())


def pages() -> dict[str, str]:
    """Name of each page -> its text."""
    modules = packages()
    head = f"# {TITLE}\n\nThe public names of each package, with their docstrings.\n\n"
    rows = [f"- [{module.__name__}](api.{module.__name__}.md): {summary(module)}" for module in modules]
    tree = ["", "```{toctree}", ":hidden:", "", *(f"api.{module.__name__}" for module in modules), "```", ""]
    return {INDEX: head + "\n".join(rows + tree)} | {f"api.{module.__name__}.md": page(module) for module in modules}


def page(module: ModuleType) -> str:
    """The page of one package."""
    lines = [f"# {module.__name__}", "", summary(module), ""]
    for name in public(module):
        lines += [f"## {name}", "", "```{eval-rst}", *directive(module, name), "```", ""]
    return "\n".join(lines)


def directive(module: ModuleType, name: str) -> list[str]:
    """The directive of autodoc for a public name, by what it is."""
    value: Any = getattr(module, name)
    if inspect.isclass(value):
        return [f".. autoclass:: {module.__name__}.{name}", "   :members:"]
    if inspect.isroutine(value) or hasattr(value, "py_func"):
        return [f".. autofunction:: {module.__name__}.{name}"]
    return [f".. py:data:: {module.__name__}.{name}", "", *(f"   {line}" for line in note(module, name).splitlines())]


def note(module: ModuleType, name: str) -> str:
    """The string below the assignment of a constant, in the module of ours that makes it; empty where there is none."""
    value = getattr(module, name)
    for home in [module, *(found for key, found in sys.modules.items() if key.startswith(f"{module.__name__}."))]:
        if home.__dict__.get(name) is not value:
            continue
        body = ast.parse(inspect.getsource(home)).body
        for node, after in itertools.pairwise(body):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if told and any(isinstance(target, ast.Name) and target.id == name for target in targets):
                lines = inspect.cleandoc(str(after.value.value)).splitlines()
                plain(None, "", "", None, None, lines)
                return "\n".join(lines)
    return ""


def is_left_out(_app: Any, _what: str, _name: str, value: Any, skip: bool, _options: Any) -> bool:
    """Leave out what autodoc would, and the fields of named tuples: the docstring of the class has them."""
    return skip or str(getattr(value, "__doc__", "")).startswith("Alias for field number")


def plain(_app: Any, _what: str, _name: str, _value: Any, _options: Any, lines: list[str]) -> None:
    """Escape the signs of formulas that reStructuredText would take for its own; literals stay."""
    for number, line in enumerate(lines):
        parts = re.split(r"(``.*?``|:\w+:`.*?`|`[^`]*`)", line)
        parts[::2] = [re.sub(r"([*|\\]|(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2]]
        lines[number] = "".join(parts)
