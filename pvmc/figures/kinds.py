"""Figures of ``pvmc plot --kind`` and of ``pvmc report``: one line of the registry each, which loads no matplotlib."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pvmc.figures.drawing import Drawing
    from pvmc.io.reader import Run

Shared = Literal["", "all", "units", "system", "run", "measurement"]
"""Runs that share a figure in a report: all of them, those with one unit of energy, those of one system; or a figure
for each run, beside its facts or beside what was measured in it; "" where a report has no such figure."""


@dataclass(frozen=True)
class FigureKind:
    """A kind of figure.

    Attributes:
        shows: what it shows, in one line, for ``--help`` and the documentation.
        axes: the quantities on its axes, x; y, with their units, for the documentation.
        needs: what the runs must have.
        function: ``module.function`` in this package, which takes runs and returns a :class:`Drawing`.
        shared: which runs share a figure in a report.
        caption: what stands below it there; {} is the name of the run, where it is of one.
        fewest: fewest runs of which a figure of all, or of one system, says something.
    """

    shows: str
    axes: str
    needs: str
    function: str
    shared: Shared = ""
    caption: str = ""
    fewest: int = 1

    def draw(self, runs: Sequence[Run], *more: Any) -> Drawing:
        """The figure of these runs with its data; only the spectrum takes more than the runs.

        Raises:
            InputError: the runs do not have what the figure needs.
        """
        module, function = self.function.split(".")
        drawing: Drawing = getattr(import_module(f"pvmc.figures.{module}"), function)(runs, *more)
        return drawing


_BARS = "Bars: one standard error."

FIGURES: dict[str, FigureKind] = {
    "convergence": FigureKind(
        shows="energy and relative error against the iteration (arXiv:1606.02318, Fig. 5)",
        axes="SR iteration; E/N in the units of the run, relative error",
        needs="any, with energies in one unit",
        function="convergence_plot.convergence_drawing",
        shared="units",
        caption="Energy per spin against the iteration, whole and close to its end, and the relative error.",
    ),
    "error-alpha": FigureKind(
        shows="relative error against alpha, one curve per system (arXiv:1606.02318, Fig. 3)",
        axes="alpha = M/N; relative error E / E_exact - 1, without sign",
        needs="with alpha and exact energies",
        function="accuracy.error_alpha_drawing",
        shared="all",
        caption=f"Relative error against the density of hidden units. {_BARS[:-1]}; triangles: upper bounds of two.",
        fewest=2,
    ),
    "features": FigureKind(
        shows="learned filters on the lattice (arXiv:1606.02318, Fig. 2)",
        axes="site, or positions; Re W and Im W as colours, pure numbers",
        needs="one, of an RBM",
        function="features.features_drawing",
        shared="run",
        caption="Filters of {}: real and imaginary parts of the weights, by their norm.",
    ),
    "correlations": FigureKind(
        shows="<sigma_0 sigma_r> against the distance",
        axes="r in nearest-neighbour distances; <sigma^a_0 sigma^a_r>, a pure number",
        needs="with measured correlations",
        function="correlations.correlations_drawing",
        shared="measurement",
        caption=f"Spin correlations of {{}} against the distance; open symbols: negative. {_BARS}",
    ),
    "structure-factor": FigureKind(
        shows="S(q): lines for chains, maps of the Brillouin zone in two dimensions, cuts through it in three",
        axes="q in inverse lattice constants (maps: inverse nearest-neighbour distances); S(q), a pure number",
        needs="with measured structure factors",
        function="structure_factor.structure_factor_drawing",
        shared="measurement",
        caption="Structure factor of the spins of {}. Bars, in one dimension: one standard error.",
    ),
    "variance": FigureKind(
        shows="energy against variance, with the line to zero variance",
        axes="Var/N in squared units of the run; E/N in units of the run",
        needs="two or more of one system",
        function="accuracy.variance_drawing",
        shared="system",
        caption=f"Energy against variance, with the line that leads to zero variance. {_BARS}",
        fewest=2,
    ),
    "diagnostics": FigureKind(
        shows="acceptance, R-hat and autocorrelation time of every iteration",
        axes="SR iteration; pure numbers, and tau in draws",
        needs="sampled",
        function="diagnostics.diagnostics_drawing",
        shared="all",
        caption="Quality of the sampling: acceptance, R-hat (1 where chains agree), autocorrelation time.",
    ),
    "timing": FigureKind(
        shows="mean wall time of an iteration by phase",
        axes="wall time in s or ms",
        needs="any, with two iterations",
        function="diagnostics.timing_drawing",
        shared="all",
        caption="Mean wall time of an iteration by phase.",
    ),
    "spectrum": FigureKind(
        shows="eigenvalues of S at the last saved parameters, sampled anew",
        axes="number of the eigenvalue as a part of all K; lambda_k / lambda_1",
        needs="up to 6000 parameters",
        function="diagnostics.spectrum_drawing",
    ),
    "entanglement": FigureKind(
        shows="Renyi-2 entropy against the number of sites in the region",
        axes="sites in region A; S_2 in nats",
        needs="with measured entropies of regions",
        function="entanglement_plot.entanglement_drawing",
        shared="measurement",
        caption=f"Entanglement of regions of {{}} with the rest: Renyi-2 entropy. {_BARS}",
    ),
}
"""Every figure of runs by its ``--kind``.  A new one is a function in a file of this package and an entry here."""


def described() -> str:
    """Each kind with what it shows and which runs it is of, as ``pvmc plot --help`` lists them."""
    margin = max(map(len, FIGURES)) + 4
    wrapped = [
        textwrap.fill(
            f"{kind.shows}; runs: {kind.needs}",
            98,
            initial_indent=f"  {name:<{margin - 2}}",
            subsequent_indent=" " * margin,
        )
        for name, kind in FIGURES.items()
    ]
    return "\n".join(wrapped)
