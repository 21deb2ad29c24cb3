"""Imports run one way: the order is read from ARCHITECTURE.md and compared with what the source imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "pvmc"

FORBIDDEN = {
    "hamiltonians": {"wavefunctions", "mpi"},
    "wavefunctions": {"hamiltonians", "mpi"},
    "vmc.loop": {"io", "vmc.recorder"},
}
"""Edges that the order alone would allow: neither physics side knows the other or MPI, and the loop knows no files."""

ONLY_IN = {"mpi4py": {"mpi"}, "matplotlib": {"figures"}}
"""Libraries that only some of our modules may import."""


LAZY = {"config", "io", "measurement", "mpi", "vmc"}
"""What ``pvmc`` itself may load, when a name is first asked for: see ``test_pvmc_alone_imports_nothing_else``."""


def layers(text: str) -> list[list[str]]:
    """The modules of each layer, lowest first, from the section "Layers": ``a < b, c (remark) < d``."""
    section = re.split(r"^## ", text.split("## Layers", 1)[1], flags=re.MULTILINE)[0]
    order = " ".join(line.strip() for line in section.splitlines() if line.startswith("    "))
    order = re.sub(r"\([^)]*\)", "", order)
    return [[name.strip() for name in layer.split(",")] for layer in order.split("<")]


def imported(source: str, module: str) -> set[str]:
    """Full names of all that the module of this full name imports, anywhere in its text."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "import_module":
            names.update(arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))
    return names


def noun(name: str) -> str:
    """``pvmc.sr.dense`` is part of ``sr``; ``pvmc`` itself (``pvmc.__init__``) and its version are part of nothing."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] not in ("__init__", "__version__") else ""


def edges(sources: Mapping[str, str]) -> set[tuple[str, str]]:
    """(importer, imported), in nouns of ours; a library stands for itself, in its top-level name."""
    found: set[tuple[str, str]] = set()
    for module, source in sources.items():
        for name in imported(source, module):
            library = name.split(".")[0]
            if library in sys.stdlib_module_names:  # Python's io is not ours
                continue
            target = noun(name) if library == "pvmc" else library
            if target and target != noun(module):
                found.add((noun(module), target))
    return found


def graph(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """The modules of ours that each module imports, by full name; a package is its ``__init__``.

    A module may name its own package: that of a recursive section of the input, say.
    """
    ours = {name.removesuffix(".__init__") for name in sources}

    def module(name: str) -> str:
        while name not in ours:
            name = name.rpartition(".")[0]
        return name

    found = {}
    for importer, source in sources.items():
        name = importer.removesuffix(".__init__")
        targets = {module(target) for target in imported(source, importer) if target.split(".")[0] == "pvmc"}
        found[name] = {target for target in targets if not f"{name}.".startswith(f"{target}.")}
    return found


def circles(sources: Mapping[str, str]) -> str:
    """Modules that import each other, inside packages as well; empty where there are none."""
    try:
        TopologicalSorter(graph(sources)).prepare()
    except CycleError as error:
        return " <- ".join(error.args[1])
    return ""


def problems(sources: Mapping[str, str], order: list[list[str]]) -> list[str]:
    """Everything that is wrong with the imports, in words."""
    level = {name: depth for depth, names in enumerate(order) for name in names}
    ours = {noun(module) for module in sources} - {""}
    found = [f"{name} has no place in ARCHITECTURE.md" for name in sorted(ours - set(level) - {"__main__"})]
    top = len(order)
    for importer, target in sorted(edges(sources)):
        if target in ONLY_IN and importer not in ONLY_IN[target]:
            found.append(f"{importer or 'pvmc'} imports {target}")
        if target not in ours:
            continue
        if level.get(importer, top) < level.get(target, top):
            found.append(f"{importer} imports {target}, which is above it")
        if not importer and target not in LAZY:
            found.append(f"importing pvmc alone imports {target}")
    known = {name: imported(text, name) for name, text in sources.items()}
    for importer, targets in FORBIDDEN.items():
        names = {name for module, all_of_it in known.items() if _within(module, importer) for name in all_of_it}
        found += [
            f"{importer} must not know {target}"
            for target in sorted(targets)
            if any(_within(name, target) for name in names)
        ]
    return found


def _within(name: str, part: str) -> bool:
    """True where a full name is that of a part of ours, or of something in it."""
    return f"{name}.".startswith(f"pvmc.{part}.")


def sources() -> dict[str, str]:
    """Text of each module of ours, by full name (``pvmc.io.__init__`` for a package)."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8") for path in paths}


