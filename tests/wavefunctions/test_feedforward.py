"""Feed-forward nets: values, backpropagation, look-ups, ratios and Metropolis steps, against independent formulas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pvmc.config import KeyProblem, RawInput, meaning, section_classes, to_toml, validate
from pvmc.errors import InputError, NumericalError
from pvmc.lattice import chain
from pvmc.spins.flips import FlipSets
from pvmc.vmc.job import load_job
from pvmc.vmc.spec import JobConfig
from pvmc.wavefunctions import RBM, AnsatzSpec, FeedForward, FeedForwardSpec, WaveFunction
from pvmc.wavefunctions.feedforward import layers, walkers
from pvmc.wavefunctions.feedforward.activations import Activation, activate, derivative
from tests.wavefunctions.states import GROUPS, WIDTH, random_flips, random_spins, random_state
from tests.wavefunctions.states import WEIGHTS as KINDS
from tests.wavefunctions.states import net as ansatz_of

Numbers = npt.NDArray[Any]
Spins = npt.NDArray[np.int8]

NAMES = [activation.name for activation in Activation]


def log_cosh(z: Numbers) -> Numbers:
    """With the sign that makes Re z >= 0: z - ln 2 + ln(1 + e^(-2z))."""
    right = np.where(np.real(z) < 0.0, -z, z)
    return right - np.log(2.0) + np.log1p(np.exp(-2.0 * right))


FUNCTIONS: dict[str, Callable[[Numbers], Numbers]] = {
    "linear": lambda z: z,
    "tanh": np.tanh,
    "sigmoid": lambda z: 1.0 / (1.0 + np.exp(-z)),
    "lncosh": log_cosh,
    "softplus": lambda z: z / 2 + np.log(2.0) + log_cosh(z / 2),
}


def net(kind: Any, *structure: Any, seed: int = 1, **options: Any) -> tuple[FeedForward, Numbers]:
    """A net on a ring, and random parameters."""
    ansatz = ansatz_of(kind, *structure, **options)
    return ansatz, ansatz.initial_parameters(np.random.default_rng(seed))


def plain_log_psi(ansatz: FeedForward, theta: Numbers, spins: Spins) -> Numbers:
    """ln psi layer by layer from the definition, with numpy's own functions."""
    total: Any = 0.0
    for permutation in ansatz.permutations:
        values = spins[permutation].astype(ansatz.dtype)
        for number in range(1, ansatz.n_layers + 1):
            weights, biases = ansatz.layer(theta, number)
            values = weights @ values + biases[:, None]
            if number < ansatz.n_layers:
                values = FUNCTIONS[ansatz.activations[number - 1].name](values)
        total = total + (values[0] + 1j * values[1] if len(values) == 2 else values[0])
    return np.asarray(total)


# Activations ----------------------------------------------------------------------------------------------------------


def run(function: Any, name: str, z: Numbers) -> Numbers:
    """A kernel of the activations on a flat real or complex array."""
    planes = np.array([z.real, z.imag]) if np.iscomplexobj(z) else z[None].copy()
    out = np.empty_like(planes)
    function(int(Activation[name]), len(planes), planes, out)
    return out[0] + 1j * out[1] if len(planes) == 2 else out[0]


def arguments(rng: np.random.Generator, is_complex: bool) -> Numbers:
    x = np.concatenate([rng.normal(scale=scale, size=500) for scale in (1e-3, 0.3, 1.0, 5.0, 80.0)])
    return x + 1j * rng.permutation(np.clip(x, -8, 8)) if is_complex else x


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_activations_are_their_formula(name: str, is_complex: bool, rng: np.random.Generator) -> None:
    z = arguments(rng, is_complex)
    error = np.abs(run(activate, name, z) - FUNCTIONS[name](z))
    # What the rounding of z alone may change, near poles much; the plain formulas have it too.
    rounding = 1.0 + np.abs(z) * (1.0 + np.abs(run(derivative, name, z)))
    assert np.max(error / rounding) < 2e-15


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_slopes_are_finite_differences(name: str, is_complex: bool, rng: np.random.Generator) -> None:
    z = rng.normal(size=300) + (1j * rng.normal(scale=0.4, size=300) if is_complex else 0.0)
    for step in (1e-5, 1e-5j) if is_complex else (1e-5,):
        z = z[np.abs(np.real(z)) > 1e-3]
        slope = (run(activate, name, z + step) - run(activate, name, z - step)) / (2 * step)
        np.testing.assert_allclose(run(derivative, name, z), slope, rtol=1e-8, atol=1e-9)


