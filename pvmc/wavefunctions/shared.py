"""Parts that the wave functions of pvmc share: the section of the input, parameters by name, the results of a state."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pvmc.config import KeyProblem, Section
from pvmc.errors import InputError, NumericalError
from pvmc.numerics.arrays import Booleans, Floats, Integers, Numbers, Spins, plane_view
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions.base import Blocks


class LatticeOfSites(Protocol):
    """The part of a lattice that wave functions need."""

    @property
    def n_sites(self) -> int:
        """N."""
        ...

    @property
    def positions(self) -> Floats:
        """Of the sites, (N, d)."""
        ...

    @property
    def generators(self) -> Mapping[str, Integers]:
        """Under "translation": one step along each periodic direction, (n_periodic, N)."""
        ...

    def bonds(self) -> Integers:
        """Pairs of nearest neighbours, (n_bonds, 2)."""
        ...

    def group(self, name: str) -> npt.NDArray[np.int64]:
        """Permutations of the named symmetry group, int64 (|G|, N)."""
        ...


class AnsatzSection(Section):
    """Base of the sections that describe a wave function."""

    start_from: str | None = None
    """Run or fit whose last saved parameters are the first ones here; default: random parameters"""


def symmetry_permutations(section: AnsatzSection, lattice: LatticeOfSites) -> npt.NDArray[np.int64]:
    """The symmetry group that the key ``symmetry`` of a section names, int64 (|G|, N).

    Raises:
        KeyProblem: the lattice has no such group.
    """
    symmetry = _symmetry(section)
    try:
        return lattice.group(symmetry)
    except InputError as error:
        known = str(error).rpartition(": ")[2].removeprefix("this lattice has ")
        problem = symmetry_problem(section, f"this lattice has {known}", known)
    raise problem


def symmetry_problem(section: AnsatzSection, why: str, allowed: str) -> KeyProblem:
    """The refusal of ``ansatz.symmetry``; where the input does not give it, it is said to be the default.

    Args:
        section: the wave function.
        why: what is wrong with it.
        allowed: what may stand in its place.
    """
    given = "symmetry" in section.model_fields_set and getattr(section, "symmetry", None) is not None
    text = f"{why}; must be {allowed}" if given else f"the default, but {why}; set ansatz.symmetry = {allowed}"
    return KeyProblem("ansatz.symmetry", _symmetry(section), text)


def _symmetry(section: AnsatzSection) -> str:
    """The name of a section's group: without the key "none", and by default "translation"."""
    return str(getattr(section, "symmetry", "none") or "translation")


def refuse_start(section: AnsatzSection, key: str) -> None:
    """Refuse ``start_from`` in a wave function within another, whose parameters are those of the whole.

    Raises:
        KeyProblem: it is given.
    """
    if section.start_from is not None:
        raise KeyProblem(
            f"{key}.start_from", section.start_from, "belongs into [ansatz]; parts have no start of their own"
        )


# Parameters -----------------------------------------------------------------------------------------------------------


def gaussian(rng: np.random.Generator, n_parameters: int, dtype: np.dtype[Any], scale: float) -> Numbers:
    """Independent Gaussians of standard deviation ``scale``, real and imaginary parts each; (K,)."""
    theta = np.empty(n_parameters, dtype=dtype)
    theta.view(np.float64)[:] = rng.normal(scale=scale, size=theta.view(np.float64).shape)
    return theta


def require_finite(theta: Numbers, n_parameters: int, dtype: np.dtype[Any], name: str = "wave function") -> None:
    """Raise ValueError where theta has another shape or dtype, NumericalError where it is not finite."""
    if theta.shape != (n_parameters,) or theta.dtype != dtype:
        raise ValueError(f"theta must be {dtype} ({n_parameters},), got {theta.dtype} {theta.shape}")
    if not np.all(np.isfinite(theta)):
        raise NumericalError(f"the parameters of the {name} are not finite")


