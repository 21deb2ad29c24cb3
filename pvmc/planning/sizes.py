"""The sizes of a problem of stochastic reconfiguration, which determine its cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pvmc.sampler import Sampler
from pvmc.sampler.base import CHUNK_COLUMNS
from pvmc.wavefunctions.base import Ansatz


@dataclass(frozen=True)
class Sizes:
    """Sizes that determine the cost of (S + Lambda) x = F.

    Attributes:
        n_parameters: K.
        n_samples: n_s, configurations of all ranks in an iteration.
        is_complex: theta is complex.
        stacked: theta is real and ln psi complex, so that the real and imaginary parts of O are rows of their own.
        factor_rows: f, numbers of which a configuration's O are products, O_W[j, i] = B_j A_i (N + M of an RBM of N
            sites and M hidden units); None where O has no such form.
        uniform_penalty: Lambda is a multiple of the identity.
        memory_limit: bytes that a rank may take for the linear problem; None: MEMORY_LIMIT of
            :mod:`pvmc.planning.solver_costs`.
        n_blocks: blocks of walkers, of which a rank owns whole ones; None: configurations can be shared out singly.
        chunk: configurations whose O are there at the same time with the dense solver.
    """

    n_parameters: int
    n_samples: int
    is_complex: bool = True
    stacked: bool = False
    factor_rows: int | None = None
    uniform_penalty: bool = False
    memory_limit: int | None = None
    n_blocks: int | None = None
    chunk: int = CHUNK_COLUMNS

    @classmethod
    def of(cls, ansatz: Ansatz, sampler: Sampler, *, uniform_penalty: bool) -> Sizes:
        """The sizes of a wave function and a sampler; any parameters tell the type of ln psi.

        An ansatz whose log-derivatives are products of factors says of how many numbers in ``factor_rows``.
        """
        is_complex = np.dtype(ansatz.dtype).kind == "c"
        stacked = False
        if not is_complex:
            psi = ansatz.at(ansatz.initial_parameters(np.random.default_rng(0)))
            stacked = bool(np.issubdtype(psi.dtype, np.complexfloating))
        return cls(
            n_parameters=ansatz.n_parameters,
            n_samples=sampler.n_blocks * sampler.width * sampler.most_draws,
            is_complex=is_complex,
            stacked=stacked,
            factor_rows=getattr(ansatz, "factor_rows", None),
            uniform_penalty=uniform_penalty,
            n_blocks=sampler.n_blocks,
            chunk=sampler.width * min(sampler.most_draws, max(1, CHUNK_COLUMNS // sampler.width)),
        )

    @property
    def item(self) -> int:
        """Bytes of a parameter, and of an element of S or of T = X X^dagger."""
        return 16 if self.is_complex else 8

    @property
    def derivative_item(self) -> int:
        """Bytes of O_k of a configuration."""
        return 16 if self.is_complex or self.stacked else 8

    @property
    def n_rows(self) -> int:
        """n, rows of the Gram matrix T = X X^dagger."""
        return 2 * self.n_samples if self.stacked else self.n_samples

    @property
    def most_ranks(self) -> int:
        """Ranks that the samples can be shared among."""
        return self.n_blocks or self.n_samples

    def share(self, ranks: int) -> int:
        """n_r, configurations of the rank that has the most."""
        return -(-self.most_ranks // ranks) * (self.n_samples // self.most_ranks)
