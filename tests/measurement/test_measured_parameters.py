"""Which parameters are measured: a warning of an outlier among the settled iterations, and the best that were saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pvmc.errors import InputError
from pvmc.io.measurement import Estimate, Measurement
from pvmc.io.reader import open_run
from pvmc.results.judged import best_iteration
from pvmc.results.result import result_of
from tests.results.test_result import Known, run
from tests.results.test_status import GOOD, new


@pytest.mark.parametrize(
    ("energy", "iteration", "warned"),
    [
        (-3.65 * (1 - 3.9e-2), 399, True),  # 2.1e-3 on average, 3.9e-2 in the last
        (-3.648, 399, False),  # within the scatter
        (-3.70, 399, False),  # below it: the iterations' business
        (-3.65 * (1 - 3.9e-2), 100, False),  # before the energy had settled
    ],
)
def test_parameters_that_are_an_outlier_are_named(energy: float, iteration: int, warned: bool) -> None:
    data = run()
    assert isinstance(data, Known)
    about = {"status": "finished", "n_samples": 10_000, "iteration": iteration, "autocorrelation_time": 1.0}
    object.__setattr__(data, "found", (Measurement(1, about, {"energy": Estimate(energy, 1e-3, "J (S.S)")}, {}),))
    found = [text for text in result_of(data).warnings if "outlier" in text]
    assert len(found) == warned
    if warned:
        assert (
            f"its parameters, of iteration {iteration}, are an outlier" in found[0] and "--iteration best" in found[0]
        )


def stored(directory: Path, variances: dict[int, float], every: int) -> Path:
    """A run of 100 iterations with these variances in the rows that follow, and parameters saved now and then."""
    with new(directory) as results:
        for iteration in range(100):
            row = {"energy": -7.0 - 1e-3 * (iteration % 7), **GOOD, "variance": variances.get(iteration, 0.1)}
            results.append(iteration, row)
            if iteration % every == 0 or iteration == 99:
                results.save_parameters(iteration, np.full(3, float(iteration)))
    return directory


def test_the_best_has_the_smallest_variance_in_the_row_after_it(tmp_path: Path) -> None:
    """Not row 86, before which nothing was saved, nor row 11, where the energy has not settled."""
    path = stored(tmp_path / "a", {11: 0.01, 86: 0.02, 81: 0.05, 91: 0.06}, every=10)
    assert best_iteration(open_run(path)) == 80
    path = stored(tmp_path / "b", {11: 0.01, 86: 0.02, 81: 0.05, 91: 0.04}, every=10)
    assert best_iteration(open_run(path)) == 90


def test_a_run_that_saved_too_little_has_no_best(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a smaller run.save_every saves more"):
        best_iteration(open_run(stored(tmp_path, {}, every=200)))
