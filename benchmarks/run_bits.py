"""All numbers of a run, bit by bit: to compare runs that must be the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pvmc.io.checkpoint import Part, latest_checkpoint
from pvmc.io.reader import open_run


def bits_of(directory: Path) -> dict[str, bytes]:
    """Name -> bytes: all series but times, all saved parameters, parameters and walkers of the last checkpoint.

    Raises:
        PvmcError: a file cannot be read.
    """
    run = open_run(directory)
    bits = {name: values.tobytes() for name, values in run.series.items() if not name.startswith("seconds")}
    for iteration in run.saved_iterations().tolist():
        bits[f"parameters after {iteration}"] = run.parameters(iteration).tobytes()
    checkpoint, passed_over = latest_checkpoint(directory)
    if checkpoint is not None and not passed_over:
        bits |= {"iteration of the checkpoint": str(checkpoint.iteration).encode()}
        bits |= {"theta": checkpoint.theta.tobytes(), "walkers": checkpoint.spins.tobytes()}
        bits |= _bits_of_part("parts", checkpoint.parts)
    return bits


def _bits_of_part(path: str, part: Part) -> dict[str, bytes]:
    bits: dict[str, bytes] = {}
    for name, values in part.items():
        bits |= (
            _bits_of_part(f"{path}/{name}", values)
            if isinstance(values, Mapping)
            else {f"{path}/{name}": values.tobytes()}
        )
    return bits


def differences(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """Names of what is not the same, or not there, in one of two runs."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
