"""The parameters of an RBM as other programs keep them, and as an ansatz of pvmc has them.

ln psi(s) = sum_i a_i s_i + sum_j ln 2cosh(b_j + sum_i W_ij s_i), spins s_i = +-1, as in Carleo & Troyer, Science 355,
602 (2017); programs that leave out the 2 have another norm of psi and the same state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pvmc.errors import InputError
from pvmc.wavefunctions import RBM
from pvmc.wavefunctions.base import Ansatz

Numbers = NDArray[Any]

TOLERANCE = 1e-6
"""Largest difference of two weights that count as equal, in units of the largest one: files hold 7 digits."""


@dataclass(frozen=True)
class RBMWeights:
    """Parameters of an RBM without any symmetry.

    Attributes:
        visible_bias: a, float64 or complex128 (N,).
        hidden_bias: b, (M,).
        kernel: W, (N, M), W[i, j] between spin i and hidden unit j.

    Raises:
        ValueError: shapes that do not belong together, or numbers that are not finite.
    """

    visible_bias: Numbers
    hidden_bias: Numbers
    kernel: Numbers

    def __post_init__(self) -> None:
        if self.kernel.ndim != 2 or 0 in self.kernel.shape:
            raise ValueError(f"weights of shape {self.kernel.shape}, expected (N, M)")
        shapes = (self.visible_bias.shape, self.hidden_bias.shape)
        if shapes != ((self.n_sites,), (self.n_hidden,)):
            raise ValueError(f"biases of shapes {shapes}, expected ({self.n_sites},) and ({self.n_hidden},)")
        if not all(np.all(np.isfinite(part)) for part in (self.visible_bias, self.hidden_bias, self.kernel)):
            raise ValueError("numbers that are not finite")

    @property
    def n_sites(self) -> int:
        """N."""
        return int(self.kernel.shape[0])

    @property
    def n_hidden(self) -> int:
        """M."""
        return int(self.kernel.shape[1])

    @property
    def is_real(self) -> bool:
        """True where no parameter has an imaginary part."""
        return not any(np.any(np.imag(part)) for part in (self.visible_bias, self.hidden_bias, self.kernel))

    def filters(self, permutations: NDArray[np.int64]) -> tuple[Numbers, Numbers] | None:
        """The weights as those of a symmetric RBM, if they are: hidden biases (F,) and features (F, N).

        The hidden units must fall into F sets, each the |G| images of one feature with one bias; their order is free.
        Equal is meant to within ``TOLERANCE``.  None where they do not.

        Args:
            permutations: the symmetry group, int64 (|G|, N).
        """
        inverses = np.argsort(permutations, axis=1)
        rows, left = self.kernel.T, np.arange(self.n_hidden)
        tolerance = TOLERANCE * max(float(np.abs(rows).max()), float(np.abs(self.hidden_bias).max()))
        found = []
        while left.size:
            first = left[0]
            for image in rows[first][inverses]:
                distance = np.maximum(
                    np.abs(rows[left] - image).max(axis=1, initial=0.0),
                    np.abs(self.hidden_bias[left] - self.hidden_bias[first]),
                )
                if not left.size or distance.min() > tolerance:
                    return None
                left = np.delete(left, np.argmin(distance))
            found.append(first)
        return self.hidden_bias[found], np.ascontiguousarray(rows[found])


def weights_of(ansatz: Ansatz, theta: Numbers) -> RBMWeights:
    """The parameters of an RBM of pvmc, plain or symmetric, as those of one without symmetry.

    Hidden units are in the order (f, g), features first; parameters are of the ansatz' type.

    Raises:
        InputError: the wave function is no RBM.
    """
    if not isinstance(ansatz, RBM):
        raise InputError(f"only weights of an RBM can be written for other programs, not of {type(ansatz).__name__}")
    psi = ansatz.at(theta)
    return RBMWeights(psi.visible_biases, psi.hidden_biases, np.ascontiguousarray(psi.weights.T))


def parameters_from(weights: RBMWeights, ansatz: Ansatz) -> Numbers:
    """The flat vector theta of an RBM that is the same state, (K,) of the ansatz' type.

    Raises:
        InputError: the wave function is no RBM, has other sizes, or lacks parameters that the weights need.
    """
    if not isinstance(ansatz, RBM):
        raise InputError('weights of an RBM need ansatz.kind = "rbm"')
    for name, found, wanted in (
        ("spins", weights.n_sites, ansatz.n_sites),
        ("hidden units", weights.n_hidden, ansatz.n_hidden),
    ):
        if found != wanted:
            raise InputError(f"the weights have {found} {name}, this input has {wanted}{_alpha(weights, name)}")
    if ansatz.dtype == np.float64 and not weights.is_real:
        raise InputError('the weights are complex: set ansatz.weights = "complex"')
    filters = weights.filters(ansatz.permutations)
    if filters is None:
        raise InputError('the weights do not have the symmetry of this input: set ansatz.symmetry = "none"')
    parts = {"visible_bias": _visible(weights.visible_bias, ansatz), "hidden_bias": filters[0], "features": filters[1]}
    theta = np.empty(ansatz.n_parameters, dtype=ansatz.dtype)
    for name, (part, _) in ansatz.parameter_blocks.items():
        values = parts[name].ravel()
        theta[part] = values.real if ansatz.dtype == np.float64 else values
    return theta


def _alpha(weights: RBMWeights, name: str) -> str:
    return f": set ansatz.alpha = {weights.n_hidden / weights.n_sites:g}" if name == "hidden units" else ""


def _visible(bias: Numbers, ansatz: RBM) -> Numbers:
    """One visible bias for each orbit of the sites."""
    if "visible_bias" not in ansatz.parameter_blocks:
        if np.any(bias):
            raise InputError("the weights have visible biases: set ansatz.visible_bias = true")
        return bias[:0]
    _, first = np.unique(ansatz.orbits, return_index=True)
    if np.abs(bias - bias[first][ansatz.orbits]).max() > TOLERANCE * np.abs(bias).max():
        raise InputError('the visible biases do not have the symmetry of this input: set ansatz.symmetry = "none"')
    return bias[first]
