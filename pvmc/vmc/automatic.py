"""Automatic choices: what an input leaves out, by the lattice, the Hamiltonian, the ansatz and the sizes; and variants
of these choices, which ``pvmc tune`` tries.

The rules and the measurements behind them are in docs/reports/convergence.md.  What is chosen is written into the
resolved input, which a run stores, so that it can be repeated with explicit values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from pvmc.config import toml_value
from pvmc.errors import InputError
from pvmc.hamiltonians import HamiltonianSpec, Operator, PauliSum
from pvmc.hamiltonians.columns import Z
from pvmc.hamiltonians.signs import is_stoquastic
from pvmc.lattice import Lattice
from pvmc.numerics.arrays import Integers
from pvmc.sampler import MetropolisSpec, SamplerSpec
from pvmc.sampler.moves import MoveWeights
from pvmc.sr import Schedule, SRSpec, build_solver
from pvmc.sr.spec import AUTOMATIC_RATE, FEW_SAMPLES_RATE
from pvmc.vmc.refinement import RefineSpec, Tied
from pvmc.vmc.spec import JobConfig, RunSpec
from pvmc.wavefunctions import RBM, AnsatzSpec, ProductSpec, ProjectedSpec, RBMSpec
from pvmc.wavefunctions.base import Ansatz
from pvmc.wavefunctions.sharing import TiedParameters, filter_groups

SMALL_LATTICE = 64
"""Sites up to which hidden units are taken more densely, and point groups of open lattices are used."""

ALPHA, LARGE_ALPHA = 4.0, 2.0
"""Hidden units per site on small and on larger lattices."""

DIAGONAL_WEIGHT = 1.0 / 8.0
"""Weight of the largest diagonal coefficient in the scale of energy, beside the largest off-diagonal one.  What flips
spins sets the rate at which psi changes; a strong diagonal alone only makes most configurations rare."""

SAME_EVERYWHERE = 0.3
"""Largest part of the coefficients' moduli by which they differ from place to place, of filters that are shared."""

FREED_AT = 2
"""Level of refinement from which on filters are free."""

SAMPLES, MORE_SAMPLES, MANY_PARAMETERS = 1024, 2048, 512
"""Samples per iteration at first, those of more than so many parameters, and that number."""

STARTS, SMALL_ANSATZ = 4, 1000
"""Starts on small lattices with up to so many parameters, where a start takes seconds: some end in another order, with
a small variance."""

TIED_RATE = AUTOMATIC_RATE["reconfiguration"] / FEW_SAMPLES_RATE
"""Learning rate of plain steps in units of that of steps with momentum."""

GROWTH, GROWTH_OF_GRAM = 8, 2
"""Factors by which samples may grow; the latter where the work grows with the cube of their number."""


def energy_scale(terms: PauliSum) -> float:
    """The scale of energy that learning rates are relative to: the largest coefficient of an off-diagonal Pauli string,
    or DIAGONAL_WEIGHT times that of a diagonal one where that is larger; 1 for H = 0."""
    columns = terms.columns
    lengths, moduli = columns.strings.lengths, np.abs(columns.coefficients)
    flips = columns.strings.count(columns.letters != Z) > 0
    largest = [moduli[rows].max(initial=0.0) for rows in (flips, ~flips & (lengths > 0))]
    return float(max(largest[0], DIAGONAL_WEIGHT * largest[1])) or 1.0


def chosen_ansatz(section: AnsatzSpec, lattice: Lattice, model: HamiltonianSpec, *, is_fit: bool) -> AnsatzSpec:
    """The wave function with its automatic keys chosen; one that has none is returned as it is.

    Args:
        section: the wave function.
        lattice: the lattice.
        model: the Hamiltonian.
        is_fit: it is also fitted to a target, which may have signs that the ground state lacks.
    """
    if isinstance(section, ProductSpec):
        factors = [_as_part(factor) for factor in section.factors]
        return section.model_copy(update={"factors": factors})
    if isinstance(section, ProjectedSpec):
        return section.model_copy(update={"inner": _as_part(section.inner)})
    if not isinstance(section, RBMSpec) or None not in _keys(section):
        return section
    symmetry = section.symmetry or _symmetry(lattice, model)
    terms, operator = model.compiled(lattice, [symmetry])[1:]
    positive = is_stoquastic(operator)
    if section.symmetry is None and symmetry == "none" and positive and _has_point_group(lattice, model):
        symmetry = "space"
    has_translations = symmetry != "none" and len(lattice.periods) > 0
    weights = section.weights or ("real" if positive and not has_translations and not is_fit else "complex")
    places = lattice.displacement_classes() if symmetry == "none" else None
    shared = places is not None and lattice.n_sites > 2 and _is_same_everywhere(terms, places)
    return section.model_copy(
        update={
            "symmetry": symmetry,
            "weights": weights,
            "alpha": section.alpha or _alpha(section, lattice, symmetry),
            # Runs of before, which had none, go on with their input: only filters that are shared are written.
            "shared_filters": (shared or None) if section.shared_filters is None else section.shared_filters,
        }
    )


