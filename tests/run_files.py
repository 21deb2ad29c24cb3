"""Results files and checkpoints of tests: attributes of a run that none has made, files of earlier versions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pvmc.io import provenance, schema
from pvmc.io.checkpoint import Checkpoint, Part, write_checkpoint


def run_attributes(**changes: str | int) -> dict[str, str | int]:
    """All attributes that a writer of results asks for: of this machine, empty or 0, or as given."""
    filled_in = {"schema_version", "created"}
    blank = {item.name: item.type() for item in schema.ROOT_ATTRIBUTES if item.name not in filled_in}
    return {**blank, **provenance.collect(), "energy_units": "J", **changes}


N_PARAMETERS = 6
BLOCKS = {"bias": (slice(0, 2), (2,)), "weights": (slice(2, 6), (2, 2))}
OPTIONS: dict[str, Any] = {"parameter_blocks": BLOCKS, "parameter_dtype": np.complex128}
"""Of a writer of results of a run of four sites."""


def four_sites(**changes: str | int) -> dict[str, str | int]:
    """Attributes of such a run."""
    return run_attributes(**{"n_sites": 4, "n_parameters": N_PARAMETERS, "n_iterations": 20, "ranks": 2} | changes)


def printed_by(script: str, *arguments: object) -> list[str]:
    """Lines that a program prints; it must end well (HDF5, left to itself on a full disk, crashes at exit)."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def write_layout_1(
    directory: Path, checkpoint: Checkpoint, arrays: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint as versions before wrote it: one group ``solver`` with the arrays of all parts."""

    def write(group: h5py.Group, parts: Part) -> None:
        assert not parts
        file = group.file
        del file["parts"]
        for name, values in arrays.items():
            file[f"solver/{name}"] = values
        file.require_group("solver")

    with monkeypatch.context() as patched:
        patched.setattr("pvmc.io.checkpoint.CHECKPOINT_LAYOUT", 1)
        patched.setattr("pvmc.io.checkpoint._write_part", write)
        write_checkpoint(directory, checkpoint)
