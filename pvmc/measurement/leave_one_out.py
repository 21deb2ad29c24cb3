"""The jackknife over walkers of functions of means, with sums whose bits do not depend on the ranks.

Leaving out walker l of n changes the means m to m_(l), and a function f(m) has the standard error
sqrt((n - 1)/n sum_l (f(m_(l)) - mean of f(m_(l)))^2) (Efron, The Jackknife, the Bootstrap and Other Resampling Plans,
SIAM, 1982).  A walker's sum over its draws is left out as a whole, so that correlations along the chain count.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Floats
from pvmc.numerics.exact_sums import sum_of_blocks

Function = Callable[[Floats], Floats]
"""From means, float64 (q, ...), to numbers (...); may give NaN where it has none."""


class Totals:
    """Sums of q quantities and of weights over all blocks of all ranks.

    Attributes:
        sums: float64 (q,).
        weight: sum of the weights.
        n_units: number of what is summed over (walkers, or pairs of them).
    """

    def __init__(self, sums: Floats, weights: Floats, comm: Communicator):
        """Collective.  The totals of sums, float64 (n_blocks, n, q), and weights, float64 (n_blocks, n)."""
        counts = np.full((len(sums), 1), float(weights.shape[1]))
        columns = np.concatenate([sums.sum(axis=1), weights.sum(axis=1, keepdims=True), counts], axis=1)
        total = sum_of_blocks(columns, comm, True)
        self.sums, self.weight, self.n_units = total[:-2], float(total[-2]), int(total[-1])

    @property
    def means(self) -> Floats:
        """Sums over the weight, float64 (q,); NaN where nothing was added."""
        return quotient(self.sums, np.array(self.weight))

    def leave_one_out(self, sums: Floats, weights: Floats) -> Floats:
        """Means without one unit, float64 (q, n_blocks, n), for the sums (n_blocks, n, q) and weights of each."""
        return quotient(self.sums[:, None, None] - np.moveaxis(sums, -1, 0), self.weight - weights)


def quotient(numerators: Floats, denominators: Floats) -> Floats:
    """numerators / denominators without a warning: NaN where both are 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(numerators / denominators)


def jackknife_variance(left_out: Floats, whole: float, comm: Communicator, n_units: int) -> float:
    """Collective.  (n - 1)/n sum_l (f_(l) - mean)^2 over the n units of all ranks.

    Args:
        left_out: f without each unit of this rank, float64 (n_blocks, units of a block).
        whole: f with all of them.
        comm: the ranks.
        n_units: n.

    Returns:
        The variance; NaN where a value is, or n < 2.
    """
    if n_units < 2:
        return float("nan")
    with np.errstate(invalid="ignore", over="ignore"):
        deviations = n_units * (left_out - whole)  # of the size of a unit's own scatter, whatever n
        partials = np.stack([deviations.sum(axis=1), (deviations**2).sum(axis=1)], axis=1)
    total, squares = sum_of_blocks(partials, comm, True).tolist()
    scatter = max(squares - total**2 / n_units, 0.0) if squares == squares else squares
    return float((n_units - 1) / n_units * scatter / n_units**2)


def standard_error(variance: float) -> float:
    """The root of a variance; inf where none could be estimated."""
    return float(np.sqrt(variance)) if variance == variance else float("inf")
