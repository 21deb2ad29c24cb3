"""How strongly the output of a net with random weights varies over random configurations, in the limit of wide layers.

There z^l of two configurations s and s' are Gaussian over the weights, with covariances that depend on the overlap
rho = s.s'/N alone and go from layer to layer (Lee et al., ICLR 2018, arXiv:1711.00165):

    k^l(rho) = E f(z) f(z')*,        Cov z^{l+1} = M_l sigma_{l+1}^2 k^l(rho) + (variance of the bias).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pvmc.numerics.arrays import Floats, Integers
from pvmc.wavefunctions.feedforward.activations import Activation, activate
from pvmc.wavefunctions.initial_scales import pair_weight
from pvmc.wavefunctions.symmetry import site_orbits

OVERLAP = 0.05
"""Step of rho by which k'(0) is taken."""

LARGEST_RESPONSE = 100.0
"""Variance where the magnetisation is free over that at zero magnetisation, at most, which the scale is chosen for."""


def output_scatter(
    permutations: Integers,
    widths: Sequence[int],
    activations: Sequence[Activation],
    scales: Sequence[float],
    has_bias: bool,
    n_planes: int,
) -> float:
    """Standard deviation of Re ln psi over random configurations, for output weights with E|W|^2 = 1.

    The images g s of one configuration overlap as little as different configurations do, so that their outputs add
    up like independent ones: Var = |G| m (k(1) - k(0) - k'(0)) with the mean m of
    :func:`pvmc.wavefunctions.initial_scales.pair_weight` over pairs.  But their linear parts k'(0) add up to a function
    of the magnetisations of orbits: coherently if these are free, to nothing in one orbit at zero magnetisation.  The
    geometric mean of both cases is taken.

    Args:
        permutations: int64 (|G|, N).
        widths: N, and those of the hidden layers, then whatever.
        activations: of the hidden layers.
        scales: root of E|W|^2 in each hidden layer.
        has_bias: True where the biases of hidden layers have the same scale, else they are zero.
        n_planes: 1 for real units, 2 for complex ones.
    """
    order, n_sites = permutations.shape
    n_orbits = int(site_orbits(permutations).max()) + 1
    same, none, more, less = (
        _covariance(rho, widths, activations, scales, has_bias, n_planes) for rho in (1.0, 0.0, OVERLAP, -OVERLAP)
    )
    linear = (more - less) / (2.0 * OVERLAP)
    m = pair_weight(permutations, np.ones(n_sites)) / max(n_sites * (n_sites - 1), 1)
    pairs = order * max(m, 1.0) * max(same - none - linear, 0.0)
    free, fixed = (pairs + linear * order**2 * n / n_sites for n in (n_orbits, n_orbits - 1))
    variance = (free * max(fixed, free / LARGEST_RESPONSE)) ** 0.5
    return float((widths[len(activations)] * variance / n_planes) ** 0.5)


def _covariance(
    rho: float,
    widths: Sequence[int],
    activations: Sequence[Activation],
    scales: Sequence[float],
    has_bias: bool,
    n_planes: int,
) -> float:
    """k(rho) = Re E f(z) f(z')* of the last hidden layer, at z and z' of configurations with this overlap."""
    x, y, weights = _normal_pairs(n_planes)
    own, shared = 1.0, rho
    for code, width, scale in zip(activations, widths, scales, strict=False):
        own, shared = (scale**2 * (width * value + has_bias) for value in (own, shared))
        cosine = np.clip(shared / own, -1.0, 1.0)
        z = np.stack([x, cosine * x + (1.0 - cosine**2) ** 0.5 * y], axis=1) * own**0.5  # (n_planes, 2, points)
        values = np.empty_like(z)
        activate(int(code), n_planes, z.reshape(n_planes, -1), values.reshape(n_planes, -1))
        own, shared = (float((values[:, 0] * values[:, k]).sum(axis=0) @ weights) for k in (0, 1))
    return shared


def _normal_pairs(n_planes: int) -> tuple[Floats, Floats, Floats]:
    """Two independent Gaussian numbers with E|x|^2 = 1, (n_planes, points) each, and the weights of their points."""
    nodes, single = np.polynomial.hermite_e.hermegauss(20 if n_planes == 1 else 8)
    axes = np.meshgrid(*[nodes] * (2 * n_planes), indexing="ij")
    numbers = np.array([axis.ravel() for axis in axes]) / n_planes**0.5
    weights = np.prod(np.meshgrid(*[single / single.sum()] * (2 * n_planes), indexing="ij"), axis=0).ravel()
    return numbers[:n_planes], numbers[n_planes:], weights
