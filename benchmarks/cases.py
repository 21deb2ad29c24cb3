"""The cases that are timed: inputs of pvmc by name."""

from __future__ import annotations

TFI = {
    "lattice": {"kind": "chain", "length": 80},
    "hamiltonian": {"model": "ising", "field": 1.0},
    "sampler": {"walkers": 256, "samples": 256, "burn_in": 1},
}
"""Transverse-field Ising ring of 80 sites with 320 hidden units that share nothing."""

RING = {
    "lattice": {"kind": "chain", "length": 40},
    "hamiltonian": {"model": "heisenberg"},
    "sampler": {"walkers": 1008, "block_width": 72, "samples": 1008, "sweep": 40, "burn_in": 1},
}
"""Heisenberg ring of 40 sites, 1008 samples."""

SQUARE = {
    "lattice": {"kind": "rectangle", "size": [10, 10]},
    "hamiltonian": {"model": "heisenberg"},
    "sampler": {"walkers": 1008, "block_width": 72, "samples": 1008, "sweep": 100, "burn_in": 1},
}
"""Heisenberg square lattice of 10 x 10 sites, 1008 samples."""


def _rbm(alpha: int, symmetry: str, weights: str = "complex") -> dict[str, dict[str, object]]:
    return {"ansatz": {"kind": "rbm", "alpha": alpha, "symmetry": symmetry, "weights": weights}}


KERNEL_CASES: dict[str, dict] = {
    f"Ising ring N = 80, plain {weights} RBM, alpha = 4": TFI | _rbm(4, "none", weights)
    for weights in ("complex", "real")
}
"""Timed for local energies and proposals only: S of 26000 parameters does not fit, and is not asked for."""

ITERATION_CASES: dict[str, dict] = {
    **{f"Heisenberg ring N = 40, alpha = {alpha}": RING | _rbm(alpha, "translation") for alpha in (1, 2, 4)},
    "Heisenberg square 10 x 10, alpha = 4": SQUARE | _rbm(4, "translation"),
}
"""Timed for whole iterations of stochastic reconfiguration."""
