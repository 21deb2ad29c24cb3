"""Wave functions given by a vector, and chains of samples of them, of which all is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.exact import Basis
from pvmc.sampler import Draw
from pvmc.wavefunctions.fallback import Batched

Numbers = npt.NDArray[Any]
Spins = npt.NDArray[np.int8]


class TableState(Batched):
    """psi(s) looked up in a vector on a basis; 0 elsewhere.

    A vector without negative or complex entries is a real psi (ln psi float64), another one a complex psi.
    """

    def __init__(self, vector: Numbers, basis: Basis):
        self.vector, self.basis = vector, basis
        positive = not np.iscomplexobj(vector) and bool(np.all(vector >= 0))
        self.dtype = np.dtype(np.float64 if positive else np.complex128)
        amplitudes = np.append(vector, 0.0)  # the last one is for what is no member of the basis, position -1
        with np.errstate(divide="ignore"):
            modulus = np.log(np.abs(amplitudes))
        self._logarithms = modulus if positive else modulus + 1j * np.angle(amplitudes)

    def log_psi(self, spins: Spins) -> Numbers:
        return self._logarithms[self.basis.index(self.basis.labels_of(spins))]

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """|psi(s)|^2 on the basis, normalised."""
        squares = np.abs(self.vector) ** 2
        return squares / squares.sum()

    def chains(
        self,
        rng: np.random.Generator,
        n_blocks: int,
        n_draws: int,
        width: int,
        *,
        memory: float = 0.0,
        power: float = 2.0,
    ) -> Iterator[Draw]:
        """Stationary chains of |psi|^power: each draw keeps the last configuration with the probability ``memory``."""
        p = self.probabilities ** (power / 2.0)
        for block in range(n_blocks):
            fresh = rng.choice(len(p), size=(n_draws, width), p=p / p.sum())
            kept = rng.random((n_draws, width)) < memory
            labels = fresh[0]
            for draw in range(n_draws):
                labels = np.where(kept[draw], labels, fresh[draw])
                spins = np.ascontiguousarray(self.basis.spins[:, labels])
                yield Draw(block, draw, spins, np.zeros((0, width)))


def random_state(
    rng: np.random.Generator, n_sites: int, *, kind: str = "complex", magnetization: int | None = None
) -> TableState:
    """A state of Gaussian amplitudes: "complex", "signed" (real), or "positive"."""
    basis = Basis.enumerate(n_sites, magnetization)
    vector: Numbers = rng.standard_normal(len(basis))
    if kind == "complex":
        vector = vector + 1j * rng.standard_normal(len(basis))
    if kind == "positive":
        vector = np.abs(vector)
    return TableState(vector / np.linalg.norm(vector), basis)


def full_vector(state: TableState) -> Numbers:
    """The state on all 2^N configurations, complex128."""
    vector = np.zeros(2**state.basis.n_sites, dtype=np.complex128)
    vector[state.basis.labels] = state.vector
    return vector


def purity(vector: Numbers, n_sites: int, sites: list[int]) -> float:
    """Tr rho_A^2 of a normalised vector on all configurations, by a partial trace of its tensor of N indices."""
    tensor = vector.reshape((2,) * n_sites)  # site 0 is the least significant bit, the last axis
    rest = [n_sites - 1 - site for site in range(n_sites) if site not in sites]
    reduced = np.tensordot(tensor, tensor.conj(), axes=(rest, rest)).reshape(2 ** len(sites), -1)
    return float(np.trace(reduced @ reduced).real)
