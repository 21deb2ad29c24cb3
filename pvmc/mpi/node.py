"""The machine under a rank: which ranks share it, how many cores and how much memory they may use, what is enough."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pvmc.mpi.communicator import Communicator


@dataclass(frozen=True)
class Node:
    """Resources that the ranks of a job on one machine share.

    Attributes:
        rank: this rank's number among them, from 0.
        ranks: how many they are.
        cores: how many cores they may use together, at least 1.
        memory: bytes that they may use together; None where the system does not say.
    """

    rank: int
    ranks: int
    cores: int
    memory: int | None = None


def node_of(comm: Communicator) -> Node:
    """Collective.  The ranks that share this rank's memory, and the cores and bytes that they may use together."""
    # Not every system tells which cores a process may use.
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    number, together = comm.on_node((allowed, quota(), usable_memory()))
    # A launcher that binds ranks gives each its own cores: what counts is what they have together.
    cores = {core for its_cores, _, _ in together for core in its_cores}
    memory = max((limit for _, _, limit in together if limit is not None), default=None)
    return Node(number, len(together), usable_cores(len(cores), (limit for _, limit, _ in together)), memory)


def usable_cores(allowed: int, quotas: Iterable[float | None]) -> int:
    """Whole cores of those that the scheduler allows, where a container's share of time may be smaller."""
    shares = [share for share in quotas if share is not None]
    return max(1, min(allowed, int(max(shares)) if shares else allowed))


def quota(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """Cores' worth of time that the control group of this process has (of a container, or a batch job).

    Args:
        root: where control groups are mounted.
        own: the file that names the group of this process.

    Returns:
        The smallest limit among the group and those that it is in; None without any.
    """
    groups = [root / "cpu", *_groups(root, own)]  # version 1, version 2
    limits = [limit for group in dict.fromkeys(groups) if (limit := _limit(group)) is not None]
    return min(limits, default=None)


def usable_memory(
    root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup"), total: Path = Path("/proc/meminfo")
) -> int | None:
    """Bytes of the machine, or of the control group of this process (of a container, or a batch job) if it has less.

    Args:
        root: where control groups are mounted.
        own: the file that names the group of this process.
        total: the file with the memory of the machine.

    Returns:
        The smallest of the limits; None where none is known.
    """
    machine = re.search(r"^MemTotal:\s*(\d+) kB", _text(total), flags=re.MULTILINE)
    limits = [1024 * int(machine[1])] if machine else []
    for group in dict.fromkeys([root / "memory", *_groups(root, own), *_groups(root / "memory", own)]):
        words = [_text(group / name).strip() for name in ("memory.max", "memory.limit_in_bytes")]
        limits += [int(word) for word in words if word.isdecimal()]
    return min(limits, default=None)


def _groups(root: Path, own: Path) -> Iterator[Path]:
    """The directories of the control groups that a file names, and of those that they are in."""
    for line in _text(own).splitlines():
        path = line.rpartition(":")[2].strip("/")
        yield root / path
        yield from (root / parent for parent in Path(path).parents)


def _limit(group: Path) -> float | None:
    words = _text(group / "cpu.max").split()  # version 2: time and period, or "max"
    words = words or [_text(group / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    try:
        time, period = (float(word) for word in words)
    except ValueError:
        return None
    return time / period if time > 0 and period > 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def oversubscription(comm: Communicator, node: Node, threads: int) -> str:
    """Collective.  A warning where the ranks of some node have more threads than cores, on rank 0; empty else.

    Args:
        comm: all ranks.
        node: this rank's, of :func:`node_of`.
        threads: threads of each rank.
    """
    nodes = comm.gather(np.array([[node.ranks, node.cores]], dtype=np.int64))
    if nodes is None:
        return ""
    ranks, cores = (int(number) for number in nodes[np.argmax(nodes[:, 0] / nodes[:, 1])])
    return describe_oversubscription(ranks, cores, threads)


def describe_oversubscription(ranks: int, cores: int, threads: int) -> str:
    """One line that names the numbers and the remedy; empty where the cores are enough."""
    if ranks * threads <= cores:
        return ""
    what = f"{_count(ranks, 'rank')} of {_count(threads, 'thread')} on {_count(cores, 'core')}"
    if threads > 1:
        remedy = f"set run.threads_per_rank = {max(1, cores // ranks)}"
    else:
        remedy = f"start at most {_count(cores, 'rank')} per node"
    return f"{what}: they take turns, and the job takes longer than with fewer; {remedy}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number > 1 else ''}"


def bytes_in_words(count: int) -> str:
    """A number of bytes with a unit: 640 kB, 12.3 MB, 1.45 GB."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
