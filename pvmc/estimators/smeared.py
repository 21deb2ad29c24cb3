"""Local energies and weights of configurations drawn from a smeared |psi|^2, finite also at nodes of psi.

For s drawn from q (:mod:`pvmc.sampler.smear`) every average is a ratio of sums of w(s) = |psi(s)|^2 / q(s) times what
is averaged, and with rho_X = psi(tau_X(s)) / psi(s), the ratios of the local energy,

    w(s) = 1 / (1 - eps + (eps / n_X) sum_X |rho_X|^2).

Where psi(s) is small or zero all amplitudes are taken from scratch, relative to the largest of psi(s) and the
psi(tau_X(s)): one of these is the configuration before the move, so that q(s) > 0.  There w |E_loc|^2 = |(H psi)(s)|^2
/ q and w O_k* E_loc = (d_k psi)* (H psi) / q stay finite while w goes to zero.  A psi(s) below NODE sqrt(q) counts as
NODE sqrt(q): w = NODE^2, E_loc = (H psi)(s) / (NODE sqrt(q)), O_k = d_k psi(s) / (NODE sqrt(q)).  All products that
averages are made of are then what they are at psi(s) = 0, but for terms smaller by NODE = 1e-100.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pvmc.numerics.arrays import Floats, Integers, Numbers, Spins
from pvmc.sampler import Smear
from pvmc.wavefunctions.base import WaveFunction
from pvmc.wavefunctions.fallback import BATCH, exponential, flipped_log_psi

NODE = 1e-100
"""|psi| / sqrt(q) below which psi counts as zero: its square, and the square of its inverse, are still numbers."""

SMALL = 1e-12
"""Weight below which amplitudes are taken from scratch: ratios to so small a psi have lost some of their digits."""


@dataclass(frozen=True)
class Hidden:
    """Configurations of a draw where psi vanishes.

    Attributes:
        lanes: which, int64 (n,).
        log_scale: ln of the modulus that psi counts as there, float64 (n,).
    """

    lanes: Integers
    log_scale: Floats

    def derivatives(self, psi: WaveFunction, spins: Spins, known: Numbers) -> Numbers:
        """O_k = d_k psi / exp(log_scale), (K, n).

        A wave function that can vanish gives d_k psi by an ``amplitude_derivatives(spins, log_scale)`` of its own.
        Otherwise it is psi O_k, and 0 where psi is exactly zero or O_k is no number: such a configuration has no part
        in the gradient.

        Args:
            psi: the wave function.
            spins: the configurations of the whole draw, int8 (N, L).
            known: O_k by ``log_derivatives`` of the hidden ones, (K, n).
        """
        own = np.ascontiguousarray(spins[:, self.lanes])
        if hasattr(psi, "amplitude_derivatives"):
            found: Numbers = psi.amplitude_derivatives(own, self.log_scale)
            return found
        with np.errstate(all="ignore"):
            found = known * exponential(psi.log_psi(own) - self.log_scale)
        return np.where(np.isfinite(found), found, 0.0)


@dataclass(frozen=True)
class SmearedValues:
    """What is known of the configurations of a draw.

    Attributes:
        energies: E_loc, float64 or complex128 (L,).
        weights: w = |psi|^2 / q, float64 (L,), with mean 1 over q; 0 where neither psi nor q is known to be above 0.
        hidden: where psi vanishes; None where it does nowhere.
    """

    energies: Numbers
    weights: Floats
    hidden: Hidden | None


def smeared_values(smear: Smear, psi: WaveFunction, spins: Spins, lookup: Floats) -> SmearedValues:
    """Local energies and weights of configurations (N, L) from q.  The energy is in units of the Hamiltonian."""
    operator, eps = smear.operator, smear.part
    amplitudes, diagonal = operator.amplitudes(spins), operator.diagonal(spins)
    allowed = smear.allowed(spins, amplitudes)
    ratios = psi.ratios(spins, lookup, operator.flips, allowed)
    with np.errstate(all="ignore"):
        energies = diagonal + np.einsum("kl,kl->l", amplitudes, ratios)
        weights = 1.0 / (1.0 - eps + eps * _mean_square(np.abs(ratios), allowed, np.ones(spins.shape[1])))
    doubtful = np.flatnonzero(~np.isfinite(energies) | ~(weights >= SMALL))
    if not len(doubtful):
        return SmearedValues(energies, weights, None)
    own = np.ascontiguousarray(spins[:, doubtful])
    found = _from_scratch(smear, psi, own, diagonal[doubtful], amplitudes[:, doubtful], allowed[:, doubtful])
    energies[doubtful], weights[doubtful] = found.energies, found.weights
    hidden = found.hidden and Hidden(doubtful[found.hidden.lanes], found.hidden.log_scale)
    return SmearedValues(energies, weights, hidden)


def _mean_square(neighbours: Floats, allowed: Numbers, here: Floats) -> Floats:
    """Mean over X of |psi(tau_X(s))|^2, float64 (L,), from |psi| of the flipped (n_X, L), 0 where not allowed, and of
    s itself, (L,); without flips |psi(s)|^2."""
    n_flips = len(neighbours)
    if n_flips == 0:
        return here**2
    staying = n_flips - np.count_nonzero(allowed, axis=0)
    total: Floats = np.einsum("kl,kl->l", neighbours, neighbours) + staying * here**2
    return total / n_flips


def _from_scratch(
    smear: Smear, psi: WaveFunction, spins: Spins, diagonal: Floats, amplitudes: Numbers, allowed: Numbers
) -> SmearedValues:
    """The same from amplitudes relative to the largest one of each configuration."""
    n_lanes, eps = spins.shape[1], smear.part
    rows, lanes = np.nonzero(allowed)
    before = psi.log_psi(spins)
    after = flipped_log_psi(psi.log_psi, spins, smear.operator.flips, rows, lanes, BATCH)
    reference = before.real.copy()
    np.maximum.at(reference, lanes, after.real)
    alive = np.isfinite(reference)
    safe = np.where(alive, reference, 0.0)
    here = np.where(alive, exponential(before - safe), 0.0)
    neighbours = np.zeros(allowed.shape, dtype=np.result_type(psi.dtype))
    neighbours[rows, lanes] = exponential(after - safe[lanes])
    images = diagonal * here + np.einsum("kl,kl->l", amplitudes, neighbours)  # H psi
    sizes = np.abs(here)
    root_q = np.sqrt((1.0 - eps) * sizes**2 + eps * _mean_square(np.abs(neighbours), allowed, sizes))
    hidden = alive & (sizes < NODE * root_q)
    with np.errstate(all="ignore"):
        energies = np.where(alive & ~hidden, images / np.where(sizes > 0, here, 1.0), 0.0)
        energies = np.where(hidden, images / (NODE * np.where(root_q > 0, root_q, 1.0)), energies)
        weights = np.where(alive, np.where(hidden, NODE, sizes / np.where(root_q > 0, root_q, 1.0)) ** 2, 0.0)
    if not hidden.any():
        return SmearedValues(energies, weights, None)
    which = np.flatnonzero(hidden)
    log_scale = safe[which] + np.log(NODE * root_q[which])
    assert energies.shape == (n_lanes,)
    return SmearedValues(energies, weights, Hidden(which, log_scale))
