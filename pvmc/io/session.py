"""One start of a run: a run that goes on from a checkpoint has several."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

_SEAM = 10.0
"""Largest gap in seconds between two sessions of one process: the file is laid out anew in between."""

RETRIED = "retried"
"""How a session ended whose numbers went bad: the run went back some iterations and tried again."""


@dataclass(frozen=True)
class Session:
    """A row of ``/sessions`` (the meaning of each is in :data:`pvmc.io.schema.SESSIONS`)."""

    started: str
    first_iteration: int
    ranks: int
    threads: int
    host: str
    pid: int
    seconds: float = 0.0
    outcome: str = "running"

    @property
    def core_seconds(self) -> float:
        """Wall time, times the cores that were held."""
        return self.seconds * self.ranks * self.threads

    def over(self) -> Session:
        """The session as its successor sees it: one that did not say how it ended was killed."""
        return replace(self, outcome="killed") if self.outcome == "running" else self

    def continues(self, former: Session) -> bool:
        """Whether it is of the same process as the one before it: a run that went back a few iterations has two."""
        same = (self.host, self.pid, self.ranks) == (former.host, former.pid, former.ranks)
        gap = (datetime.fromisoformat(self.started) - datetime.fromisoformat(former.started)).total_seconds()
        return same and abs(gap - former.seconds) < _SEAM


def merged(sessions: Iterable[Session]) -> tuple[Session, ...]:
    """The starts of a run, oldest first: sessions of one process are one."""
    starts: list[Session] = []
    last: Session | None = None
    for session in sessions:
        if last is not None and session.continues(last):
            starts[-1] = replace(starts[-1], seconds=starts[-1].seconds + session.seconds, outcome=session.outcome)
        else:
            starts.append(session)
        last = session
    return tuple(starts)