def _keys(section: RBMSpec) -> tuple[Any, ...]:
    return section.alpha, section.symmetry, section.weights, section.shared_filters


def _as_part(section: AnsatzSpec) -> AnsatzSpec:
    """A part of another wave function: what is left out are the plain defaults."""
    if isinstance(section, ProductSpec):
        return section.model_copy(update={"factors": [_as_part(factor) for factor in section.factors]})
    if isinstance(section, ProjectedSpec):
        return section.model_copy(update={"inner": _as_part(section.inner)})
    if not isinstance(section, RBMSpec):
        return section
    plain = {"symmetry": "translation", "weights": "complex", "shared_filters": False}
    return section.model_copy(update={key: value for key, value in plain.items() if getattr(section, key) is None})


def _symmetry(lattice: Lattice, model: HamiltonianSpec) -> str:
    """Translations where the lattice and the Hamiltonian have them."""
    return "translation" if _is_symmetric("translation", lattice, model) else "none"


def _has_point_group(lattice: Lattice, model: HamiltonianSpec) -> bool:
    """True of a small open lattice of two or more dimensions whose point group the Hamiltonian has."""
    is_open = len(lattice.periods) == 0 and lattice.positions.shape[1] > 1
    return is_open and lattice.n_sites <= SMALL_LATTICE and _is_symmetric("space", lattice, model)


def _is_symmetric(group: str, lattice: Lattice, model: HamiltonianSpec) -> bool:
    generators = lattice.generators.get(group, np.zeros((0, lattice.n_sites), dtype=np.int64))
    if len(generators) == 0:
        return False
    terms = model.compiled(lattice, [group])[1]
    return all(terms.is_close(terms.permuted(generator)) for generator in generators)


def _alpha(section: RBMSpec, lattice: Lattice, symmetry: str) -> float:
    """The density of hidden units next to ALPHA that the symmetry group allows."""
    n_sites = lattice.n_sites
    try:
        order = len(lattice.group(symmetry))
    except InputError:
        order = 1  # the group is refused where the wave function is built
    wanted = ALPHA if n_sites <= SMALL_LATTICE else LARGE_ALPHA
    return max(1, round(wanted * n_sites / order)) * order / n_sites


def _is_same_everywhere(terms: PauliSum, places: Integers) -> bool:
    """True where coefficients of strings that are displaced copies of each other are (nearly) the same.

    Args:
        terms: the Hamiltonian.
        places: int64 (N, N), classes of displacements.
    """
    columns = terms.columns
    differing, total = 0.0, 0.0
    for length in np.unique(columns.strings.lengths).tolist():
        if length == 0:
            continue
        rows = np.flatnonzero(columns.strings.lengths == length)
        spots = columns.strings.offsets[rows][:, None] + np.arange(length)
        sites, letters = columns.sites[spots], columns.letters[spots]
        keys = np.column_stack([letters, places[sites[:, :1], sites]])
        _, kinds = np.unique(keys, axis=0, return_inverse=True)
        values = columns.coefficients.real[rows]
        medians = np.array([np.median(values[kinds == kind]) for kind in range(int(kinds.max()) + 1)])
        differing += float(np.abs(values - medians[kinds]).sum())
        total += float(np.abs(values).sum())
    return differing <= SAME_EVERYWHERE * total


