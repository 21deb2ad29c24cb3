"""What ``pvmc status`` prints: one run in a few lines, several in a table, or each as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pvmc.errors import PvmcError
from pvmc.results.facts import Facts, Unreadable, as_json, read_facts
from pvmc.results.status_table import status_table
from pvmc.results.summary import status_text


def read_all(paths: Sequence[Path]) -> list[Facts]:
    """The facts of each run or fit; one of several that cannot be read does not hide the others.

    Raises:
        InputError, StorageError: the only one cannot be read.
    """
    if len(paths) == 1:
        return [read_facts(paths[0])]
    return [_read(path) for path in paths]


def _read(path: Path) -> Facts:
    try:
        return read_facts(path)
    except PvmcError as error:
        return Unreadable(str(path), str(error), error.exit_code)


def shown(facts: Sequence[Facts], json: bool) -> str:
    """The text, without the last line break; as JSON one object in each line."""
    if json:
        return "\n".join(as_json(one) for one in facts)
    return status_text(facts[0]) if len(facts) == 1 else status_table(facts)


def exit_code(facts: Sequence[Facts]) -> int:
    """That of the first that cannot be read, else 0."""
    return next((one.exit_code for one in facts if isinstance(one, Unreadable)), 0)
