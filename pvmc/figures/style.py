"""Style of figures: sizes of a printed column, colours for everyone, units, names of runs, labels of curves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pvmc.io.reader import Run

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


GAP = 0.075
"""Least distance between two labels, as a part of the height of the axes."""


def unit_label(units: str, power: int = 1) -> str:
    """The unit's symbol in italics; what is said of it in brackets follows: "J (S.S)" gives J, S.S."""
    symbol, _, remark = units.partition(" ")
    symbol = re.sub(r"([\d.]+)e([+-]\d+)", _power_of_ten, symbol)
    product = remark.strip("()").replace("sigma", r"\sigma").replace(".", r" \cdot ")
    symbol = f"({symbol})" if "/" in symbol and power != 1 else symbol
    symbol = symbol if power == 1 else f"{symbol}^{power}"
    return f"${symbol}$, ${product}$" if remark else f"${symbol}$"


def _power_of_ten(found: re.Match[str]) -> str:
    """1e-30 as 10^{-30}, 4.5e+10 as 4.5 times 10^{10}."""
    power = f"10^{{{int(found[2])}}}"
    return power if found[1] == "1" else rf"({found[1]} \times {power})"


def error_label(runs: Sequence[Run]) -> str:
    """Label of an axis of errors: relative to |E_exact|, or to the radius r of H where that is next to zero."""
    if all(run.reference_energy is None or run.error_scale == abs(run.reference_energy) for run in runs):
        return r"Relative error, $|E / E_{\rm exact} - 1|$"
    return r"Relative error, $|E - E_{\rm exact}| / r$, $r = \sum |c_P|$"


def plain_numbers(axis: Axes) -> None:
    """Numbers at the axis of energies without an offset; with a power of ten where they are very small or large."""
    axis.ticklabel_format(axis="y", useOffset=False, style="sci", scilimits=(-3, 5))


def plain(text: str) -> str:
    """Text that matplotlib does not take for mathematics, nor for the name of something without a legend."""
    return text.lstrip("_").replace("$", r"\$")


def alphas(runs: Sequence[Run]) -> list[float] | None:
    """alpha of each run, where every run has its own; else None."""
    found = [run.config.get("ansatz", {}).get("alpha") for run in runs]
    return found if len(runs) > 1 and None not in found and len(set(found)) == len(found) else None


def labelled(runs: Sequence[Run]) -> tuple[list[str], list[Run]]:
    """Labels and runs: by alpha and in its order where every run has its own, else by name and as given."""
    values = alphas(runs)
    if values is not None:
        pairs = sorted(zip(values, runs, strict=True), key=lambda pair: pair[0])
        return [rf"$\alpha = {alpha:g}$" for alpha, _ in pairs], [run for _, run in pairs]
    return [plain(run.name) for run in runs], list(runs)


def spread(heights: Sequence[float], gap: float = GAP, top: float = 0.98, bottom: float = 0.02) -> NDArray[np.float64]:
    """Heights moved apart to keep a distance, in their order, as little as this needs; the gap shrinks for many.

    Args:
        heights: wanted positions, 0 at the bottom of the axes and 1 at the top.
        gap: least distance.
        top, bottom: where the labels may be.
    """
    wanted = np.asarray(heights, dtype=np.float64)
    order = np.argsort(wanted, kind="stable")
    gap = min(gap, (top - bottom) / max(1, len(wanted) - 1))
    placed = np.clip(wanted[order], bottom, top)
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    placed -= max(0.0, placed[-1] - top) if len(placed) else 0.0
    for i in range(len(placed) - 2, -1, -1):
        placed[i] = min(placed[i], placed[i + 1] - gap)
    for i in range(len(placed)):
        placed[i] = max(placed[i], bottom + i * gap)
    result = np.empty_like(placed)
    result[order] = placed
    return result


def label_ends(
    axis: Axes, ends: Sequence[float], texts: Sequence[str], colours: Sequence[str], gap: float = GAP
) -> None:
    """Texts to the right of the axes, each at the height where its curve ends (in the axis' own units).

    Call it when the limits of the axis are set.
    """
    transform = axis.transData.transform
    left = axis.get_xlim()[1]
    inverse = axis.transAxes.inverted().transform
    heights = [float(inverse(transform((left, end)))[1]) for end in ends]
    for height, text, colour in zip(spread(heights, gap), texts, colours, strict=True):
        axis.text(1.02, height, text, color=colour, transform=axis.transAxes, va="center", ha="left", fontsize=8)


def letters(axes: Sequence[Axes], x: float = 0.97) -> None:
    """(a), (b), ... in the upper right corners."""
    for axis, letter in zip(axes, "abcdefgh", strict=False):
        axis.text(x, 0.96, f"({letter})", transform=axis.transAxes, ha="right", va="top")