def chosen_steps(
    sr: SRSpec, run: RunSpec, sampler: SamplerSpec, ansatz: Ansatz, section: AnsatzSpec, terms: PauliSum
) -> tuple[SRSpec, RunSpec, SamplerSpec]:
    """Learning rate, shift, momentum, refinement and samples, as far as they are not given."""
    automatic, scale = sr.is_automatic, energy_scale(terms)
    n_samples = 0
    if isinstance(sampler, MetropolisSpec):
        if automatic:
            refine = run.refine or RefineSpec()
            few = tied_section(section) or ansatz.n_parameters > MORE_SAMPLES
            first = MORE_SAMPLES if ansatz.n_parameters > MANY_PARAMETERS and not few else SAMPLES
            sampler = sampler.with_samples(first, GROWTH_OF_GRAM if few else GROWTH, refine.window)
        sampler = sampler.with_samples()
        n_samples = sampler.samples or 0
    few_samples = automatic and 0 < n_samples < ansatz.n_parameters
    sr = sr.resolved(scale, few_samples=few_samples)
    if few_samples and sr.solver == "auto":  # the floor is the same for all parameters: the Gram matrix is cheap
        sr = sr.model_copy(update={"solver": "minsr"})
    if automatic and run.refine is None:
        # Where the iterations are given, all of them are for progress: filters are freed, and rates stay.
        ends = run.iterations is None
        run = run.model_copy(update={"refine": RefineSpec(ends_run=ends, rate=0.5 if ends else 1.0)})
    is_small = ansatz.n_sites <= SMALL_LATTICE and ansatz.n_parameters <= SMALL_ANSATZ
    if automatic and run.starts is None and run.iterations is None and is_small and run.seed < 2**62:
        run = run.model_copy(update={"starts": STARTS})
    return sr, run.resolved(), sampler


def tied_section(section: AnsatzSpec) -> bool:
    """True where the filters of a wave function are shared at first."""
    return isinstance(section, RBMSpec) and bool(section.shared_filters)


def tied_filters(section: AnsatzSpec, ansatz: Ansatz, lattice: Lattice, sr: SRSpec) -> Tied | None:
    """Shared filters with the solver that few parameters allow; None where filters are not shared.

    Steps of many parameters with momentum mu go on for 1/(1 - mu) iterations, and their learning rate is that of plain
    steps times TIED_RATE less.
    """
    places = lattice.displacement_classes() if tied_section(section) else None
    if places is None or not isinstance(ansatz, RBM) or len(ansatz.permutations) > 1 or ansatz.n_hidden % len(places):
        return None
    groups = filter_groups(places, ansatz.parameter_blocks, ansatz.n_parameters)
    plain = SRSpec().resolved(1.0)
    rate = sr.learning_rate if sr.momentum is None or sr.learning_rate is None else sr.learning_rate.times(TIED_RATE)
    steps = sr.model_copy(
        update={"solver": "dense", "learning_rate": rate, "shift": plain.shift, "floor": plain.floor, "momentum": None}
    )
    return Tied(TiedParameters(ansatz, groups), build_solver(steps, "dense"), FREED_AT)


Changes = dict[str, str]
"""Dotted keys of the input and their values as TOML text."""


class Parts(Protocol):
    """The parts of a job that variants are made from: those of a :class:`pvmc.vmc.job.Job`."""

    @property
    def config(self) -> JobConfig:
        """The resolved input."""

    @property
    def lattice(self) -> Lattice:
        """Sites and bonds."""

    @property
    def operator(self) -> Operator:
        """The compiled Hamiltonian."""

    @property
    def ansatz(self) -> Ansatz:
        """The wave function."""


Factor = Callable[[Parts, Callable[[str], bool]], list[Changes]]
"""The variants of a job, from its parts and a function that is true of keys that the user has given."""


HELD = (
    *("sr.shift", "sr.floor", "sr.momentum", "sr.solver", "sr.largest_angle", "sr.reject_rise"),
    *("run.refine", "run.starts", "sampler.samples", "sampler.growth"),
)
"""Keys whose automatic values hang on a learning rate that is not given; they keep these values beside one that is."""


def held(before: Parts, after: Parts, changes: Changes) -> Changes:
    """The further keys by which those of HELD stay as they were when a learning rate is given."""

    def value(job: Parts, key: str) -> Any:
        section, name = key.split(".")
        return getattr(getattr(job.config, section), name, None)

    rest = {key: value(before, key) for key in HELD if key not in changes and value(before, key) != value(after, key)}
    return {key: _text(one) for key, one in rest.items() if one is not None}


def _text(value: Any) -> str:
    """A value as TOML text; a constant schedule is its number."""
    if isinstance(value, Schedule) and value.decay == 1.0 and value.minimum <= value.initial:
        value = value.initial
    return toml_value(value)


def _other_weights(job: Parts, is_given: Callable[[str], bool]) -> list[Changes]:
    """The other number field; real parameters only where the ground state is positive."""
    other = {"real": "complex", "complex": "real"}.get(getattr(job.config.ansatz, "weights", ""))
    if other is None or is_given("ansatz.weights") or job.config.ansatz.start_from is not None:
        return []
    return [{"ansatz.weights": toml_value(other)}] if other == "complex" or is_stoquastic(job.operator) else []


