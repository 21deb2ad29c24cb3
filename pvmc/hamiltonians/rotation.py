"""The base of the models, and the frame that a model's Hamiltonian is taken in: some spins turned by pi about z.

The turn U = prod_i sigma^z_i over these spins is diagonal, so that spectrum and probabilities stay.  On one sublattice
of an antiferromagnet it is the Marshall sign rotation.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from pvmc.config import InWords, KeyProblem, Section
from pvmc.hamiltonians.operator import Operator
from pvmc.hamiltonians.pauli import ROUNDING, PauliSum
from pvmc.hamiltonians.signs import Signs, amplitude_signs, mean_amplitude, removing_signs
from pvmc.lattice import Lattice, LatticeError

Turn = Annotated[
    bool | Literal["auto"] | list[Annotated[int, Field(ge=0)]],
    InWords('"auto", true, false or a list of the sites to turn'),
]
"""Which spins are turned: those that the model's key means by true, none, those of a list, or what is best."""


class Model(Section):
    """Base of the models: the Hamiltonian as it is written down, and the frame that it is taken in."""

    turn_key: ClassVar[str]
    """The key of the model that says which spins are turned, a :obj:`Turn`."""

    needs_bonds: ClassVar[bool] = True
    """True where the model is one of neighbours, which a graph without edges does not have."""

    @abstractmethod
    def written(self, lattice: Lattice) -> PauliSum:
        """The Hamiltonian on a lattice with no spin turned; raises KeyProblem where there is none."""

    def checked(self, lattice: Lattice) -> PauliSum:
        """:meth:`written`; raises KeyProblem where there are no bonds for a model that needs them."""
        if self.needs_bonds and len(lattice.bonds()) == 0:
            raise KeyProblem("lattice.edges", [], "must not be empty: this Hamiltonian couples neighbours")
        return self.written(lattice)

    def build(self, lattice: Lattice) -> PauliSum:
        """The Hamiltonian on a lattice, the spins turned that the key says.

        Raises:
            KeyProblem: there is no such Hamiltonian on this lattice, or no such turn.
        """
        terms = self.checked(lattice)
        if self.turn == "auto":
            return self.resolved(lattice, Operator.from_pauli_sum(terms, lattice.n_sites)).turned(terms, lattice)
        return self.turned(terms, lattice)

    def compiled(self, lattice: Lattice, symmetries: Iterable[str] | None = None) -> tuple[Self, PauliSum, Operator]:
        """The model with its turn chosen, and its Hamiltonian as a sum and compiled; raises as :meth:`build`.

        Args:
            lattice: the lattice.
            symmetries: as of :meth:`resolved`.
        """
        terms = self.checked(lattice)
        operator = Operator.from_pauli_sum(terms, lattice.n_sites)
        model = self.resolved(lattice, operator, symmetries)
        signs = model.signs(lattice)
        return model, model.turned(terms, lattice), operator if np.all(signs == 1) else operator.turned_about_z(signs)

    def resolved(self, lattice: Lattice, operator: Operator, symmetries: Iterable[str] | None = None) -> Self:
        """The model with the automatic choice of a turn replaced by what was chosen.

        Args:
            lattice: the lattice.
            operator: the compiled Hamiltonian with no spin turned.
            symmetries: names of the lattice's groups that a turn must keep; all of them unless given.
        """
        if self.turn != "auto":
            return self
        chosen = chosen_turn(lattice, operator, self.named_turn(lattice), symmetries)
        return self.model_copy(update={self.turn_key: chosen})

    def signs(self, lattice: Lattice) -> Signs:
        """-1 on the sites whose spins are turned, else +1, int8 (N,); the choice must have been made.

        Raises:
            KeyProblem: no such turn on this lattice.
        """
        key, turn, n_sites = f"hamiltonian.{self.turn_key}", self.turn, lattice.n_sites
        if turn == "auto":
            raise ValueError("which spins are turned is chosen before they are")
        if turn is True:
            return self.named_turn(lattice, required=True)
        signs = np.ones(n_sites, dtype=np.int8)
        if isinstance(turn, list):
            if max(turn, default=0) >= n_sites:
                raise KeyProblem(key, turn, f"site {max(turn)} lies outside the lattice; sites are 0 to {n_sites - 1}")
            if len(set(turn)) < len(turn):
                raise KeyProblem(key, turn, "names a site twice")
            signs[turn] = -1
        return signs

    def turned(self, terms: PauliSum, lattice: Lattice) -> PauliSum:
        """An operator after the turn of :meth:`signs`."""
        signs = self.signs(lattice)
        return terms if np.all(signs == 1) else terms.turned_about_z(signs.tolist())

    @property
    def turn(self) -> bool | str | list[int]:
        """Which spins are turned, as the key says it."""
        found: bool | str | list[int] = getattr(self, self.turn_key)
        return found

    @abstractmethod
    def named_turn(self, lattice: Lattice, required: bool = False) -> Signs:
        """The signs of the turn that the key means by true, int8 (N,); all +1 where there is none.

        Raises:
            KeyProblem: it is required, and there is none on this lattice.
        """


