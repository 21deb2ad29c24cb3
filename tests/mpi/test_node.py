"""Cores and the ranks that share them: what a control group allows, and when there are too few."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvmc.mpi import SerialCommunicator, node_of, oversubscription
from pvmc.mpi.node import Node, describe_oversubscription, quota, usable_cores


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_quota_of_nested_groups_is_the_smallest(tmp_path: Path) -> None:
    own = tmp_path / "own"
    write(own, "0::/batch/job_7\n")
    write(tmp_path / "fs" / "batch" / "job_7" / "cpu.max", "max 100000\n")
    write(tmp_path / "fs" / "batch" / "cpu.max", "350000 100000\n")
    assert quota(tmp_path / "fs", own) == 3.5
    write(tmp_path / "fs" / "batch" / "job_7" / "cpu.max", "200000 100000\n")
    assert quota(tmp_path / "fs", own) == 2.0


def test_quota_of_version_1(tmp_path: Path) -> None:
    write(tmp_path / "cpu" / "cpu.cfs_quota_us", "150000\n")
    write(tmp_path / "cpu" / "cpu.cfs_period_us", "100000\n")
    assert quota(tmp_path, tmp_path / "none") == 1.5
    write(tmp_path / "cpu" / "cpu.cfs_quota_us", "-1\n")
    assert quota(tmp_path, tmp_path / "none") is None


@pytest.mark.parametrize(
    ("allowed", "quotas", "cores"),
    [(8, [None, None], 8), (8, [3.5, 3.5], 3), (2, [16.0], 2), (8, [0.5], 1), (8, [1.0, None], 1)],
)
def test_usable_cores(allowed: int, quotas: list[float | None], cores: int) -> None:
    assert usable_cores(allowed, quotas) == cores


def test_warning_names_numbers_and_remedy() -> None:
    assert describe_oversubscription(ranks=2, cores=2, threads=1) == ""
    many = describe_oversubscription(ranks=4, cores=2, threads=1)
    assert "4 ranks of 1 thread on 2 cores" in many and "at most 2 ranks per node" in many
    threads = describe_oversubscription(ranks=2, cores=8, threads=8)
    assert "2 ranks of 8 threads on 8 cores" in threads and "run.threads_per_rank = 4" in threads


def test_one_process() -> None:
    comm = SerialCommunicator()
    node = node_of(comm)
    assert (node.rank, node.ranks) == (0, 1) and node.cores >= 1
    assert oversubscription(comm, node, threads=node.cores) == ""
    assert f"{node.cores + 1} threads" in oversubscription(comm, node, threads=node.cores + 1)
    assert "run.threads_per_rank = 1" in oversubscription(comm, Node(0, 1, 1), threads=2)
