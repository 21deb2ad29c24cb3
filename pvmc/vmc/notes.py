"""What a user is told of an input before it runs: the frame and the signs of H, and where the moves lead."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydantic import TypeAdapter

from pvmc.config.section import shown
from pvmc.config.writing import stored_tables
from pvmc.errors import InputError, StorageError
from pvmc.hamiltonians import HamiltonianSpec
from pvmc.hamiltonians.rotation import chosen_turn
from pvmc.hamiltonians.signs import amplitude_signs, is_stoquastic
from pvmc.io.fit_file import fit_file
from pvmc.io.reader import open_run
from pvmc.lattice import GraphSpec, LatticeSpec
from pvmc.sampler import MetropolisSpec
from pvmc.vmc.job import Job

FEW = 8
"""Most numbers of sites that a line lists."""


def notes(job: Job) -> list[str]:
    """The lines, those that ask for a change begin with "warning:"."""
    return [*_signs(job), *_other_frame(job), *_unnamed_sites(job), *_moves(job)]


def _signs(job: Job) -> Iterator[str]:
    """Which spins are turned about z, and the signs of the off-diagonal elements after that."""
    model, operator = job.config.hamiltonian, job.operator
    key, turned = f"hamiltonian.{model.turn_key}", np.flatnonzero(model.signs(job.lattice) < 0).tolist()
    if model.turn is True:
        which = "all spins" if len(turned) == job.lattice.n_sites else "the spins of one sublattice"
        frame = f"{which} are turned by pi about z ({key} = true)"
    elif turned:
        which = f"spin of the site {turned[0]} is" if len(turned) == 1 else f"spins of the sites {listed(turned)} are"
        frame = f"the {which} turned by pi about z ({key})"
    else:
        frame = f"no spin is turned about z ({key} = false)"
    if is_stoquastic(operator):
        yield f"signs: {frame}; no off-diagonal element of H is positive: its ground state can be taken positive"
        return
    signs = "complex off-diagonal elements" if not operator.is_real else "off-diagonal elements of both signs"
    if operator.is_real and np.all(amplitude_signs(operator) == 1):
        signs = "positive off-diagonal elements"
    yield f"signs: {frame}; H has {signs}, and its ground state need not be positive"
    better = _better_turn(job)
    if better and _is_positive(job):
        yield f'warning: psi is positive whatever its parameters are, the ground state of H is with {key} = "auto"'
    elif better:
        yield f'{key} = "auto" would leave no positive element off the diagonal of H, an easier ground state'
    elif _is_positive(job):
        yield 'psi is positive whatever its parameters are; where the energy stays high, try ansatz.weights = "complex"'


def _better_turn(job: Job) -> bool:
    """Whether another turn leaves no off-diagonal element positive."""
    model = job.config.hamiltonian
    unturned = job.operator.turned_about_z(model.signs(job.lattice))
    turn = chosen_turn(job.lattice, unturned, model.named_turn(job.lattice))
    chosen = model.model_copy(update={model.turn_key: turn})
    return is_stoquastic(unturned.turned_about_z(chosen.signs(job.lattice)))


def _is_positive(job: Job) -> bool:
    """Whether psi is positive whatever its parameters are."""
    if job.ansatz.dtype != np.float64:
        return False
    psi = job.ansatz.at(np.zeros(job.ansatz.n_parameters, dtype=job.ansatz.dtype))
    return bool(psi.dtype == np.float64)


def _other_frame(job: Job) -> Iterator[str]:
    """Parameters of another run in whose frame other spins are turned: with the signs of this one, another state."""
    source, model = job.config.ansatz.start_from, job.config.hamiltonian
    if source is None or fit_file(source).is_file():
        return
    try:
        tables = stored_tables(str(open_run(source).attributes["config"]))
    except (InputError, StorageError):  # of a run that goes on its first parameters may be gone
        return
    old: HamiltonianSpec = TypeAdapter(HamiltonianSpec).validate_python(tables["hamiltonian"])
    if old.turn == "auto":
        return
    lattice: LatticeSpec = TypeAdapter(LatticeSpec).validate_python(tables["lattice"])
    signs, here = old.signs(lattice.build()), model.signs(job.lattice)
    if len(signs) != len(here) or np.array_equal(signs, here):
        return
    if job.config.sampler.fixed_magnetization is not None and np.array_equal(signs, -here):
        return  # the same state, but for a phase
    turned = np.flatnonzero(signs < 0).tolist()
    value = shown(old.turn if old.turn_key == model.turn_key else turned or False)
    text = "its parameters are of a frame in which other spins are turned by pi about z, and mean another state here"
    yield f'warning: ansatz.start_from = "{source}": {text}; set hamiltonian.{model.turn_key} = {value} to keep it'


def _unnamed_sites(job: Job) -> Iterator[str]:
    """Sites of a graph that no edge names, where their number was not given: numbers that begin with 1, most often."""
    lattice, config = job.lattice, job.config.lattice
    if not isinstance(config, GraphSpec) or config.sites is not None:
        return
    unnamed = sorted(set(range(lattice.n_sites)) - set(lattice.bonds().ravel().tolist()))
    if unnamed:
        cause = "sites count from 0; does this list count from 1?" if unnamed == [0] else "sites count from 0"
        plural = "s" if len(unnamed) > 1 else ""
        wanted = f"if it is meant, say so by lattice.sites = {lattice.n_sites}"
        yield f"warning: lattice.edges: no edge names the site{plural} {listed(unnamed)} ({cause}); {wanted}"


def _moves(job: Job) -> Iterator[str]:
    """Moves that do not lead everywhere, or are not known to."""
    sampler = job.config.sampler
    if not isinstance(sampler, MetropolisSpec):
        return
    found = sampler.reach(job.lattice, job.operator)
    if found.complete is False:
        yield f"warning: sampler.moves: {found.words}; {sampler.joining_move}"
    elif found.complete is None:
        yield f"sampler.moves: {found.words}; {sampler.joining_move}, if in doubt"


def listed(sites: list[int]) -> str:
    """Numbers of sites, the first of many."""
    return ", ".join(map(str, sites[:FEW])) + (", ..." if len(sites) > FEW else "")
