"""Models whose coupling depends on the direction of the bond: Kitaev and compass, in units of sigma.sigma."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pvmc.hamiltonians.geometry import bonds_by_direction
from pvmc.hamiltonians.heisenberg import Vector
from pvmc.hamiltonians.pauli import PauliSum, pair_sum, site_sum
from pvmc.hamiltonians.rotation import FieldModel, lattice_problem
from pvmc.lattice import Lattice, LatticeError


class KitaevSpec(FieldModel):
    """H = -sum_{a = x, y, z} K_a sum_{a bonds} sigma^a_i sigma^a_j - sum_i h . sigma_i over nearest neighbours.

    A lattice with three directions of bonds is needed: the honeycomb (Kitaev, Ann. Phys. 321, 2 (2006), whose spin
    liquid is solved exactly at h = 0) or the triangular one.  The x, y and z bonds are those of the smallest, the
    middle and the largest angle to the x axis, between 0 and 180 degrees.
    """

    model: Literal["kitaev"]
    """Kitaev model: the bonds' directions choose the component of the spins that couples"""
    couplings: Vector = (1.0, 1.0, 1.0)
    """[Kx, Ky, Kz], energy unit; positive is ferromagnetic"""
    field: Vector = (0.0, 0.0, 0.0)
    """[hx, hy, hz], uniform field"""

    def written(self, lattice: Lattice) -> PauliSum:
        """The operator on a lattice; raises KeyProblem where it has not three directions of bonds."""
        bonds = _directions(lattice, self.model, 3, "the honeycomb or the triangular lattice")
        terms = PauliSum.total(
            pair_sum(p + p, b, -k * c) for p, (b, c), k in zip("XYZ", bonds, self.couplings, strict=True)
        )
        fields = (site_sum(p, np.full(lattice.n_sites, -h)) for p, h in zip("XYZ", self.field, strict=True))
        return terms + PauliSum.total(fields)

    @property
    def energy_unit(self) -> str:
        """Unit of the energies."""
        return "K (sigma.sigma)"


class CompassSpec(FieldModel):
    """H = -Jx sum_{horizontal} sigma^x_i sigma^x_j - Jz sum_{vertical} sigma^z_i sigma^z_j, the quantum compass model.

    The two directions of bonds of a rectangle take the place of Kitaev's three.  Kugel and Khomskii, Sov. Phys. Usp.
    25, 231 (1982); Dorier, Becca and Mila, Phys. Rev. B 72, 024448 (2005).
    """

    model: Literal["compass"]
    """quantum compass model on the rectangle"""
    couplings: Annotated[tuple[float, float], Field(strict=False)] = (1.0, 1.0)
    """[Jx, Jz] of the bonds along x and along y, energy unit; positive is ferromagnetic"""

    def written(self, lattice: Lattice) -> PauliSum:
        """The operator on a lattice; raises KeyProblem where it has not two directions of bonds."""
        bonds = _directions(lattice, self.model, 2, "the rectangle")
        return PauliSum.total(
            pair_sum(p + p, b, -j * c) for p, (b, c), j in zip("XZ", bonds, self.couplings, strict=True)
        )

    @property
    def energy_unit(self) -> str:
        """Unit of the energies."""
        return "J (sigma.sigma)"


def _directions(
    lattice: Lattice, model: str, wanted: int, example: str
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """The bonds of each direction and their couplings, by ascending angle.

    Raises:
        KeyProblem: there are not as many directions as wanted.
    """
    try:
        found = bonds_by_direction(lattice)
    except LatticeError as error:
        raise lattice_problem(model, error) from None
    if len(found) != wanted:
        angles = ", ".join(f"{angle:g}" for angle, _, _ in found)
        raise lattice_problem(
            model,
            f"needs a lattice with {wanted} directions of bonds, such as {example}; here they lie at {angles} degrees",
        )
    return [(bonds, couplings) for _, bonds, couplings in found]
