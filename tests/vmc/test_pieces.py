"""What surrounds the loop: called at one place, in order, and in the reverse order where the loop goes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest

from pvmc.mpi import Communicator, SerialCommunicator
from pvmc.sampler import Walkers
from pvmc.vmc import pieces
from pvmc.vmc.job import Job
from pvmc.vmc.loop import State, StepRecord
from pvmc.vmc.pieces import Decision, Piece, Round, StopReason, carry_out
from pvmc.vmc.rollback import GoneBack, Rollback

COMM = SerialCommunicator()
STOP = StopReason("time", "a test", finished=False)


def state(iteration: int) -> State:
    return State(iteration, np.zeros(1), Walkers(np.ones((1, 2, 4), np.int8), 0))


class Noted(Piece):
    """Notes in one list when it is called; may stop the run."""

    def __init__(self, name: str, calls: list[str], stop_at: int | None = None):
        self.name, self.calls, self.stop_at = name, calls, stop_at

    def begin(self, state: State) -> None:
        self.calls.append(f"{self.name} begins at {state.iteration}")

    def after(self, done: Round, comm: Communicator) -> None:
        number = cast(Any, done.step)
        self.calls.append(f"{self.name} {number}{', stopped' if done.decision.stop else ''}")
        if number == self.stop_at:
            done.decision = Decision(STOP, checkpoint=True)

    def gone_back(self, back: GoneBack, comm: Communicator) -> None:
        self.calls.append(f"{self.name} back to {back.state.iteration}")


def test_the_order_of_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece that stops the run leaves that to those after it, which still do their part."""

    def guarded(first: State, job: Job, rollback: Rollback, comm: Communicator) -> Iterator[StepRecord | GoneBack]:
        yield cast(StepRecord, 3)
        yield GoneBack(state(2), "a test", is_retry=True)
        for number in range(2, 9):
            yield cast(StepRecord, number)

    monkeypatch.setattr(pieces, "guarded", guarded)
    calls: list[str] = []
    nothing = Piece()  # whose methods do nothing
    around = [Noted("a", calls, stop_at=2), nothing, Noted("b", calls)]
    assert carry_out(state(3), cast(Job, None), cast(Rollback, None), around, COMM) == STOP
    assert calls == [
        *("a begins at 3", "b begins at 3"),
        *("a 3", "b 3"),
        *("b back to 2", "a back to 2"),
        *("a 2", "b 2, stopped"),
    ]
