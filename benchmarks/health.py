"""Whether a clean bill of health is true: good and bad states of small systems, against enumeration.

    python benchmarks/health.py [--only NAME ...] [--page docs/reports/health.md]

Each case is a short run, then a measurement with samples and one by enumeration of the same parameters.  The table sets
the variance of H by enumeration (all configurations, nodes of psi as well) beside the sampled and the smeared one, and
names every warning of ``pvmc analyze`` on the run.  A few minutes on one core.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from page import table, wrapped

from pvmc.config import RawInput
from pvmc.exact import Basis, ground_state
from pvmc.io.measurement import Measurement
from pvmc.io.reader import open_run
from pvmc.measurement.measuring import measure
from pvmc.measurement.plan import MeasureRequest
from pvmc.mpi import SerialCommunicator, limit_threads
from pvmc.results.judged import judged
from pvmc.results.symptoms import symptoms
from pvmc.vmc.job import job_of
from pvmc.vmc.recorder import RunRequest
from pvmc.vmc.run import run

SAMPLES = 40_960
"""Configurations of each sampled measurement."""

LARGEST_ERROR = 1e-3
"""Relative error of the energy up to which a state is called good."""

HOPPING = [["0.5+0.3j", f"S+{i} S-{i + 1}"] for i in range(5)] + [["0.5-0.3j", f"S-{i} S+{i + 1}"] for i in range(5)]
HIDDEN: dict[str, Any] = {
    "lattice": {"kind": "chain", "length": 6, "periodic": False},
    "hamiltonian": {"model": "terms", "marshall": False, "terms": [*HOPPING, [-0.4, "Z0 Z1"], [0.25, "X2 Y3 Z4"]]},
    "ansatz": {"kind": "rbm", "alpha": 4, "symmetry": "none"},
    "sampler": {"walkers": 128, "samples": 1024, "moves": {"flip": 0.5, "hamiltonian": 0.5}},
    "run": {"iterations": 400, "seed": 3},
}
"""An open chain whose hopping has phases, so that no rotation makes all amplitudes positive; E/N = -0.3176."""


def chain(length: int, model: str, *, alpha: float = 2, run: dict[str, Any] | None = None, **sections: Any) -> Any:
    """Input of a ring."""
    return {
        "lattice": {"kind": "chain", "length": length},
        "hamiltonian": {"model": model} | sections.get("hamiltonian", {}),
        "ansatz": {"kind": "rbm", "alpha": alpha} | sections.get("ansatz", {}),
        "sampler": {"walkers": 256, "samples": 1024} | sections.get("sampler", {}),
        "run": {"iterations": 200} | (run or {}),
    }


J1J2 = {
    "lattice": {"kind": "rectangle", "size": [4, 4]},
    "hamiltonian": {"model": "j1j2", "j2": 0.5},
    "ansatz": {"kind": "rbm", "alpha": 2},
    "run": {"iterations": 150},
}
TRIANGULAR = {
    "lattice": {"kind": "triangular", "size": [4, 3]},
    "hamiltonian": {"model": "heisenberg"},
    "ansatz": {"kind": "rbm", "alpha": 2},
    "run": {"iterations": 150},
}

CASES: dict[str, dict[str, Any]] = {
    "hidden region, 6 sites": HIDDEN,
    "hidden region, other seed": HIDDEN | {"run": {"iterations": 400, "seed": 4}},
    "hidden region, smear 0.2": HIDDEN | {"sampler": HIDDEN["sampler"] | {"smear": 0.2}},
    "J1-J2 4x4, defaults": J1J2,
    "triangular 4x3, defaults": TRIANGULAR,
    "ring of 6, wrong momentum": chain(6, "heisenberg", hamiltonian={"marshall": False}),
    "ring of 10, no sign rule": chain(10, "heisenberg", ansatz={"symmetry": "none"}, hamiltonian={"marshall": False}),
    "Heisenberg ring of 12": chain(12, "heisenberg", sampler={"samples": 2048}),
    "Ising ring of 10, h = 1": chain(10, "ising", run={"iterations": 300}),
    "Ising ring of 8, h = 0.5": chain(8, "ising", hamiltonian={"field": 0.5}),
    "Heisenberg open chain of 8": chain(8, "heisenberg", ansatz={"symmetry": "none"}, run={"iterations": 300})
    | {"lattice": {"kind": "chain", "length": 8, "periodic": False}},
    "XXZ ring of 10, anisotropy 0.5": chain(10, "xxz", hamiltonian={"anisotropy": 0.5}, run={"iterations": 300}),
    "Rydberg chain of 9": chain(9, "rydberg", ansatz={"symmetry": "none"}, run={"iterations": 300})
    | {"lattice": {"kind": "chain", "length": 9, "periodic": False}},
}


@dataclass(frozen=True)
class Row:
    """What a case came to; variances are per site.

    Attributes:
        name: of the case.
        n_sites: N.
        relative_error: of the energy by enumeration, from the lowest of all sectors.
        true, sampled, smeared: variances, by enumeration and of the measurement.
        smeared_error: standard error of the smeared one.
        leak, leak_error: smeared less sampled.
        warnings: names of the symptoms of the run and its measurement.
    """

    name: str
    n_sites: int
    relative_error: float
    true: float
    sampled: float
    smeared: float
    smeared_error: float
    leak: float
    leak_error: float
    warnings: tuple[str, ...]

    def cells(self) -> list[str]:
        """The row of the page."""
        error, bad = self.relative_error, self.relative_error > LARGEST_ERROR
        return [
            self.name,
            str(self.n_sites),
            f"**{error:.1e}**" if bad else f"{error:.1e}",
            f"{self.true:.2e}",
            f"{self.sampled:.2e}",
            f"{self.smeared:.2e} +- {self.smeared_error:.0e}",
            f"{self.leak:.1e} +- {self.leak_error:.0e}",
            ", ".join(dict.fromkeys(self.warnings)) or "none",
        ]


HEAD = ("state", "N", "rel. error", "var/N, enumeration", "sampled", "smeared", "leak", "warnings")


def main() -> None:
    """Run the cases, print the table, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="cases whose names contain one of these texts")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page to a file")
    options = parser.parse_args()
    limit_threads(1)
    rows = []
    for name, tables in CASES.items():
        if not options.only or any(text in name for text in options.only):
            rows.append(row_of(name, tables))
            print(" | ".join(rows[-1].cells()), flush=True)
    if options.page:
        options.page.write_text(page(rows), encoding="utf-8")