class NamedParameters:
    """Base of an :class:`pvmc.wavefunctions.base.Ansatz` whose theta is a row of named arrays.

    Attributes:
        n_sites: N.
        dtype: of theta, float64 or complex128.
        parameter_blocks: name -> (slice of theta, shape).
        n_parameters: K.
        init_scale: standard deviation of the first parameters; None for automatic ones.
    """

    def __init__(
        self, n_sites: int, dtype: npt.DTypeLike, shapes: Mapping[str, tuple[int, ...]], init_scale: float | None
    ) -> None:
        """Lay the arrays of these shapes out one after the other."""
        self.n_sites = n_sites
        self.dtype = np.dtype(dtype)
        ends = np.cumsum([prod(shape) for shape in shapes.values()]).tolist()
        self.parameter_blocks: Blocks = {
            name: (slice(end - prod(shape), end), shape)
            for (name, shape), end in zip(shapes.items(), ends, strict=True)
        }
        self.n_parameters: int = ends[-1]
        self.init_scale = init_scale

    def block(self, theta: Numbers, name: str) -> Numbers:
        """A named part of theta (or of any array with K as first axis), in its own shape."""
        part, shape = self.parameter_blocks[name]
        return theta[part].reshape(shape + theta.shape[1:])

    def initial_parameters(self, rng: np.random.Generator) -> Numbers:
        """Independent Gaussians, (K,): of standard deviation ``init_scale``, or of :meth:`automatic_scales`."""
        if self.init_scale is not None:
            return gaussian(rng, self.n_parameters, self.dtype, self.init_scale)
        theta = gaussian(rng, self.n_parameters, self.dtype, 1.0)
        for name, scales in self.automatic_scales().items():
            part, shape = self.parameter_blocks[name]
            theta[part] *= np.broadcast_to(scales, shape).ravel()
        return theta

    def automatic_scales(self) -> Mapping[str, float | Floats]:
        """Standard deviations of the first parameters by block, of real and imaginary parts each, if none is given."""
        raise NotImplementedError


# States ---------------------------------------------------------------------------------------------------------------


class Proposals(NamedTuple):
    """Metropolis steps that all walkers of a block are offered: step t flips the set ``chosen[t]``.

    Attributes:
        flips, conserving, chosen, uniforms: see :meth:`pvmc.wavefunctions.base.WaveFunction.metropolis`.
    """

    flips: FlipSets
    conserving: Booleans
    chosen: Integers
    uniforms: Floats

    @property
    def arrays(self) -> tuple[Integers, Integers, Booleans, Integers, Floats]:
        """As the kernels take them: offsets and sites of the sets, conserving, chosen, uniforms."""
        return self.flips.offsets, self.flips.sites, self.conserving, self.chosen, self.uniforms

    def after(self, n_steps: int) -> Proposals:
        """The steps that are left after the first ones."""
        return self._replace(chosen=self.chosen[n_steps:], uniforms=self.uniforms[n_steps:])


class FixedState:
    """Base of a :class:`pvmc.wavefunctions.base.WaveFunction`: makes the arrays that the subclass fills.

    Attributes:
        dtype: of ln psi.
        n_parameters: K.
    """

    dtype: np.dtype[Any]
    n_parameters: int

    def ratios(self, spins: Spins, lookup: Floats, flips: FlipSets, wanted: Booleans) -> Numbers:
        """psi(s')/psi(s), (n_flips, L), 0 where not wanted; inf beyond the range of float64, never NaN."""
        out = np.empty(wanted.shape, dtype=self.dtype)
        self.fill_ratios(spins, lookup, flips, wanted, plane_view(out))
        return out

    def metropolis(
        self,
        spins: Spins,
        lookup: Floats,
        flips: FlipSets,
        conserving: Booleans,
        chosen: Integers,
        uniforms: Floats,
    ) -> Integers:
        """Metropolis steps on all walkers, see :meth:`pvmc.wavefunctions.base.WaveFunction.metropolis`."""
        accepted = np.zeros(spins.shape[1], dtype=np.int64)
        self.step(spins, lookup, Proposals(flips, conserving, chosen, uniforms), accepted)
        return accepted

    def log_derivatives(self, spins: Spins, lookup: Floats, out: Numbers | None = None) -> Numbers:
        """O_k = d ln psi / d theta_k, (K, L), into ``out`` where it is given."""
        if out is None:
            out = np.empty((self.n_parameters, spins.shape[1]), dtype=self.dtype)
        self.fill_derivatives(spins, lookup, out)
        return out

    def fill_ratios(self, spins: Spins, lookup: Floats, flips: FlipSets, wanted: Booleans, out: Floats) -> None:
        """Write the ratios into ``out``, float64 (n_flips, L, n_planes)."""
        raise NotImplementedError

    def step(self, spins: Spins, lookup: Floats, proposals: Proposals, accepted: Integers) -> None:
        """Carry out the steps on spins and look-up, and add the accepted ones to ``accepted``, int64 (L,)."""
        raise NotImplementedError

    def fill_derivatives(self, spins: Spins, lookup: Floats, out: Numbers) -> None:
        """Write O_k into ``out``, (K, L) of ``dtype``."""
        raise NotImplementedError
