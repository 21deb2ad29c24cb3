"""Rows for the tables of the variational benchmark, github.com/varbench/varbench.

D. Wu et al., Science 386, 296 (2024).
"""

from __future__ import annotations

from collections.abc import Sequence

from pvmc.analysis.average import average
from pvmc.analysis.measured import finished
from pvmc.analysis.result import alpha_of
from pvmc.analysis.system import System, system_of
from pvmc.errors import InputError
from pvmc.io.reader import Run

HEAD = "| Energy | Sigma | Energy variance | DOF | Einf | Method | Data repository | Reference |\n" + "|---" * 8 + "|"
"""Head of the table, Markdown."""

PAULI_FACTOR = {"S.S": 4.0, "sigma.sigma": 1.0}
"""The benchmark writes spin models with Pauli matrices: S.S is a quarter of sigma.sigma."""

_NAMES = {"rbm": "RBM", "feedforward": "Feed-forward network", "jastrow": "Jastrow"}


def rows(runs: Sequence[Run]) -> str:
    """The head, and one row per run."""
    return "\n".join([HEAD, *(row(run) for run in runs)])


def row(run: Run) -> str:
    """Energy, its error and the variance of the whole system, with Pauli matrices and |J| = 1; DOF; Einf; the method.

    The numbers are those of the last finished measurement at fixed parameters, else of the settled part of the run.
    The columns of the data repository and the reference are left to be filled in.

    Raises:
        InputError: too few iterations, no variance, or units that the benchmark does not have.
    """
    energy, error, variance = _numbers(run)
    factor, system = _factor(run), system_of(run)
    e_inf = factor * _constant(system)
    digits = f"{factor * energy:.10g} | {factor * error:.2g} | {factor**2 * variance:.6g}"
    return f"| {digits} | {run.n_sites} | {e_inf:g} | {method(run)} |  |  |"


def method(run: Run) -> str:
    """The wave function in a few words, such as "RBM (alpha = 4, translation)"."""
    ansatz = run.config.get("ansatz", {})
    kind, alpha = str(ansatz.get("kind", "?")), alpha_of(run)
    symmetry = ansatz.get("symmetry", "none")
    parts = [f"alpha = {alpha:g}"] if alpha is not None else []
    parts += [f"{symmetry} symmetry"] if symmetry != "none" else []
    return _NAMES.get(kind, kind) + (f" ({', '.join(parts)})" if parts else "") + ", VMC with SR"


def _numbers(run: Run) -> tuple[float, float, float]:
    """Energy, error, variance of all sites, in the run's units."""
    for measurement in reversed(finished(run)):
        if {"energy", "variance"} <= measurement.estimates.keys():
            energy, variance = measurement.estimates["energy"], measurement.estimates["variance"]
            return float(energy.value), float(energy.error), float(variance.value)
    found = average(run.energy_per_site)
    if found is None:
        raise InputError(f"{run.path} has too few iterations for a row of the benchmark")
    variance_of_all = float(run.series["variance"][found.rows].mean())
    return run.n_sites * found.plateau.mean, run.n_sites * found.plateau.error, variance_of_all


def _factor(run: Run) -> float:
    """From the run's units to Pauli matrices and |J| = 1."""
    remark = run.energy_units.partition(" ")[2].strip("()")
    if remark not in PAULI_FACTOR:
        raise InputError(f"{run.path} is in units of {run.energy_units}, which the benchmark does not have")
    hamiltonian = run.config.get("hamiltonian", {})
    coupling = abs(float(hamiltonian.get("coupling", hamiltonian.get("j1", 1.0))))
    return PAULI_FACTOR[remark] / (coupling or 1.0)


def _constant(system: System) -> float:
    """Tr H / dim: the coefficient of the identity."""
    return float(sum(value.real for string, value in system.terms.terms.items() if not string))