def test_activations_stay_finite_at_zeros_poles_and_huge_arguments() -> None:
    z = np.array([0.5j * np.pi, 1j * np.pi, 0.0, 1e5 + 1e5j, -1e5 - 1e15j, 1e300j, 800.0, -800.0], dtype=complex)
    for name in NAMES:
        assert np.all(np.isfinite(run(activate, name, z))), name
        assert np.all(np.isfinite(run(activate, name, z.real.copy()))), name
    np.testing.assert_allclose(run(activate, "lncosh", z[-2:].real.copy()), 800.0 - np.log(2.0), rtol=1e-15)
    assert run(activate, "lncosh", z[:1])[0].real < -30


FAR: dict[str, tuple[float, float, float, float]] = {
    "linear": (1.0, 1.0, 1.0, 1.0),
    "tanh": (1.0, -1.0, 0.0, 0.0),
    "sigmoid": (1.0, 0.0, 0.0, 0.0),
    "lncosh": (1.0, 1.0, 1.0, -1.0),
    "softplus": (1.0, 0.0, 1.0, 0.0),
}
"""f far to the right and to the left (over |x| where it grows), and f' there."""


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("size", [356.0, 357.0, 711.0, 1424.0, 1e5])
@pytest.mark.parametrize("name", NAMES)
def test_activations_and_slopes_beyond_the_overflow_of_exp(name: str, size: float, is_complex: bool) -> None:
    """Where e^z, sinh and cosh overflow (from 355.3 on for those of 2 z) the limits hold to rounding."""
    z = np.array([size, -size]) + (0.7j if is_complex else 0.0)
    assert FAR.keys() == set(NAMES)
    right, left, slope_right, slope_left = FAR[name]
    grows = size if name in ("linear", "lncosh", "softplus") else 1.0
    sign = -1.0 if name == "linear" else 1.0
    values, slopes = run(activate, name, z), run(derivative, name, z)
    rounding = 2.0**-52 * size  # of z/2 + lncosh(z/2), which cancel for softplus of complex z to the left
    np.testing.assert_allclose(values.real, [right * grows, sign * left * grows], rtol=3e-3, atol=rounding)
    np.testing.assert_allclose(slopes, [slope_right, slope_left], rtol=0, atol=1e-15)


# Values ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symmetry", GROUPS)
@pytest.mark.parametrize("kind", KINDS)
def test_log_psi_is_the_formula_and_symmetric(kind: str, symmetry: str, rng: np.random.Generator) -> None:
    ansatz, theta = net(kind, symmetry, (5, 4, 3), ("lncosh", "tanh", "softplus"), output_bias=True)
    state: WaveFunction = ansatz.at(theta)
    spins = random_spins(rng)
    log_psi = state.log_psi(spins)
    assert log_psi.dtype == state.dtype == (np.float64 if kind == "real" else np.complex128)
    assert ansatz.dtype == theta.dtype == (np.complex128 if kind == "complex" else np.float64)
    np.testing.assert_allclose(log_psi, plain_log_psi(ansatz, theta, spins), rtol=1e-13, atol=1e-13)
    for permutation in ansatz.permutations:
        np.testing.assert_allclose(state.log_psi(spins[permutation]), log_psi, rtol=1e-13, atol=1e-13)
    if symmetry == "none":
        assert np.abs(state.log_psi(spins[::-1].copy()) - log_psi).max() > 1e-3
    lookup = state.lookup(spins)
    assert lookup.shape == (ansatz.lookup_size, WIDTH) and lookup.dtype == np.float64 and lookup.flags.c_contiguous


