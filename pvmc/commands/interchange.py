"""Interchange: results for other programs, and weights from them."""

from __future__ import annotations

import argparse
from pathlib import Path

from pvmc.commands.shared import shared_job


def export(options: argparse.Namespace) -> int:
    """``pvmc export``."""
    from pvmc.io.export import export

    print(f"wrote {export(options.run, options.format, options.output)}")
    return 0


def import_wf(options: argparse.Namespace) -> int:
    """Collective. ``pvmc import-wf``."""
    from pvmc.importing import import_weights
    from pvmc.recorder import RunRequest

    job, text, comm = shared_job(options)
    directory = options.output or Path("runs") / options.weights.stem
    request = RunRequest(job, text, directory, options.overwrite)
    import_weights(request, options.weights, comm)
    return 0