def row_of(name: str, tables: dict[str, Any]) -> Row:
    """A run, its two measurements, and its warnings."""
    raw = RawInput(tables, name, name)
    job, comm = job_of(raw), SerialCommunicator()
    with tempfile.TemporaryDirectory() as directory, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        path = Path(directory) / "run"
        run(RunRequest(job, "", path), comm)
        measure(MeasureRequest(path, observables=["energy"], samples=SAMPLES), comm)
        found = open_run(path)
        warnings = tuple(symptom.name for symptom in symptoms(judged(found)))
        measure(MeasureRequest(path, observables=["energy"], overrides=["sampler.kind=exact"]), comm)
        sampled, exact = open_run(path).measurements
    n, energy = found.n_sites, _number(exact, "energy")
    reference, _ = ground_state(job.operator, Basis.enumerate(n))  # of all sectors and momenta
    return Row(
        name=name,
        n_sites=n,
        relative_error=(energy - reference) / abs(reference),
        true=_number(exact, "variance_smeared") / n,
        sampled=_number(sampled, "variance") / n,
        smeared=_number(sampled, "variance_smeared") / n,
        smeared_error=float(sampled.estimates["variance_smeared"].error) / n,
        leak=_number(sampled, "leak") / n,
        leak_error=float(sampled.estimates["leak"].error) / n,
        warnings=warnings,
    )


def _number(measurement: Measurement, name: str) -> float:
    return float(measurement.estimates[name].value)


def page(rows: Sequence[Row]) -> str:
    """The page docs/reports/health.md."""
    bad = [row for row in rows if row.relative_error > LARGEST_ERROR]
    silent = [row.name for row in bad if not row.warnings]
    alarmed = [row.name for row in rows if row not in bad and row.warnings]
    text = "\n".join(
        [
            "# Warnings and variances against enumeration\n",
            "Written by `python benchmarks/health.py --page docs/reports/health.md`.\n",
            "Each line is a short run of a small system, with a few hundred iterations, good or bad on purpose.  The "
            "energy is that of the last parameters by enumeration of all configurations "
            "(`pvmc measure --set sampler.kind=exact`), its relative error from the lowest level of all sectors; bold "
            f"above {LARGEST_ERROR:g}.  Variances are per site: by "
            f"enumeration, from {SAMPLES} samples of |psi|^2, and from the leak tests of the same measurement, which "
            "smear every walker by a random term of H ([statistics.md](../statistics.md)).  The last column has the "
            "names of the warnings that status, analyze and report give.\n",
            table(HEAD, [row.cells() for row in rows]),
            f"{len(bad)} of {len(rows)} states are bad; without any warning: {', '.join(silent) or 'none'}.  States "
            f"below {LARGEST_ERROR:g} with a warning: {', '.join(alarmed) or 'none'}.\n",
        ]
    )
    return wrapped(text)


if __name__ == "__main__":
    main()
