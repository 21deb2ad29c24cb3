"""Draws smeared by one random move of H, which see configurations where psi vanishes but H psi does not.

Every flip set X of H gives an involution of the configurations: tau_X(s) = s flipped on X where <s|H|s flipped on X> is
not zero, and tau_X(s) = s elsewhere (as |<s|H|s'>| = |<s'|H|s>|, a second tau_X leads back).  With p = |psi|^2 and n_X
sets the smeared distribution is

    q(s) = (1 - eps) p(s) + (eps / n_X) sum_X p(tau_X(s)).

To draw from it, draw s from p and with probability eps apply tau_X with X chosen uniformly.  Since tau_X goes only
where H goes, it keeps whatever H conserves: in a sector of fixed magnetisation no draw leaves it, and q is normalised
there.  The Markov chains themselves go on from the configurations that were drawn from p.  What a draw weighs, p/q,
needs psi at its neighbours, which the local energy needs as well: :mod:`pvmc.estimators.smeared`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.hamiltonians import Operator
from pvmc.numerics.arrays import Booleans, Spins
from pvmc.spins.configurations import Basis
from pvmc.wavefunctions.fallback import flip_columns


@dataclass(frozen=True)
class Smear:
    """The distribution q of a Hamiltonian.

    Attributes:
        operator: H.
        part: eps, the probability of a move, 0 < eps < 1.
        balanced: sets are flipped only where their spins sum to zero, besides.  It is for draws of fixed
            magnetisation, out of which rounding errors of amplitudes that should vanish must not lead.
    """

    operator: Operator
    part: float
    balanced: bool

    def allowed(self, spins: Spins, amplitudes: npt.NDArray[Any]) -> Booleans:
        """True where tau_X flips, bool (n_X, L), of configurations (N, L) and amplitudes <s|H|s'>, (n_X, L)."""
        allowed: Booleans = amplitudes != 0
        flips = self.operator.flips
        if self.balanced and len(flips):
            sums = np.add.reduceat(spins[flips.sites].astype(np.int64), flips.offsets[:-1], axis=0)
            allowed &= sums == 0
        return allowed

    def moved(self, spins: Spins, rng: np.random.Generator, part: float | None = None) -> tuple[Spins, Booleans]:
        """Apply one of the tau_X, chosen uniformly, to each configuration with probability eps.

        Args:
            spins: int8 (N, L), unchanged.
            rng: two numbers are taken for each configuration.
            part: in place of eps.

        Returns:
            int8 (N, L), and which of them differ from ``spins``, bool (L,).
        """
        flips = self.operator.flips
        first, second = rng.random((2, spins.shape[1]))
        moved = spins.copy()
        changed = np.zeros(spins.shape[1], dtype=np.bool_)
        lanes = np.flatnonzero(first < (self.part if part is None else part))
        if not len(flips) or not len(lanes):
            return moved, changed
        chosen = (second[lanes] * len(flips)).astype(np.int64)
        own = np.ascontiguousarray(spins[:, lanes])
        allowed = self.allowed(own, self.operator.amplitudes(own))[chosen, np.arange(len(lanes))]
        moved[:, lanes[allowed]] = flip_columns(spins, flips, chosen[allowed], lanes[allowed])
        changed[lanes[allowed]] = True
        return moved, changed

    def distribution(self, probabilities: npt.NDArray[np.float64], basis: Basis) -> npt.NDArray[np.float64]:
        """q of all configurations of a basis, float64 (D,), from p, (D,)."""
        flips = self.operator.flips
        if not len(flips):
            return probabilities
        allowed = self.allowed(basis.spins, self.operator.amplitudes(basis.spins))
        total = np.zeros_like(probabilities)
        for k in range(len(flips)):
            images = basis.spins.copy()
            images[flips[k]] *= -1
            total += probabilities[np.where(allowed[k], basis.index(basis.labels_of(images)), np.arange(len(basis)))]
        return (1.0 - self.part) * probabilities + self.part / len(flips) * total
