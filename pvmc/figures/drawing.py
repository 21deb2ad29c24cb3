"""A figure together with the numbers in it, and the files that both go into."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from pvmc.errors import StorageError
from pvmc.figures import style

FORMATS = ("png", "pdf", "svg")
"""File types that figures can have."""

_UNDATED = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure and its data.

    Attributes:
        figure: what is drawn.
        columns: name -> one value per row, all of one length; the unit stands in brackets in the name.
    """

    figure: Figure
    columns: Mapping[str, Sequence[object]]

    @property
    def width(self) -> float:
        """Width of the figure in inches."""
        return float(self.figure.get_figwidth())

    def svg(self) -> bytes:
        """The figure as an SVG document, cut to what is drawn; the same figure gives the same bytes."""
        out = io.BytesIO()
        with matplotlib.rc_context(style.RC):
            self.figure.savefig(out, format="svg", metadata=_UNDATED["svg"], bbox_inches="tight", pad_inches=0.03)
        return out.getvalue()


def save(
    figure: Figure, output: str | os.PathLike[str], formats: Sequence[str] = ("png", "pdf"), **options: Any
) -> list[Path]:
    """Write a figure into files, one per format.  The same figure gives the same bytes.

    Args:
        figure: the figure.
        output: path of the files without suffix; a suffix that is one of ``formats`` is dropped.
        formats: file types.
        options: of matplotlib's ``savefig``.

    Returns:
        The files written.

    Raises:
        StorageError: a file cannot be written.
    """
    stem = _stem(output, formats)
    paths = [stem.with_name(f"{stem.name}.{name}") for name in formats]
    for path, name in zip(paths, formats, strict=True):
        with writing(path), matplotlib.rc_context(style.RC):
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, format=name, metadata=_UNDATED.get(name), **options)
    return paths


def save_drawing(drawing: Drawing, output: str | os.PathLike[str], formats: Sequence[str]) -> list[Path]:
    """Write the figure into files, and its data beside it as CSV, the first line with the names of the columns.

    Raises:
        StorageError: a file cannot be written.
    """
    paths = save(drawing.figure, output, formats)
    stem = _stem(output, formats)
    path = stem.with_name(f"{stem.name}.csv")
    with writing(path), open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(drawing.columns)
        writer.writerows(zip(*drawing.columns.values(), strict=True))
    return [*paths, path]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Errors of the file system as a :class:`StorageError` that names the file."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


def _stem(output: str | os.PathLike[str], formats: Sequence[str]) -> Path:
    stem = Path(output)
    return stem.with_suffix("") if stem.suffix.removeprefix(".") in formats else stem
