"""How pytest behaves on several ranks: rank 0 speaks, a failure anywhere ends all, a deadlock shows every stack.

One mpiexec serves tests on fewer ranks too: ``comm`` is then a communicator of the first of them.  A test runs on the
numbers of ranks in its mark ``ranks``, on three (which share blocks unevenly) without one; on all other numbers it is
marked ``slow``.
"""

from __future__ import annotations

import faulthandler
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pvmc.config import to_toml
from pvmc.errors import InputError
from pvmc.mpi import Communicator, MpiCommunicator, launcher, world
from pvmc.vmc.guard import Fault, Guard
from pvmc.vmc.job import Job
from pvmc.vmc.pieces import Decision
from pvmc.vmc.stop import StopWatcher
from tests.conftest import expected_ranks
from tests.jobs import carry_out

DEADLOCK_SECONDS = float(os.environ.get("PVMC_TEST_DEADLOCK_SECONDS", "120"))
_STDERR = pytest.StashKey[int]()


DEFAULT_RANKS = (3,)
WAIT_SECONDS = 0.005
"""How long a rank that a test does not need sleeps between two looks for the next test."""


def _on_ranks() -> bool:
    return expected_ranks() is not None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    world_size = expected_ranks()
    if "comm" not in metafunc.fixturenames or world_size is None:
        return
    marker = metafunc.definition.get_closest_marker("ranks")
    wanted = {min(size, world_size) for size in (marker.args if marker else DEFAULT_RANKS)}
    sizes = [
        pytest.param(size, id=f"{size}-ranks", marks=[] if size in wanted else [pytest.mark.slow])
        for size in range(1, world_size + 1)
    ]
    metafunc.parametrize("comm", sizes, indirect=True)


@pytest.fixture(scope="session")
def groups() -> dict[int, MpiCommunicator | None]:
    """Communicators of the first 1, 2, ... ranks of the mpiexec; None where this rank is not among them."""
    everyone = world()
    assert isinstance(everyone, MpiCommunicator), f"PVMC_TEST_RANKS={expected_ranks()}, but MPI cannot be loaded"
    size, rank = everyone.size, everyone.rank
    assert size == expected_ranks(), f"PVMC_TEST_RANKS={expected_ranks()}, but MPI has {size} ranks"
    from mpi4py import MPI

    parts = {number: MPI.COMM_WORLD.Split(rank >= number, rank) for number in range(1, size + 1)}
    return {number: MpiCommunicator(MPI, part) if rank < number else None for number, part in parts.items()}


@pytest.fixture
def comm(request: pytest.FixtureRequest, groups: dict[int, MpiCommunicator | None]) -> Communicator:
    """The first ranks of the mpiexec around pytest, as many as the test wants.  All ranks begin a test together; the
    others leave it out."""
    from mpi4py import MPI

    here = MPI.COMM_WORLD.Ibarrier()
    while not here.Test():
        time.sleep(WAIT_SECONDS)
    found = groups[request.param]
    if found is None:
        pytest.skip(f"on {request.param} ranks")
    return found


@pytest.hookimpl(trylast=True)  # after the terminal reporter is there
def pytest_configure(config: pytest.Config) -> None:
    if not _on_ranks():
        return
    config.stash[_STDERR] = os.dup(2)  # the real one, while pytest does not capture
    started_by = launcher()
    if started_by is not None and started_by.rank != 0:
        config.pluginmanager.unregister(name="terminalreporter")


@pytest.fixture
def new(comm: Communicator, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes a new directory, the same on all ranks."""
    return lambda: Path(comm.root_value(lambda: str(tmp_path_factory.mktemp("run")))) / "run"


@pytest.fixture
def straight(comm: Communicator, new: Callable[[], Path]) -> Callable[[Job], Path]:
    """Makes the run of a job on rank 0 alone that nothing disturbs, once for all tests, which only read it."""

    def directory(job: Job) -> Path:
        key = to_toml(job.config)
        if comm.root_value(lambda: key not in _STRAIGHT):
            _STRAIGHT[key] = new()
            assert carry_out(job, _STRAIGHT[key], comm, on="one") == 0
        return Path(comm.root_value(lambda: str(_STRAIGHT[key])))

    return directory


_STRAIGHT: dict[str, Path] = {}


@pytest.fixture
def disturb(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Does something on every rank after an iteration, once; or after so many, those of trials counted.  The list grows
    by one with each iteration."""

    def at(when: int, action: Callable[[], object], counted: bool = False) -> list[int]:
        decide, done, pending = StopWatcher.decide, [], [action]

        def deciding(self: StopWatcher, iteration: int, *others: Any) -> Decision:
            done.append(iteration)
            if pending and when == (len(done) if counted else iteration):
                pending.pop()()
            return decide(self, iteration, *others)

        monkeypatch.setattr(StopWatcher, "decide", deciding)
        return done

    return at


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the guard find a fault at these iterations, in this order, each once."""

    def at(*iterations: int) -> None:
        check, pending = Guard.check, list(iterations)

        def checking(self: Guard, iteration: int, *numbers: float) -> Fault | None:
            found = check(self, iteration, *numbers)
            return Fault(pending.pop(0), "a test") if pending and iteration == pending[0] else found

        monkeypatch.setattr(Guard, "check", checking)

    return at


@pytest.fixture
def n_ranks(request: pytest.FixtureRequest) -> int:
    """The number of ranks that this test is to run on."""
    return int(request.node.callspec.params["comm"])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    if not _on_ranks():
        return (yield)
    faulthandler.dump_traceback_later(DEADLOCK_SECONDS, exit=True, file=item.config.stash[_STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


class _EndAll:
    """Ends every rank when a test, or its collection, fails on one."""

    def __init__(self, stderr: int):
        self.stderr = stderr

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._end_if_failed(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._end_if_failed(report)

    def _end_if_failed(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.failed:
            return
        try:
            comm: Communicator = world()
        except InputError:
            return  # no world to end: each process reports for itself
        if comm.size == 1:
            return
        time.sleep(0.2 * comm.rank)  # where all fail alike, one report is enough
        sections = "".join(f"\n--- {title} ---\n{text}" for title, text in report.sections)
        text = f"\n[rank {comm.rank}] {report.nodeid} FAILED\n{report.longreprtext}{sections}\n"
        os.write(self.stderr, text.encode(errors="replace"))
        comm.abort(1)


def pytest_sessionstart(session: pytest.Session) -> None:
    if _on_ranks():
        session.config.pluginmanager.register(_EndAll(session.config.stash[_STDERR]), "end-all-ranks")
