"""The input of the samplers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from pvmc.config import KeyProblem, Section, check_all, raise_all
from pvmc.exact.ground_sector import automatic_magnetization
from pvmc.hamiltonians import Operator
from pvmc.lattice import Lattice, LatticeError
from pvmc.sampler.base import Ensemble
from pvmc.sampler.enumeration import Enumeration
from pvmc.sampler.growth import GrowthSpec
from pvmc.sampler.metropolis import Metropolis
from pvmc.sampler.moves import Moves, MoveWeights, Reach, reach
from pvmc.sampler.smear import Smear
from pvmc.sampler.tempering import TemperingSpec
from pvmc.spins.configurations import MAX_SITES, Basis

DEFAULT_SAMPLES = 4096
"""Configurations per iteration where they are neither given nor chosen with the learning rate."""


class MetropolisSpec(Section):
    """Markov chains that draw configurations from |psi|^2."""

    kind: Literal["metropolis"] = "metropolis"
    """Markov chains"""
    moves: MoveWeights | None = None
    """weights of the moves; default: exchange 0.8 and exchange_any 0.2 where the Hamiltonian keeps the magnetisation
    (a diagonal one: where that of its ground state is known or given), flip elsewhere"""
    magnetization: int | None = None
    """sum of s_i = +-1 of the walkers, where Hamiltonian and moves keep it; default: that of the ground state where it
    is known, else 0 or 1 (see docs/physics.md)"""
    start: Literal["random", "neel", "file"] = "random"
    """configurations that the walkers start from"""
    start_file: str | None = None
    """file of configurations to start from, one row of N spins +-1 each: text, .npy, .npz or HDF5 (array spins)"""
    walkers: int = Field(default=1024, ge=2)
    """Markov chains over all ranks; a multiple of block_width"""
    block_width: int = Field(default=64, ge=1, le=4096)
    """walkers in a block, the unit of work and of random numbers; a job can use as many ranks as there are blocks"""
    samples: int | None = Field(default=None, ge=2)
    """configurations per SR iteration over all ranks; a multiple of walkers; default: one of each walker, which grow as
    the energy converges, or 4096 where sr.learning_rate is given"""
    sweep: int | None = Field(default=None, ge=1)
    """proposals between two samples of a walker; default: the number of sites.  Where moves change the magnetisation,
    each walker has one more with probability 1/2, lest the parity of its spins stay the same"""
    burn_in: int = Field(default=20, ge=0)
    """sweeps before the first sample of a run"""
    discard: int = Field(default=1, ge=0)
    """sweeps before the first sample of each later iteration"""
    tempering: TemperingSpec | None = None
    """replicas at |psi|^(p beta) that help the walkers over barriers: { replicas, smallest_beta }; default: none"""
    power: float = Field(default=2.0, gt=0.0, le=2.0)
    """p: configurations are drawn from |psi|^p and weighted by |psi|^(2-p); below 2, rare ones are seen more often"""
    smear: float = Field(default=0.0, ge=0.0, lt=1.0)
    """eps: part of the samples that are moved once by a random term of the Hamiltonian, all with exact weights, so that
    they see where psi vanishes but H psi does not; 0.1 to 0.3 where the leak test warns, 0 for none"""
    growth: GrowthSpec | None = None
    """samples that grow as the energy converges: { maximum, factor, window }; default: none"""

    @property
    def n_blocks(self) -> int:
        """Number of walker blocks over all ranks."""
        return self.walkers // self.block_width

    @property
    def n_draws(self) -> int:
        """Configurations of each walker in an iteration, of a resolved section."""
        return (self.samples or DEFAULT_SAMPLES) // self.walkers

    def resolved(self, lattice: Lattice, operator: Operator, *, balanced: bool = False) -> MetropolisSpec:
        """The section with automatic choices replaced by what was chosen.

        Args:
            lattice: the lattice.
            operator: the Hamiltonian.
            balanced: as many spins up as down are needed, where nothing else is asked for.

        Raises:
            KeyProblem: a magnetisation that the Hamiltonian or a move changes.
        """
        magnetization, changing = self.magnetization, self.moves.changes_magnetization(operator) if self.moves else ""
        if magnetization is not None:
            _require_conserved(magnetization, operator)
            if changing:
                both = f"sampler.moves.{changing} changes it; leave one of the two out"
                raise KeyProblem("sampler.magnetization", magnetization, both)
        elif not changing:
            balanced = balanced or self.start == "neel" or bool(self.moves and self.moves.global_flip)
            magnetization = automatic_magnetization(operator, balanced=balanced)
        bonds = len(lattice.bonds()) > 0
        exchanges = MoveWeights(exchange=0.8, exchange_any=0.2) if bonds else MoveWeights(exchange_any=1.0)
        automatic = MoveWeights(flip=1.0) if magnetization is None else exchanges
        chosen = {"moves": self.moves or automatic, "magnetization": magnetization}
        return self.model_copy(update=chosen | {"sweep": self.sweep or lattice.n_sites})

    def with_samples(self, samples: int = DEFAULT_SAMPLES, growth: int = 1, window: int = 50) -> MetropolisSpec:
        """The section with automatic numbers of samples, where neither they nor their growth are given.

        Args:
            samples: about so many at first.
            growth: factor by which they may grow; 1 for none.
            window: iterations of the windows that are compared.
        """
        if self.samples is not None:
            return self
        first = self.walkers * max(1, samples // self.walkers)
        grown = GrowthSpec(maximum=growth * first, window=window) if growth > 1 else None
        return self.model_copy(update={"samples": first, "growth": self.growth or grown})

    def without_idle_magnetization(self, operator: Operator) -> MetropolisSpec:
        """The section of a file of an earlier version, which held 0 also where moves change the magnetisation."""
        if self.magnetization == 0 and self.moves is not None and self.moves.changes_magnetization(operator):
            return self.model_copy(update={"magnetization": None})
        return self

    def build(self, lattice: Lattice, operator: Operator, seed: int) -> Metropolis:
        """The sampler on a lattice; ``moves`` must have been chosen.

        Raises:
            KeyProblem: numbers that do not divide, moves that cannot reach every configuration, or a magnetisation
                that N spins cannot have.
        """
        if self.moves is None:
            raise ValueError("the moves of a sampler are chosen before it is built")
        self._check(lattice, operator)
        moves = Moves.build(self.moves, lattice, operator)
        ensemble = (self.n_blocks, self.block_width, lattice, self.start, self.magnetization, self.start_file)
        return Metropolis(
            moves=moves,
            seed=seed,
            n_draws=self.n_draws,
            sweep=self.sweep or lattice.n_sites,
            burn_in=self.burn_in,
            discard=self.discard,
            ensemble=Ensemble(*ensemble),
            tempering=self.tempering.build() if self.tempering else None,
            power=self.power,
            growth=self.growth.build(self.n_draws, self.walkers) if self.growth else None,
            uneven=not moves.conserve_magnetization or lattice.n_sites == 2,  # two spins exchange at every proposal
            smear=Smear(operator, self.smear, self.magnetization is not None) if self.smear else None,
        )

    def reach(self, lattice: Lattice, operator: Operator) -> Reach:
        """Reach of the moves of a resolved section."""
        assert self.moves is not None
        if self.moves.flip or self.moves.exchange_any:
            return Reach(True, "flips of any spin, or exchanges of any two, reach all")
        return reach(Moves.build(self.moves, lattice, operator), lattice.n_sites, self.magnetization)

    def check_reach(self, lattice: Lattice, operator: Operator) -> None:
        """Refuse random starts where the moves do not lead from every configuration to every other one.

        Raises:
            KeyProblem: says what separates them, and which move joins them.
        """
        found = self.reach(lattice, operator)
        if found.complete is False and self.start == "random":
            raise KeyProblem("sampler.moves", self.moves, f"{found.words}; {self.joining_move}")

    @property
    def joining_move(self) -> str:
        """The remedy where the moves do not reach every configuration."""
        move = "flip" if self.magnetization is None else "exchange_any"
        return f"give sampler.moves.{move} a weight, such as 0.2"

    @property
    def fixed_magnetization(self) -> int | None:
        """The conserved sum of s_i of a resolved section, or None where a move changes it."""
        return self.magnetization

    def _check(self, lattice: Lattice, operator: Operator) -> None:
        check_all(
            lambda: raise_all(self._problems()),
            self._check_growth,
            lambda: self._check_moves(lattice, operator),
            lambda: self._check_sector(lattice),
        )

    def _problems(self) -> Iterator[KeyProblem]:
        """Numbers that do not divide, and keys that do not go together."""
        if self.walkers % self.block_width:
            yield KeyProblem("sampler.walkers", self.walkers, f"must be a multiple of block_width = {self.block_width}")
        if self.samples is not None and self.samples % self.walkers:
            yield KeyProblem("sampler.samples", self.samples, f"must be a multiple of walkers = {self.walkers}")
        if (self.start == "file") != (self.start_file is not None):
            yield KeyProblem("sampler.start_file", self.start_file or "", 'goes with start = "file", and only with it')
        if self.smear and self.power != 2:
            yield KeyProblem("sampler.smear", self.smear, f"goes with power = 2 alone, not {self.power:g}")

    def _check_sector(self, lattice: Lattice) -> None:
        """KeyProblem for a magnetisation that N spins cannot have, or that the walkers do not start with."""
        fixed = self.fixed_magnetization
        neel = _neel_magnetization(lattice) if self.start == "neel" else fixed
        if fixed is None:
            return
        _require_possible(fixed, lattice.n_sites)
        if fixed != neel or (self.start == "neel" and neel != 0):  # each walker takes either sign of the order
            raise KeyProblem("sampler.start", "neel", f"Neel order does not have magnetization = {fixed}; use random")

    def _check_growth(self) -> None:
        if self.growth is None:
            return
        key, maximum = "sampler.growth.maximum", self.growth.maximum
        if maximum <= (self.samples or DEFAULT_SAMPLES):
            raise KeyProblem(key, maximum, f"must be above samples = {self.samples}")
        if maximum % self.walkers:
            raise KeyProblem(key, maximum, f"must be a multiple of walkers = {self.walkers}")

    def _check_moves(self, lattice: Lattice, operator: Operator) -> None:
        assert self.moves is not None
        moves = self.moves
        if not any(moves.model_dump().values()):
            raise KeyProblem("sampler.moves", moves, "at least one move needs a positive weight")
        if not (moves.flip or moves.exchange or moves.exchange_any or moves.hamiltonian):
            raise KeyProblem(
                "sampler.moves",
                moves,
                "these do not reach every configuration; give flip, exchange, exchange_any or hamiltonian a weight",
            )
        if moves.exchange and not len(lattice.bonds()):
            raise KeyProblem("sampler.moves.exchange", moves.exchange, "this lattice has no bonds; take exchange_any")
        if moves.hamiltonian and not len(operator.flips):
            raise KeyProblem("sampler.moves.hamiltonian", moves.hamiltonian, "this Hamiltonian flips no spins")
        if not (operator.conserves_magnetization or moves.changes_magnetization(operator)):
            raise KeyProblem(
                "sampler.moves",
                moves,
                "this Hamiltonian changes the magnetisation, which exchanges keep; give flip a weight",
            )
        fixed = self.fixed_magnetization
        if moves.global_flip and fixed:
            raise KeyProblem(
                "sampler.moves.global_flip", moves.global_flip, f"a global flip does not keep magnetization = {fixed}"
            )


class ExactSpec(Section):
    """All configurations of a small system, weighted by |psi|^2: no noise, no error bars."""

    kind: Literal["exact"]
    """all configurations in place of samples"""
    magnetization: int | Literal["any"] | None = None
    """sum of s_i = +-1 of the configurations, or "any"; default: that of the ground state where the Hamiltonian keeps
    it and it is known, else 0 or 1; any where the Hamiltonian changes it, or is diagonal and it is not known"""
    block_width: int = Field(default=64, ge=1, le=4096)
    """configurations in a block, the unit of work; a job can use as many ranks as there are blocks"""

    def resolved(self, lattice: Lattice, operator: Operator, *, balanced: bool = False) -> ExactSpec:
        """The section with the automatic choice replaced by what was chosen.

        Args:
            lattice: the lattice.
            operator: the Hamiltonian.
            balanced: as many spins up as down are needed, where nothing else is asked for.

        Raises:
            KeyProblem: a magnetisation that the Hamiltonian changes.
        """
        if isinstance(self.magnetization, int):
            _require_conserved(self.magnetization, operator, 'write "any", or leave it out')
        if self.magnetization is not None:
            return self
        automatic = automatic_magnetization(operator, balanced=balanced)
        return self.model_copy(update={"magnetization": "any" if automatic is None else automatic})

    def without_idle_magnetization(self, operator: Operator) -> ExactSpec:
        """The section itself: earlier versions wrote what they used."""
        return self

    def build(self, lattice: Lattice, operator: Operator, seed: int) -> Enumeration:
        """The enumeration; ``seed`` is not used.

        Raises:
            KeyProblem: too many sites, or a magnetisation that the Hamiltonian changes or N spins cannot have.
        """
        if lattice.n_sites > MAX_SITES:
            raise KeyProblem("sampler.kind", "exact", f"needs at most {MAX_SITES} sites, not {lattice.n_sites}")
        fixed = self.fixed_magnetization
        if fixed is not None:
            _require_possible(fixed, lattice.n_sites)
        return Enumeration(Basis.enumerate(lattice.n_sites, fixed), self.block_width, fixed)

    @property
    def fixed_magnetization(self) -> int | None:
        """The sum of s_i of all configurations of a resolved section, or None for all 2^N."""
        return self.magnetization if isinstance(self.magnetization, int) else None


def _with_kind(table: Any) -> Any:
    """A table without ``kind`` is one of the Metropolis sampler."""
    return {"kind": "metropolis", **table} if isinstance(table, dict) else table


SamplerSpec: TypeAlias = Annotated[MetropolisSpec | ExactSpec, Field(discriminator="kind"), BeforeValidator(_with_kind)]


def _neel_magnetization(lattice: Lattice) -> int:
    try:
        return int(lattice.sublattices().sum())
    except LatticeError as error:
        raise KeyProblem("sampler.start", "neel", f"needs a bipartite lattice: {error}") from None


def _require_conserved(magnetization: int, operator: Operator, remedy: str = "leave it out") -> None:
    """KeyProblem where the Hamiltonian leads out of a magnetisation that was asked for."""
    if not operator.conserves_magnetization:
        raise KeyProblem(
            "sampler.magnetization", magnetization, f"this Hamiltonian does not conserve the magnetisation; {remedy}"
        )


def _require_possible(magnetization: int, n_sites: int) -> None:
    """KeyProblem for a magnetisation that N spins cannot have."""
    if abs(magnetization) > n_sites or (magnetization + n_sites) % 2:
        parity = "odd" if n_sites % 2 else "even"
        allowed = f"{n_sites} spins +-1 sum to an {parity} number between {-n_sites} and {n_sites}"
        raise KeyProblem("sampler.magnetization", magnetization, f"{allowed}; left out, pvmc chooses one")
