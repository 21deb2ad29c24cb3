"""Wave functions of every kind on rings of a few sites, by name, for the contract suite and its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.lattice import chain, rectangle
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions import RBM, Ansatz, FeedForward, Jastrow, MeanField, Product, Projected
from pvmc.wavefunctions.fallback import Batched, FormulaAnsatz
from pvmc.wavefunctions.feedforward.activations import Activation
from pvmc.wavefunctions.projection.quantum_numbers import QuantumNumbers

N_SITES, WIDTH = 6, 8
DTYPES = [np.float64, np.complex128]
WEIGHTS = ("complex", "real", "amplitude_phase")
GROUPS = ("none", "translation", "space")
RING = chain(N_SITES)


class Pairs:
    """A formula that looks nothing up: nearest-neighbour pairs and a field, ln psi = v sum s_i s_i+1 + a sum s_i."""

    n_parameters = 2

    def __init__(self, dtype: Any = np.complex128):
        self.dtype = np.dtype(dtype)

    def log_psi(self, theta: Any, spins: Any) -> Any:
        return theta @ self.sums(spins)

    def log_derivatives(self, theta: Any, spins: Any) -> Any:
        return self.sums(spins)

    def sums(self, spins: Any) -> Any:
        values = spins.astype(float)
        return np.array([(values * np.roll(values, 1, axis=0)).sum(axis=0), values.sum(axis=0)])


class Slope:
    """ln psi = sum theta_i s_i, as a formula with real parameters."""

    n_parameters, dtype = N_SITES, np.float64

    def log_psi(self, theta: Any, spins: Any) -> Any:
        return theta @ spins.astype(float)

    def log_derivatives(self, theta: Any, spins: Any) -> Any:
        return spins.astype(float)


class OnlyLogPsi(Batched):
    """The fallback on the ln psi of another wave function: nothing else of it is believed."""

    def __init__(self, psi: Any):
        self.psi, self.dtype = psi, psi.dtype

    def log_psi(self, spins: Any) -> Any:
        return self.psi.log_psi(spins)


def rbm(dtype: Any, group: str = "none", visible: bool = False, scale: float = 0.3) -> RBM:
    n_features = 7 if group == "none" else 2  # no multiple of a vector's lanes
    scale = scale / 2 if group == "space" else scale  # 24 hidden units: moves are to be accepted
    return RBM(RING.group(group), n_features, dtype=dtype, visible_bias=visible, init_scale=scale)


def net(
    weights: Any,
    group: str = "none",
    widths: Sequence[int] = (5, 4),
    activations: Sequence[str] = ("lncosh", "tanh"),
    *,
    scale: float = 0.8,
    n_sites: int = N_SITES,
    **options: Any,
) -> FeedForward:
    permutations = (RING if n_sites == N_SITES else chain(n_sites)).group(group)
    return FeedForward(permutations, widths, activations, weights=weights, init_scale=scale, **options)


def jastrow(dtype: Any, group: str = "none", scale: float = 0.3) -> Jastrow:
    return Jastrow(RING.group(group), dtype=dtype, one_body=True, init_scale=scale)


def projected(inner: Ansatz, **numbers: Any) -> Projected:
    return Projected(inner, QuantumNumbers(**numbers).group(RING))


def net_product(weights: Any) -> Product:
    dtype = np.complex128 if weights == "complex" else np.float64
    return Product([net(weights, "translation", (5, 3)), jastrow(dtype)])


def projected_net(weights: Any) -> Projected:
    return projected(net(weights, "none", (5, 3)), momentum=[1], spin_flip=-1)


def symmetric_net(weights: Any) -> Projected:
    return projected(net(weights, "translation", (5, 3)), momentum=[0], parity=1)


STATES: dict[str, Callable[[], Ansatz]] = {}
"""Name -> a new ansatz, of every kind, number field, symmetry and combination."""

for _dtype, _name in zip(DTYPES, ("real", "complex"), strict=True):
    for _group in GROUPS:
        for _visible in (False, True):
            STATES[f"{_name} rbm, {_group}{', visible bias' * _visible}"] = lambda d=_dtype, g=_group, v=_visible: rbm(
                d, g, v
            )
    STATES |= {
        f"{_name} mean field": lambda d=_dtype: MeanField(RING.group("none"), dtype=d, init_scale=0.3),
        f"{_name} uniform mean field": lambda d=_dtype: MeanField(RING.group("translation"), dtype=d, init_scale=0.3),
        f"{_name} jastrow": lambda d=_dtype: jastrow(d),
        f"{_name} symmetric jastrow": lambda d=_dtype: Jastrow(
            rectangle((3, 2), (True, False)).group("space"), dtype=d, init_scale=0.3
        ),
        f"{_name} rbm x jastrow": lambda d=_dtype: Product(
            [rbm(d, "translation", True, 0.2), Jastrow(RING.group("translation"), dtype=d, init_scale=0.2)]
        ),
        f"{_name} plain rbm x jastrow": lambda d=_dtype: Product([rbm(d), jastrow(d, "translation")]),
        f"{_name} formula x mean field": lambda d=_dtype: Product(
            [FormulaAnsatz(Pairs(d), N_SITES), MeanField(RING.group("none"), dtype=d, init_scale=0.2)]
        ),
        f"{_name} formula": lambda d=_dtype: FormulaAnsatz(Pairs(d), N_SITES),
        f"{_name} rbm, momentum 1": lambda d=_dtype: projected(rbm(d, "none", True, 0.4), momentum=[1]),
        f"{_name} rbm, even": lambda d=_dtype: projected(rbm(d, "none", True, 0.4), momentum=[0], parity=1),
        f"{_name} rbm, odd": lambda d=_dtype: projected(
            rbm(d, "none", True, 0.4), momentum=[3], parity=-1, spin_flip=-1
        ),
    }
for _weights in WEIGHTS:
    for _activation in Activation:
        STATES[f"{_weights} net of {_activation.name}"] = lambda w=_weights, a=_activation.name: net(
            w, "space", (4,), (a,), scale=0.6, output_bias=True
        )
    for _group in GROUPS:
        STATES[f"{_weights} net, {_group}"] = lambda w=_weights, g=_group: net(w, g)
    STATES |= {
        f"{_weights} net, output bias": lambda w=_weights: net(
            w, "none", (5, 4, 3), ("lncosh", "tanh", "softplus"), output_bias=True
        ),
        f"{_weights} net without biases": lambda w=_weights: net(
            w, "space", (4, 3), ("softplus", "sigmoid"), bias=False
        ),
        f"{_weights} net of one layer": lambda w=_weights: net(w, "none", (8,), ("sigmoid",)),
        f"{_weights} net with a linear layer": lambda w=_weights: net(
            w, "space", (4, 3, 2), ("lncosh", "linear", "tanh"), scale=0.6, output_bias=True
        ),
        f"{_weights} net that widens": lambda w=_weights: net(
            w, "translation", (3, 4, 5), ("sigmoid", "tanh", "softplus"), scale=0.6, output_bias=True
        ),
        f"{_weights} net x jastrow": lambda w=_weights: net_product(w),
        f"{_weights} net, momentum 1": lambda w=_weights: projected_net(w),
        f"{_weights} net, momentum 0": lambda w=_weights: symmetric_net(w),
        f"{_weights} net x jastrow, even": lambda w=_weights: projected(net_product(w), spin_flip=1),
        f"{_weights} product of projected nets": lambda w=_weights: Product([projected_net(w), symmetric_net(w)]),
    }
STATES |= {
    "net with a layer of one unit": lambda: net("real", "none", (6, 1, 4), ("lncosh", "tanh", "softplus")),
    "jastrow x (rbm x net)": lambda: Product(
        [jastrow(float, "translation"), Product([rbm(float, "none", True), net("amplitude_phase")])]
    ),
    "jastrow, momentum 2": lambda: projected(jastrow(np.float64), momentum=[2], spin_flip=-1),
    "formula, momentum 2": lambda: projected(FormulaAnsatz(Slope(), N_SITES), momentum=[2], spin_flip=-1),
}


def random_spins(rng: np.random.Generator, n_sites: int = N_SITES, width: int = WIDTH) -> npt.NDArray[np.int8]:
    return rng.choice(np.array([-1, 1], dtype=np.int8), size=(n_sites, width))


def sizeable_spins(state: Any, rng: np.random.Generator, width: int = WIDTH) -> npt.NDArray[np.int8]:
    """Configurations of large |psi| among random ones: on a node, where terms cancel, a ratio is one of roundings."""
    spins = random_spins(rng, width=16 * width)
    return np.ascontiguousarray(spins[:, np.argsort(-state.log_psi(spins).real, kind="stable")[:width]])


def random_flips(rng: np.random.Generator, n_sites: int = N_SITES, largest: int = 5) -> FlipSets:
    return FlipSets.from_lists([rng.choice(n_sites, k, replace=False) for k in range(1, largest + 1) for _ in range(3)])


def random_state(ansatz: Ansatz, seed: int = 1) -> Any:
    return ansatz.at(ansatz.initial_parameters(np.random.default_rng(seed)))
