"""Sampling |psi|^2: walkers, moves and the Metropolis algorithm."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pvmc.config import KeyProblem, Section
from pvmc.lattice import Lattice, LatticeError
from pvmc.sampler.metropolis import Metropolis, Samples
from pvmc.sampler.moves import Moves, MoveWeights
from pvmc.sampler.walkers import Walkers, start

__all__ = ["Metropolis", "MoveWeights", "Moves", "Samples", "SamplerSpec", "Walkers", "start"]


class SamplerSpec(Section):
    """How configurations are drawn from |psi|^2."""

    moves: MoveWeights | None = None
    """weights of the moves; default: exchange where the Hamiltonian keeps the magnetisation, flip elsewhere"""
    magnetization: int = 0
    """sum of s_i = +-1 of the walkers, where the moves keep it"""
    start: Literal["random", "neel"] = "random"
    """configurations that the walkers start from"""
    walkers: int = Field(default=1024, ge=2)
    """Markov chains over all ranks; a multiple of block_width"""
    block_width: int = Field(default=64, ge=1, le=4096)
    """walkers in a block, the unit of work and of random numbers; a job can use as many ranks as there are blocks"""
    samples: int = Field(default=4096, ge=2)
    """configurations per SR iteration over all ranks; a multiple of walkers"""
    sweep: int | None = Field(default=None, ge=1)
    """proposals between two samples of a walker; default: the number of sites"""
    burn_in: int = Field(default=20, ge=0)
    """sweeps before the first sample of a run"""
    discard: int = Field(default=1, ge=0)
    """sweeps before the first sample of each later iteration"""

    @property
    def n_blocks(self) -> int:
        """Number of walker blocks over all ranks."""
        return self.walkers // self.block_width

    def build(self, lattice: Lattice, seed: int) -> Metropolis:
        """The sampler on a lattice; ``moves`` must have been chosen.

        Raises:
            KeyProblem: numbers that do not divide, no move at all, or a magnetisation that N spins cannot have.
        """
        if self.moves is None:
            raise ValueError("the moves of a sampler are chosen before it is built")
        self._check(lattice)
        return Metropolis(
            moves=Moves.build(self.moves, lattice),
            seed=seed,
            n_draws=self.samples // self.walkers,
            sweep=self.sweep or lattice.n_sites,
            burn_in=self.burn_in,
            discard=self.discard,
        )

    def fixed_magnetization(self) -> int | None:
        """The conserved sum of s_i, or None where a move changes it."""
        return self.magnetization if self.moves is not None and self.moves.flip == 0 else None

    def _check(self, lattice: Lattice) -> None:
        assert self.moves is not None
        if self.walkers % self.block_width:
            raise KeyProblem("sampler.walkers", self.walkers, f"must be a multiple of block_width = {self.block_width}")
        if self.samples % self.walkers:
            raise KeyProblem("sampler.samples", self.samples, f"must be a multiple of walkers = {self.walkers}")
        if not any(self.moves.model_dump().values()):
            raise KeyProblem("sampler.moves", self.moves, "at least one move needs a positive weight")
        fixed = self.fixed_magnetization()
        neel = _neel_magnetization(lattice) if self.start == "neel" else fixed
        if fixed is None:
            return
        if abs(fixed) >= lattice.n_sites or (fixed + lattice.n_sites) % 2:
            raise KeyProblem("sampler.magnetization", fixed, _allowed_magnetizations(lattice.n_sites))
        if fixed != neel or (self.start == "neel" and neel != 0):  # each walker takes either sign of the order
            raise KeyProblem("sampler.start", "neel", f"Neel order does not have magnetization = {fixed}; use random")


def _neel_magnetization(lattice: Lattice) -> int:
    try:
        return int(lattice.sublattices().sum())
    except LatticeError as error:
        raise KeyProblem("sampler.start", "neel", f"needs a bipartite lattice: {error}") from None


def _allowed_magnetizations(n_sites: int) -> str:
    parity = "odd" if n_sites % 2 else "even"
    return f"{n_sites} spins +-1 that exchange sum to an {parity} number between {2 - n_sites} and {n_sites - 2}" + (
        " (an odd number of sites has no zero magnetisation)" if n_sites % 2 else ""
    )
