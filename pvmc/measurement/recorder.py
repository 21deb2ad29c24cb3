"""The recorder of a measurement, on rank 0: lock of the directory, stored group, checkpoints, and terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pvmc.config import to_toml
from pvmc.estimators import EnergyStatistics
from pvmc.io import provenance
from pvmc.io.checkpoint import Checkpoint, remove_checkpoints, write_checkpoint
from pvmc.io.fit_file import fit_file
from pvmc.io.measurement import Estimate, Measurement, write_measurement
from pvmc.io.reader import open_run
from pvmc.io.storage import locked
from pvmc.measurement.plan import MeasureRequest, Plan, make_plan
from pvmc.measurement.registry import Observables
from pvmc.vmc.display import Progress, Reporter, reporter, warn
from pvmc.vmc.job import Job

MOST_LINES = 4
"""Entries of an array that are printed one by one."""


class MeasurementRecorder:
    """Files and terminal of a measurement, on rank 0.  A context manager.

    Attributes:
        plan: what the measurement begins with.

    Raises:
        InputError: another process has the directory, or see :func:`pvmc.measurement.plan.make_plan`.
    """

    def __init__(self, request: MeasureRequest):
        with contextlib.ExitStack() as stack:
            directory = (
                fit_file(request.path) if fit_file(request.path).is_file() else open_run(request.path).path
            ).parent
            if warning := stack.enter_context(locked(directory)):
                warn(warning)
            self.plan: Plan = make_plan(request)
            self._attributes: dict[str, Any] = {}
            self._reporter: Reporter | None = None
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._reporter is not None:
            self._reporter.close()
        self._stack.close()

    def begin(self, settings: Mapping[str, Any], n_batches: int, job: Job) -> None:
        """Reserve the place of the measurement in the file, and print what is measured.

        Args:
            settings: attributes of the measurement: what it was asked for.
            n_batches: the most batches of draws.
            job: the job.
        """
        plan = self.plan
        if plan.before is None:
            remove_checkpoints(plan.directory)  # of a run that has been replaced
            facts = provenance.collect()
            about = {name: facts[name] for name in ("command_line", "pvmc_version", "host")}
            created = datetime.now(UTC).isoformat(timespec="seconds")
            self._attributes = {"iteration": plan.iteration, "seed": plan.seed, "created": created, **about}
        else:
            self._attributes = dict(plan.before.attributes)
        self._attributes |= {**settings, "status": "running"}
        self._attributes.setdefault("n_samples", 0)
        before = plan.before or Measurement(plan.number, {})
        write_measurement(plan.file, replace(before, attributes=self._attributes))
        where = f"parameters of iteration {plan.iteration} of {plan.file}"
        print(f"measurement {plan.number}: {where}; {settings['observables']}", flush=True)
        first = plan.checkpoint.iteration if plan.checkpoint else 0
        self._reporter = reporter(n_batches, job.lattice.n_sites, None, first=first, noun="batch")

    def show(self, batch: Progress) -> None:
        """Show a batch that is done."""
        if self._reporter is not None:
            self._reporter.show(batch)

    def save(
        self,
        batch: int,
        job: Job,
        theta: npt.NDArray[Any],
        spins: npt.NDArray[np.int8],
        numbers: Mapping[str, npt.NDArray[Any]],
        lasting: bool = True,
    ) -> None:
        """Write a checkpoint that stands before a batch, with the sums so far; forced to the disk if ``lasting``."""
        attributes = {"number": self.plan.number, "seed": self.plan.seed}
        parts = {"measurement": numbers}
        checkpoint = Checkpoint(batch, theta, spins, parts, to_toml(job.config), attributes)
        write_checkpoint(self.plan.directory, checkpoint, lasting)

    def store(
        self,
        status: str,
        found: Mapping[str, Estimate],
        energy: EnergyStatistics,
        observables: Observables,
        about: Mapping[str, Any],
    ) -> Measurement:
        """Write the estimates so far into the file.

        Args:
            status: "finished" or "running".
            found: the estimates.
            energy: how the energy was sampled.
            observables: what is measured, with the coordinates of the estimates.
            about: further attributes.
        """
        numbers = {
            "n_samples": energy.n_samples,
            "acceptance": energy.acceptance,
            "autocorrelation_time": energy.autocorrelation_time,
            "r_hat": energy.r_hat,
        }
        attributes = {**self._attributes, **numbers, **about, "status": status}
        coordinates, axes = observables.coordinates, observables.axes
        measurement = Measurement(self.plan.number, attributes, dict(found), coordinates, axes)
        write_measurement(self.plan.file, measurement)
        return measurement

    def close(self) -> None:
        """Take down the progress of the batches: no more will come."""
        if self._reporter is not None:
            self._reporter.close()
            self._reporter = None


def table(measurement: Measurement, n_sites: int) -> str:
    """The numbers of a measurement in lines; of long arrays the names alone."""
    lines = []
    for name, estimate in measurement.estimates.items():
        count = np.size(estimate.value)
        if count > MOST_LINES:
            lines.append(f"{name:<32}{count} values along {', '.join(estimate.dims)}")
            continue
        for index in np.ndindex(np.shape(estimate.value)):
            label = name + "".join(f"[{i}]" for i in index)
            value, error = float(np.asarray(estimate.value)[index]), float(np.asarray(estimate.error)[index])
            lines.append(_line(label, value, error, estimate.units))
        if name == "energy":
            per_site = float(estimate.value) / n_sites, float(estimate.error) / n_sites
            lines.append(_line("energy per site", *per_site, estimate.units))
    return "\n".join(lines)


def _line(label: str, value: float, error: float, units: str) -> str:
    return f"{label:<32}{value:>16.9g} +- {error:.1e}{'' if units == '1' else f'  {units}'}"
