"""One SLURM for all tests of this directory; they are skipped, with the reason, where it cannot be started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, why_not


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three nodes of four CPUs, all of them this machine."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with Cluster() as running:
        yield running


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory that the test is in, whose name a shell would take apart."""
    path = tmp_path / "it's $HOME here"
    path.mkdir()
    monkeypatch.chdir(path)
    return path
