"""docs/tutorial.md: its files are written and its commands run as they stand, in their order, on fewer samples."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import pvmc

ROOT = Path(pvmc.__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)

SHORTER = ("run.iterations=12", "sampler.walkers=64", "sampler.block_width=16", "sampler.samples=256")
"""What commands get that take --set, before what the tutorial says itself."""

PVMC = f"""\
#!{sys.executable}
import sys
from pvmc.cli import main

words = sys.argv[1:]
if words[0] in ("validate", "run", "bench"):
    first = 2
    keys = [word for key in {SHORTER!r} for word in ("--set", key)]
    words[first:first] = keys
sys.exit(main(words))
"""

LAUNCHER = """\
#!/bin/sh
# One rank in place of "-n N".
shift 2
exec "$@"
"""

SBATCH = """\
#!/bin/bash
# Runs the elements of an array one after the other, with the stand-ins in place of the programs of the environment.
export SLURM_SUBMIT_DIR="$PWD" SLURM_ARRAY_JOB_ID=1 SLURM_NTASKS=4 SLURM_CPUS_PER_TASK=1
for SLURM_ARRAY_TASK_ID in $(sed -n 's/^#SBATCH --array=//p' "$1" | tr , ' '); do
    export SLURM_ARRAY_TASK_ID
    bash <(sed '/^export PATH=/d' "$1") || exit $?
done
"""


def commands() -> list[str]:
    return [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines()]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The path with stand-ins for pvmc, which shortens, for launchers, and for sbatch."""
    programs = {"pvmc": PVMC, "mpirun": LAUNCHER, "mpiexec": LAUNCHER, "sbatch": SBATCH}
    places = tmp_path / "bin"
    places.mkdir()
    for name, text in programs.items():
        (places / name).write_text(text)
        (places / name).chmod(0o755)
    path = os.pathsep.join([str(places), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "PVMC_NO_MPI": "1", "OMP_NUM_THREADS": "1"}


def run(command: list[str], environment: dict[str, str], directory: Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=directory, timeout=240)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_everything_in_the_tutorial_runs(tmp_path: Path, environment: dict[str, str]) -> None:
    printed = []
    for kind, text in BLOCKS:
        if kind == "toml":
            name = text.splitlines()[0].removeprefix("# ")
            assert name.endswith(".toml")
            (tmp_path / name).write_text(text)
        elif kind == "bash":
            printed += [run(["bash", "-c", line], environment, tmp_path) for line in text.splitlines()]
        else:
            assert kind == "python"
            printed.append(run([sys.executable, "-c", text], environment, tmp_path))
    everything = "\n".join(printed)
    assert "E/N = -0.443663069" in everything, "the exact energy, as the text says"
    assert "parameters: (82,) complex128" in everything
    for name in ("convergence.png", "convergence.pdf", "alpha2.nc", "ring.sbatch", "array.png"):
        assert (tmp_path / name).stat().st_size > 0
    for name in ("alpha1", "alpha2", "refined", "xxz", "own", *(f"ring-alpha{alpha}" for alpha in (1, 2, 4))):
        assert pvmc.open_run(tmp_path / "runs" / name).status() == "finished"
    assert len(pvmc.open_run(tmp_path / "runs" / "alpha1").iteration) == 330, "the resumed run"


def test_the_tutorial_has_what_it_promises() -> None:
    subcommands = {re.search(r"\bpvmc (\S+)|^(sbatch)", line).group(0) for line in commands()}  # type: ignore[union-attr]
    wanted = {"new", "validate", "exact", "run", "status", "plot", "export", "bench", "submit"}
    assert subcommands >= {f"pvmc {name}" for name in wanted} | {"sbatch"}
    assert {kind for kind, _ in BLOCKS} == {"toml", "bash", "python"}
    ring = tomllib.loads(BLOCKS[0][1])
    assert ring["lattice"]["length"] == 40
