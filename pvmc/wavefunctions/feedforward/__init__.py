"""Feed-forward neural networks with hand-derived backpropagation.

With a^0 = s and layers l = 1 ... L (the hidden ones, then the output layer, whose activation is linear),

    z^l = W^l a^{l-1} + b^l,        a^l = f_l(z^l).

The output z^L is ln psi(s), or the pair (ln|psi|, phase).  For a group G of site permutations, (g s)_i = s[perm[g, i]],
the outputs of all images are added, ln psi(s) = sum_g z^L(g s), so that psi(g s) = psi(s) exactly; the first layer
is a convolution over the group.  The trivial group gives the plain net.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pvmc.config import KeyProblem
from pvmc.errors import NumericalError
from pvmc.numerics.arrays import Booleans, Floats, Integers, Numbers, Spins, joined_planes, plane_view, stacked_planes
from pvmc.numerics.special import LARGEST_IMAGINARY_PART
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions.base import Factors
from pvmc.wavefunctions.feedforward import layers as dense_layers
from pvmc.wavefunctions.feedforward import walkers as single_walkers
from pvmc.wavefunctions.feedforward.activations import Activation, activate, derivative
from pvmc.wavefunctions.feedforward.scatter import output_scatter
from pvmc.wavefunctions.initial_scales import SCATTER
from pvmc.wavefunctions.log_derivatives import (
    bias_derivatives,
    feature_derivatives,
    outer,
    outer_rows,
    weight_derivatives,
)
from pvmc.wavefunctions.shared import (
    AnsatzSection,
    FixedState,
    LatticeOfSites,
    NamedParameters,
    Proposals,
    gaussian,
    require_finite,
    symmetry_permutations,
)
from pvmc.wavefunctions.symmetry import checked, inverted

WeightKind: TypeAlias = Literal["complex", "real", "amplitude_phase"]
ActivationName: TypeAlias = Literal["lncosh", "tanh", "sigmoid", "softplus", "linear"]
Initialization: TypeAlias = Literal["lecun", "glorot", "gaussian"]

Widths = Annotated[tuple[Annotated[int, Field(ge=1, le=10**9)], ...], Field(min_length=1, strict=False)]
ActivationNames = Annotated[tuple[ActivationName, ...], Field(min_length=1, strict=False)]


HIDDEN_ANGLES = {Activation.tanh: 0.5, Activation.lncosh: 0.5}
"""Root of E|z|^2 to begin with, where it is not 1: there poles and cuts are at |z| = pi/2, elsewhere at pi."""


class FeedForwardSpec(AnsatzSection):
    """Feed-forward neural network."""

    kind: Literal["feedforward"]
    """Feed-forward neural network."""
    widths: Widths
    """Numbers of units of the hidden layers, from the spins to the output."""
    activation: ActivationName | ActivationNames = "lncosh"
    """Activation of the hidden layers: one for all, or a list with one for each; softplus is a smooth relu."""
    weights: WeightKind = "complex"
    """complex: psi holomorphic in them; real: psi positive; amplitude_phase: real, outputs ln|psi| and phase."""
    symmetry: Literal["none", "translation", "space"] = "translation"
    """Lattice symmetries that psi has exactly: outputs are added over the images of the spins under this group."""
    bias: bool = True
    """Give the hidden layers biases."""
    output_bias: bool = False
    """Give the output layer one; it changes only norm and global phase of psi."""
    initialization: Initialization = "lecun"
    """Standard deviation over init_scale: lecun 1/sqrt(n_in), glorot sqrt(2/(n_in + n_out)), gaussian 1."""
    init_scale: float | None = Field(default=None, gt=0)
    """Factor on the standard deviation of the first parameters (of real and imaginary parts together); default: by the
    sizes of lattice, layers and symmetry group, another one for the output layer"""

    def build(self, lattice: LatticeOfSites) -> FeedForward:
        """The net on a lattice.

        Raises:
            KeyProblem: the list of activations is not as long as that of the hidden layers.
        """
        names = (self.activation,) * len(self.widths) if isinstance(self.activation, str) else self.activation
        if len(names) != len(self.widths):
            allowed = f"must be one activation, or as many as ansatz.widths has layers, {len(self.widths)}"
            raise KeyProblem("ansatz.activation", list(names), allowed)
        return FeedForward(
            symmetry_permutations(self, lattice),
            self.widths,
            names,
            weights=self.weights,
            bias=self.bias,
            output_bias=self.output_bias,
            initialization=self.initialization,
            init_scale=self.init_scale,
        )


class FeedForward(NamedParameters):
    """A feed-forward net as an :class:`pvmc.wavefunctions.base.Ansatz`.

    theta is [W^1, b^1, W^2, b^2, ..., W^L], W^l by rows (the units of layer l); see ``parameter_blocks``.

    Attributes:
        permutations: int64 (|G|, N), a group.
        widths: numbers of units of all layers, N first, the outputs last.
        activations: f_l of the hidden layers.
        n_unit_planes: float64 numbers of a unit: 2 for complex weights, else 1.
        n_output_planes: of ln psi: 1 for real weights, else 2.
    """

    def __init__(
        self,
        permutations: npt.NDArray[np.int64],
        widths: Sequence[int],
        activations: Sequence[str],
        *,
        weights: WeightKind = "complex",
        bias: bool = True,
        output_bias: bool = False,
        initialization: Initialization = "lecun",
        init_scale: float | None = None,
    ):
        """A net with hidden layers of the given widths and activations, summed over ``permutations``, int64 (|G|, N).

        Raises:
            ValueError: no hidden layer or an empty one, not one activation for each, or a row that is no permutation.
        """
        if not widths or min(widths) < 1 or len(activations) != len(widths):
            raise ValueError(f"hidden layers need units and activations, got widths {widths}, {activations}")
        self.permutations = checked(permutations)
        n_sites = self.permutations.shape[1]
        self.n_unit_planes = 2 if weights == "complex" else 1
        self.n_output_planes = 1 if weights == "real" else 2
        self.widths = (n_sites, *widths, 2 if weights == "amplitude_phase" else 1)
        self.activations = tuple(Activation[name] for name in activations)
        self.initialization = initialization
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(1, self.n_layers + 1):
            shapes[f"weights_{layer}"] = (self.widths[layer], self.widths[layer - 1])
            if output_bias if layer == self.n_layers else bias:
                shapes[f"biases_{layer}"] = (self.widths[layer],)
        super().__init__(n_sites, np.complex128 if weights == "complex" else np.float64, shapes, init_scale)

    @cached_property
    def inverses(self) -> npt.NDArray[np.int64]:
        """The inverse permutations, int64 (|G|, N)."""
        return inverted(self.permutations)

    @property
    def n_layers(self) -> int:
        """L: the hidden layers and the output layer."""
        return len(self.widths) - 1

    @property
    def n_angles(self) -> int:
        """Numbers of z^1 of all images, by planes."""
        return self.n_unit_planes * self.widths[1] * len(self.permutations)

    @property
    def lookup_size(self) -> int:
        """Q: z^1 of all images and ln psi, by planes."""
        return self.n_angles + self.n_output_planes

    @property
    def table_bytes(self) -> int:
        """Memory of the first layer's weights on every site, and of the later layers' (each and transposed)."""
        later = sum(above * below for below, above in zip(self.widths[1:], self.widths[2:], strict=False))
        return 8 * (self.n_angles * self.n_sites + 2 * self.n_unit_planes**2 * later)

    @property
    def factor_rows(self) -> int | None:
        """Rows of the factors of the log-derivatives; None where images share weights, or where they are not fewer."""
        layers = list(pairwise(self.widths))
        biases = self.n_parameters - sum(below * above for below, above in layers)
        rows = biases + sum(outer_rows(above, below) for below, above in layers)
        return rows if len(self.permutations) == 1 and rows < self.n_parameters else None

    def layer(self, theta: Numbers, number: int) -> tuple[Numbers, Numbers]:
        """W^l and b^l (zero if there is none) of a layer, counted from 1."""
        biases = np.zeros(self.widths[number], dtype=theta.dtype)
        if f"biases_{number}" in self.parameter_blocks:
            biases[:] = self.block(theta, f"biases_{number}")
        return self.block(theta, f"weights_{number}"), biases

    def initial_parameters(self, rng: np.random.Generator) -> Numbers:
        """Independent Gaussians of mean 0, (K,); E|.|^2 is the same for weights and biases of a layer."""
        if self.init_scale is None:
            return super().initial_parameters(rng)
        theta = gaussian(rng, self.n_parameters, self.dtype, 1.0)
        for name, (part, _) in self.parameter_blocks.items():
            theta[part] *= self.init_scale * self._unit(int(name.rpartition("_")[2])) / self.n_unit_planes**0.5
        return theta

    def _unit(self, layer: int) -> float:
        """Standard deviation of the first parameters of a layer over ``init_scale``."""
        n_out, n_in = self.widths[layer], self.widths[layer - 1]
        units = {"lecun": n_in**-0.5, "glorot": (2.0 / (n_in + n_out)) ** 0.5, "gaussian": 1.0}
        return units[self.initialization]

    def automatic_scales(self) -> dict[str, float | Floats]:
        """Scales by which z of all hidden units is about 1 or smaller, and ln |psi| scatters by 0.5.

        That of the output layer follows from the scatter of what it reads,
        :func:`pvmc.wavefunctions.feedforward.scatter.output_scatter`.
        """
        units = [self._unit(layer) for layer in range(1, self.n_layers + 1)]
        largest = max(unit * width**0.5 for unit, width in zip(units[:-1], self.widths, strict=False))
        angles = [HIDDEN_ANGLES.get(activation, 1.0) for activation in self.activations]
        scales = [angle / largest * unit for angle, unit in zip(angles, units, strict=False)]
        has_bias = "biases_1" in self.parameter_blocks
        scatter = output_scatter(self.permutations, self.widths, self.activations, scales, has_bias, self.n_unit_planes)
        scales.append(SCATTER / scatter)
        return {
            name: scales[int(name.rpartition("_")[2]) - 1] / self.n_unit_planes**0.5 for name in self.parameter_blocks
        }

    def at(self, theta: Numbers) -> FeedForwardState:
        """The wave function at theta, (K,) of ``dtype``.

        Raises:
            NumericalError: theta is not finite, or too large for the range of the kernels.
        """
        return FeedForwardState(self, theta)


class FeedForwardState(FixedState):
    """A feed-forward net at fixed parameters, as a :class:`pvmc.wavefunctions.base.WaveFunction`.

    The look-up is z^1 of all images by planes, (n_planes M_1 |G|, L), image minor, then ln psi by planes.  A flip
    changes z^1 by a rank-1 update; the later layers are run anew (:mod:`pvmc.wavefunctions.feedforward.layers`).
    """

    def __init__(self, ansatz: FeedForward, theta: Numbers):
        require_finite(theta, ansatz.n_parameters, ansatz.dtype, "net")
        self.ansatz, self.n_parameters = ansatz, ansatz.n_parameters
        self.dtype = np.dtype(np.float64 if ansatz.n_output_planes == 1 else np.complex128)
        layers = [ansatz.layer(theta, number) for number in range(1, ansatz.n_layers + 1)]
        _require_representable(layers)
        self._order = len(ansatz.permutations)
        self._kernels = single_walkers if self._order >= single_walkers.FEWEST else dense_layers
        weights, biases = layers[0]
        on_sites = weights[:, ansatz.inverses].reshape(-1, ansatz.n_sites)
        self._first = np.ascontiguousarray(stacked_planes(on_sites).T)
        self._first_biases = stacked_planes(np.repeat(biases, self._order))[:, None]
        self._transposed = [_plane_matrix(matrix.T) for matrix, _ in layers[1:]]
        self._net = self._packed(layers[1:])

    def _packed(self, layers: Sequence[tuple[Numbers, Numbers]]) -> dense_layers.Net:
        """The later layers as the kernels take them."""
        matrices = [_plane_matrix(weights) for weights, _ in layers]
        biases = [stacked_planes(values) for _, values in layers]
        starts = np.cumsum([0, *(matrix.size for matrix in matrices)])
        bias_starts = np.cumsum([0, *(len(values) for values in biases)])
        rows = [
            (int(activation), *matrix.shape, start, bias_start)
            for activation, matrix, start, bias_start in zip(
                self.ansatz.activations, matrices, starts, bias_starts, strict=False
            )
        ]
        return (
            self._first,
            np.array(rows, dtype=np.int64),
            np.concatenate([matrix.ravel() for matrix in matrices]),
            np.concatenate(biases),
            self.ansatz.n_unit_planes,
            self._order,
            max(max(matrix.shape) for matrix in matrices),
        )

    def _images(self, angles: Floats) -> Floats:
        """z^1, (Q1, L), as the matrix of all images' columns, (n_planes M_1, |G| L)."""
        return angles.reshape(-1, self._order * angles.shape[1])

    def lookup(self, spins: Spins) -> Floats:
        """z^1 and ln psi by planes, float64 (Q, L)."""
        n_angles, width = self.ansatz.n_angles, spins.shape[1]
        lookup = np.empty((self.ansatz.lookup_size, width))
        angles = lookup[:n_angles]
        np.matmul(self._first.T, spins.astype(np.float64), out=angles)
        angles += self._first_biases
        work = np.empty((2, self._net[-1] * self._order * width))
        dense_layers.evaluate(self._net, self._images(angles), work, lookup[n_angles:])
        return lookup

    def log_psi(self, spins: Spins) -> Numbers:
        """ln psi(s), (L,); the phase modulo 2 pi."""
        return joined_planes(self.lookup(spins)[self.ansatz.n_angles :], self.ansatz.n_output_planes)[0]

    def fill_ratios(self, spins: Spins, lookup: Floats, flips: FlipSets, wanted: Booleans, out: Floats) -> None:
        """The later layers of every flipped configuration."""
        self._kernels.ratios(self._net, spins, lookup, flips.offsets, flips.sites, wanted, out)

    def step(self, spins: Spins, lookup: Floats, proposals: Proposals, accepted: Integers) -> None:
        """Metropolis steps by the kernel."""
        self._kernels.metropolis(self._net, spins, lookup, *proposals.arrays, accepted)

    def move(self, spins: Spins, lookup: Floats, sites: Integers, accept: Booleans) -> None:
        """Flip the sites in the accepting walkers; spins and look-up are updated."""
        walkers = np.flatnonzero(accept)
        if len(walkers):
            dense_layers.move(self._net, spins, lookup, sites, walkers)

    def fill_derivatives(self, spins: Spins, lookup: Floats, out: Numbers) -> None:
        """Backpropagation: O_{W^l} = Delta^l (a^{l-1})^T, O_{b^l} = Delta^l, summed over the images.

        Two outputs (amplitude and phase) take two passes, which give the real and the imaginary part of O_k.
        """
        ansatz, width = self.ansatz, spins.shape[1]
        values, slopes = self._forward(lookup[: ansatz.n_angles])
        deltas = self._backward(slopes)
        for layer in range(1, ansatz.n_layers + 1):
            # Delta^l: (P, M_l, |G|, L)
            delta = deltas[layer - 1].reshape(ansatz.n_output_planes, ansatz.widths[layer], self._order, width)
            target = plane_view(out[ansatz.parameter_blocks[f"weights_{layer}"][0]])
            if layer == 1:
                # the images of the spins in place of a^0: (P M_1 |G|, L) x (N, L) -> (M_1 N, L, P)
                flat = delta.reshape(-1, width)
                feature_derivatives(flat, spins.astype(np.float64), ansatz.permutations, target)
            else:
                # a^{l-1}: (n_planes, M_{l-1}, |G|, L)
                below = values[layer - 2].reshape(ansatz.n_unit_planes, -1, self._order, width)
                weight_derivatives(delta, below, target)
            if f"biases_{layer}" in ansatz.parameter_blocks:
                bias_derivatives(delta, plane_view(out[ansatz.parameter_blocks[f"biases_{layer}"][0]]))

    @property
    def has_factors(self) -> bool:
        """True where the log-derivatives are shorter as factors."""
        return self.ansatz.factor_rows is not None

    def derivative_factors(self, spins: Spins, lookup: Floats) -> Factors:
        """O_{W^l} = Delta^l outer a^{l-1}, O_{b^l} = Delta^l, without symmetries; see :mod:`pvmc.wavefunctions.base`.

        Raises:
            ValueError: the net has symmetries, over whose images outer products are summed.
        """
        ansatz = self.ansatz
        if self._order > 1:
            raise ValueError("the log-derivatives of a net with symmetries are no outer products")
        values, slopes = self._forward(lookup[: ansatz.n_angles])
        inputs = [spins.astype(np.float64)[ansatz.permutations[0]]]
        inputs += [joined_planes(value, ansatz.n_unit_planes) for value in values]
        deltas = [joined_planes(delta, ansatz.n_output_planes) for delta in self._backward(slopes)]
        factors: list[tuple[Numbers, ...]] = []
        for layer, (delta, below) in enumerate(zip(deltas, inputs, strict=True), start=1):
            factors.append(outer(delta, below))
            if f"biases_{layer}" in ansatz.parameter_blocks:
                factors.append((delta.copy(),))
        return factors

    def _forward(self, angles: Floats) -> tuple[list[Floats], list[Floats]]:
        """a^l and f'(z^l) of the hidden layers, each (n_planes M_l, |G| L)."""
        _, layers, weights, biases, n_planes, _, _ = self._net
        values: list[Floats] = []
        slopes: list[Floats] = []
        z = self._images(angles)
        for code, rows, columns, start, bias_start in layers.tolist():
            values.append(np.empty_like(z))
            slopes.append(np.empty_like(z))
            activate(code, n_planes, z, values[-1])
            derivative(code, n_planes, z, slopes[-1])
            matrix = weights[start : start + rows * columns].reshape(rows, columns)
            z = matrix @ values[-1] + biases[bias_start : bias_start + rows, None]
        return values, slopes

    def _backward(self, slopes: Sequence[Floats]) -> list[Floats]:
        """Delta^l = d output / d z^l of the layers 1 ... L, by the planes of ln psi, (P M_l, |G| L)."""
        ansatz, width = self.ansatz, slopes[0].shape[1]
        n_outputs = ansatz.widths[-1]
        passes: list[list[Floats]] = []
        for output in range(n_outputs):
            delta = np.zeros((ansatz.n_unit_planes * n_outputs, width))
            delta[output] = 1.0
            deltas = [delta]
            for transposed, slope in zip(reversed(self._transposed), reversed(slopes), strict=True):
                delta = transposed @ delta
                dense_layers.multiply(ansatz.n_unit_planes, slope, delta)
                deltas.append(delta)
            passes.append(deltas[::-1])
        return [np.concatenate(parts) for parts in zip(*passes, strict=True)]


def _plane_matrix(weights: Numbers) -> Floats:
    """A matrix as it acts on stacked planes: [[Re W, -Im W], [Im W, Re W]]; a real one as it is."""
    if not np.iscomplexobj(weights):
        return np.ascontiguousarray(weights)
    return np.block([[weights.real, -weights.imag], [weights.imag, weights.real]])


def _require_representable(layers: Sequence[tuple[Numbers, Numbers]]) -> None:
    """NumericalError where a unit's |W| + |b| is beyond what the activations resolve, or values could overflow."""
    for number, (weights, biases) in enumerate(layers, start=1):
        bounds = np.abs(weights).sum(axis=1) + np.abs(biases)
        limit = LARGEST_IMAGINARY_PART
        if bounds.max() > limit:
            raise NumericalError(
                f"the weights of the net are too large: those of unit {bounds.argmax()} of layer {number} add up to "
                f"{bounds.max():.4g}, the limit is {limit:.4g}; use smaller steps or a lower ansatz.init_scale"
            )
