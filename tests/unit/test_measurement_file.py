"""Measurements in a file, also of an earlier layout."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from pvmc.io.measurement import read_measurements, write_measurement

WHAT = "a file of the test"


def test_the_earlier_layout_is_read(tmp_path: Path) -> None:
    """There the coordinates themselves, also those of two dimensions, were the scales of the axes."""
    displacement, values = np.array([[0, 0], [1, 0], [0, 1]]), np.array([1.0, -0.5, 0.25])
    with h5py.File(tmp_path / "run.h5", "w", libver="latest") as file:
        group = file.create_group("measurements/0001")
        group.attrs["iteration"] = 4
        scale = group.create_dataset("displacement", data=displacement)
        scale.make_scale("displacement")
        scale.dims[0].label, scale.dims[1].label = "displacement", "component"
        for name, numbers in (("correlation_zz", values), ("correlation_zz_error", values / 10)):
            dataset = group.create_dataset(name, data=numbers)
            dataset.attrs["units"] = "1"
            dataset.dims[0].label = "displacement"
            dataset.dims[0].attach_scale(scale)
    for _ in range(2):
        (found,) = read_measurements(tmp_path / "run.h5", WHAT)
        assert (found.number, found.attributes) == (1, {"iteration": 4})
        assert found.coordinates.keys() == {"displacement"} and found.estimates.keys() == {"correlation_zz"}
        np.testing.assert_array_equal(found.coordinates["displacement"], displacement)
        estimate = found.estimates["correlation_zz"]
        assert (estimate.dims, estimate.units) == (("displacement",), "1")
        np.testing.assert_array_equal([estimate.value, estimate.error], [values, values / 10])
        write_measurement(tmp_path / "run.h5", found)  # as a measurement that goes on does
