"""Maps of structure factors: which cuts of a zone in three dimensions, in which colours; words for multiples of pi."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from pvmc.figures.structure_factor import structure_factor_drawing
from pvmc.figures.zone_maps import multiple_of_pi
from pvmc.io.measurement import Estimate, Measurement
from pvmc.io.reader import Run
from pvmc.lattice.builders import cubic


class Measured(Run):
    """A run with one measurement in memory, S^zz(q) = 1 + 10 q_z + q_x within -pi < q <= pi."""

    @property
    def measurements(self) -> list[Measurement]:
        momenta = cubic((3, 3, 4)).momenta()
        return [Measurement(1, {}, {"structure_factor_zz": factor(momenta)}, {"momentum": momenta})]


def factor(momenta: np.ndarray) -> Estimate:
    q = np.pi - np.mod(np.pi - momenta, 2 * np.pi)
    return Estimate(1.0 + 10.0 * np.abs(q[:, 2]) + np.abs(q[:, 0]), np.full(len(q), 0.1), "1", ("momentum",))


def run(lattice: str) -> Measured:
    config = f'[lattice]\n{lattice}\n[hamiltonian]\nmodel = "ising"\n'
    return Measured(Path("/nowhere/a/run.h5"), {"config": config, "n_sites": 36}, {}, None, "", "", "")


def colour_at(figure: Figure, title: str, point: tuple[float, float]) -> tuple[float, ...]:
    """Of the cell that holds a momentum, in the map of this title."""
    axis = next(axis for axis in figure.axes if axis.get_title() == title)
    cells = [patch for patch in axis.patches if patch.get_fill() and patch.get_path().contains_point(point)]
    assert len(cells) == 1
    return to_rgba(cells[0].get_facecolor())


def test_three_dimensions_are_cut_at_each_allowed_height() -> None:
    drawing = structure_factor_drawing([run('kind = "cubic"\nsize = [3, 3, 4]')])
    titles = [axis.get_title() for axis in drawing.figure.axes if axis.get_title()]
    assert titles == [rf"$S^{{zz}}$, $q_z =$ {z}" for z in ("$0$", r"$\pi/2$", r"$\pi$")]
    assert len(drawing.columns["momentum z"]) == 36
    bar = drawing.figure.axes[-1]
    low, high = bar.get_ylim()
    assert (low, high) == (0.0, pytest.approx(1 + 10 * np.pi + 2 * np.pi / 3))
    colours = [colour_at(drawing.figure, title, (0.1, 0.1)) for title in titles]

    scale = matplotlib.colormaps["cividis"]
    for colour, height in zip(colours, (0.0, np.pi / 2, np.pi), strict=True):
        assert colour == pytest.approx(scale((1 + 10 * height) / high))


def test_multiples_of_pi() -> None:
    shares = (0, 1, -1, 2, 0.5, -2 / 3, 1.5)
    words = [multiple_of_pi(share * np.pi) for share in shares]
    assert words == ["$0$", r"$\pi$", r"$-\pi$", r"$2\pi$", r"$\pi/2$", r"$-2\pi/3$", r"$3\pi/2$"]
