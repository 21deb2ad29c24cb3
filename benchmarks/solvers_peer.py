"""Time of the SR problem of a plain complex RBM in NetKet (netket==3.23, an environment of its own): one JSON line.

    python benchmarks/solvers_peer.py --case 40 --samples 1024 --solver minsr --shift 1e-3 [--load FILE] [--save FILE]

The case is the Heisenberg ring of so many sites at zero magnetisation, with alpha = 4.  What is timed leads from
samples and local energies to the solution x of (S + shift) x = F: derivatives, S or the kernel where the solver has
one, F, x.  Without --load the problem is made first: a random RBM, some steps of SR, samples; memory is then not
measured, for all this has its own.  --save writes the problem and x as solver_problem.py says.  The caller chooses the
core: ``taskset -c 1 python ...``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import netket as nk  # noqa: E402
import numpy as np  # noqa: E402
from jax.scipy.sparse.linalg import cg  # noqa: E402
from netket._src.ngd.sr_srt_common import sr, srt  # noqa: E402
from netket._src.ngd.srt_onthefly import srt_onthefly  # noqa: E402
from solver_problem import Problem  # noqa: E402

ALPHA = 4

DRIVERS = {"sr": sr, "minsr": srt, "minsr-fly": srt_onthefly}
"""What nk.driver.VMC_SR calls with use_ntk=False, with use_ntk=True and on_the_fly=False, and with both True."""

TENSORS = {
    "cholesky": nk.optimizer.qgt.QGTJacobianDense,
    "cg-dense": nk.optimizer.qgt.QGTJacobianDense,
    "cg-tree": nk.optimizer.qgt.QGTJacobianPyTree,
    "cg-fly": nk.optimizer.qgt.QGTOnTheFly,
}
"""S of the solvers that come with nk.driver.VMC and nk.optimizer.SR."""


def main() -> None:
    """Measure one solver and print its numbers."""
    options = arguments()
    problem = Problem.read(options.load) if options.load else new_problem(options.case, options.samples, options.steps)
    options.case, options.samples = problem.spins.shape
    solve = solver(state_of(problem), problem, options.solver, options.shift, options.tolerance)
    numbers: dict[str, object] = {
        "netket": version("netket"),
        "jax": version("jax"),
        "case": options.case,
        "samples": options.samples,
        "parameters": len(problem.theta),
        "energy_per_site": float(problem.energies.mean().real) / options.case,
        "solver": options.solver,
        "shift": options.shift,
        "load": os.getloadavg()[0],
    }
    before = largest_memory()
    x = flat(jax.block_until_ready(solve()))
    if options.load:
        numbers["memory"] = largest_memory() - before
    numbers |= times(solve, options.repeats)
    if options.solver.startswith("cg"):
        numbers["tolerance"] = options.tolerance
        numbers["iterations"] = cg_iterations(problem, options.shift, options.tolerance)
    numbers["residual"] = problem.residual(x, options.shift)
    if options.save:
        problem.write(options.save, x=x, shift=np.array(options.shift))
    print(json.dumps(numbers))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", type=int, default=40, help="sites of the ring, even")
    parser.add_argument("--samples", type=int, default=1024, help="number of samples")
    parser.add_argument("--solver", choices=[*TENSORS, *DRIVERS], required=True)
    parser.add_argument("--shift", type=float, default=1e-3, help="added to the diagonal of S")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="of conjugate gradients; 1e-5 is jax's default")
    parser.add_argument("--repeats", type=int, default=5, help="timed calls, after the one that compiles")
    parser.add_argument("--steps", type=int, default=40, help="steps of SR before the samples of a new problem")
    parser.add_argument("--load", type=Path, help="take the problem from this .npz file")
    parser.add_argument("--save", type=Path, help="write problem and solution to this .npz file")
    return parser.parse_args()


def largest_memory() -> int:
    """Largest resident memory of this process so far, bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def times(solve: Callable[[], object], repeats: int) -> dict[str, float]:
    """Median and least seconds of a call, by the clock and of the processor."""
    wall, used = [], []
    for _ in range(repeats):
        start, start_used = time.perf_counter(), time.process_time()
        jax.block_until_ready(solve())
        wall.append(time.perf_counter() - start)
        used.append(time.process_time() - start_used)
    return {
        "seconds": float(np.median(wall)),
        "least_seconds": min(wall),
        "cpu_seconds": float(np.median(used)),
        "least_cpu_seconds": min(used),
    }


def ring_state(
    n_sites: int, n_samples: int, discarded: int, seed: int
) -> tuple[nk.vqs.MCState, nk.operator.AbstractOperator]:
    """A random RBM, one chain for each sample after some sweeps, and H = sum_<ij> sigma_i . sigma_j, no sign rule."""
    graph = nk.graph.Chain(n_sites)
    hilbert = nk.hilbert.Spin(0.5, n_sites, total_sz=0)
    hamiltonian = nk.operator.Heisenberg(hilbert, graph, J=1.0, sign_rule=False)
    sampler = nk.sampler.MetropolisExchange(hilbert, graph=graph, n_chains=n_samples)
    model = nk.models.RBM(alpha=ALPHA, param_dtype=complex, use_visible_bias=True)
    state = nk.vqs.MCState(sampler, model, n_samples=n_samples, n_discard_per_chain=discarded, seed=seed)
    return state, hamiltonian


