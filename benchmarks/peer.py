"""A case of cases.py in NetKet (netket==3.23, an environment of its own); never a dependency.

``make bench-peer`` calls it once for each case, and measures pvmc before and after it on the same core.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # noqa: E402
import netket as nk  # noqa: E402
import numpy as np  # noqa: E402
from cases import ITERATION_CASES, KERNEL_CASES  # noqa: E402

REPEATS = 3


def main() -> None:
    """Measure one case and write its numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=[*KERNEL_CASES, *ITERATION_CASES], required=True, help="case of cases.py")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    numbers: dict[str, object] = {"netket": version("netket"), "jax": version("jax")}
    if options.case in KERNEL_CASES:
        numbers |= rates(KERNEL_CASES[options.case])
    else:
        numbers["seconds"] = iteration(ITERATION_CASES[options.case])
    numbers["memory"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    options.output.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


def best(function: Callable[[], object]) -> float:
    """Seconds of the fastest of several calls; the first two compile."""
    times = []
    for _ in range(REPEATS + 2):
        start = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - start)
    return min(times[2:])


def system(tables: dict) -> tuple:
    """Graph, Hamiltonian and sampler of a case: the same moves, sweep and number of chains."""
    lattice, sampler = tables["lattice"], tables["sampler"]
    is_chain = lattice["kind"] == "chain"
    graph = nk.graph.Chain(lattice["length"]) if is_chain else nk.graph.Grid(lattice["size"], pbc=True)
    chains, sweep = sampler["walkers"], sampler.get("sweep", graph.n_nodes)
    if tables["hamiltonian"]["model"] == "ising":
        hilbert = nk.hilbert.Spin(0.5, graph.n_nodes)
        hamiltonian = nk.operator.IsingJax(hilbert, graph, h=1.0, J=-1.0)
        return graph, hamiltonian, nk.sampler.MetropolisLocal(hilbert, n_chains=chains, sweep_size=sweep)
    hilbert = nk.hilbert.Spin(0.5, graph.n_nodes, total_sz=0)
    hamiltonian = nk.operator.Heisenberg(hilbert, graph, J=0.25, sign_rule=True)
    moves = nk.sampler.MetropolisExchange(hilbert, graph=graph, n_chains=chains, sweep_size=sweep)
    return graph, hamiltonian, moves


def state_of(tables: dict) -> tuple:
    """The variational state and the Hamiltonian."""
    graph, hamiltonian, sampler = system(tables)
    ansatz = tables["ansatz"]
    dtype = complex if ansatz["weights"] == "complex" else float
    if ansatz["symmetry"] == "none":
        model = nk.models.RBM(alpha=ansatz["alpha"], param_dtype=dtype, use_visible_bias=False)
    else:
        group = graph.translation_group()
        model = nk.models.RBMSymm(group, alpha=ansatz["alpha"], param_dtype=dtype, use_visible_bias=False)
    samples = tables["sampler"]["samples"]
    state = nk.vqs.MCState(sampler, model, n_samples=samples, n_discard_per_chain=1, seed=1)
    return state, hamiltonian


def rates(tables: dict) -> dict[str, float]:
    """Local energies and proposals per second."""
    state, hamiltonian = state_of(tables)
    sampler = tables["sampler"]
    n_sites = state.hilbert.size
    sampling = best(lambda: state.sample())
    sweeps = sampler["samples"] // sampler["walkers"] + 1
    proposals = sampler["walkers"] * n_sites * sweeps
    energies = best(lambda: state.local_estimators(hamiltonian))
    return {"local energies": sampler["samples"] / energies, "proposals": proposals / sampling}


def iteration(tables: dict) -> float:
    """Seconds of an iteration of stochastic reconfiguration, the median."""
    state, hamiltonian = state_of(tables)
    holomorphic = tables["ansatz"]["weights"] == "complex"
    solver = nk.optimizer.solver.cholesky
    preconditioner = nk.optimizer.SR(
        qgt=nk.optimizer.qgt.QGTJacobianDense(holomorphic=holomorphic), diag_shift=0.01, solver=solver
    )
    driver = nk.driver.VMC(hamiltonian, nk.optimizer.Sgd(0.01), variational_state=state, preconditioner=preconditioner)
    times = []
    for _ in range(REPEATS + 3):
        start = time.perf_counter()
        driver.run(1, out=None, show_progress=False)
        jax.block_until_ready(state.parameters)
        times.append(time.perf_counter() - start)
    return float(np.median(times[3:]))


if __name__ == "__main__":
    main()
