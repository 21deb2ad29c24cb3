"""Automatic choices: what an input leaves out, by the lattice, the Hamiltonian, the ansatz and the sizes.

The rules and the measurements behind them are in docs/reports/convergence.md.  What is chosen is written into the
resolved input, which a run stores, so that it can be repeated with explicit values.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pvmc.errors import InputError
from pvmc.hamiltonians import HamiltonianSpec, PauliSum
from pvmc.hamiltonians.columns import Z
from pvmc.hamiltonians.signs import is_stoquastic
from pvmc.lattice import Lattice
from pvmc.numerics.arrays import Integers
from pvmc.sampler import MetropolisSpec, SamplerSpec
from pvmc.sr import SRSpec, build_solver
from pvmc.sr.spec import AUTOMATIC_RATE, FEW_SAMPLES_RATE
from pvmc.vmc.refinement import RefineSpec, Tied
from pvmc.vmc.spec import RunSpec
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
            "shared_filters": shared if section.shared_filters is None else section.shared_filters,
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
        run = run.model_copy(update={"refine": RefineSpec(ends_run=run.iterations is None)})
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
