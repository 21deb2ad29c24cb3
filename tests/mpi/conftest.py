"""How pytest behaves on several ranks: rank 0 speaks, a failure anywhere ends all, a deadlock shows every stack."""

from __future__ import annotations

import faulthandler
import os
import time
from collections.abc import Iterator

import pytest

from pvmc.errors import InputError
from pvmc.mpi import Communicator, launcher, world

DEADLOCK_SECONDS = float(os.environ.get("PVMC_TEST_DEADLOCK_SECONDS", "120"))
_STDERR = pytest.StashKey[int]()


def _on_ranks() -> bool:
    return bool(os.environ.get("PVMC_TEST_RANKS"))


@pytest.hookimpl(trylast=True)  # after the terminal reporter is there
def pytest_configure(config: pytest.Config) -> None:
    if not _on_ranks():
        return
    config.stash[_STDERR] = os.dup(2)  # the real one, while pytest does not capture
    started_by = launcher()
    if started_by is not None and started_by.rank != 0:
        config.pluginmanager.unregister(name="terminalreporter")


@pytest.fixture(scope="session", autouse=True)
def _right_number_of_ranks(request: pytest.FixtureRequest) -> None:
    if _on_ranks():
        request.getfixturevalue("comm")


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
