"""What tests of commands share: an empty directory to be in, and an environment for the programs that they start."""

from __future__ import annotations

from pathlib import Path

import pytest

import pvmc


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory, in which the test and the programs that it starts are, on one rank."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PVMC_NO_MPI", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(pvmc.__file__).parents[1]))
    return tmp_path
