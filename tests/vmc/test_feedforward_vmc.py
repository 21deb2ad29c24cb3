"""Feed-forward nets in the whole method: exact gradients of the energy, and ground states by sampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pvmc.exact import find_reference
from pvmc.hamiltonians import Operator
from pvmc.hamiltonians.pauli import X, Y, Z
from pvmc.lattice import chain
from pvmc.mpi import SerialCommunicator
from pvmc.wavefunctions import FeedForward
from tests import helpers
from tests.designs import slow_but
from tests.jobs import job_of, records

N_SITES = 4


def frustrated() -> Operator:
    """A complex Hamiltonian without symmetry, so that no gradient vanishes and the best psi is complex."""
    terms = sum((X(i) * Y((i + 1) % 4) * (0.4 + 0.2 * i) + Z(i) * X((i + 2) % 4) for i in range(4)), start=0.7 * Y(0))
    return Operator.from_pauli_sum(terms + 0.5 * Z(1) * Z(2), N_SITES)


@pytest.mark.parametrize("kind", ["complex", "real", "amplitude_phase"])
def test_the_force_is_the_gradient_of_the_energy(kind: Any) -> None:
    """dE/d theta_k = 2 Re F_k along the real and 2 Im F_k along the imaginary axis, by finite differences of <H>."""
    operator = frustrated()
    group = chain(N_SITES).group("translation" if kind == "complex" else "none")
    ansatz = FeedForward(group, (3, 4), ("lncosh", "tanh"), weights=kind, init_scale=0.9)
    theta = ansatz.initial_parameters(np.random.default_rng(5))
    spins = helpers.configurations(N_SITES)
    matrix = helpers.compiled_matrix(operator).toarray()
    moments = helpers.enumerated_moments(ansatz, theta, operator, spins)  # type: ignore[arg-type]
    assert moments.real_parameters == (kind != "complex") == (not np.iscomplexobj(moments.force))
    assert np.iscomplexobj(moments.derivatives) == (kind != "real")

    def energy(parameters: Any) -> float:
        return helpers.energy_of(ansatz.at(parameters), matrix, spins)

    for direction in (1.0, 1.0j) if kind == "complex" else (1.0,):
        force = moments.force.imag if direction == 1.0j else moments.force.real
        for k in range(ansatz.n_parameters):
            shift = np.zeros_like(theta)
            shift[k] = 1e-5 * direction
            slope = (energy(theta + shift) - energy(theta - shift)) / 2e-5
            assert slope == pytest.approx(2.0 * force[k], rel=1e-6, abs=1e-8)
    assert np.abs(moments.force).max() > 0.1


@pytest.mark.parametrize("kind", ["complex", "real", "amplitude_phase"])
def test_the_metric_is_the_distance_of_states(kind: Any) -> None:
    """1 - |<psi|psi'>|^2 = d theta^T Re(S) d theta for real d theta: Re S is right for real parameters, complex O_k."""
    operator = frustrated()
    ansatz = FeedForward(np.arange(N_SITES)[None], (3, 4), ("lncosh", "tanh"), weights=kind, init_scale=0.9)
    theta = ansatz.initial_parameters(np.random.default_rng(6))
    spins = helpers.configurations(N_SITES)
    moments = helpers.enumerated_moments(ansatz, theta, operator, spins)  # type: ignore[arg-type]
    tensor = helpers.full_tensor(moments.tensor)
    assert np.iscomplexobj(tensor) == (kind == "complex")
    rng = np.random.default_rng(7)
    for _ in range(5):
        step = 1e-3 * rng.normal(size=ansatz.n_parameters)
        forward, back = (helpers.state_vector(ansatz.at(theta + sign * step), spins) for sign in (0.5, -0.5))
        distance = 1.0 - abs(np.vdot(forward, back)) ** 2
        assert distance == pytest.approx((step @ tensor @ step).real, rel=1e-4)


def relative_error(model: dict[str, Any], ansatz: dict[str, Any]) -> float:
    """Of the energy on a ring of 12 after SR on samples, the mean of the last 20 iterations, against the exact one."""
    tables = {
        "lattice": {"kind": "chain", "length": 12},
        "hamiltonian": model,
        "ansatz": {"kind": "feedforward", "widths": [4, 4], "activation": ["lncosh", "tanh"], "init_scale": 0.3}
        | ansatz,
        "sampler": {"walkers": 256, "samples": 1024},
        "sr": {"learning_rate": 0.05, "shift": {"initial": 1.0, "decay": 0.9, "minimum": 1e-3}},
        "run": {"seed": 5},
    }
    job = job_of(tables)
    energies = [step.energy.mean.real for step in records(job, 150, SerialCommunicator())]
    fixed = job.config.sampler.fixed_magnetization
    exact = find_reference(job.config.lattice, job.config.hamiltonian, job.operator, fixed)
    assert exact is not None
    return (float(np.mean(energies[-20:])) - exact.energy) / abs(exact.energy)


ISING, MARSHALL = {"model": "ising"}, {"model": "heisenberg", "marshall": True}
CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"model": "heisenberg", "marshall": False}, {"weights": "amplitude_phase"}),
    (MARSHALL, {"weights": "complex"}),
    (MARSHALL, {"weights": "real"}),
    (ISING, {"weights": "complex", "widths": [16], "activation": "lncosh", "symmetry": "none"}),
    (ISING, {"weights": "real"}),
]


@pytest.mark.parametrize(("model", "ansatz"), slow_but(CASES[:1], CASES, several=True), ids=str)
def test_nets_find_ground_states(model: dict[str, Any], ansatz: dict[str, Any]) -> None:
    """Without the Marshall rotation amplitude and phase must learn the sign of the antiferromagnet by themselves."""
    assert abs(relative_error(model, ansatz)) < 1e-4
