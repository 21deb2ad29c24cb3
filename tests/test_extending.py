"""docs/extending.md: its files and its lines of registries are put beside pvmc, and its commands run as they stand."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pvmc
from pvmc.io.reader import open_run

PACKAGE = Path(pvmc.__file__).resolve().parent
TEXT = (PACKAGE.parent / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)

COMMANDS = """\
import importlib.abc, importlib.util, json, sys
from pathlib import Path

class Beside(importlib.abc.MetaPathFinder):
    # Modules of pvmc that stand in this directory, new or changed; all others stay where their kernels are compiled.
    def find_spec(self, name, path=None, target=None):
        place = Path(*name.split("."))
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if name.startswith("pvmc.") and file.is_file():
                package = file.name == "__init__.py"
                inside = [str(Path(path[0]) / place.name)] if package and path else None
                return importlib.util.spec_from_file_location(name, file, submodule_search_locations=inside)

sys.meta_path.insert(0, Beside())
from pvmc.cli import main
for words in json.loads(sys.argv[1]):
    try:
        code = main(words)
    except SystemExit as left:  # --help
        code = left.code
    if code:
        sys.exit(f"{words}: exit code {code}")
"""


def with_lines(source: str, change: str) -> str:
    """A file of pvmc with the lines of a block, each below the one above it in the block."""
    lines, at = source.splitlines(), 0
    for line in change.splitlines():
        if line.startswith("+"):
            lines.insert(at, line[1:])
        else:
            at = lines.index(line[1:])
        at += 1
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files of the page, and the registries of pvmc with its lines."""
    directory = tmp_path_factory.mktemp("extended")
    for kind, text in BLOCKS:
        first, _, rest = text.partition("\n")
        if kind == "bash":
            continue
        file = directory / first.removeprefix("# ")
        file.parent.mkdir(parents=True, exist_ok=True)
        if kind == "diff":
            file.write_text(with_lines((PACKAGE.parent / first.removeprefix("# ")).read_text(encoding="utf-8"), rest))
        else:
            file.write_text(text)
    return directory


@pytest.mark.slow
def test_every_example_runs_as_it_stands(directory: Path) -> None:
    lines = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines()]
    commands = [shlex.split(line) for line in lines]
    assert len(commands) > 8 and {program for program, *_ in commands} == {"pvmc"}
    more = "measure runs/ring --observables domain_walls,correlations --set sampler.kind=exact", "measure --help"
    own = {"PVMC_NO_MPI": "1", "PYTHONPATH": str(PACKAGE.parent)}
    every = [words for _, *words in commands] + [text.split() for text in more]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(every)],
        cwd=directory, env=os.environ | own, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # The observable is right: a domain wall is a bond with sigma^z_i sigma^z_j = -1.
    measured = open_run(directory / "runs" / "ring").measurements[-1]
    walls, correlations = measured.estimates["domain_walls"], measured.estimates["correlation_zz"]
    assert walls.value == pytest.approx((1 - np.asarray(correlations.value)[1]) / 2, abs=1e-12)
    assert walls.dims == () and walls.error == 0.0
    # What follows from the class: the help, and the figure with its data.
    assert "magnetization, domain_walls, correlations" in " ".join(done.stdout.split())
    assert (directory / "walls.csv").read_text().splitlines()[0] == "run,domain walls,their standard error"
    assert {"shells", "three", "moved"} <= {path.name for path in (directory / "runs").iterdir()}


def test_a_file_of_the_package_that_was_called_ansatz(tmp_path: Path, directory: Path) -> None:
    """One line that names the new package."""
    own = (directory / "neighbours.py").read_text()
    (tmp_path / "neighbours.py").write_text("from pvmc.ansatz.symmetry import SymmetryGroup\n" + own)
    (tmp_path / "ring.toml").write_text((directory / "ring.toml").read_text())
    done = subprocess.run(
        [sys.executable, "-m", "pvmc", "validate", "ring.toml"],
        cwd=tmp_path,
        env=os.environ | {"PVMC_NO_MPI": "1", "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "neighbours.py imports from pvmc.ansatz, which is called pvmc.wavefunctions now" in done.stderr
    assert len(done.stderr.splitlines()) == 1
