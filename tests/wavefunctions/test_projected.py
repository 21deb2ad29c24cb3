"""Projections: eigenstates of translation, mirror, rotation and spin flip with the eigenvalues asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pvmc.lattice import Lattice, chain, rectangle
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions import RBM, Jastrow, Projected
from pvmc.wavefunctions.projection import images
from pvmc.wavefunctions.projection.quantum_numbers import QuantumNumberError, QuantumNumbers, isometries, mirror
from pvmc.wavefunctions.symmetry import NoRepresentation, SymmetryGroup
from tests.helpers import configurations, state_vector
from tests.wavefunctions.states import STATES, WEIGHTS, OnlyLogPsi, net, projected, random_spins, random_state

RING, SQUARE = chain(6), rectangle((3, 3))
NOWHERE = Lattice(np.empty((3, 0)), (np.array([[0, 1], [1, 2]]),))


def plain_rbm(lattice: Lattice, dtype: Any = np.complex128, scale: float = 0.4) -> RBM:
    return RBM(lattice.group("none"), 3, dtype=dtype, visible_bias=True, init_scale=scale)


def vector_of(lattice: Lattice, numbers: QuantumNumbers, dtype: Any = np.complex128) -> tuple[Any, Any]:
    """psi_P on all configurations (relative to the largest), and the configurations."""
    ansatz = Projected(plain_rbm(lattice, dtype), numbers.group(lattice))
    spins = configurations(lattice.n_sites)
    return state_vector(ansatz.at(ansatz.initial_parameters(np.random.default_rng(5))), spins), spins


def moved(vector: Any, spins: Any, permutation: Any, sign: int = 1) -> Any:
    """The vector of psi(g s) over the enumeration, (g s)_i = sign s[perm[i]]; written without the code under test."""
    bits = ((sign * spins[permutation]) < 0).astype(np.int64)
    return vector[(bits << np.arange(len(spins))[:, None]).sum(axis=0)]


@pytest.mark.parametrize("n", range(-1, 7))
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_momentum(n: int, dtype: Any) -> None:
    vector, spins = vector_of(RING, QuantumNumbers(momentum=[n]), dtype)
    step = (np.arange(6) + 1) % 6
    np.testing.assert_allclose(moved(vector, spins, step), np.exp(-2j * np.pi * n / 6) * vector, atol=1e-14)


def test_a_flipped_spin_is_a_plane_wave() -> None:
    """psi(spin down at x) ~ exp(+i k x): the sign of the momentum."""
    ansatz = Projected(plain_rbm(RING), QuantumNumbers(momentum=[1]).group(RING))
    spins = (1 - 2 * np.eye(6, dtype=np.int8)).astype(np.int8)
    psi = np.exp(ansatz.at(ansatz.initial_parameters(np.random.default_rng(1))).log_psi(spins))
    np.testing.assert_allclose(psi / psi[0], np.exp(2j * np.pi * np.arange(6) / 6), atol=1e-12)


def test_momentum_in_two_dimensions() -> None:
    lattice = rectangle((3, 4), (True, True))
    ansatz = Projected(plain_rbm(lattice), QuantumNumbers(momentum=[1, 3]).group(lattice))
    state = ansatz.at(ansatz.initial_parameters(np.random.default_rng(2)))
    spins = np.random.default_rng(3).choice(np.array([-1, 1], dtype=np.int8), size=(12, 9))
    grid = spins.reshape(4, 3, 9)  # [y, x]
    psi = np.exp(state.log_psi(spins))
    along_x = np.exp(state.log_psi(np.ascontiguousarray(np.roll(grid, -1, axis=1).reshape(12, 9))))
    along_y = np.exp(state.log_psi(np.ascontiguousarray(np.roll(grid, -1, axis=0).reshape(12, 9))))
    np.testing.assert_allclose(along_x, np.exp(-2j * np.pi / 3) * psi, atol=1e-12 * np.abs(psi).max())
    np.testing.assert_allclose(along_y, np.exp(-2j * np.pi * 3 / 4) * psi, atol=1e-12 * np.abs(psi).max())


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("periodic", [True, False])
def test_parity(sign: int, periodic: bool) -> None:
    vector, spins = vector_of(chain(7, periodic), QuantumNumbers(parity=sign), np.float64)
    np.testing.assert_allclose(moved(vector, spins, np.arange(7)[::-1]), sign * vector, atol=1e-14)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_spin_flip(sign: int, dtype: Any) -> None:
    vector, spins = vector_of(RING, QuantumNumbers(spin_flip=sign), dtype)
    np.testing.assert_allclose(moved(vector, spins, np.arange(6), -1), sign * vector, atol=1e-14)
    np.testing.assert_allclose(vector[::-1], sign * vector, atol=1e-14)


def test_all_numbers_of_a_ring_together() -> None:
    vector, spins = vector_of(RING, QuantumNumbers(momentum=[3], parity=-1, spin_flip=-1))
    np.testing.assert_allclose(moved(vector, spins, (np.arange(6) + 1) % 6), -vector, atol=1e-14)
    np.testing.assert_allclose(moved(vector, spins, np.arange(6)[::-1]), -vector, atol=1e-14)
    np.testing.assert_allclose(vector[::-1], -vector, atol=1e-14)


@pytest.mark.parametrize(
    ("irrep", "rotation", "reflection"), [("A1", 1, 1), ("A2", 1, -1), ("B1", -1, 1), ("B2", -1, -1)]
)
def test_irreps_of_the_square(irrep: str, rotation: int, reflection: int) -> None:
    ansatz = Projected(plain_rbm(SQUARE), QuantumNumbers(irrep=irrep).group(SQUARE))
    assert len(ansatz.cosets) == 8
    state = ansatz.at(ansatz.initial_parameters(np.random.default_rng(6)))
    grid = np.random.default_rng(7).choice(np.array([-1, 1], dtype=np.int8), size=(3, 3, 12))

    def psi(configuration: Any) -> Any:
        return np.exp(state.log_psi(np.ascontiguousarray(configuration.reshape(9, -1))))

    here, size = psi(grid), np.abs(psi(grid)).max()
    assert size > 1e-6
    np.testing.assert_allclose(psi(np.rot90(grid)), rotation * here, atol=1e-12 * size)
    np.testing.assert_allclose(psi(grid[:, ::-1]), reflection * here, atol=1e-12 * size)
    on_diagonal = psi(grid.transpose(1, 0, 2))
    np.testing.assert_allclose(on_diagonal, rotation * reflection * here, atol=1e-12 * size)


def test_names_of_irreps() -> None:
    trivial, sign = QuantumNumbers(irrep="trivial").group(SQUARE), QuantumNumbers(irrep="sign").group(SQUARE)
    np.testing.assert_array_equal(trivial.characters, 1.0)
    assert sign.characters.real.sum() == 0
    space = QuantumNumbers(momentum=[0, 0], irrep="A1").group(SQUARE)
    assert len(space) == len(SQUARE.group("space"))
    assert len(isometries(RING)) == 2 and np.array_equal(mirror(RING, "parity"), np.arange(6)[::-1])


def test_symmetries_of_the_inner_ansatz_are_not_summed_again() -> None:
    inner = RBM(RING.group("translation"), 2, dtype=np.complex128, init_scale=0.3)
    group = QuantumNumbers(momentum=[0], parity=-1, spin_flip=-1).group(RING)
    short = Projected(inner, group)
    assert len(group) == 24 and len(short.cosets) == 4
    inner_state = inner.at(inner.initial_parameters(np.random.default_rng(3)))
    spins = configurations(6)
    full = sum(
        character.conj() * np.exp(inner_state.log_psi(np.ascontiguousarray(group.act(g, spins))))
        for g, character in enumerate(group.characters)
    )
    psi = np.exp(short.at(short.initial_parameters(np.random.default_rng(3))).log_psi(spins))
    np.testing.assert_allclose(psi, full / 24, atol=1e-12 * np.abs(full).max())


def test_a_projection_that_vanishes_is_refused() -> None:
    inner = RBM(RING.group("translation"), 2, dtype=np.complex128)
    with pytest.raises(NoRepresentation, match="the projection is zero"):
        Projected(inner, QuantumNumbers(momentum=[1]).group(RING))


@pytest.mark.parametrize(
    ("lattice", "numbers", "name", "text"),
    [
        (RING, QuantumNumbers(momentum=[1], parity=1), "parity", "more than one dimension"),
        (RING, QuantumNumbers(momentum=[1, 1]), "momentum", "needs 1 integer, one per"),
        (chain(6, False), QuantumNumbers(momentum=[1]), "momentum", "no periodic direction"),
        (RING, QuantumNumbers(irrep="B1"), "irrep", "no rotation"),
        (SQUARE, QuantumNumbers(irrep="E"), "irrep", "one-dimensional"),
        (SQUARE, QuantumNumbers(momentum=[1, 0], irrep="A1"), "irrep", None),
        (SQUARE, QuantumNumbers(parity=1, irrep="A2"), "parity", "no state has this"),
        (NOWHERE, QuantumNumbers(parity=1), "parity", "without positions"),
        (NOWHERE, QuantumNumbers(irrep="A1"), "irrep", "chains and planar lattices"),
    ],
)
def test_numbers_that_are_refused(lattice: Lattice, numbers: QuantumNumbers, name: str, text: str | None) -> None:
    with pytest.raises(QuantumNumberError, match=text) as caught:
        numbers.group(lattice)
    assert caught.value.name == name


def test_characters_are_a_representation() -> None:
    group = QuantumNumbers(momentum=[3], parity=-1, spin_flip=1).group(RING)
    table_of = {element.key: element.character for element in group.elements()}
    for first in group.elements():
        for second in group.elements():
            product = second.after(first)
            assert abs(table_of[product.key] - product.character) < 1e-12
    assert isinstance(group, SymmetryGroup) and len(table_of) == 24


def test_stable_at_large_logarithms() -> None:
    """exp(+-4000) among the terms: ratios stay exact, the walk goes on, nothing becomes NaN."""
    inner = Jastrow(RING.group("none"), dtype=np.complex128, one_body=True)
    theta = np.random.default_rng(8).normal(size=inner.n_parameters) * (400.0 + 1.0j)
    ansatz = Projected(inner, QuantumNumbers(momentum=[2]).group(RING))
    state = ansatz.at(theta.astype(np.complex128))
    spins = np.random.default_rng(9).choice(np.array([-1, 1], dtype=np.int8), size=(6, 32))
    flips = FlipSets.from_lists([[i] for i in range(6)] + [[0, 2, 3]])
    lookup = state.lookup(spins)
    ratios = state.ratios(spins, lookup, flips, np.ones((7, 32), dtype=bool))
    assert not np.isnan(ratios).any() and not np.isnan(lookup).any()
    uniforms = np.random.default_rng(10).random((40, 32))
    chosen = np.random.default_rng(11).integers(0, 7, 40)
    state.metropolis(spins, lookup, flips, np.zeros(7, dtype=bool), chosen, uniforms)
    np.testing.assert_allclose(np.exp(1j * lookup), np.exp(1j * state.lookup(spins)), atol=1e-8)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("scale", [0.3, 4.0])
def test_walk_of_a_projected_rbm_is_that_of_log_psi(dtype: Any, scale: float) -> None:
    """Also with weights that saturate tanh, where the compiled walk hands over to the other one."""
    ansatz = Projected(plain_rbm(RING, dtype, scale), QuantumNumbers(momentum=[1], spin_flip=-1).group(RING))
    state = ansatz.at(ansatz.initial_parameters(np.random.default_rng(12)))
    rng = np.random.default_rng(13)
    spins = rng.choice(np.array([-1, 1], dtype=np.int8), size=(6, 24))
    flips = FLIPS
    conserving = np.array([False] * 6 + [True] * 7)
    chosen, uniforms = rng.integers(0, 13, 60), rng.random((60, 24))
    judge, expected = OnlyLogPsi(state), spins.copy()
    counted = judge.metropolis(expected, judge.lookup(expected), flips, conserving, chosen, uniforms)
    lookup = state.lookup(spins)
    accepted = state.metropolis(spins, lookup, flips, conserving, chosen, uniforms)
    np.testing.assert_array_equal(spins, expected)
    np.testing.assert_array_equal(accepted, counted)
    assert accepted.any()
    fresh = state.lookup(spins)
    n = 2 * state.n_terms
    np.testing.assert_allclose(lookup[:-n], fresh[:-n], atol=1e-8)
    terms = [
        np.exp(own[-n : -n // 2] - fresh[-n : -n // 2].max(axis=0) + 1j * own[-n // 2 :]) for own in (lookup, fresh)
    ]
    np.testing.assert_allclose(terms[0], terms[1], atol=1e-8)


FLIPS = FlipSets.from_lists([[i] for i in range(6)] + [[i, (i + 1) % 6] for i in range(6)] + [[0, 2, 3, 5]])


def test_psi_is_real_where_all_characters_are_one() -> None:
    for name, dtype in (("real rbm, even", np.float64), ("real rbm, odd", np.complex128)):
        assert random_state(STATES[name]()).dtype == dtype
    assert random_state(STATES["complex rbm, even"]()).dtype == np.complex128


@pytest.mark.parametrize("weights", WEIGHTS)
def test_ratios_of_the_whole_where_the_net_is_far_out_of_range(weights: Any) -> None:
    """Nets whose logarithms differ by hundreds: ratios of the whole stay those of ln psi, never NaN.

    With all characters 1 no configuration is an exact node, where a ratio would be one of rounding errors.
    """
    ansatz = projected(net(weights, "none", (5, 3)), momentum=[0], spin_flip=1)
    theta = 200.0 * ansatz.initial_parameters(np.random.default_rng(7))
    state = ansatz.at(theta)
    spins = random_spins(np.random.default_rng(8), width=24)
    wanted = np.ones((len(FLIPS), 24), dtype=np.bool_)
    ratios = state.ratios(spins, state.lookup(spins), FLIPS, wanted)
    expected = OnlyLogPsi(state).ratios(spins, OnlyLogPsi(state).lookup(spins), FLIPS, wanted)
    assert not np.isnan(ratios).any()
    assert np.ptp(state.log_psi(spins).real) > 100
    np.testing.assert_allclose(ratios, expected, rtol=1e-7, atol=1e-12)


def test_steps_end_where_products_leave_their_range() -> None:
    """A walker with |theta| = 72 makes no step by the kernel, one with 0 makes all; the state makes those of both."""
    ansatz = Projected(plain_rbm(RING, np.float64, 0.1), QuantumNumbers(momentum=[0]).group(RING))
    theta = ansatz.initial_parameters(np.random.default_rng(1))
    ansatz.inner.block(theta, "features")[0] = 12.0
    state = ansatz.at(theta)
    spins = np.array([[1, 1, 1, 1, 1, 1], [1, -1, 1, -1, 1, -1]], dtype=np.int8).T.copy()
    lookup, accepted, done = state.lookup(spins), np.zeros(2, dtype=np.int64), np.full(2, -1)
    steps = np.zeros(6, dtype=bool), np.array([0, 1, 1]), np.full((3, 2), -1.0)
    kept, flips = spins.copy(), FlipSets.from_lists([[i] for i in range(6)])
    images.metropolis(
        *(state._images, kept, *state._parts(lookup.copy()), flips.offsets, flips.sites, *steps, accepted, done)
    )
    assert done.tolist() == [0, 3] and accepted.tolist() == [0, 3]
    np.testing.assert_array_equal(kept[:, 0], 1)
    assert state.metropolis(spins, lookup, flips, *steps).tolist() == [3, 3]
    np.testing.assert_array_equal(spins[:2], [[-1, -1], [1, -1]])
    np.testing.assert_allclose(lookup, state.lookup(spins), rtol=1e-9)


@pytest.mark.parametrize("visible", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("scale", [0.3, 4.0, 30.0])
def test_kernels_of_a_projected_rbm_at_weights_of_any_size(visible: bool, dtype: Any, scale: float) -> None:
    """Ratios and log-derivatives where exp(2 theta) is of order one, is 1e20, and overflows; real parts only."""
    inner = RBM(RING.group("none"), 7, dtype=dtype, visible_bias=visible, init_scale=0.3)
    ansatz = Projected(inner, QuantumNumbers(momentum=[0], parity=1, spin_flip=1).group(RING))
    theta = inner.initial_parameters(np.random.default_rng(14))
    theta.real *= scale / 0.3
    state = ansatz.at(theta)
    assert ansatz.views.shape == ((24, 1) if visible else (12, 2))
    spins = random_spins(np.random.default_rng(15), width=24)
    wanted = np.random.default_rng(16).random((len(FLIPS), 24)) < 0.7
    lookup, judge = state.lookup(spins), OnlyLogPsi(state)
    ratios, expected = (
        state.ratios(spins, lookup, FLIPS, wanted),
        judge.ratios(spins, judge.lookup(spins), FLIPS, wanted),
    )
    np.testing.assert_allclose(ratios, expected, rtol=1e-9, atol=1e-10)
    derivatives, _ = state.log_derivatives(spins, lookup), state.log_psi(spins)
    for k in range(inner.n_parameters):
        step = np.zeros_like(theta)
        step[k] = 1e-5
        change = ansatz.at(theta + step).log_psi(spins) - ansatz.at(theta - step).log_psi(spins)
        slope = np.exp(1j * np.imag(change)).imag * 1j + np.real(change) if np.iscomplexobj(change) else change
        np.testing.assert_allclose(derivatives[k], slope / 2e-5, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_bits_of_a_projected_rbm_are_those_of_the_walker(dtype: Any) -> None:
    """Ratios, walks and what they leave are the same for any block around a walker."""
    state = random_state(projected(RBM(RING.group("none"), 9, dtype=dtype), momentum=[0], spin_flip=1))
    spins, rng = random_spins(np.random.default_rng(17), width=21), np.random.default_rng(18)
    lookup, wanted = state.lookup(spins), np.ones((len(FLIPS), 21), dtype=np.bool_)
    chosen, uniforms = rng.integers(0, len(FLIPS), 40), rng.random((40, 21))
    free = np.zeros(len(FLIPS), dtype=np.bool_)
    ratios = state.ratios(spins, lookup, FLIPS, wanted)
    lanes = np.array([19, 2, 11])
    own = [np.ascontiguousarray(array[:, lanes]) for array in (spins, lookup, uniforms)]
    np.testing.assert_array_equal(state.ratios(own[0], own[1], FLIPS, wanted[:, :3]), ratios[:, lanes])
    state.metropolis(spins, lookup, FLIPS, free, chosen, uniforms)
    state.metropolis(own[0], own[1], FLIPS, free, chosen, own[2])
    np.testing.assert_array_equal(own[0], spins[:, lanes])
    np.testing.assert_array_equal(own[1], lookup[:, lanes])
