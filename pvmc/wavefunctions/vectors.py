"""ln psi of any number of configurations, and psi of few spins as a normalised vector."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from pvmc.errors import NumericalError
from pvmc.numerics.arrays import Numbers, Spins
from pvmc.spins.configurations import Basis
from pvmc.wavefunctions.fallback import BATCH


class LogPsi(Protocol):
    """A state that is known by its amplitudes alone."""

    def log_psi(self, spins: Spins) -> Numbers:
        """ln psi(s), (L,) of float64 or complex128, not normalised, of spins int8 (N, L); -inf where psi is 0."""
        ...


def batched_log_psi(psi: LogPsi, spins: Spins) -> Numbers:
    """ln psi(s), (L,), of any number of configurations, int8 (N, L), in batches of bounded memory."""
    starts = range(0, spins.shape[1], BATCH)
    parts = [np.asarray(psi.log_psi(np.ascontiguousarray(spins[:, start : start + BATCH]))) for start in starts]
    return np.concatenate(parts) if parts else np.zeros(0)


def dense_vector(psi: LogPsi, basis: Basis) -> npt.NDArray[np.complex128]:
    """psi(s) on the configurations of a basis, normalised on them, complex128 (D,).

    Raises:
        NumericalError: psi vanishes on all of them, or is not finite.
    """
    logarithm = batched_log_psi(psi, basis.spins).astype(np.complex128)
    largest = logarithm.real.max()
    if not np.isfinite(largest):
        raise NumericalError("the wave function is zero on all configurations, or not finite on one")
    vector = np.exp(logarithm.real - largest) * np.exp(1j * np.where(np.isfinite(logarithm.imag), logarithm.imag, 0.0))
    return np.asarray(vector / np.linalg.norm(vector))
