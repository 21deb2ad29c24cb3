"""One start of a run: a run that goes on from a checkpoint has several."""

from __future__ import annotations

from dataclasses import dataclass, replace


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
