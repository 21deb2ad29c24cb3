"""A wave function written in JAX: derivatives by automatic differentiation, compiled by XLA.

    ln psi(s) = sum over translations of v . ln cosh(W s + b)  +  i v' . ln cosh(W' s + b')

a small network of real parameters with a modulus and a phase.  Needs `pip install jax` (not a dependency of pvmc).

    pvmc check-ansatz examples/jax_ansatz.toml
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

jax.config.update("jax_enable_x64", True)  # pvmc works in float64

SMALLEST_BATCH = 64


def network(parameters: Any, spins: Any) -> Any:
    """ln psi of one configuration, (N,), as its real and imaginary part."""
    images = jnp.stack([jnp.roll(spins, shift) for shift in range(spins.shape[0])])

    def layer(own: Any) -> Any:
        hidden = images @ own["weights"].T + own["biases"]
        return jnp.sum(jnp.log(jnp.cosh(hidden)) @ own["outer"])

    return jnp.array([layer(parameters["modulus"]), layer(parameters["phase"])])


class Network:
    """A modulus and a phase, each one hidden layer of ``n_features`` features on a ring."""

    dtype = np.float64  # of the parameters
    psi_dtype = np.complex128  # of ln psi

    def __init__(self, lattice: Any, n_features: int = 2, init_scale: float = 0.1):
        shapes = {"weights": (n_features, lattice.n_sites), "biases": (n_features,), "outer": (n_features,)}
        template = {part: {name: jnp.zeros(shape) for name, shape in shapes.items()} for part in ("modulus", "phase")}
        flat, unravel = ravel_pytree(template)
        self.n_parameters, self.init_scale = len(flat), init_scale

        def parts(theta: Any, spins: Any) -> Any:
            return network(unravel(theta), spins)

        self._values = jax.jit(jax.vmap(parts, in_axes=(None, 1), out_axes=1))
        self._slopes = jax.jit(jax.vmap(jax.jacrev(parts), in_axes=(None, 1), out_axes=2))

    def initial_parameters(self, rng: np.random.Generator) -> np.ndarray:
        """Gaussian random numbers, (K,)."""
        return rng.normal(scale=self.init_scale, size=self.n_parameters)

    def log_psi(self, theta: np.ndarray, spins: np.ndarray) -> np.ndarray:
        """ln psi, complex128 (L,)."""
        real, imaginary = np.asarray(self._values(theta, padded(spins)))[:, : spins.shape[1]]
        return real + 1j * imaginary

    def log_derivatives(self, theta: np.ndarray, spins: np.ndarray) -> np.ndarray:
        """d ln psi / d theta_k, complex128 (K, L)."""
        real, imaginary = np.asarray(self._slopes(theta, padded(spins)))[:, :, : spins.shape[1]]
        return real + 1j * imaginary


def padded(spins: np.ndarray) -> np.ndarray:
    """The configurations with all-up ones added to a power of two: XLA compiles anew for every width."""
    width = max(SMALLEST_BATCH, 1 << (spins.shape[1] - 1).bit_length())
    return np.pad(spins, ((0, 0), (0, width - spins.shape[1])), constant_values=1).astype(np.float64)
