"""The frame that a Hamiltonian is written in, against that of the spins as they are."""

from __future__ import annotations

import numpy as np

from pvmc.ansatz.base import Floats
from pvmc.job import Job


def frame_signs(job: Job) -> Floats:
    """-1 on the sites that the Hamiltonian's frame turns by pi about z (``hamiltonian.marshall``), else +1; (N,)."""
    if getattr(job.config.hamiltonian, "marshall", False):
        return job.lattice.sublattices().astype(np.float64)
    return np.ones(job.lattice.n_sites)
