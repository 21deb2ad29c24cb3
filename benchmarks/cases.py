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


def _ring(n_sites: int) -> dict[str, dict[str, object]]:
    """RING with another number of sites."""
    lattice, sampler = {"kind": "chain", "length": n_sites}, RING["sampler"] | {"sweep": n_sites}
    return RING | {"lattice": lattice, "sampler": sampler}


def cut(tables: dict, width: int, draws: int, blocks: int) -> dict:
    """A case with other blocks of walkers."""
    samples = width * draws * blocks
    changed = {"walkers": width * blocks, "block_width": width, "samples": samples}
    return tables | {"sampler": tables["sampler"] | changed}


SCALING_CASES: dict[str, dict] = {
    "ring N = 40, alpha = 4": RING | _rbm(4, "translation"),
    "square 10 x 10, alpha = 4": SQUARE | _rbm(4, "translation"),
    "ring N = 44, no symmetry": _ring(44) | _rbm(1, "none"),
}
"""Whose scaling is predicted: 164, 404 and 1980 parameters."""

SCALING_SAMPLES = 8192
"""Of each of them in an iteration."""

LAYOUTS: dict[str, list[tuple[int, int]]] = {
    "ring N = 40, alpha = 4": [(width, draws) for draws in (8, 1) for width in (64, 32, 16, 8, 4, 2)],
    "square 10 x 10, alpha = 4": [(64, 8), (32, 8), (16, 8), (8, 8), (4, 8), (2, 8), (4, 1), (2, 1)],
    "ring N = 44, no symmetry": [(64, 8), (16, 8), (4, 8), (2, 1)],
}
"""Ways to cut the samples: walkers of a block and draws of each of them."""

CHECKS: dict[str, tuple[str, int, int, int, int]] = {
    "ring N = 40, alpha = 4, 8192 samples": ("ring N = 40, alpha = 4", 64, 8, 16, 3),
    "ring N = 40, alpha = 4, 1008 samples": ("ring N = 40, alpha = 4", 72, 1, 14, 3),
    "square 10 x 10, alpha = 4, 2048 samples": ("square 10 x 10, alpha = 4", 64, 8, 4, 2),
    "ring N = 44, no symmetry, 2048 samples": ("ring N = 44, no symmetry", 64, 8, 4, 2),
}
"""What is measured on several ranks: the case, walkers of a block, draws, blocks, and repetitions."""

ROOT_CASES: dict[str, dict] = {
    "41": RING | _rbm(1, "translation"),
    "164": RING | _rbm(4, "translation"),
    "404": SQUARE | _rbm(4, "translation"),
    **{str(n * (n + 1)): _ring(n) | _rbm(1, "none") for n in (28, 36, 44)},
}
"""By number of parameters: where the time of rank 0 alone is measured."""

SINGLE_CASES: dict[str, dict] = {
    "ring N = 40, alpha = 4, complex": cut(RING | _rbm(4, "translation"), 64, 8, 16),
    "ring N = 40, alpha = 4, real": cut(RING | _rbm(4, "translation", "real"), 64, 8, 16),
    "square 10 x 10, alpha = 4, complex": cut(SQUARE | _rbm(4, "translation"), 64, 8, 4),
    "square 10 x 10, alpha = 4, real": cut(SQUARE | _rbm(4, "translation", "real"), 64, 8, 4),
}
"""Whose gain by single precision is estimated."""
