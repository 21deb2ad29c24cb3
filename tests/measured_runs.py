"""Results files with exact measurements in them: correlations, structure factors and entropies of the ground state."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import eigsh

from pvmc.hamiltonians import Operator
from pvmc.io.reader import open_run
from pvmc.lattice import Lattice
from pvmc.lattice.unit_cell import minimum_image
from pvmc.results.stored_system import system_of
from tests.helpers import compiled_matrix, configurations

Floats = npt.NDArray[np.float64]


def ground_state(source: Path) -> tuple[Lattice, Floats]:
    """The lattice of a run, and the exact ground state of its Hamiltonian, (2^N,)."""
    system = system_of(open_run(source))
    matrix = compiled_matrix(Operator.from_pauli_sum(system.terms, system.lattice.n_sites)).real
    state = eigsh(matrix, k=1, which="SA", v0=np.ones(matrix.shape[0]))[1][:, 0]
    return system.lattice, np.asarray(state)


def correlations(lattice: Lattice, state: Floats) -> tuple[Floats, Floats]:
    """Displacements (N, d) from site 0 and <sigma^z_0 sigma^z_r> averaged over translations, (N,)."""
    spins = configurations(lattice.n_sites).astype(np.float64)
    pairs = (spins * state**2) @ spins.T
    group = lattice.group("translation")
    value = np.mean([pairs[np.ix_(g, g)][0] for g in group], axis=0)
    return minimum_image(lattice.positions - lattice.positions[0], lattice.periods), value


def entropies(lattice: Lattice, state: Floats) -> Floats:
    """S_2 of the first 1, 2, ..., N - 1 sites, in nats: the Schmidt coefficients give Tr rho^2 = sum_k s_k^4."""
    cuts = [state.reshape(-1, 2**size) for size in range(1, lattice.n_sites)]  # the first site is the last factor
    return np.array([-np.log(np.sum(np.linalg.svd(cut, compute_uv=False) ** 4)) for cut in cuts])


def with_measurement(source: Path, target: Path, error: float = 1e-3) -> dict[str, Any]:
    """A copy of a run's file with one finished measurement, of exact values with a made-up error; the values."""
    lattice, state = ground_state(source)
    displacement, value = correlations(lattice, state)
    momenta, entropy = lattice.momenta(), entropies(lattice, state)
    factor = (np.exp(-1j * momenta @ displacement.T) @ value).real
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("checkpoint*"))
    with h5py.File(target / "run.h5", "r+") as file:
        group = file.create_group("measurements/0001")
        group.attrs.update({"status": "finished", "iteration": 10, "n_samples": 1000, "seed": 1})
        arrays = {"correlation_zz": (value, "displacement"), "structure_factor_zz": (factor, "momentum")}
        arrays["renyi2"] = (entropy, "region")
        for name, (array, axis) in arrays.items():
            for full, numbers in ((name, array), (f"{name}_error", np.full(array.shape, error))):
                group[full] = numbers
                group[full].attrs["units"] = "1"
                group[full].dims[0].label = axis
        group["displacement"], group["momentum"] = displacement, momenta
        group["region_size"] = np.arange(1, lattice.n_sites)
        group["distance"] = np.linalg.norm(displacement, axis=1)
        for name, number in (("energy", -7.0), ("variance", 0.01)):
            group[name], group[f"{name}_error"] = number, 0.001
            group[name].attrs["units"] = "J"
    found = {"displacement": displacement, "value": value, "momenta": momenta, "factor": factor, "entropy": entropy}
    return found | {"lattice": lattice}
