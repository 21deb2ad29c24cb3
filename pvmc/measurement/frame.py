"""The frame that a Hamiltonian is written in, against that of the spins as they are."""

from __future__ import annotations

import numpy as np

from pvmc.numerics.arrays import Floats
from pvmc.vmc.job import Job


def frame_signs(job: Job) -> Floats:
    """-1 on the sites that the Hamiltonian's frame turns by pi about z (``marshall`` or ``rotate``), else +1; (N,)."""
    return job.config.hamiltonian.signs(job.lattice).astype(np.float64)
