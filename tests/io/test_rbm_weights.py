"""Weights of RBMs from and for other programs: the same psi, the symmetry that they have, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pvmc.errors import InputError
from pvmc.io.rbm_weights import RBMWeights, parameters_from, weights_of
from pvmc.io.weight_files import from_netket, read_npz, read_wf, to_netket, write_npz, write_wf
from pvmc.lattice import chain
from pvmc.wavefunctions import RBM
from tests.helpers import configurations, random_rbm

N = 6


def random_weights(rng: np.random.Generator, n_hidden: int = 9, *, real: bool = False) -> RBMWeights:
    def numbers(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape) + (0.0 if real else 1j) * rng.standard_normal(shape)

    return RBMWeights(0.3 * numbers(N), 0.3 * numbers(n_hidden), 0.3 * numbers(N, n_hidden))


def psi_of(weights: RBMWeights) -> np.ndarray:
    """psi on all configurations, straight from the formula, normalised to 1 on the first one."""
    spins = configurations(N)
    angles = weights.hidden_bias[:, None] + np.einsum("ij,il->jl", weights.kernel, spins)
    psi = np.exp(weights.visible_bias @ spins) * np.prod(np.cosh(angles), axis=0)
    return psi / psi[0]


def psi_of_pvmc(rbm: RBM, theta: np.ndarray) -> np.ndarray:
    logarithm = rbm.at(theta).log_psi(configurations(N))
    return np.exp(logarithm - logarithm[0])


@pytest.mark.parametrize("real", [False, True])
def test_plain_rbm_is_the_same_state(rng: np.random.Generator, real: bool) -> None:
    weights = random_weights(rng, real=real)
    dtype = np.float64 if real else np.complex128
    rbm = RBM(chain(N).group("none"), 9, dtype=dtype, visible_bias=True)
    theta = parameters_from(weights, rbm)
    assert theta.dtype == dtype
    np.testing.assert_allclose(psi_of_pvmc(rbm, theta), psi_of(weights), rtol=1e-11)
    assert_same(weights_of(rbm, theta), weights)


def assert_same(one: RBMWeights, other: RBMWeights) -> None:
    for name in ("visible_bias", "hidden_bias", "kernel"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_weights_of_other_programs_there_and_back(tmp_path: Path, rng: np.random.Generator) -> None:
    weights = random_weights(rng)
    write_wf(tmp_path / "w.wf", weights)
    write_npz(tmp_path / "w.npz", weights)
    for again in (read_wf(tmp_path / "w.wf"), read_npz(tmp_path / "w.npz"), from_netket(to_netket(weights))):
        assert_same(again, weights)
    with np.load(tmp_path / "w.npz") as file:
        shapes = {name: file[name].shape for name in file}
    assert shapes == {"kernel": (6, 9), "hidden_bias": (9,), "visible_bias": (6,)}


@pytest.mark.parametrize("symmetry", ["translation", "space"])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_symmetric_rbm_is_recognised_in_any_order(rng: np.random.Generator, symmetry: str, dtype: type) -> None:
    rbm, theta = random_rbm(N, dtype, symmetry, n_features=3)
    weights = weights_of(rbm, theta)
    np.testing.assert_allclose(psi_of(weights), psi_of_pvmc(rbm, theta), rtol=1e-11)
    order = rng.permutation(weights.n_hidden)
    mixed = RBMWeights(weights.visible_bias, weights.hidden_bias[order], weights.kernel[:, order])
    found = parameters_from(mixed, rbm)
    assert found.shape == theta.shape
    np.testing.assert_allclose(psi_of_pvmc(rbm, found), psi_of_pvmc(rbm, theta), rtol=1e-11)


def test_filters_that_are_symmetric_themselves() -> None:
    """A feature with a period: its images coincide, each counts as often as the group makes it."""
    rbm = RBM(chain(N).group("translation"), 2, dtype=np.float64)
    theta = np.concatenate([[0.1, 0.2], np.tile([0.3, -0.4], 3), np.full(6, 0.5)])
    weights = weights_of(rbm, theta)
    found = parameters_from(weights, rbm)
    np.testing.assert_allclose(psi_of_pvmc(rbm, found), psi_of(weights), rtol=1e-12)


@pytest.mark.parametrize("part", ["kernel", "hidden_bias"])
def test_one_other_weight_breaks_the_symmetry(part: str) -> None:
    rbm, theta = random_rbm(N, np.complex128, "translation")
    weights = weights_of(rbm, theta)
    changed = getattr(weights, part).copy()
    changed.flat[3] += 1e-4
    broken = replace(weights, **{part: changed})
    assert weights.filters(rbm.permutations) is not None
    assert broken.filters(rbm.permutations) is None
    with pytest.raises(InputError, match='do not have the symmetry of this input: set ansatz.symmetry = "none"'):
        parameters_from(broken, rbm)


def test_what_does_not_fit(rng: np.random.Generator) -> None:
    weights = random_weights(rng)
    plain, ring = chain(N).group("none"), chain(N).group("translation")

    def refused(message: str, rbm: RBM, of: RBMWeights = weights) -> None:
        with pytest.raises(InputError, match=message):
            parameters_from(of, rbm)

    refused("9 hidden units, this input has 6: set ansatz.alpha = 1.5", RBM(plain, 6, dtype=np.complex128))
    refused("6 spins, this input has 9", RBM(chain(9).group("none"), 9, dtype=np.complex128))
    refused('complex: set ansatz.weights = "complex"', RBM(plain, 9, dtype=np.float64, visible_bias=True))
    refused("set ansatz.visible_bias = true", RBM(plain, 9, dtype=np.complex128))
    symmetric = weights_of(*random_rbm(N, np.float64, "translation"))
    uneven = replace(symmetric, visible_bias=np.arange(6.0))
    refused("the visible biases do not have the symmetry", RBM(ring, 2, dtype=np.float64, visible_bias=True), uneven)


@pytest.mark.parametrize("shape", [(N, 8), (N - 1, 9), (9,)])
def test_shapes_that_do_not_belong_together(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    weights = random_weights(rng)
    with pytest.raises(ValueError, match="of shape"):
        replace(weights, kernel=np.zeros(shape))


# The weight files of Carleo & Troyer ----------------------------------------------------------------------------------

SMALL = "2\n3\n(1.0e-01,0)\n(0,-0.5)\n(1,0)\n(2,0)\n(3,0)\n(11,0)\n(12,0)\n(13,0)\n(21,0)\n(22,1e-2)\n(23,0)\n"


def test_wf_format(tmp_path: Path) -> None:
    """N = 2, M = 3: W is written row by row, a row for each spin."""
    path = tmp_path / "small.wf"
    path.write_text(SMALL)
    kernel = np.array([[11, 12, 13], [21, 22 + 0.01j, 23]])
    assert_same(read_wf(path), RBMWeights(np.array([0.1, -0.5j]), np.array([1, 2, 3]), kernel))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "does not exist"),
        ("".join(map(chr, range(256))), "is not a text file of weights"),
        ("", 'line 1: must be the number of spins N, not ""'),
        ("2\n-3\n", 'line 2: must be the number of hidden units M, not "-3"'),
        (SMALL + "(0,0)\n", "holds 12 parameters; N = 2 and M = 3 in its first two lines ask for 11"),
        (SMALL.replace("(2,0)", "(2,x)"), r'line 6: must be a complex number such as \(0.5,-1\), not "\(2,x\)"'),
        (SMALL.replace("(2,0)", "(nan,0)"), "numbers that are not finite"),
    ],
)
def test_bad_wf(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "bad.wf"
    if text is not None:
        path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=message):
        read_wf(path)


# NetKet's names -------------------------------------------------------------------------------------------------------


def test_netket_names(rng: np.random.Generator) -> None:
    """psi of NetKet's own formula: sum ln cosh(x @ kernel + bias) + x @ visible_bias for rows x of spins."""
    weights = random_weights(rng)
    parameters = to_netket(weights)
    rows = configurations(N).T
    dense = parameters["Dense"]
    logarithm = np.log(np.cosh(rows @ dense["kernel"] + dense["bias"])).sum(axis=1) + rows @ parameters["visible_bias"]
    np.testing.assert_allclose(np.exp(logarithm - logarithm[0]), psi_of(weights), rtol=1e-11)


def test_netket_without_biases() -> None:
    weights = from_netket({"Dense": {"kernel": np.ones((4, 8))}})
    assert weights.visible_bias.tolist() == [0.0] * 4
    assert weights.hidden_bias.tolist() == [0.0] * 8


def test_bad_npz(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_npz(tmp_path / "no.npz")
    (tmp_path / "text.npz").write_text("no")
    with pytest.raises(InputError, match="is not a .npz file of numbers"):
        read_npz(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", weight=np.ones(3))
    with pytest.raises(InputError, match=r"other.npz: weight: no parameters of an RBM"):
        read_npz(tmp_path / "other.npz")
    with pytest.raises(InputError, match="need a kernel"):
        from_netket({"hidden_bias": np.ones(3)})
    with pytest.raises(InputError, match="numbers"):
        from_netket({"kernel": np.array([["a"]])})
