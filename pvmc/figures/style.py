"""How figures look: sizes of a printed column, colours for everyone, line styles that survive grey print."""

from __future__ import annotations

from typing import Any

MM = 1 / 25.4
"""Inches in a millimetre."""

COLUMN_WIDTH = 86 * MM
"""Width of one column of a journal page, in inches."""

PAGE_WIDTH = 178 * MM
"""Width of both columns, in inches."""

COLOURS = ("#E69F00", "#009E73", "#0072B2", "#CC79A7", "#56B4E9", "#D55E00", "#332288")
"""Okabe and Ito's palette (and indigo), told apart with all kinds of colour vision; neighbours differ in lightness."""

DASHES = ((), (6, 1.2, 1.2, 1.2), (1.4, 1.0), (5, 1.2, 1.2, 1.2, 1.2, 1.2), (9, 1.5), (3, 1, 1, 1), (2.5, 1.5))
"""Dash patterns of the curves, in line widths; () is solid."""

REFERENCE: dict[str, Any] = {"color": "0.15", "linewidth": 0.8, "dashes": (4, 2.5)}
"""The line of an exact value."""

RC: dict[Any, Any] = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.labelpad": 2.5,
    "lines.linewidth": 1.1,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.45,
    "ytick.minor.width": 0.45,
    "xtick.major.size": 3.5,
    "ytick.major.size": 3.5,
    "xtick.minor.size": 2.0,
    "ytick.minor.size": 2.0,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
    "svg.hashsalt": "pvmc",
}
"""Settings of matplotlib for all figures."""


DIVERGING = "PuOr"
"""Colour map of quantities with a sign, zero in the middle; orange and purple are told apart by everyone."""

SEQUENTIAL = "cividis"
"""Colour map of quantities without a sign, of even steps in lightness for everyone."""

MARKERS = ("o", "s", "D", "^", "v", "P", "X")
"""Markers of the curves."""


def marker(index: int) -> str:
    """Marker of the curve with this number."""
    return MARKERS[index % len(MARKERS)]


def curve(index: int) -> tuple[str, tuple[float, ...]]:
    """Colour and dash pattern of the curve with this number; they repeat only after 49 curves."""
    return COLOURS[index % len(COLOURS)], DASHES[(index + index // len(COLOURS)) % len(DASHES)]