def new_problem(n_sites: int, n_samples: int, steps: int) -> Problem:
    """Samples of an RBM on its way to the ground state: of a random one, S is next to zero."""
    training, hamiltonian = ring_state(n_sites, min(n_samples, 256), discarded=1, seed=1)
    # Marshall's sign rule as the biases to start from: without it, few steps lead nowhere.
    marshall = 0.5j * np.pi * (np.arange(n_sites) % 2)
    training.parameters = training.parameters | {"visible_bias": training.parameters["visible_bias"] + marshall}
    with contextlib.redirect_stdout(sys.stderr):
        driver = nk.driver.VMC_SR(
            hamiltonian,
            nk.optimizer.Sgd(0.01),
            diag_shift=0.01,
            variational_state=training,
            use_ntk=True,
            on_the_fly=False,
        )
        if steps:
            driver.run(steps, out=None, show_progress=False)
    state, _ = ring_state(n_sites, n_samples, discarded=10, seed=2)
    state.parameters = training.parameters
    spins = np.asarray(state.samples).reshape(n_samples, n_sites).T.astype(np.int8)
    energies = np.asarray(state.local_estimators(hamiltonian).data, dtype=np.complex128).ravel()
    return Problem(np.ascontiguousarray(spins), flat(state.parameters), energies)


def flat(tree: dict) -> np.ndarray:
    """Parameters in the order of solver_problem.py, complex128 (K,)."""
    dense = tree["Dense"]
    parts = (tree["visible_bias"], dense["bias"], np.asarray(dense["kernel"]).T)
    return np.concatenate([np.ravel(part) for part in parts])


def tree_of(problem: Problem) -> dict:
    """NetKet's parameters."""
    n_sites, n_hidden = len(problem.spins), problem.n_hidden
    visible, hidden, weights = np.split(problem.theta, [n_sites, n_sites + n_hidden])
    kernel = jnp.asarray(weights.reshape(n_hidden, n_sites).T)
    return {"visible_bias": jnp.asarray(visible), "Dense": {"bias": jnp.asarray(hidden), "kernel": kernel}}


def state_of(problem: Problem) -> nk.vqs.MCState:
    """The variational state with the problem's parameters and samples."""
    n_sites, n_samples = problem.spins.shape
    state, _ = ring_state(n_sites, n_samples, discarded=0, seed=3)
    state.parameters = tree_of(problem)
    kind = jax.eval_shape(lambda: state.hilbert.random_state(jax.random.key(0), 1)).dtype
    # Only sampling sets it; the last assignment of parameters has emptied it.
    state._samples = jnp.asarray(problem.spins.T, dtype=kind).reshape(n_samples, 1, n_sites)
    return state


def solver(state: nk.vqs.MCState, problem: Problem, name: str, shift: float, tolerance: float) -> Callable[[], dict]:
    """What makes x, a tree like the parameters, from samples and local energies."""
    energies = jnp.asarray(problem.energies)
    if name in DRIVERS:
        return partial(driver_solution, DRIVERS[name], state, energies, shift)
    # One object for all calls: jax compiles anew for another one.
    method = nk.optimizer.solver.cholesky if name == "cholesky" else partial(cg, tol=tolerance)
    return partial(tensor_solution, TENSORS[name], method, state, energies, shift)


def driver_solution(update: Callable, state: nk.vqs.MCState, energies: jax.Array, shift: float) -> dict:
    """x as in nk.driver.VMC_SR, with its default solver of dense systems."""
    samples = state.samples.reshape(-1, state.hilbert.size)
    doubled, _, _ = update(
        state._apply_fun,
        energies,
        state.parameters,
        state.model_state,
        samples,
        diag_shift=shift,
        solver_fn=nk.optimizer.solver.cholesky_with_fallback,
        mode="complex",
    )
    return jax.tree_util.tree_map(lambda part: part / 2, doubled)  # NetKet's force is 2 F


def tensor_solution(
    tensor: Callable, method: Callable, state: nk.vqs.MCState, energies: jax.Array, shift: float
) -> dict:
    """x as in nk.optimizer.SR."""
    samples = state.samples.reshape(-1, state.hilbert.size)
    right = force(state._apply_fun, state.parameters, samples, energies)
    return tensor(state, holomorphic=True, diag_shift=shift).solve(method, right)[0]


@partial(jax.jit, static_argnums=0)
def force(log_psi: Callable, parameters: dict, samples: jax.Array, energies: jax.Array) -> dict:
    """F, a tree like the parameters, by the backward pass of NetKet's expect_and_grad."""
    _, backward = nk.jax.vjp(lambda tree: log_psi({"params": tree}, samples), parameters, conjugate=True)
    return backward(jnp.conj(energies - energies.mean()) / energies.size)[0]


def cg_iterations(problem: Problem, shift: float, tolerance: float) -> int:
    """Iterations of jax's conjugate gradients, which does not tell: the same recurrence in numpy."""
    scaled, centred = problem.scaled()
    residual = (centred.conj() @ scaled).conj()  # and not a conjugate copy of X, in every iteration
    direction = residual.copy()
    squared = float(np.vdot(residual, residual).real)
    target = tolerance**2 * squared
    iterations = 0
    while squared > target and iterations < 10 * len(residual):
        image = ((scaled @ direction).conj() @ scaled).conj() + shift * direction
        residual -= squared / np.vdot(direction, image).real * image
        following = float(np.vdot(residual, residual).real)
        direction = residual + following / squared * direction
        squared = following
        iterations += 1
    return iterations


if __name__ == "__main__":
    main()
