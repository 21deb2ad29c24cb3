"""The quantum numbers that a job's states have by construction, their lowest energy, and where the ground state is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pvmc.config import RawInput
from pvmc.errors import InputError
from pvmc.exact import ExactEnergy, find_reference
from pvmc.exact.characters import Numbers, characters_of, positive_characters
from pvmc.exact.ground_sector import (
    EXCITED,
    SAME_LEVEL,
    SEARCHED_SITES,
    GroundSector,
    ground_sector,
    likely_sector,
    polarised_energies,
)
from pvmc.exact.reference import AUTOMATIC_DIMENSION, LANCZOS_SITES, dimension
from pvmc.hamiltonians.pairs import is_rotation_invariant
from pvmc.sampler import MetropolisSpec
from pvmc.vmc.job import Job, build_job
from pvmc.wavefunctions import Projected
from pvmc.wavefunctions.projection.quantum_numbers import order
from pvmc.wavefunctions.symmetry import SymmetryGroup, claimed_symmetry

VALIDATED_DIMENSION = 50_000
"""Largest Hilbert space that is diagonalised for an input that is only looked at (a second)."""

QUANTUM_NUMBERS = ("momentum", "parity", "irrep", "spin_flip")
"""Keys of a projected wave function, in the order in which they are named."""


@dataclass(frozen=True)
class Sector:
    """Where a job's states are, and where the ground state is.

    Attributes:
        words: magnetisation and symmetries of the states, with the keys that fix them; empty where nothing is fixed.
        reference: their lowest energy (total); None where it is not known.
        ground: the lowest energy of all states; None where it is not known.
        ground_words: quantum numbers of the ground state, as far as they are known.
        elsewhere: what is wrong, and the key to change, where the ground state is known not to be among the states;
            else empty.
        product: the lower energy of the states of all spins up and all down, where the magnetisation is conserved and
            another one is kept.
    """

    words: str
    reference: ExactEnergy | None
    ground: ExactEnergy | None
    ground_words: str
    elsewhere: str
    product: float | None = None


def sector_of(job: Job, *, most_sites: int = SEARCHED_SITES, largest: int = AUTOMATIC_DIMENSION) -> Sector:
    """The sector of a job.  Work of one rank.

    Args:
        job: the job.
        most_sites: largest number of sites of which every magnetisation is diagonalised.
        largest: largest dimension of a Hilbert space to diagonalise.
    """
    return _Search(job, most_sites, largest).sector()


@dataclass(frozen=True)
class Answer:
    """An exact energy, and what was searched for it.

    Attributes:
        reference: the energy (total), and where it comes from.
        lines: quantum numbers of the state, what was searched, and whether the job's states can be it.
    """

    reference: ExactEnergy
    lines: tuple[str, ...]


def exact_answer(job: Job, *, only_magnetization: bool) -> Answer | None:
    """The exact ground-state energy; None where it is not within reach.  Work of one rank.

    Of a projected wave function, the lowest energy of its quantum numbers.

    Args:
        job: the job.
        only_magnetization: look at the magnetisation of the job's sampler alone, rather than at all.
    """
    search = _Search(job, LANCZOS_SITES, 2**LANCZOS_SITES)
    magnetization = job.sampler.magnetization if only_magnetization else None
    if isinstance(job.ansatz, Projected):
        return search.projected_answer(magnetization)
    return search.answer(magnetization)


class _Search:
    """The search for the sectors of a job; each method is one step of it."""

    def __init__(self, job: Job, most_sites: int, largest: int):
        self._job, self._operator, self._largest = job, job.operator, largest
        self._magnetization = job.sampler.magnetization
        group = claimed_symmetry(job.ansatz)
        self._group = group if group is not None and len(group) > 1 else None
        self._all = ground_sector(job.operator, most_sites)

    def sector(self) -> Sector:
        """The result."""
        level = self._lowest(self._magnetization)
        ground = self._ground(level)
        fits = self._fits() if level is not None else None
        reference = self._symmetric(fits, level)
        wrong = self._wrong_magnetization(level, ground) or self._unlikely_magnetization()
        wrong = wrong or self._wrong_symmetry(level, reference, fits)
        product = None
        if self._magnetization is not None and abs(self._magnetization) < self._operator.n_sites:
            product = min(polarised_energies(self._operator).values())
        known = in_words(self._all) if self._all else ""
        return Sector(words_of(self._job), reference, ground, known, wrong, product)

    def answer(self, magnetization: int | None) -> Answer | None:
        """The lowest energy of a magnetisation, or of all."""
        if magnetization is not None:
            level = self._lowest(magnetization)
            if level is None:
                return None
            words = f"magnetisation {magnetization} alone was searched (sampler.magnetization)"
            return Answer(level, _lines(words, self._wrong_magnetization(level, self._ground(level))))
        known = self._all
        if known is None:
            conserved = self._operator.conserves_magnetization
            level = None if conserved else self._lowest(None)
            return None if level is None else Answer(level, _lines(self._other_symmetry(level)))
        found = self._lowest(known.preferred) if known.energy is None else ExactEnergy(known.energy, known.method)
        if found is None:
            return None
        self._magnetization = known.preferred
        return Answer(found, _lines(f"ground state: {in_words(known)}; {_how(known)}", self._other_symmetry(found)))

    def projected_answer(self, magnetization: int | None) -> Answer | None:
        """The lowest energy of the quantum numbers of the wave function, at a magnetisation or at all."""
        from pvmc.exact.sector import sector_reference

        assert self._group is not None
        n_sites, searched = self._operator.n_sites, [magnetization]
        if magnetization is None and self._operator.conserves_magnetization:
            searched = list(range(n_sites % 2, n_sites + 1, 2))
            searched += [-value for value in searched if value]
            if np.any(self._group.signs < 0) or is_rotation_invariant(self._operator):
                searched = [n_sites % 2]
        pairs = [(value, sector_reference(self._operator, self._group, value, self._largest)) for value in searched]
        found = [(value, level) for value, level in pairs if level is not None]
        if not found:
            return None
        lowest = min(level.energy for _, level in found)
        value, level = next((value, level) for value, level in found if self._same(level.energy, lowest))
        self._magnetization = value
        numbers = ", ".join(numbers_of(self._job))
        where = numbers if value is None else f"{numbers}, magnetisation {value}"
        count = f"; {len(searched)} values of the magnetisation searched" if len(searched) > 1 else ""
        any_level = self._lowest(value)
        ground = self._ground(any_level)
        lower = ground is not None and not self._same(ground.energy, level.energy)
        note = f"the ground state of all quantum numbers has E = {ground.energy:.12g}" if lower and ground else ""
        return Answer(level, _lines(f"lowest state of {where}{count}", note))

    def _other_symmetry(self, level: ExactEnergy) -> str:
        """One line where the wave function cannot be the state of this level."""
        fits = self._fits()
        return self._wrong_symmetry(level, self._symmetric(fits, level), fits)

    def _lowest(self, magnetization: int | None) -> ExactEnergy | None:
        """The lowest energy of a magnetisation."""
        levels = self._all.levels if self._all else None
        config, operator = self._job.config, self._operator
        if magnetization is not None and abs(magnetization) == operator.n_sites:
            return ExactEnergy(polarised_energies(operator)[magnetization], "product state")
        closed = find_reference(config.lattice, config.hamiltonian, operator, magnetization, largest=0)
        if closed is not None:
            return closed
        if levels is not None and self._all is not None:
            energy = self._all.energy if magnetization is None else levels[magnetization]
            return None if energy is None else ExactEnergy(energy, self._all.method)
        if self._all is not None and self._all.energy is not None and magnetization in self._all.magnetizations:
            return ExactEnergy(self._all.energy, self._all.method)
        return find_reference(config.lattice, config.hamiltonian, operator, magnetization, largest=self._largest)

    def _ground(self, level: ExactEnergy | None) -> ExactEnergy | None:
        """The lowest energy of all states."""
        known = self._all
        if known is None:
            return None if self._operator.conserves_magnetization and self._magnetization is not None else level
        if known.energy is not None:
            return ExactEnergy(known.energy, known.method)
        return level if self._magnetization in (None, *known.magnetizations) else self._lowest(known.preferred)

    def _characters(self, group: SymmetryGroup) -> Numbers | None:
        """Those of the ground state of the magnetisation under symmetries of the Hamiltonian, where they are known."""
        magnetization, n_sites = self._magnetization, self._operator.n_sites
        known = positive_characters(self._operator, magnetization, group)
        size = dimension(n_sites, magnetization)
        if known is not None or n_sites > LANCZOS_SITES or size > self._largest:
            return known
        from pvmc.exact.lanczos import ground_state  # scipy's sparse matrices: most runs need none
        from pvmc.spins.configurations import Basis

        basis = Basis.enumerate(n_sites, magnetization)
        return characters_of(ground_state(self._operator, basis)[1], basis, group)

    def _fits(self) -> bool | None:
        """True where the ground state of the magnetisation has the symmetries; None where that is not known."""
        if self._group is None:
            return True
        characters = self._characters(self._group)
        return None if characters is None else bool(np.allclose(characters, self._group.characters, atol=1e-6))

    def _symmetric(self, fits: bool | None, level: ExactEnergy | None) -> ExactEnergy | None:
        """The lowest energy of the states that the wave function can be."""
        if fits or self._group is None:
            return level
        from pvmc.exact.sector import sector_reference  # scipy's sparse matrices: most runs need none

        found = sector_reference(self._operator, self._group, self._magnetization, self._largest)
        if found is not None and level is not None and self._same(found.energy, level.energy):
            return level
        return found if found is not None or fits is False or isinstance(self._job.ansatz, Projected) else level

    def _same(self, energy: float, other: float) -> bool:
        return abs(energy - other) <= SAME_LEVEL * self._operator.radius

    def _wrong_magnetization(self, level: ExactEnergy | None, ground: ExactEnergy | None) -> str:
        """One line where the ground state is known to have another magnetisation."""
        known, magnetization = self._all, self._magnetization
        if known is None or magnetization is None or magnetization in known.magnetizations or ground is None:
            return ""
        if level is not None and self._same(level.energy, ground.energy):
            return ""
        here = "" if level is None else f", whose lowest energy is {level.energy:.10g}"
        return (
            f"the ground state has {in_words(known)} and E = {ground.energy:.10g}; the states of this input have "
            f"magnetisation {magnetization}{here}: {self._cure(known.preferred)}"
        )

    def _cure(self, magnetization: int) -> str:
        """The keys that lead to another magnetisation; those that hold the walkers at zero come first."""
        sampler = self._job.config.sampler
        if not isinstance(sampler, MetropolisSpec):
            return f"set sampler.magnetization = {magnetization}, or leave it out"
        changes = ['sampler.start = "random"'] if sampler.start == "neel" else []
        if sampler.moves is not None and sampler.moves.global_flip:
            changes.append("sampler.moves.global_flip = 0")
        if changes:
            return f"set {', '.join(changes)} and sampler.magnetization = {magnetization}"
        return f"set sampler.magnetization = {magnetization}, or leave it out"

    def _unlikely_magnetization(self) -> str:
        """One line where the magnetisation of the ground state is not known, but likely another one."""
        magnetization, config, n_sites = self._magnetization, self._job.config, self._operator.n_sites
        if self._all is not None or magnetization is None:
            return ""
        likely = likely_sector(config.lattice, config.hamiltonian, n_sites)
        if likely is None or likely.lowest <= magnetization <= likely.highest:
            return ""
        return (
            f"the ground state is likely to have another magnetisation: on {likely.sites} sites of the same kind it is "
            f"{likely.found}, in proportion {likely.guess} on {n_sites}; the states of this input have magnetisation "
            f"{magnetization}: try sampler.magnetization = {likely.guess}"
        )

    def _wrong_symmetry(self, level: ExactEnergy | None, reference: ExactEnergy | None, fits: bool | None) -> str:
        """One line where the ground state of the magnetisation does not have the symmetries of the wave function."""
        if level is None or fits or self._group is None or (fits is None and reference is None):
            return ""
        from pvmc.exact.sector import is_within_reach

        if reference is None and is_within_reach(
            self._operator.n_sites, self._group, self._magnetization, self._largest
        ):
            return ""  # an empty sector, which ends a run by itself
        if reference is not None and self._same(reference.energy, level.energy):
            return ""
        ansatz = self._job.config.ansatz
        here = f"; their lowest energy is {reference.energy:.10g}" if reference is not None else ""
        if isinstance(self._job.ansatz, Projected):
            keys = ", ".join(f"ansatz.{name}" for name in QUANTUM_NUMBERS if getattr(ansatz, name, None) is not None)
            return (
                f"the ground state (E = {level.energy:.10g}) has other quantum numbers than the states of this input"
                f"{here}: {self._other_turn()}change {keys} {EXCITED}"
            )
        symmetry = getattr(ansatz, "symmetry", None)
        given = f'ansatz.symmetry = "{symmetry}"' if symmetry else "the symmetry of the wave function"
        momentum = self._momentum()
        has = f"has momentum {momentum}" if momentum else "has other quantum numbers than its states"
        cure = self._other_turn() + 'set ansatz.symmetry = "none"'
        cure += f", or project on momentum = {momentum}" if momentum else ""
        here = here.replace("their", "its")
        return f"{given} excludes the ground state (E = {level.energy:.10g}), which {has}{here}: {cure}"

    def _other_turn(self) -> str:
        """The cure that the automatic turn of the spins is, where the ground state has the symmetries after it."""
        config = self._job.config
        key = config.hamiltonian.turn_key
        model = config.hamiltonian.model_copy(update={key: "auto"})
        try:
            other = build_job(config.model_copy(update={"hamiltonian": model}), RawInput({}, "the input, turned"))
        except InputError:
            return ""
        turned = other.config.hamiltonian.signs(other.lattice)
        if np.array_equal(turned, config.hamiltonian.signs(self._job.lattice)):
            return ""
        return f"leave hamiltonian.{key} out, or " if _Search(other, 0, self._largest)._fits() else ""

    def _momentum(self) -> str:
        """The momentum of the ground state of the magnetisation, where it has one that is not 0; else empty."""
        steps = self._job.lattice.generators.get("translation", ())
        if not len(steps):
            return ""
        characters = self._characters(SymmetryGroup.of_permutations(np.asarray(steps)))
        if characters is None:
            return ""
        lengths = [order(step) for step in steps]
        turns = -np.angle(characters) * np.array(lengths) / (2 * np.pi)
        momentum = [int(n) % length for n, length in zip(np.rint(turns), lengths, strict=True)]
        return str(momentum) if any(momentum) else ""


def _lines(*lines: str) -> tuple[str, ...]:
    return tuple(line for line in lines if line)


def _how(ground: GroundSector) -> str:
    """The magnetisations that were searched, in words."""
    if ground.levels is not None:
        return f"all {len(ground.levels)} values searched"
    if ground.method == "Bethe ansatz":
        return "all values searched, by the Bethe ansatz"
    if ground.method == "product state":
        return "no pair of spins can be lower"
    return "spin rotations are a symmetry, so that no other value is lower"


def numbers_of(job: Job) -> list[str]:
    """The quantum numbers of a projected wave function, such as "spin flip -1"."""
    numbers = [(name, getattr(job.config.ansatz, name, None)) for name in QUANTUM_NUMBERS]
    return [f"{name.replace('_', ' ')} {value}" for name, value in numbers if value is not None]


def in_words(ground: GroundSector) -> str:
    """The magnetisations of the ground state: "magnetisation 4", or "magnetisation 4 or -4 (degenerate)"."""
    values = ground.magnetizations
    listed = f"{', '.join(map(str, values[:-1]))} or {values[-1]}" if len(values) > 1 else str(values[0])
    return f"magnetisation {listed}" + (" (degenerate)" if len(values) > 1 else "")


def words_of(job: Job) -> str:
    """The magnetisation and the symmetries that are fixed, with the keys that fix them; empty where none is."""
    parts = []
    magnetization, n_sites = job.sampler.magnetization, job.lattice.n_sites
    if magnetization is not None:
        polarised = f" (all spins {'up' if magnetization > 0 else 'down'}: a product state, nothing is sampled)"
        parts.append(f"magnetisation {magnetization}" + (polarised if abs(magnetization) == n_sites else ""))
    elif job.operator.conserves_magnetization:
        parts.append("any magnetisation (sampler.moves change it)")
    ansatz = job.config.ansatz
    if isinstance(job.ansatz, Projected):
        parts += numbers_of(job)
    elif (symmetry := getattr(ansatz, "symmetry", None)) not in (None, "none"):
        momentum = "momentum 0" if symmetry in ("translation", "space") else ""
        parts.append(f'{momentum or "invariant"} (ansatz.symmetry = "{symmetry}")')
    return ", ".join(parts)


def job_sector(job: Job) -> Sector:
    """The sector of a job, with the exact energy that ``run.reference`` asks for."""
    wanted = job.config.run.reference
    if wanted == "auto":
        return sector_of(job)
    given = None if isinstance(wanted, str) else ExactEnergy(float(wanted), "given")
    return replace(sector_of(job, largest=0), reference=given)


def recorded(sector: Sector) -> dict[str, str | float]:
    """The attributes of the results file that describe a sector."""
    energies = {"ground_energy": sector.ground.energy if sector.ground else None, "product_energy": sector.product}
    known = {name: energy for name, energy in energies.items() if energy is not None}
    return {"sector": sector.words, "ground_sector": sector.ground_words, "elsewhere": sector.elsewhere} | known


def find_job_reference(job: Job) -> ExactEnergy | None:
    """The exact energy that ``run.reference`` asks for; None where there is none."""
    return job_sector(job).reference
