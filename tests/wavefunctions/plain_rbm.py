"""The kernels of the restricted Boltzmann machine once more, in plain numpy straight from the definitions.

Slow, and shares no step with the compiled kernels: every ratio is the difference of two ln psi from scratch.  Takes the
dense weights: W, (M, N); hidden biases b, (M,); visible biases a, (N,).
"""

from __future__ import annotations

import numpy as np

from pvmc.numerics.arrays import Booleans, Floats, Integers, Numbers, Spins
from pvmc.spins.flips import FlipSets


def angles(weights: Numbers, biases: Numbers, spins: Spins) -> Numbers:
    """theta_j = b_j + sum_i W_ji s_i, (M, L)."""
    theta: Numbers = np.einsum("ji,il->jl", weights, spins.astype(weights.dtype)) + biases[:, None]
    return theta


def log_two_cosh(theta: Numbers) -> Numbers:
    """ln(2 cosh theta) without overflow: |theta| + ln(1 + exp(-2|theta|)), with the sign of Re theta for |.|."""
    right = np.where(theta.real < 0.0, -theta, theta)
    value: Numbers = right + np.log1p(np.exp(-2.0 * right))
    return value


def log_psi(weights: Numbers, biases: Numbers, visible: Numbers, spins: Spins) -> Numbers:
    """ln psi(s) = sum_i a_i s_i + sum_j ln 2cosh theta_j, (L,)."""
    value: Numbers = visible @ spins + log_two_cosh(angles(weights, biases, spins)).sum(axis=0)
    return value


def lookup(weights: Numbers, biases: Numbers, spins: Spins) -> Floats:
    """tanh theta, (M, L); for complex weights real on imaginary plane, (2M, L)."""
    tanh = np.tanh(angles(weights, biases, spins))
    return np.concatenate([tanh.real, tanh.imag]) if np.iscomplexobj(tanh) else tanh


def flipped(spins: Spins, sites: Integers) -> Spins:
    """A copy of the spins with those on the sites turned over."""
    result = spins.copy()
    result[sites] *= -1
    return result


def ratios(
    weights: Numbers, biases: Numbers, visible: Numbers, spins: Spins, flips: FlipSets, wanted: Booleans
) -> Numbers:
    """psi(s')/psi(s), (n_flips, L); 0 where not wanted."""
    here = log_psi(weights, biases, visible, spins)
    rows = [np.exp(log_psi(weights, biases, visible, flipped(spins, flips[k])) - here) for k in range(len(flips))]
    return np.where(wanted, np.array(rows), 0.0)


def metropolis(
    weights: Numbers,
    biases: Numbers,
    visible: Numbers,
    spins: Spins,
    flips: FlipSets,
    conserving: Booleans,
    chosen: Integers,
    uniforms: Floats,
) -> Integers:
    """As :meth:`pvmc.wavefunctions.base.WaveFunction.metropolis`, without a look-up; updates the spins."""
    accepted = np.zeros(spins.shape[1], dtype=np.int64)
    for k, row in zip(chosen, uniforms, strict=True):
        trial = flipped(spins, flips[k])
        change = log_psi(weights, biases, visible, trial) - log_psi(weights, biases, visible, spins)
        accept = row < np.exp(np.minimum(2.0 * change.real, 0.0))
        if conserving[k]:
            accept &= spins[flips[k]].sum(axis=0) == 0
        spins[:, accept] = trial[:, accept]
        accepted += accept
    return accepted


def feature_derivatives(tanh: Numbers, permutations: Integers, spins: Spins) -> Numbers:
    """O_{w_fi} = sum_g T_fg s[perm[g, i]], (F N, L), from T (F |G|, L)."""
    order, n_sites = permutations.shape
    per_feature = tanh.reshape(-1, order, tanh.shape[1])
    value: Numbers = np.einsum("fgl,gil->fil", per_feature, spins[permutations].astype(np.float64))
    return value.reshape(-1, tanh.shape[1])