def _other_alpha(job: Parts, is_given: Callable[[str], bool]) -> list[Changes]:
    """Half and twice as many hidden units of an RBM, as far as its symmetry group allows."""
    ansatz = job.ansatz
    if not isinstance(ansatz, RBM) or is_given("ansatz.alpha") or job.config.ansatz.start_from is not None:
        return []
    order, n_sites = ansatz.permutations.shape
    features = ansatz.n_hidden // order
    return [
        {"ansatz.alpha": f"{n * order / n_sites:.12g}"} for n in (max(1, features // 2), 2 * features) if n != features
    ]


def _other_samples(job: Parts, is_given: Callable[[str], bool]) -> list[Changes]:
    """Half and twice as many samples, and their largest number; of no more walkers than samples."""
    sampler = job.config.sampler
    if not isinstance(sampler, MetropolisSpec) or sampler.samples is None or is_given("sampler.samples"):
        return []
    found = []
    for factor in (0.5, 2.0):
        samples = round(factor * sampler.samples)
        changes = {"sampler.samples": str(samples)}
        if samples < sampler.walkers:
            if is_given("sampler.walkers"):
                continue
            changes["sampler.walkers"] = str(samples)
        if sampler.growth is not None and not is_given("sampler.growth"):
            grown = sampler.growth.model_copy(update={"maximum": round(factor * sampler.growth.maximum)})
            changes["sampler.growth"] = toml_value(grown)
        found.append(changes)
    return found


def _other_moves(job: Parts, is_given: Callable[[str], bool]) -> list[Changes]:
    """Mixes of exchanges, flips and moves of the Hamiltonian, where these are others."""
    sampler, operator, bonds = job.config.sampler, job.operator, job.lattice.bonds()
    if not isinstance(sampler, MetropolisSpec) or is_given("sampler.moves"):
        return []
    own = {tuple(sorted(operator.flips[k].tolist())) for k in range(len(operator.flips))}
    if sampler.magnetization is not None:
        mixes = [{"exchange_any": 1.0}]
        mixes += [{"exchange": 0.8, "exchange_any": 0.2}] if len(bonds) else []
        plain = {tuple(sorted(bond)) for bond in bonds.tolist()}
        mixes += [{"hamiltonian": 0.8, "exchange_any": 0.2}] if own and own != plain else []
    else:
        mixes = [{"flip": 1.0}, *([{"flip": 0.5, "exchange": 0.5}] if len(bonds) else [])]
        mixes += [{"flip": 0.5, "hamiltonian": 0.5}] if any(len(sites) > 1 for sites in own) else []
    return [{"sampler.moves": toml_value(mix)} for mix in mixes if MoveWeights(**mix) != sampler.moves]


def _other_learning_rate(job: Parts, is_given: Callable[[str], bool]) -> list[Changes]:
    """A third and three times the learning rate, where nothing adapts it."""
    sr = job.config.sr
    if sr.learning_rate is None or is_given("sr.learning_rate") or sr.line_search or sr.integrator != "euler":
        return []
    return [{"sr.learning_rate": _rate(sr.learning_rate, factor)} for factor in (1.0 / 3.0, 3.0)]


def _other_momentum(job: Parts, is_given: Callable[[str], bool]) -> list[Changes]:
    """Momentum where there is none, with a learning rate that is TIED_RATE times less; or none, and the reverse."""
    sr = job.config.sr
    if sr.method != "reconfiguration" or is_given("sr.momentum"):
        return []
    is_on = sr.momentum is not None and sr.momentum.mu > 0.0
    changes = {"sr.momentum": toml_value({"mu": 0.0 if is_on else 0.9})}
    if sr.learning_rate is not None and not is_given("sr.learning_rate"):
        changes["sr.learning_rate"] = _rate(sr.learning_rate, TIED_RATE if is_on else 1.0 / TIED_RATE)
    return [changes]


def _rate(rate: Schedule, factor: float) -> str:
    """A learning rate times a factor, in four digits."""
    new = rate.times(factor)
    digits = {name: float(f"{getattr(new, name):.4g}") for name in ("initial", "minimum")}
    return _text(new.model_copy(update=digits))


FACTORS: dict[str, Factor] = {
    "ansatz.weights": _other_weights,
    "ansatz.alpha": _other_alpha,
    "sampler.samples": _other_samples,
    "sampler.moves": _other_moves,
    "sr.learning_rate": _other_learning_rate,
    "sr.momentum": _other_momentum,
}
"""The factors by the key that each is about, in their order: what has automatic choices beside it comes first."""
