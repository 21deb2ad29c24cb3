"""Values of arguments, from their text; argparse names the option before what is wrong (ArgumentTypeError)."""

from __future__ import annotations

import argparse


def positive(text: str) -> int:
    """An integer >= 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1, not '{text}'")
    return int(text)


def positive_number(text: str) -> float:
    """A finite number > 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number > 0, not '{text}'")
    return number


def count(text: str) -> int:
    """An integer >= 0 that fits into 64 bits."""
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"must be an integer >= 0 and < 2^63, not '{text}'")
    return int(text)


def iteration(text: str) -> int | str | None:
    """Whose parameters: a number, "best", or None for "last"."""
    if text in ("best", "last"):
        return text if text == "best" else None
    try:
        return count(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"must be an integer >= 0, best or last, not '{text}'") from None


def seconds(text: str) -> float:
    """A time > 0, of an option whose value may be left out and then could swallow what follows."""
    try:
        return positive_number(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; runs come before --watch") from None


def formats(text: str) -> tuple[str, ...]:
    """Types of figures, each once."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if wrong := [name for name in names if name not in ("png", "pdf", "svg")]:
        raise argparse.ArgumentTypeError(f"must be some of png, pdf, svg with commas between them, not '{wrong[0]}'")
    return names
