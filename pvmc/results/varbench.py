"""Rows for the tables of the variational benchmark, github.com/varbench/varbench.

D. Wu et al., Science 386, 296 (2024).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pvmc.errors import InputError
from pvmc.io.reader import Run
from pvmc.results.measured import finished
from pvmc.results.plateau import plateau_of
from pvmc.results.stored_system import StoredSystem, system_of

COLUMNS = ("Energy", "Sigma", "Energy Variance", "DOF", "Einf", "Method", "Reference")
"""Columns of its tables.  The reference is one to the literature or to code, left to be filled in."""

HEAD = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"
"""Head of the table, Markdown."""

PAULI_FACTOR = {"S.S": 4.0, "sigma.sigma": 1.0}
"""The benchmark writes spin models with Pauli matrices: S.S is a quarter of sigma.sigma."""

_NAMES = {"rbm": "RBM", "feedforward": "FFN", "jastrow": "Jastrow", "mean_field": "Mean field"}
"""Words by which its scripts tell kinds of wave functions."""

_QUANTUM_NUMBERS = ("momentum", "parity", "irrep", "spin_flip")


def rows(runs: Sequence[Run]) -> str:
    """The head, and one row per run."""
    return "\n".join([HEAD, *(row(run) for run in runs)])


def row(run: Run) -> str:
    """Energy, its error and the variance of the whole system, with Pauli matrices and |J| = 1; DOF; Einf; the method.

    The numbers are those of the last finished measurement at fixed parameters, else of the settled part of the run.
    A variance of zero stands as the smallest one that the rounding of local energies leaves, as its rules ask for; one
    that is not known stays empty, and so does the reference.

    Raises:
        InputError: too few iterations, no variance, or units that the benchmark does not have.
    """
    energy, error, variance = _numbers(run)
    factor, system = _factor(run), system_of(run)
    e_inf = factor * _constant(system)
    least = (np.finfo(np.float64).eps * energy) ** 2
    spread = "" if np.isnan(variance) else f"{factor**2 * max(variance, least):.6g}"
    numbers = (_shown(factor * energy, factor * error), f"{factor * error:.2g}", spread)
    cells = (*numbers, f"{run.n_sites}", f"{e_inf:.15g}", method(run), "")
    return f"| {' | '.join(cells)} |"


def _shown(energy: float, error: float) -> str:
    """An energy with two digits beyond the first one of its error; with all where there is no error."""
    if not error > 0.0:
        return f"{energy:.15g}"
    return f"{energy:.{min(max(2 - math.floor(math.log10(error)), 0), 15)}f}"


def method(run: Run) -> str:
    """The wave function and its optimisation in ASCII, such as "RBM (alpha = 4, translation symmetry), VMC with SR"."""
    optimiser = str(run.config.get("sr", {}).get("method", "reconfiguration"))
    name = "SR" if optimiser == "reconfiguration" else optimiser
    words = f"{_state(run.config.get('ansatz', {}))}, VMC with {name}"
    return words.replace("|", "/").encode("ascii", "replace").decode()


def _state(ansatz: Mapping[str, Any]) -> str:
    """A wave function in a few words, by its section of the input."""
    kind, symmetry = str(ansatz.get("kind", "?")), ansatz.get("symmetry", "none")
    if kind == "product":
        return " x ".join(_state(factor) for factor in ansatz["factors"])
    parts = [f"alpha = {ansatz['alpha']:g}"] if "alpha" in ansatz else []
    if kind == "feedforward":
        parts += [f"widths {'-'.join(map(str, ansatz['widths']))}"]
    parts += [f"{symmetry} symmetry"] if symmetry != "none" else []
    if kind == "projected":
        numbers = [f"{name.replace('_', ' ')} {ansatz[name]}" for name in _QUANTUM_NUMBERS if name in ansatz]
        return f"{_state(ansatz['inner'])} projected on {', '.join(numbers)}"
    return _NAMES.get(kind, kind) + (f" ({', '.join(parts)})" if parts else "")


def _numbers(run: Run) -> tuple[float, float, float]:
    """Energy, error, variance of all sites, in the run's units."""
    for measurement in reversed(finished(run)):
        if {"energy", "variance"} <= measurement.estimates.keys():
            energy, variance = measurement.estimates["energy"], measurement.estimates["variance"]
            return float(energy.value), float(energy.error), float(variance.value)
    found = plateau_of(run)
    if found.n < 2:
        raise InputError(f"{run.path} has too few iterations for a row of the benchmark")
    variance_of_all = float(run.series["variance"][found.rows].mean())
    return run.n_sites * found.value, run.n_sites * found.error, variance_of_all


def _factor(run: Run) -> float:
    """From the run's units to Pauli matrices and |J| = 1."""
    remark = run.energy_units.partition(" ")[2].strip("()")
    if remark not in PAULI_FACTOR:
        raise InputError(f"{run.path} is in units of {run.energy_units}, which the benchmark does not have")
    hamiltonian = run.config.get("hamiltonian", {})
    coupling = abs(float(hamiltonian.get("coupling", hamiltonian.get("j1", 1.0))))
    return PAULI_FACTOR[remark] / (coupling or 1.0)


def _constant(system: StoredSystem) -> float:
    """Tr H / dim: the coefficient of the identity."""
    return system.terms.identity.real
