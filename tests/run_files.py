"""Results files and checkpoints of tests: attributes of a run that none has made, files of earlier versions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import pytest

from pvmc.io import provenance, schema
from pvmc.io.checkpoint import Checkpoint, Part, write_checkpoint


def run_attributes(**changes: str | int) -> dict[str, str | int]:
    """All attributes that a writer of results asks for: of this machine, empty or 0, or as given."""
    filled_in = {"schema_version", "created"}
    blank = {item.name: item.type() for item in schema.ROOT_ATTRIBUTES if item.name not in filled_in}
    return {**blank, **provenance.collect(), "energy_units": "J", **changes}


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