def architecture() -> list[list[str]]:
    return layers((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))


def test_order_is_found_in_the_document() -> None:
    order = architecture()
    assert order[0] == ["errors"] and order[-1] == ["cli"] and len(order) >= 8
    assert ["hamiltonians", "wavefunctions"] in order


def test_imports_follow_the_order() -> None:
    texts = sources()
    assert len(texts) > 10
    assert ("vmc", "mpi") in edges(texts), "the walk sees an import that is there"
    assert problems(texts, architecture()) == []


def test_no_circles() -> None:
    """Inside packages neither."""
    assert circles(sources()) == ""


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("from pvmc.sr.b import x", "from pvmc.sr.a import y", True),
        ("from pvmc.sr import b", "def f():\n    from pvmc.sr import a", True),
        ("from .b import x", "import pvmc.sr.a", True),
        ("from pvmc.sr.b import x", "if TYPE_CHECKING:\n    from pvmc.sr.a import y", True),
        ("from pvmc.sr.b import x", "from pvmc.sr import y", False),
        ("from pvmc.sr.b import x", "from pvmc.errors import y", False),
    ],
)
def test_circles_are_found(first: str, second: str, expected: bool) -> None:
    texts = {"pvmc.__init__": "", "pvmc.errors": "", "pvmc.sr.__init__": "", "pvmc.sr.a": first, "pvmc.sr.b": second}
    assert bool(circles(texts)) is expected


@pytest.mark.parametrize(
    ("module", "source", "problem"),
    [
        ("pvmc.lattice", "from pvmc.vmc.loop import run", "lattice imports vmc, which is above it"),
        ("pvmc.lattice", "from pvmc import vmc", "lattice imports vmc, which is above it"),
        ("pvmc.sampler.moves", "def f():\n    import pvmc.vmc.loop", "sampler imports vmc, which is above it"),
        ("pvmc.sampler.moves", "from ..vmc import run", "sampler imports vmc, which is above it"),
        ("pvmc.hamiltonians.ising", "import pvmc.wavefunctions", "hamiltonians must not know wavefunctions"),
        ("pvmc.wavefunctions.rbm", "from pvmc.hamiltonians import x", "wavefunctions must not know hamiltonians"),
        ("pvmc.wavefunctions.rbm", "from pvmc.mpi import world", "wavefunctions must not know mpi"),
        ("pvmc.vmc.loop", "from pvmc.io.results import x", "vmc.loop must not know io"),
        ("pvmc.vmc.loop", "from pvmc.vmc.recorder import x", "vmc.loop must not know vmc.recorder"),
        ("pvmc.vmc.loop", "from mpi4py import MPI", "vmc imports mpi4py"),
        ("pvmc.vmc.loop", "import importlib\nimportlib.import_module('mpi4py.MPI')", "vmc imports mpi4py"),
        ("pvmc.cli", "import matplotlib.pyplot as plt", "cli imports matplotlib"),
        ("pvmc.__init__", "from .hamiltonians import ising", "importing pvmc alone imports hamiltonians"),
        ("pvmc.novelty", "", "novelty has no place in ARCHITECTURE.md"),
    ],
)
def test_the_walk_would_find(module: str, source: str, problem: str) -> None:
    others = dict.fromkeys(
        ["pvmc.vmc.loop", "pvmc.io.results", "pvmc.wavefunctions.rbm", "pvmc.hamiltonians.ising"], ""
    )
    others |= {"pvmc.mpi": "", "pvmc.lattice": ""}
    assert problem in problems(others | {module: source}, architecture())


def test_pvmc_alone_imports_nothing_else() -> None:
    """Not even numpy; and results are read without MPI."""
    asked = "import sys, pvmc; before = set(sys.modules); pvmc.open_run; after = set(sys.modules)"
    answer = "print('numpy' in before, 'numpy' in after, 'mpi4py' in after, pvmc.open_run is not None)"
    done = subprocess.run(
        [sys.executable, "-c", f"{asked}; {answer}"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.split() == ["False", "True", "False", "True"]


def test_the_walk_allows_what_the_order_allows() -> None:
    fine = {
        "pvmc.lattice": "from pvmc.config import Section\nimport numpy",
        "pvmc.config": "",
        "pvmc.cli": "from pvmc import __version__\nfrom pvmc.lattice import chain",
        "pvmc.figures.convergence_plot": "import matplotlib",
        "pvmc.spins.flips": "import io",
        "pvmc.io.results": "",
        "pvmc.sampler.moves": "from .base import Walkers",
        "pvmc.sampler.base": "",
    }
    assert problems(fine, architecture()) == []
