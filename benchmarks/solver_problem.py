"""One SR problem of a plain RBM, as a file, and its solution by numpy: what both sides of solvers.py agree on.

For M hidden units on N sites, with complex a (N,), b (M,) and W (M, N),

    ln psi(s) = sum_i a_i s_i + sum_j ln cosh(b_j + sum_i W_ji s_i)     (up to a constant, which changes nothing)
    theta     = [a, b, W row by row],  K = N + M + M N entries
    O_k(s)    = d ln psi / d theta_k:  s_i, tanh(...)_j, s_i tanh(...)_j
    S         = <O^* O> - <O^*> <O>,   F = <E O^*> - <E> <O^*>,   (S + shift) x = F

with means over the samples and the absolute shift added to the whole diagonal.  NetKet's tree of parameters is
{"visible_bias": a, "Dense": {"bias": b, "kernel": W transposed, (N, M)}}; pvmc's vector is theta itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Complex = npt.NDArray[np.complex128]

STRIP = 64
"""Samples whose derivatives are made at a time: 27 MB for the ring of 80 sites."""


@dataclass(frozen=True)
class Problem:
    """Samples of a ring of spins at given parameters.

    Attributes:
        spins: +-1, int8 (N, n_s).
        theta: complex128 (K,), as above.
        energies: local energies of H = sum_<ij> sigma_i . sigma_j without sign rule, complex128 (n_s,).
    """

    spins: npt.NDArray[np.int8]
    theta: Complex
    energies: Complex

    @classmethod
    def read(cls, path: Path) -> Problem:
        """The problem of a .npz file; whatever else it holds, such as solutions, is ignored."""
        with np.load(path) as arrays:
            return cls(arrays["spins"], arrays["theta"], arrays["energies"])

    def write(self, path: Path, **more: npt.NDArray[np.generic]) -> None:
        """Write arrays ``spins``, ``theta``, ``energies`` and others, such as the solution ``x``, to a .npz file."""
        with path.open("wb") as file:  # a name alone would get another suffix
            np.savez(file, spins=self.spins, theta=self.theta, energies=self.energies, **more)

    @property
    def n_hidden(self) -> int:
        """M."""
        n_sites = len(self.spins)
        return (len(self.theta) - n_sites) // (n_sites + 1)

    def derivatives(self) -> Complex:
        """O, complex128 (n_s, K), not centred."""
        n_sites, n_samples = self.spins.shape
        columns = self.spins.T.astype(np.float64)
        bias, weights = self.theta[n_sites : n_sites + self.n_hidden], self.theta[n_sites + self.n_hidden :]
        units = np.tanh(bias + columns @ weights.reshape(self.n_hidden, n_sites).T)
        found = np.empty((n_samples, len(self.theta)), dtype=np.complex128)
        found[:, :n_sites] = columns
        found[:, n_sites : n_sites + self.n_hidden] = units
        for start in range(0, n_samples, STRIP):
            strip = slice(start, start + STRIP)
            products = units[strip, :, None] * columns[strip, None, :]
            found[strip, n_sites + self.n_hidden :] = products.reshape(len(products), -1)
        return found

    def scaled(self) -> tuple[Complex, Complex]:
        """X = (O - <O>) / sqrt(n_s), (n_s, K), and e = (E - <E>) / sqrt(n_s): S = X^dagger X and F = X^dagger e."""
        scaled = self.derivatives()
        scaled -= scaled.mean(axis=0)
        scaled /= np.sqrt(len(scaled))
        return scaled, (self.energies - self.energies.mean()) / np.sqrt(len(self.energies))

    def solution(self, shift: float) -> Complex:
        """x, complex128 (K,), by minSR: x = X^dagger (X X^dagger + shift)^-1 e.

        Chen & Heyl, Nature Physics 20, 1476 (2024).
        """
        scaled, energies = self.scaled()
        kernel = scaled @ scaled.conj().T
        kernel[np.diag_indices_from(kernel)] += shift
        return scaled.conj().T @ np.linalg.solve(kernel, energies)

    def residual(self, x: Complex, shift: float) -> float:
        """|(S + shift) x - F| / |F|, from the definitions of S and F."""
        derivatives = self.derivatives()
        mean = derivatives.mean(axis=0)
        n_samples = len(derivatives)
        # The means are taken off last, as S and F are written, so that an error in centring would show.
        image = derivatives.conj().T @ (derivatives @ x) / n_samples - mean.conj() * (mean @ x) + shift * x
        force = derivatives.conj().T @ self.energies / n_samples - mean.conj() * self.energies.mean()
        return float(np.linalg.norm(image - force) / np.linalg.norm(force))
