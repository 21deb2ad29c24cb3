"""Every way to solve the linear problem, as tests compare them.

Comparisons to 1e-10 make sense where the answer is known that well.  With rounding errors of 2e-16 and conjugate
gradients stopped at a residual of 1e-13, that asks for a condition number of S + Lambda, in the scaling of a unit
diagonal of S, of no more than some 10^4: :func:`condition` is asserted wherever directions are compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.planning.solver_costs import SolverName
from pvmc.sr import Reconfiguration, Schedule, SRSpec
from pvmc.sr.krylov import KrylovSpec

Numbers = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

LARGEST_CONDITION = 1e4

SOLVERS: dict[str, tuple[SolverName, str, str]] = {
    "dense": ("dense", "cg", "streamed"),
    "dense from rows": ("dense", "cg", "stored"),
    "dense from factors": ("dense", "cg", "factored"),
    "cg": ("krylov", "cg", "stored"),
    "cg with factors": ("krylov", "cg", "factored"),
    "minres": ("krylov", "minres", "stored"),
    "minres with factors": ("krylov", "minres", "factored"),
    "minsr": ("minsr", "cg", "stored"),
    "minsr with factors": ("minsr", "cg", "factored"),
}
"""What solves, by which iteration, and how the log-derivatives are kept."""

REGULARISATIONS: dict[str, dict[str, float]] = {
    "shift": {"shift": 1e-2},
    "floor": {"floor": 2e-2},
    "offset": {"offset": 0.3},
    "all three": {"shift": 5e-3, "floor": 1e-3, "offset": 0.05},
}
"""Lambda; the Gram matrix is made from factors for uniform ones."""


def solver(name: str, regularisation: str, **keys: Any) -> Reconfiguration:
    """A solver of SOLVERS with a Lambda of REGULARISATIONS."""
    linear, method, _ = SOLVERS[name]
    parts = {"shift": 0.0, "floor": 0.0, "offset": 0.0} | REGULARISATIONS[regularisation]
    schedules = {key: Schedule(initial=value) for key, value in parts.items()}
    krylov = KrylovSpec(method=method, tolerance=1e-13, iterations=5000)
    return Reconfiguration(SRSpec(krylov=krylov, **schedules, **keys), linear)


def penalty(regularisation: str, variances: Floats, weights: Floats | None = None) -> Floats:
    """Lambda by its definition, (K,); the shift relative to S_kk, or to weights times their mean."""
    parts = {"shift": 0.0, "floor": 0.0, "offset": 0.0} | REGULARISATIONS[regularisation]
    scale = variances if weights is None else weights * variances.mean()
    return np.asarray(parts["shift"] * scale + parts["floor"] * variances.max() + parts["offset"])


def condition(tensor: Numbers, penalties: Floats) -> float:
    """Of S + Lambda, scaled to a unit diagonal of S."""
    root = np.sqrt(tensor.diagonal().real)
    return float(np.linalg.cond((tensor + np.diag(penalties)) / np.outer(root, root)))


def difference(found: Numbers, expected: Numbers) -> float:
    """|x - y| / |y|."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
