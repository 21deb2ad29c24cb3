"""The figure of entropies, also where there is nothing to see."""

from __future__ import annotations

import numpy as np
import pytest

from pvmc.figures.entanglement_plot import entanglement_drawing
from pvmc.io.measurement import Estimate, Measurement
from tests.results.test_result import run


@pytest.mark.parametrize(
    ("entropy", "top"),
    [(0.0, 1.08 * np.log(2.0)), (-1e-16, 1.08 * np.log(2.0)), (3e-16, 1.08 * np.log(2.0)), (0.5, 0.54)],
)
def test_axis_of_entropies(entropy: float, top: float) -> None:
    """From zero to above the highest bar; to one bit for product states, whose entropies are zero up to rounding."""
    data = run()
    found = Estimate(np.full(3, entropy), np.zeros(3), dims=("region",))
    data.found = (Measurement(1, {"status": "finished"}, {"renyi2": found}, {"region_size": np.array([1, 2, 3])}),)
    figure = entanglement_drawing([data]).figure
    assert figure.axes[0].get_ylim() == (0.0, pytest.approx(top, rel=1e-12))
