"""The convergence figure: right data, right labels, the exact energy at its place, the same bytes each time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D

from pvmc.errors import InputError, StorageError
from pvmc.figures import style
from pvmc.figures.convergence_plot import convergence_figure, relative_error, zoom_limits
from pvmc.figures.drawing import save
from pvmc.figures.kinds import FIGURES
from pvmc.io.reader import Run
from pvmc.measurement.registry import OBSERVABLES

N_SITES = 40
EXACT = -17.7465236  # total, of the periodic Heisenberg chain of 40 sites in units of J


def run(
    name: str,
    plateau: float,
    *,
    n: int = 1000,
    first: int = 1,
    alpha: int | None = None,
    reference: float | None = EXACT,
    units: str = "J",
) -> Run:
    """A run whose energy per site falls to ``plateau``, with a little noise."""
    iteration = np.arange(first, first + n)
    noise = 1e-6 * np.random.default_rng(len(name)).normal(size=n)
    energy = N_SITES * (plateau + 0.18 * np.exp(-iteration / 40) + noise)
    return Run(
        path=Path("/nowhere") / name / "run.h5",
        attributes={
            "n_sites": N_SITES,
            "energy_units": units,
            "config": f"[ansatz]\nalpha = {alpha}\n" if alpha else "",
        },
        series={
            "iteration": iteration,
            "energy": energy,
            "energy_error": np.full(n, N_SITES * 1e-6),
            "force_norm": np.ones(n),
        },
        reference_energy=reference,
        reference_method="",
        message="",
        ended="",
    )


@pytest.fixture
def runs() -> list[Run]:
    levels = {4: -0.4436620, 1: -0.4435800, 2: -0.4436453}
    return [run(f"alpha{alpha}", level, alpha=alpha) for alpha, level in levels.items()]


def lines(axis: Axes, label: str) -> list[Line2D]:
    return [line for line in axis.get_lines() if line.get_label() == label]


def legend(figure: Figure) -> list[str]:
    shown = figure.axes[0].get_legend()
    assert shown is not None
    return [text.get_text() for text in shown.get_texts()]


def test_curves_are_the_energies_of_the_runs(runs: Sequence[Run]) -> None:
    figure = convergence_figure(runs)
    assert len(figure.axes) == 3
    for data in runs:
        label = rf"$\alpha = {data.config['ansatz']['alpha']}$"
        for axis in figure.axes[:2]:
            (curve,) = lines(axis, label)
            np.testing.assert_array_equal(curve.get_xdata(), np.arange(1, 1001))
            np.testing.assert_array_equal(curve.get_ydata(), data.series["energy"] / N_SITES)
        (pale,) = lines(figure.axes[2], f"_{label}, every iteration")
        np.testing.assert_allclose(
            np.asarray(pale.get_ydata()), np.abs(data.series["energy"] / EXACT - 1), rtol=0, atol=1e-15
        )
        (mean,) = lines(figure.axes[2], label)
        last = np.abs(data.series["energy"][-101:].mean() / EXACT - 1)
        assert np.asarray(mean.get_ydata())[-1] == pytest.approx(last, rel=1e-9)


def test_energies_that_are_not_finite_leave_the_mean_of_the_others(runs: Sequence[Run]) -> None:
    """Such as the last ones of a run that failed."""
    runs[0].series["energy"][-3:] = np.nan
    figure = convergence_figure(runs[:1])
    (mean,) = lines(figure.axes[2], runs[0].name)
    assert len(np.asarray(mean.get_xdata())) == 997
    assert np.isfinite(np.asarray(mean.get_ydata())).all()


def test_axes_and_legend(runs: Sequence[Run]) -> None:
    figure = convergence_figure(runs)
    energies, zoom, errors = figure.axes
    assert (energies.get_xscale(), energies.get_yscale()) == ("log", "linear")
    assert (zoom.get_xscale(), zoom.get_yscale()) == ("linear", "linear")
    assert errors.get_yscale() == "log"
    assert energies.get_xlim() == (1, 1000)
    assert energies.get_ylabel() == zoom.get_ylabel() == "Energy per spin, $E/N$ ($J$)"
    assert all(axis.get_xlabel() == "SR iteration" for axis in figure.axes)
    assert legend(figure) == [r"$\alpha = 1$", r"$\alpha = 2$", r"$\alpha = 4$", "exact"]
    assert figure.get_figwidth() == pytest.approx(178 / 25.4)


@pytest.mark.parametrize(
    ("units", "label"),
    [("h", "$h$"), ("J (S.S)", r"$J$, $S \cdot S$"), ("J (sigma.sigma)", r"$J$, $\sigma \cdot \sigma$")],
)
def test_units_on_the_axis(units: str, label: str) -> None:
    figure = convergence_figure([run("a", -0.44, units=units)])
    assert figure.axes[0].get_ylabel() == f"Energy per spin, $E/N$ ({label})"


def test_exact_energy_is_dashed_at_its_height(runs: Sequence[Run]) -> None:
    for axis in convergence_figure(runs).axes[:2]:
        (exact,) = lines(axis, "exact")
        assert np.asarray(exact.get_ydata()).tolist() == [EXACT / N_SITES] * 2
        assert exact.get_linestyle() == "--"


def test_zoom_tells_the_plateaus_apart(runs: Sequence[Run]) -> None:
    low, high = zoom_limits(runs)
    assert convergence_figure(runs).axes[1].get_ylim() == (low, high)
    levels = sorted([EXACT / N_SITES, *(data.energy_per_site[-100:].mean() for data in runs)])
    assert low < levels[0] < levels[-1] < high
    assert levels[-1] - levels[0] > 0.4 * (high - low)
    single = zoom_limits([run("alone", -0.5, reference=None)])
    assert 5e-6 < single[1] - single[0] < 2e-5  # a few standard deviations of its noise


def test_curves_differ_in_colour_and_in_dashes(runs: Sequence[Run]) -> None:
    curves = convergence_figure(runs).axes[0].get_lines()
    assert len({curve.get_color() for curve in curves}) == 4
    pairs = {style.curve(index) for index in range(49)}
    assert len(pairs) == 49


def test_names_where_alpha_does_not_tell() -> None:
    same = [run("_seed$1", -0.44, alpha=1), run("seed2", -0.43, alpha=1)]
    assert legend(convergence_figure(same)) == [r"seed\$1", "seed2", "exact"]
    assert legend(convergence_figure([run("only", -0.44, alpha=1)])) == ["only", "exact"]


def test_without_reference_there_are_the_two_panels() -> None:
    figure = convergence_figure([run("a", -0.44, reference=None), run("b", -0.43, reference=None)])
    assert len(figure.axes) == 2
    assert legend(figure) == ["a", "b"]


def test_iterations_counted_from_zero_start_at_one() -> None:
    figure = convergence_figure([run("a", -0.44, n=20, first=0)])
    (curve,) = lines(figure.axes[0], "a")
    assert np.asarray(curve.get_xdata()).tolist() == list(range(1, 21))


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.slow
def test_shortest_runs_and_exact_energies_can_be_drawn(n: int, tmp_path: Path) -> None:
    data = run("a", -0.44, n=n)
    data.series["energy"][:] = EXACT
    assert len(save(convergence_figure([data]), tmp_path / "figure")) == 2


@pytest.mark.slow
def test_files_are_written_and_repeat_bit_for_bit(runs: Sequence[Run], tmp_path: Path) -> None:
    first = save(convergence_figure(runs), tmp_path / "new" / "figure.png")
    assert first == [tmp_path / "new" / "figure.png", tmp_path / "new" / "figure.pdf"]
    second = save(convergence_figure(runs), tmp_path / "v1.2")
    assert second == [tmp_path / "v1.2.png", tmp_path / "v1.2.pdf"]
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()
    assert b"CreationDate" not in first[1].read_bytes()
    image = imread(first[0])
    assert image.shape[1] == int(178 / 25.4 * 300)
    assert image[..., :3].std() > 0.05


def test_runs_that_cannot_be_drawn_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no runs"):
        convergence_figure([])
    with pytest.raises(InputError, match="holds no energies yet"):
        convergence_figure([run("a", -0.44, n=0)])
    with pytest.raises(InputError, match="different units of energy: J, h"):
        convergence_figure([run("a", -0.44), run("b", -0.44, units="h")])
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        save(convergence_figure([run("a", -0.44)]), tmp_path / "file" / "figure")


def test_no_pyplot() -> None:
    check = "import sys, pvmc.figures.convergence_plot; print('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout == "False\n"


def test_the_registry_names_functions_that_are_there_and_has_the_figures_of_observables() -> None:
    for kind in FIGURES.values():
        module, function = kind.function.split(".")
        assert callable(getattr(import_module(f"pvmc.figures.{module}"), function))
    of_measurements = {name for name, kind in FIGURES.items() if kind.shared == "measurement"}
    assert {observable.figure for observable in OBSERVABLES} - {""} == of_measurements


def test_relative_error() -> None:
    np.testing.assert_allclose(relative_error([-1.8, -2.2, -2.0], -2.0), [0.1, 0.1, 0.0], rtol=1e-14)
    with pytest.raises(InputError, match="reference energy is zero"):
        relative_error(-1.0, 0.0)