class MarshallModel(Model):
    """Base of the models with exchange of neighbours: true turns one sublattice."""

    turn_key = "marshall"

    marshall: Turn = "auto"
    """spins turned by pi about z: true (one sublattice, the Marshall sign rule), false (none) or a list of sites; auto:
    those that leave no off-diagonal element positive, where there are such, else the better of true and false"""

    def named_turn(self, lattice: Lattice, required: bool = False) -> Signs:
        """One sublattice."""
        try:
            return lattice.sublattices()
        except LatticeError as error:
            if required:
                raise KeyProblem("hamiltonian.marshall", True, f"needs a bipartite lattice: {error}") from None
            return np.ones(lattice.n_sites, dtype=np.int8)


class FieldModel(Model):
    """Base of the models in which a transverse field flips spins: true turns all of them."""

    turn_key = "rotate"

    rotate: Turn = "auto"
    """spins turned by pi about z: true (all), false (none) or a list of sites; auto: those that leave no off-diagonal
    element positive, where there are such, else the better of true and false"""

    def named_turn(self, lattice: Lattice, required: bool = False) -> Signs:
        """All spins."""
        return np.full(lattice.n_sites, -1, dtype=np.int8)


def chosen_turn(
    lattice: Lattice, operator: Operator, named: Signs, symmetries: Iterable[str] | None = None
) -> bool | list[int]:
    """The turn that leaves no off-diagonal element of a Hamiltonian positive, or the better one of two.

    None, if it does; else the named one, if it does; else another one, if there is one.  Where there is none, it is the
    one of the first two in which the state of equal amplitudes has the lower energy, which is the one with less
    positive weight off the diagonal; of those that keep the symmetries that the wave function has.

    Args:
        lattice: the lattice.
        operator: the Hamiltonian with no spin turned.
        named: signs of the turn that the model's key means by true, (N,).
        symmetries: names of the lattice's groups that the turn must keep; all of them unless given.

    Returns:
        As the key has it: false, true, or the sites.
    """
    signs, flips, none = amplitude_signs(operator), operator.flips, np.ones(lattice.n_sites, dtype=np.int8)
    for turn, turned in ((False, none), (True, named)):
        if np.array_equal(flips.products(turned), -signs):
            return turn
    if (found := removing_signs(flips, signs, lattice.n_sites)) is not None:
        return [int(site) for site in np.flatnonzero(found < 0)]
    keeps = all(
        np.array_equal(flips.products(named[generator]), flips.products(named))
        for name in (lattice.generators if symmetries is None else symmetries)
        for generator in lattice.generators.get(name, ())
    )
    plain, turned_mean = mean_amplitude(operator, none), mean_amplitude(operator, named)
    return bool(keeps and turned_mean < plain - ROUNDING * abs(plain))


def lattice_problem(model: str, error: LatticeError | str) -> KeyProblem:
    """The refusal of a model on a lattice that lacks what it needs."""
    return KeyProblem("hamiltonian.model", model, str(error))
