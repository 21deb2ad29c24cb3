"""Local energies against the matrix of the Hamiltonian, over all configurations."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pvmc.estimators import estimate, local_energy, reduce_moments
from pvmc.hamiltonians import Operator, PauliSum, X, Y, Z
from pvmc.hamiltonians.heisenberg import xxz
from pvmc.hamiltonians.ising import transverse_field_ising
from pvmc.lattice import chain, rectangle
from pvmc.mpi import SerialCommunicator
from pvmc.sampler import Samples
from pvmc.wavefunctions import RBM
from tests.helpers import configurations, kronecker_sum, labels_of, random_rbm, random_strings, state_vector

pytestmark = pytest.mark.exact

N_SITES = 6
RING = chain(N_SITES)

HAMILTONIANS: dict[str, PauliSum] = {
    "ising": transverse_field_ising(N_SITES, RING.bonds(), 1.0, 0.8),
    "heisenberg": xxz(RING.bonds(), 1.0, 1.0),
    "heisenberg, Marshall": xxz(RING.bonds(), 1.0, 1.0, RING.sublattices()),
    "random real": random_strings(np.random.default_rng(1), N_SITES, 20, "XZ"),
    "random complex": random_strings(np.random.default_rng(2), N_SITES, 20),
}

HEISENBERG = ("heisenberg", "heisenberg, Marshall")


@pytest.fixture(params=HAMILTONIANS)
def hamiltonian(request: pytest.FixtureRequest) -> PauliSum:
    return HAMILTONIANS[request.param]


@pytest.fixture(params=["none", "translation", "space"])
def symmetry(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[np.float64, np.complex128], ids=["real", "complex"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


def local_energies(terms: PauliSum, rbm: RBM, theta: npt.NDArray[Any], spins: npt.NDArray[np.int8]) -> npt.NDArray[Any]:
    psi = rbm.at(theta)
    return local_energy(Operator.from_pauli_sum(terms, rbm.n_sites), psi, spins, psi.lookup(spins))


def test_each_local_energy_is_the_row_of_h_psi(hamiltonian: PauliSum, symmetry: str, dtype: Any) -> None:
    """E_loc(s) = (H psi)(s) / psi(s)."""
    spins = configurations(N_SITES)
    matrix = kronecker_sum(hamiltonian, N_SITES)
    for seed in range(3):
        rbm, theta = random_rbm(N_SITES, dtype, symmetry, seed=seed)
        vector = state_vector(rbm.at(theta), spins)
        energies = local_energies(hamiltonian, rbm, theta, spins)
        np.testing.assert_allclose(energies, matrix @ vector / vector, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("magnetization", [-4, 0, 2])
@pytest.mark.parametrize("name", HEISENBERG)
def test_within_one_magnetization(name: str, magnetization: int, dtype: Any) -> None:
    """The same with H restricted to the configurations; the average is then <psi|H|psi>."""
    spins = configurations(N_SITES, magnetization)
    rows = labels_of(spins)
    matrix = kronecker_sum(HAMILTONIANS[name], N_SITES)[np.ix_(rows, rows)]
    rbm, theta = random_rbm(N_SITES, dtype, "translation", scale=0.5)
    vector = state_vector(rbm.at(theta), spins)
    energies = local_energies(HAMILTONIANS[name], rbm, theta, spins)
    np.testing.assert_allclose(energies, matrix @ vector / vector, rtol=1e-11, atol=1e-11)
    assert abs(np.sum(np.abs(vector) ** 2 * energies) - np.vdot(vector, matrix @ vector)) < 1e-12 * 6


def test_real_unless_something_is_complex() -> None:
    spins = configurations(N_SITES)
    for name in ("ising", "random complex"):
        for dtype in (np.float64, np.complex128):
            energies = local_energies(HAMILTONIANS[name], *random_rbm(N_SITES, dtype), spins)
            assert energies.dtype == (np.float64 if (name, dtype) == ("ising", np.float64) else np.complex128)


@pytest.mark.parametrize("symmetry_kept", ["translation", "space"])
def test_symmetric_psi_and_hamiltonian_give_symmetric_local_energies(symmetry_kept: str, dtype: Any) -> None:
    spins = configurations(N_SITES)
    rbm, theta = random_rbm(N_SITES, dtype, symmetry_kept)
    energies = local_energies(HAMILTONIANS["heisenberg, Marshall"], rbm, theta, spins)
    for permutation in rbm.permutations:
        np.testing.assert_allclose(energies[labels_of(spins[permutation])], energies, rtol=0, atol=1e-12)


# Exact eigenstates that an RBM can represent --------------------------------------------------------------------------


def product_state(site_bias: complex, dtype: Any) -> tuple[RBM, npt.NDArray[Any]]:
    """psi(s) = exp(a sum_i s_i), with hidden units that do nothing."""
    rbm, theta = random_rbm(N_SITES, dtype, "translation")
    theta[:] = 0.0
    rbm.block(theta, "visible_bias")[:] = site_bias
    return rbm, theta


def test_no_weights_is_the_exact_ground_state_without_coupling(dtype: Any) -> None:
    """-h sum sigma^x at J = 0: psi is constant, E = -h N, without any scatter."""
    rbm, theta = product_state(0.0, dtype)
    energies = local_energies(transverse_field_ising(N_SITES, RING.bonds(), 0.0, 1.7), rbm, theta, configurations(6))
    np.testing.assert_allclose(energies, -1.7 * N_SITES, rtol=1e-13)


def test_spins_along_a_tilted_field(dtype: Any) -> None:
    """-sum (hx sigma^x + hz sigma^z): sinh 2a = hz / hx, E = -N sqrt(hx^2 + hz^2)."""
    hx, hz = 1.3, 0.9
    terms = PauliSum.total(-hx * X(i) - hz * Z(i) for i in range(N_SITES))
    rbm, theta = product_state(np.arcsinh(hz / hx) / 2, dtype)
    energies = local_energies(terms, rbm, theta, configurations(N_SITES))
    np.testing.assert_allclose(energies, -N_SITES * np.hypot(hx, hz), rtol=1e-13)


def test_spins_along_a_field_with_a_component_along_y() -> None:
    """psi(+) / psi(-) = exp(2a): the phase of 2a is minus the azimuth of the field."""
    hx, hy, hz = 0.7, -1.1, 0.4
    terms = PauliSum.total(-hx * X(i) - hy * Y(i) - hz * Z(i) for i in range(N_SITES))
    in_plane = np.hypot(hx, hy)
    bias = 0.5 * complex(np.arcsinh(hz / in_plane), -np.arctan2(hy, hx))
    rbm, theta = product_state(bias, np.complex128)
    energies = local_energies(terms, rbm, theta, configurations(N_SITES))
    np.testing.assert_allclose(energies, -N_SITES * np.sqrt(hx**2 + hy**2 + hz**2), rtol=1e-13, atol=1e-12)


def test_the_ferromagnet(dtype: Any) -> None:
    """J < 0: any product state of equal spins has E = J/4 per bond."""
    lattice = rectangle((3, 2), periodic=(True, False))
    terms = xxz(lattice.bonds(), -0.8, 1.0)
    for bias in (0.0, 0.35):
        rbm, theta = product_state(bias, dtype)
        energies = local_energies(terms, rbm, theta, configurations(N_SITES))
        np.testing.assert_allclose(energies, -0.2 * len(lattice.bonds()), rtol=1e-13)


# The batch ------------------------------------------------------------------------------------------------------------


def test_a_batch_keeps_chains_together(dtype: Any) -> None:
    """energies[d, w] belongs to draw d of walker w = block * L + lane."""
    n_blocks, n_draws, width = 3, 4, 5
    rbm, theta = random_rbm(N_SITES, dtype, "translation")
    psi = rbm.at(theta)
    operator = Operator.from_pauli_sum(HAMILTONIANS["ising"], N_SITES)
    rng = np.random.default_rng(3)
    spins = rng.choice(np.array([-1, 1], dtype=np.int8), size=(n_blocks, n_draws, N_SITES, width))
    lookup = np.array([[psi.lookup(spins[b, d]) for d in range(n_draws)] for b in range(n_blocks)])
    draws = Samples(spins, lookup, 30, 100)
    real = dtype == np.float64
    batch = estimate(draws, operator, psi, rbm.n_parameters, SerialCommunicator(), real_parameters=real)
    assert batch.energies.shape == (n_draws, n_blocks * width)
    assert (batch.accepted, batch.proposed, batch.n_blocks) == (30, 100, n_blocks)
    for block, draw, lane in np.ndindex(n_blocks, n_draws, width):
        single = np.ascontiguousarray(spins[block, draw, :, lane : lane + 1])
        expected = local_energy(operator, psi, single, psi.lookup(single))[0]
        np.testing.assert_allclose(batch.energies[draw, block * width + lane], expected, rtol=1e-12)


@pytest.mark.parametrize("exact_sums", [True, False])
@pytest.mark.parametrize("n_draws", [1, 7])
def test_moments_of_many_chunks_are_those_of_all_configurations(dtype: Any, n_draws: int, exact_sums: bool) -> None:
    """S and F by numpy from all rows at once; 3 blocks of 150 walkers, draws that do not fill the last chunk."""
    rbm, theta = random_rbm(N_SITES, dtype, "translation")
    psi = rbm.at(theta)
    operator = Operator.from_pauli_sum(HAMILTONIANS["ising"], N_SITES)
    rng = np.random.default_rng(4)
    spins = rng.choice(np.array([-1, 1], dtype=np.int8), size=(3, n_draws, N_SITES, 150))
    every = [np.ascontiguousarray(spins[b, d]) for b in range(3) for d in range(n_draws)]
    lookup = np.array([psi.lookup(one) for one in every]).reshape(3, n_draws, -1, 150)
    real, comm = dtype == np.float64, SerialCommunicator()
    batch = estimate(
        Samples(spins, lookup, 1, 2),
        operator,
        psi,
        rbm.n_parameters,
        comm,
        real_parameters=real,
        exact_sums=exact_sums,
    )
    moments = reduce_moments(batch, comm, n_sites=N_SITES, infinite_temperature=0.0)
    rows = np.concatenate([psi.log_derivatives(one, psi.lookup(one)) for one in every], axis=1)
    energies = np.concatenate([local_energy(operator, psi, one, psi.lookup(one)) for one in every])
    np.testing.assert_allclose(moments.derivative_mean, rows.mean(axis=1), rtol=1e-12, atol=1e-14)
    rows, energies = rows - rows.mean(axis=1)[:, None], energies - energies.mean()
    tensor = rows.conj() @ rows.T / rows.shape[1]
    np.testing.assert_allclose(moments.tensor, np.tril(tensor), rtol=0, atol=1e-13)
    np.testing.assert_allclose(moments.force, rows.conj() @ energies / rows.shape[1], rtol=0, atol=1e-12)
    assert moments.energy.variance == pytest.approx(np.mean(np.abs(energies) ** 2), rel=1e-12)
