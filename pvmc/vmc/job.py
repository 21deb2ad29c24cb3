"""A validated input and what is built from it: lattice, operator, wave function, sampler and solver."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pvmc.config import (
    KeyProblem,
    KeyProblems,
    Problems,
    RawInput,
    Section,
    overridden,
    read_input,
    sections_of,
    validate,
)
from pvmc.errors import InputError, StorageError, on_every_rank
from pvmc.fit.data import from_file
from pvmc.hamiltonians import HamiltonianSpec, Operator, PauliSum, check_numbers, check_terms
from pvmc.io.earlier import read_parameters
from pvmc.lattice import Lattice, LatticeSpec
from pvmc.mpi import Communicator, bytes_in_words, usable_memory
from pvmc.planning.sizes import Sizes
from pvmc.planning.solver_costs import Choice
from pvmc.sampler import MetropolisSpec, Sampler
from pvmc.spins.configurations import read_arrays, read_configurations
from pvmc.sr import Solver, SRSpec, build_solver, resolve
from pvmc.vmc.automatic import chosen_ansatz, chosen_steps, tied_filters
from pvmc.vmc.refinement import Refinement
from pvmc.vmc.spec import SEED_LIMIT, JobConfig, RunSpec
from pvmc.wavefunctions import AnsatzSpec, ProductSpec, ProjectedSpec
from pvmc.wavefunctions.base import Ansatz
from pvmc.wavefunctions.shared import symmetry_problem


@dataclass(frozen=True)
class Job:
    """A validated input and the objects built from it.

    Attributes:
        config: the resolved input, every default and automatic choice written out.
        lattice: sites, bonds and symmetries.
        operator: the compiled Hamiltonian.
        ansatz: the wave function.
        sampler: what provides configurations.
        solver: the SR solver.
        choice: which of the linear solvers it uses, and why.
        refinement: levels of smaller learning rates, and what moves at each; None for none.
    """

    config: JobConfig
    lattice: Lattice
    operator: Operator
    ansatz: Ansatz
    sampler: Sampler
    solver: Solver
    choice: Choice
    refinement: Refinement | None = None


def load_job(path: Path, overrides: Sequence[str] = ()) -> Job:
    """Read, check and build an input file; the files that it names are opened and checked as well.

    Args:
        path: the TOML file.
        overrides: ``key.path=value`` of the command line.

    Raises:
        InputError: a line with file, key, value and what is allowed for every problem.
    """
    draft = Draft(read_input(path, overrides))
    draft.check_files()
    return draft.finished()


def make_job(source: str | os.PathLike[str] | Mapping[str, Any], overrides: Sequence[str] = ()) -> Job:
    """The job of an input file, or of sections as nested mappings; see :func:`pvmc.job`."""
    if not isinstance(source, Mapping):
        return load_job(Path(source), overrides)
    draft = Draft(overridden(RawInput(dict(source), "the input"), overrides))
    draft.check_files()
    return draft.finished()


class LatticeInput(Section):
    """The section of an input file that is enough to draw a lattice."""

    lattice: LatticeSpec
    """sites and bonds"""


def load_lattice(path: Path, overrides: Sequence[str] = ()) -> Lattice:
    """The lattice of an input file, whatever else the file holds or lacks.

    Raises:
        InputError: one line with file, key, value and what is allowed.
    """
    raw = read_input(path, overrides)
    raw = replace(raw, tables={name: table for name, table in raw.tables.items() if name == "lattice"})
    try:
        return validate(LatticeInput, raw).lattice.build()
    except KeyProblem as problem:
        raise raw.error(problem.key, str(problem)) from None


def build_job(config: JobConfig, raw: RawInput) -> Job:
    """Build every object of a validated config; the checks that need more than one section happen here.

    The files of ``ansatz.start_from``, ``sampler.start_file`` and ``fit.source`` are left alone: an input that a run
    has stored may outlive them.

    Raises:
        InputError: a line with file, key, value and what is allowed for every problem.
    """
    return Draft(raw, config).finished()


def job_of(raw: RawInput) -> Job:
    """Validate an input and build its job; the files that it names are left alone.

    Raises:
        InputError: a line with file, key, value and what is allowed for every problem.
    """
    return build_job(validate(JobConfig, raw), raw)


class Draft:
    """An input on its way to a job: what can be built of it, and everything that is wrong.

    Attributes:
        problems: found so far.
    """

    def __init__(self, raw: RawInput, config: JobConfig | None = None):
        """Validate and build what has no problems; an input that is validated already may be given as ``config``."""
        self.problems = Problems(raw)
        sections = config or sections_of(JobConfig, raw, self.problems)
        found = sections if isinstance(sections, dict) else {name: getattr(sections, name) for name in _SECTIONS}
        self._sections: dict[str, Any] = dict.fromkeys(_SECTIONS) | found
        self._lattice: Lattice | None = None
        self._operator: Operator | None = None
        self._ansatz: Ansatz | None = None
        self._sampler: Sampler | None = None
        self._build()

    def finished(self) -> Job:
        """The job.

        Raises:
            InputError: there are problems; a line for each.
        """
        self.problems.raise_all()
        config = JobConfig.model_construct(**self._sections)
        ansatz, sampler, operator, lattice = self._ansatz, self._sampler, self._operator, self._lattice
        assert ansatz is not None and sampler is not None and operator is not None and lattice is not None
        choice = resolve(config.sr, Sizes.of(ansatz, sampler, uniform_penalty=config.sr.has_uniform_penalty))
        sr = config.sr.model_copy(update={"solver": choice.solver})
        return Job(
            config=config.model_copy(update={"sr": sr}),
            lattice=lattice,
            operator=operator,
            ansatz=ansatz,
            sampler=sampler,
            solver=build_solver(sr, choice.solver),
            choice=choice,
            refinement=_refinement(config, ansatz, lattice, sr),
        )

    def check_files(self) -> None:
        """Open and check the files that the input names, as far as its other sections are good.  For the root alone."""
        ansatz, sampler, fit = (self._sections[name] for name in ("ansatz", "sampler", "fit"))
        attempt, n_sites = self.problems.attempt, self._lattice.n_sites if self._lattice else None
        if ansatz is not None:
            attempt(lambda: check_parameters(ansatz.start_from, self._ansatz))
        magnetization = self._sampler.magnetization if self._sampler else None
        if isinstance(sampler, MetropolisSpec) and sampler.start_file is not None:
            attempt(lambda: check_walkers(str(sampler.start_file), n_sites, magnetization))
        if fit is not None and fit.source is not None:
            attempt(lambda: check_target(fit.target, str(fit.source), n_sites, magnetization))

    def _build(self) -> None:
        """Build the sections, each as far as those that it needs are good."""
        attempt, parts = self.problems.attempt, self._sections
        run, sr, fit = parts["run"], parts["sr"], parts["fit"]
        if run is not None:
            attempt(lambda: _check_seeds(run))
        if sr is not None:
            attempt(sr.check)
        if fit is not None:
            attempt(fit.check)
        lattice = attempt(parts["lattice"].build) if parts["lattice"] is not None else None
        self._lattice = lattice
        if lattice is None:
            return
        ansatz, model = parts["ansatz"], parts["hamiltonian"]
        if ansatz is not None and model is not None and not self.problems.raw.stored:
            ansatz = parts["ansatz"] = attempt(lambda: _with_choices(ansatz, lattice, model, fit is not None)) or ansatz
        self._ansatz = attempt(lambda: _fitting(ansatz, lattice)) if ansatz is not None else None
        compiled = attempt(lambda: _hamiltonian(model, lattice, ansatz)) if model is not None else None
        if compiled is None:
            return
        parts["hamiltonian"], terms, operator = compiled
        self._operator = operator
        if ansatz is not None:
            attempt(lambda: _check_symmetry(ansatz, lattice, terms))
        self._resolve(lattice, operator)
        sampler, sr = parts["sampler"], parts["sr"]
        if run is not None and sr is not None and sampler is not None and self._ansatz is not None:
            parts["sr"], parts["run"], parts["sampler"] = sr, run, sampler = chosen_steps(
                sr, run, sampler, self._ansatz, ansatz, terms
            )
        if sampler is None:
            return
        if ansatz is not None:
            attempt(lambda: _check_spin_flip(ansatz, "ansatz", sampler.fixed_magnetization))
        seed = run.seed if run is not None else 0
        self._sampler = attempt(lambda: sampler.build(lattice, operator, seed))
        if self._sampler is not None and isinstance(sampler, MetropolisSpec) and not self.problems.raw.stored:
            attempt(lambda: sampler.check_reach(lattice, operator))

    def _resolve(self, lattice: Lattice, operator: Operator) -> None:
        """Replace automatic choices by what was chosen."""
        parts = self._sections
        sampler, ansatz, raw = parts["sampler"], parts["ansatz"], self.problems.raw
        if sampler is not None:
            if raw.stored and "sampler.magnetization" not in raw.overridden:
                sampler = sampler.without_idle_magnetization(operator)
            balanced = ansatz is not None and _has_spin_flip(ansatz)
            parts["sampler"] = self.problems.attempt(lambda: sampler.resolved(lattice, operator, balanced=balanced))


def _refinement(config: JobConfig, ansatz: Ansatz, lattice: Lattice, sr: SRSpec) -> Refinement | None:
    """The levels of refinement, with filters that are shared at first; None without levels."""
    levels = config.run.refine
    return None if levels is None else Refinement(levels, tied_filters(config.ansatz, ansatz, lattice, sr))


_SECTIONS = tuple(JobConfig.model_fields)


def with_seed(job: Job, seed: int) -> Job:
    """The job as it is with another ``run.seed``."""
    config = job.config
    run = config.run.model_copy(update={"seed": seed})
    return build_job(config.model_copy(update={"run": run}), RawInput({}, f"the input with run.seed = {seed}"))


def _with_choices(section: AnsatzSpec, lattice: Lattice, model: HamiltonianSpec, is_fit: bool) -> AnsatzSpec:
    """The wave function with its automatic keys; the problems of the model are those of its own section."""
    try:
        check_numbers(model, "hamiltonian")
        return chosen_ansatz(section, lattice, model, is_fit=is_fit)
    except (KeyProblem, KeyProblems, InputError):
        return section


def _check_seeds(run: RunSpec) -> None:
    if run.seed + run.n_starts > SEED_LIMIT:
        left = SEED_LIMIT - run.seed
        raise KeyProblem(
            "run.starts", run.n_starts, f"must be <= {left}, as seeds from run.seed = {run.seed} on are < 2^63"
        )


def _hamiltonian(
    model: HamiltonianSpec, lattice: Lattice, ansatz: AnsatzSpec | None
) -> tuple[HamiltonianSpec, PauliSum, Operator]:
    """The model with its choices made, as a sum and compiled, of couplings whose energies float64 can hold.

    A turn of spins has to keep the symmetries that the wave function has, or may have within its parts.
    """
    check_numbers(model, "hamiltonian")
    symmetry = getattr(ansatz, "symmetry", None)
    compiled = model.compiled(lattice, None if symmetry is None else [symmetry])
    check_terms(compiled[1], model.model)
    return compiled


def _fitting(section: AnsatzSpec, lattice: Lattice) -> Ansatz:
    """The wave function; refused where its parameters and tables alone are more than the memory of this machine."""
    ansatz = section.build(lattice)
    needed, there = ansatz.n_parameters * np.dtype(ansatz.dtype).itemsize + ansatz.table_bytes, usable_memory()
    if there is not None and needed > there:
        name = next((name for name in ("alpha", "widths") if hasattr(section, name)), "kind")
        raise KeyProblem(
            f"ansatz.{name}",
            getattr(section, name),
            f"{ansatz.n_parameters} parameters and their tables take {bytes_in_words(needed)} on every rank; this "
            f"machine has {bytes_in_words(there)}",
        )
    return ansatz


def _check_symmetry(ansatz: AnsatzSpec, lattice: Lattice, terms: PauliSum) -> None:
    """A wave function with symmetries that its Hamiltonian lacks would miss the ground state without a word."""
    symmetry = getattr(ansatz, "symmetry", "none")
    if not all(terms.is_close(terms.permuted(generator)) for generator in lattice.generators.get(symmetry, ())):
        smaller = '"translation" or "none"' if symmetry == "space" else '"none"'
        raise symmetry_problem(ansatz, "this Hamiltonian lacks the symmetry", smaller)


def _has_spin_flip(ansatz: AnsatzSpec) -> bool:
    """True where the eigenvalue of a flip of all spins is fixed, which a magnetisation of 0 alone allows."""
    if isinstance(ansatz, ProductSpec):
        return any(_has_spin_flip(factor) for factor in ansatz.factors)
    return isinstance(ansatz, ProjectedSpec) and (ansatz.spin_flip is not None or _has_spin_flip(ansatz.inner))


def _check_spin_flip(ansatz: AnsatzSpec, key: str, magnetization: int | None) -> None:
    """A flip of all spins leads out of every magnetisation but 0, where it is a quantum number."""
    if isinstance(ansatz, ProductSpec):
        for i, factor in enumerate(ansatz.factors):
            _check_spin_flip(factor, f"{key}.factors[{i}]", magnetization)
    if isinstance(ansatz, ProjectedSpec):
        if ansatz.spin_flip is not None and magnetization:
            allowed = f"no quantum number at magnetization = {magnetization}, out of which a flip of all spins leads"
            raise KeyProblem(f"{key}.spin_flip", ansatz.spin_flip, allowed)
        _check_spin_flip(ansatz.inner, f"{key}.inner", magnetization)


def require_blocks(job: Job, comm: Communicator) -> None:
    """Refuse more ranks than walker blocks.

    Raises:
        InputError: on every rank.
    """
    n_blocks = job.sampler.n_blocks
    with on_every_rank():
        if comm.size > n_blocks:
            raise InputError(
                f"{comm.size} ranks, but {n_blocks} block{'s' if n_blocks > 1 else ''} of walkers "
                f"({job.sampler.describe()}): use at most {n_blocks}, more walkers, or a smaller sampler.block_width"
            )


def rank_counts(job: Job, ranks: int | None) -> list[int]:
    """The given number of ranks, or 1, 2, 4, ... up to the number of blocks; InputError where there are fewer."""
    n_blocks = job.sampler.n_blocks
    if ranks and ranks > n_blocks:
        raise InputError(
            f"--ranks {ranks}: this job has {n_blocks} blocks of walkers and can use at most as many ranks"
        )
    return [ranks] if ranks else [2**k for k in range(n_blocks.bit_length()) if 2**k <= n_blocks][:8]


def check_parameters(source: str | None, ansatz: Ansatz | None) -> None:
    """Check that ``ansatz.start_from`` is a run or a fit with finite parameters of this wave function.

    Args:
        source: the key's value.
        ansatz: the wave function; None where it could not be built, and the file alone is looked at.

    Raises:
        KeyProblem: it is none.
    """
    if source is None:
        return
    with _of_key("ansatz.start_from", source):
        saved = read_parameters(source)
        if ansatz is not None:
            saved.fitting(ansatz.parameter_blocks, ansatz.dtype)


def check_walkers(source: str, n_sites: int | None, magnetization: int | None) -> None:
    """Check that ``sampler.start_file`` holds configurations of N spins and of the magnetisation that the moves keep.

    Raises:
        KeyProblem: it does not.
    """
    with _of_key("sampler.start_file", source):
        if n_sites is None:
            read_arrays(source)
        else:
            read_configurations(source, n_sites, magnetization)


def check_target(target: str, source: str, n_sites: int | None, magnetization: int | None) -> None:
    """Check that ``fit.source`` holds amplitudes of configurations, or is a run or a fit with parameters of N spins.

    Args:
        target: ``fit.target``, "file" or "run"; other ones have no source.
        source: ``fit.source``.
        n_sites: N; None where it is not known.
        magnetization: sum that every configuration must have, or None.

    Raises:
        KeyProblem: it is none.
    """
    with _of_key("fit.source", source):
        if target == "file" and n_sites is not None:
            from_file(source, n_sites, magnetization, None, "target")
        elif target == "file":
            read_arrays(source)
        elif target == "run":
            saved = read_parameters(source)
            if n_sites is not None and saved.n_sites != n_sites:
                raise InputError(f"{saved.path} has {saved.n_sites} sites, not {n_sites}")


@contextmanager
def _of_key(key: str, value: str) -> Iterator[None]:
    """Problems of a file as problems of the key that names it."""
    try:
        yield
    except (InputError, StorageError) as error:
        raise KeyProblem(key, value, str(error).removeprefix(f"{key}: ").removeprefix(f"{value}: ")) from None
    except OSError as error:  # a name that no file can have
        raise KeyProblem(key, value, f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise KeyProblem(key, value, f"cannot be read: {error}") from None