@pytest.mark.parametrize("symmetry", ["none", "translation"])
@pytest.mark.parametrize("kind", ["complex", "real"])
def test_one_lncosh_layer_with_unit_output_weights_is_the_rbm(
    kind: str, symmetry: str, rng: np.random.Generator
) -> None:
    """Two independent codes: values up to the constant of ln 2cosh, ratios, and derivatives of filters and biases."""
    ansatz, theta = net(kind, symmetry, (3,), ("lncosh",))
    theta[ansatz.parameter_blocks["weights_2"][0]] = 1.0
    rbm = RBM(ansatz.permutations, 3, dtype=ansatz.dtype)
    weights, biases = ansatz.layer(theta, 1)
    machine, state = rbm.at(np.concatenate([biases, weights.ravel()])), ansatz.at(theta)
    spins, flips = random_spins(rng), random_flips(rng)
    constant = rbm.n_hidden * np.log(2.0)
    np.testing.assert_allclose(state.log_psi(spins) + constant, machine.log_psi(spins), rtol=1e-13)
    wanted = rng.random((len(flips), WIDTH)) < 0.7
    ratios = state.ratios(spins, state.lookup(spins), flips, wanted)
    expected = machine.ratios(spins, machine.lookup(spins), flips, wanted)
    np.testing.assert_allclose(ratios, expected, rtol=1e-11)
    derivatives = state.log_derivatives(spins, state.lookup(spins))
    expected = machine.log_derivatives(spins, machine.lookup(spins))
    blocks = [derivatives[ansatz.parameter_blocks[name][0]] for name in ("biases_1", "weights_1")]
    np.testing.assert_allclose(np.concatenate(blocks), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_a_linear_net_is_one_affine_map(kind: str, rng: np.random.Generator) -> None:
    """ln psi = A s + c with A = W3 W2 W1, c = W3 (W2 b1 + b2) + b3; gradients of the composed map by the chain rule."""
    ansatz, theta = net(kind, "none", (5, 4), ("linear", "linear"), output_bias=True)
    (w1, b1), (w2, b2), (w3, b3) = (ansatz.layer(theta, number) for number in (1, 2, 3))
    spins = random_spins(rng)
    outputs = np.array([[1.0]]) if len(w3) == 1 else np.array([[1.0, 1.0j]])
    w3, b3 = outputs @ w3, outputs @ b3
    state = ansatz.at(theta)
    np.testing.assert_allclose(state.log_psi(spins), (w3 @ w2 @ w1 @ spins + w3 @ (w2 @ b1 + b2)[:, None])[0] + b3[0])
    derivatives = state.log_derivatives(spins, state.lookup(spins))
    a1 = w1 @ spins + b1[:, None]
    a2 = w2 @ a1 + b2[:, None]
    ones = np.ones(WIDTH)
    expected = {
        "weights_1": np.einsum("j,il->jil", (w3 @ w2)[0], spins),
        "biases_1": np.outer((w3 @ w2)[0], ones),
        "weights_2": np.einsum("j,il->jil", w3[0], a1),
        "biases_2": np.outer(w3[0], ones),
        "weights_3": np.einsum("j,il->jil", outputs[0], a2),
        "biases_3": np.outer(outputs[0], ones),
    }
    assert list(expected) == list(ansatz.parameter_blocks)
    for name, block in expected.items():
        part, shape = ansatz.parameter_blocks[name]
        np.testing.assert_allclose(derivatives[part].reshape(*shape, WIDTH), block.reshape(*shape, WIDTH), rtol=1e-13)


# Backpropagation ------------------------------------------------------------------------------------------------------


def test_the_recursion_by_hand_for_a_net_of_2_2_1() -> None:
    """s = (1, -1), tanh: every Delta and product written out."""
    theta = np.array([0.3, -0.2, 0.5, 0.4, 0.1, -0.3, 0.7, -0.6])  # W1 by rows, b1, W2
    ansatz = FeedForward(np.arange(2)[None], (2,), ("tanh",), weights="real")
    state = ansatz.at(theta)
    spins = np.array([[1], [-1]], dtype=np.int8)
    a1, a2 = np.tanh(0.3 + 0.2 + 0.1), np.tanh(0.5 - 0.4 - 0.3)
    delta1, delta2 = 0.7 * (1 - a1**2), -0.6 * (1 - a2**2)
    expected = [delta1, -delta1, delta2, -delta2, delta1, delta2, a1, a2]
    np.testing.assert_allclose(state.log_psi(spins), [0.7 * a1 - 0.6 * a2], rtol=1e-15)
    np.testing.assert_allclose(state.log_derivatives(spins, state.lookup(spins))[:, 0], expected, rtol=1e-14)


# Look-ups, ratios, Metropolis -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("symmetry", GROUPS)
@pytest.mark.parametrize("kind", KINDS)
def test_ratios_are_differences_of_log_psi(kind: str, symmetry: str, rng: np.random.Generator) -> None:
    """Sets of one to four sites; so many walkers that the pairs do not fit into one chunk."""
    ansatz, theta = net(kind, symmetry, (30, 4))
    state = ansatz.at(theta)
    spins, flips = random_spins(rng, width=150), random_flips(rng)
    wanted = rng.random((len(flips), 150)) < 0.7
    ratios = state.ratios(spins, state.lookup(spins), flips, wanted)
    assert ratios.dtype == state.dtype and not ratios[~wanted].any()
    for k in range(len(flips)):
        trial = spins.copy()
        trial[flips[k]] *= -1
        expected = np.exp(plain_log_psi(ansatz, theta, trial) - plain_log_psi(ansatz, theta, spins))
        np.testing.assert_allclose(ratios[k, wanted[k]], expected[wanted[k]], rtol=1e-11)
    nothing = state.ratios(spins, state.lookup(spins), flips, np.zeros_like(wanted))
    assert not nothing.any()


def test_ratios_beyond_the_range_of_numbers_are_infinite_or_zero() -> None:
    """ln psi = 400 (s_0 + s_1), with a phase of zero."""
    for kind in KINDS:
        ansatz, theta = net(kind, "none", (1,), ("linear",), n_sites=4)
        theta[:] = 0.0
        theta[ansatz.parameter_blocks["weights_1"][0]] = [400.0, 400.0, 0.0, 0.0]
        theta[ansatz.parameter_blocks["weights_2"][0].start] = 1.0
        state = ansatz.at(theta)
        spins = np.array([[1, -1], [1, -1], [1, 1], [1, 1]], dtype=np.int8)
        flips = FlipSets.from_lists([[0, 1], [2]])
        ratios = state.ratios(spins, state.lookup(spins), flips, np.ones((2, 2), bool))
        np.testing.assert_array_equal(ratios, [[0.0, np.inf], [1.0, 1.0]])
        lookup, uniforms = state.lookup(spins), np.full((1, 2), 1e-300)
        accepted = state.metropolis(spins, lookup, flips, np.zeros(2, bool), np.array([0]), uniforms)
        np.testing.assert_array_equal(accepted, [0, 1])


def test_unusable_parameters_are_refused() -> None:
    ansatz, theta = net("complex")
    with pytest.raises(NumericalError, match=r"unit \d+ of layer 1 add up to .* the limit is"):
        ansatz.at(theta + 1e7)


# Parameters and the config section ------------------------------------------------------------------------------------


def test_parameter_blocks_cover_theta_in_order() -> None:
    ansatz, theta = net("amplitude_phase", "none", (5, 4), output_bias=True)
    names = ["weights_1", "biases_1", "weights_2", "biases_2", "weights_3", "biases_3"]
    assert list(ansatz.parameter_blocks) == names
    assert [shape for _, shape in ansatz.parameter_blocks.values()] == [(5, 6), (5,), (4, 5), (4,), (2, 4), (2,)]
    np.testing.assert_array_equal(np.concatenate([theta[part] for part, _ in ansatz.parameter_blocks.values()]), theta)
    bare, _ = net("real", "none", (5, 4), bias=False)
    assert list(bare.parameter_blocks) == ["weights_1", "weights_2", "weights_3"]
    assert bare.n_parameters == 30 + 20 + 4 and bare.table_bytes == 8 * (5 * 6 + 2 * (20 + 4))


@pytest.mark.parametrize(("rule", "expected"), [("lecun", 1 / 8), ("glorot", (2 / 264) ** 0.5), ("gaussian", 1.0)])
@pytest.mark.parametrize("kind", ["complex", "real"])
def test_initial_parameters_have_the_scale_of_the_rule(kind: str, rule: Any, expected: float) -> None:
    ansatz, theta = net(kind, "none", (200,), ("tanh",), n_sites=64, scale=0.5, initialization=rule)
    weights, _ = ansatz.layer(theta, 1)
    root_mean_square = np.sqrt(np.mean(np.abs(weights) ** 2))
    assert abs(root_mean_square / (0.5 * expected) - 1.0) < 4 / np.sqrt(2 * weights.size)
    np.testing.assert_array_equal(theta, ansatz.initial_parameters(np.random.default_rng(1)))


TABLES: dict[str, Any] = {
    "lattice": {"kind": "chain", "length": 8},
    "hamiltonian": {"model": "ising"},
    "ansatz": {"kind": "feedforward", "widths": [4, 3]},
}


def config(**keys: Any) -> JobConfig:
    return validate(JobConfig, RawInput(TABLES | {"ansatz": TABLES["ansatz"] | keys}, "run.toml"))


def test_the_section_builds_the_net_and_survives_being_written() -> None:
    chosen = config(activation=["tanh", "linear"], weights="amplitude_phase", symmetry="space", output_bias=True)
    ansatz = chosen.ansatz.build(chain(8))
    assert isinstance(ansatz, FeedForward) and ansatz.widths == (8, 4, 3, 2)
    assert [activation.name for activation in ansatz.activations] == ["tanh", "linear"]
    assert len(ansatz.permutations) == 16 and "biases_3" in ansatz.parameter_blocks
    assert 'activation = ["tanh", "linear"]' in to_toml(chosen)
    assert config().ansatz.build(chain(8)).activations == (Activation.lncosh, Activation.lncosh)
    assert FeedForwardSpec in section_classes(AnsatzSpec)
    assert all(meaning(FeedForwardSpec, name) for name in FeedForwardSpec.model_fields)


def test_the_example_input_is_valid() -> None:
    job = load_job(Path(__file__).resolve().parents[2] / "configs" / "ising_feedforward.toml")
    assert isinstance(job.ansatz, FeedForward) and job.ansatz.dtype == np.float64
    assert job.ansatz.n_parameters == 6 * 20 + 6 + 6 * 6 + 6 + 6


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"widths": []}, "ansatz.widths = .*list of values, each an integer >= 1"),
        ({"widths": [4, 0]}, "ansatz.widths"),
        ({"widths": [4, 2.5]}, "ansatz.widths"),
        ({"activation": "relu"}, 'ansatz.activation = "relu": must be "lncosh", "tanh"'),
        ({"activation": ["tanh", "relu"]}, "ansatz.activation"),
        ({"alpha": 2}, "ansatz.alpha = 2: unknown key"),
    ],
)
def test_unusable_sections_are_refused_in_words(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        config(**keys)


def test_one_activation_for_each_layer() -> None:
    with pytest.raises(KeyProblem, match=r"ansatz.activation = .*as many as ansatz.widths has layers, 2"):
        config(activation=["tanh"]).ansatz.build(chain(8))
    with pytest.raises(ValueError, match="permutation"):
        FeedForward(np.array([[0, 0]]), (2,), ("tanh",))


@pytest.mark.parametrize("last", ["lncosh", "tanh"])
@pytest.mark.parametrize("weights", KINDS)
@pytest.mark.parametrize("scale", [0.8, 5.0, 20.0])
def test_walkers_one_by_one_are_those_of_the_columns(weights: Any, last: str, scale: float) -> None:
    """Ratios and walks by the kernels for many images and for few, also where phases turn often and exp overflows."""
    ansatz = ansatz_of(weights, "space", (5, 6, 5), ("tanh", "lncosh", last), scale=scale, n_sites=10, output_bias=True)
    state, rng = random_state(ansatz), np.random.default_rng(31)
    spins = random_spins(rng, 10, 11)
    flips = FlipSets.from_lists([[i] for i in range(10)] + [[i, (i + 1) % 10] for i in range(10)] + [[0, 3, 4, 8]])
    wanted, lookup = rng.random((len(flips), 11)) < 0.7, state.lookup(spins)
    found = []
    for kernels in (walkers, layers):
        state._kernels = kernels
        own, table = spins.copy(), lookup.copy()
        values = state.ratios(spins, lookup, flips, wanted)
        chosen, uniforms = np.arange(len(flips)), np.random.default_rng(32).random((len(flips), 11))
        accepted = state.metropolis(own, table, flips, np.arange(len(flips)) >= 10, chosen, uniforms)
        found.append((values, own, table[: ansatz.n_angles], accepted))
        np.testing.assert_array_equal(values[~wanted], 0.0)
    finite = np.isfinite(found[1][0])
    np.testing.assert_array_equal(np.isfinite(found[0][0]), finite)
    rounding = 1e-14 * max(500.0, np.abs(lookup[ansatz.n_angles :]).max())  # of ln psi
    np.testing.assert_allclose(found[0][0][finite], found[1][0][finite], rtol=rounding, atol=rounding)
    np.testing.assert_array_equal(found[0][1], found[1][1])
    np.testing.assert_allclose(found[0][2], found[1][2], rtol=1e-12, atol=1e-12 * max(1.0, scale))
    np.testing.assert_array_equal(found[0][3], found[1][3])


@pytest.mark.parametrize("weights", KINDS)
def test_bits_of_a_net_of_many_images_are_those_of_the_walker(weights: Any) -> None:
    """Ratios and walks are the same for any block around a walker."""
    state, rng = random_state(ansatz_of(weights, "space", n_sites=10)), np.random.default_rng(33)
    spins, flips = random_spins(rng, 10, 19), FlipSets.from_lists([[i, (i + 1) % 10] for i in range(10)])
    lookup, wanted = state.lookup(spins), np.ones((10, 19), dtype=np.bool_)
    chosen, uniforms, free = rng.integers(0, 10, 30), rng.random((30, 19)), np.zeros(10, dtype=np.bool_)
    ratios, lanes = state.ratios(spins, lookup, flips, wanted), np.array([17, 3, 8])
    own = [np.ascontiguousarray(array[:, lanes]) for array in (spins, lookup, uniforms)]
    np.testing.assert_array_equal(state.ratios(own[0], own[1], flips, wanted[:, :3]), ratios[:, lanes])
    state.metropolis(spins, lookup, flips, free, chosen, uniforms)
    state.metropolis(own[0], own[1], flips, free, chosen, own[2])
    np.testing.assert_array_equal(own[0], spins[:, lanes])
    np.testing.assert_array_equal(own[1], lookup[:, lanes])
