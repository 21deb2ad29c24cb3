"""Signs that a wave function cannot have the signs of the ground state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pvmc.errors import InputError
from pvmc.hamiltonians import Operator
from pvmc.hamiltonians.signs import amplitude_signs, is_stoquastic, removing_signs
from pvmc.results.symptom import Judged, Symptom
from pvmc.results.system import system_of
from pvmc.statistics.thresholds import LARGEST_RELATIVE_ERROR


def positive_state(part: Judged) -> Iterator[Symptom]:
    """A positive wave function of a Hamiltonian whose ground state need not be, unless the exact energy is reached."""
    exact, scale = part.run.reference_energy_per_site, part.run.error_scale_per_site
    if exact is not None and scale is not None and part.plateau.value - exact <= LARGEST_RELATIVE_ERROR * scale:
        return
    if not is_positive(part.run.config.get("ansatz", {})):
        return
    try:
        system = system_of(part.run)
    except InputError:  # of a version that knew other keys
        return
    operator = Operator.from_pauli_sum(system.terms, system.lattice.n_sites)
    if is_stoquastic(operator):
        return
    cure = 'ansatz.weights = "complex"'
    if removing_signs(operator.flips, amplitude_signs(operator), system.lattice.n_sites) is not None:
        key = "marshall" if "marshall" in part.run.config.get("hamiltonian", {}) else "rotate"
        cure = f'hamiltonian.{key} = "auto"'
    text = 'psi is positive (ansatz.weights = "real"), which the ground state need not be: H has off-diagonal elements'
    yield Symptom("signs", f"{text} that are not negative; take {cure}")


def is_positive(ansatz: Mapping[str, Any]) -> bool:
    """Whether psi is positive whatever its parameters are, by its section of the input."""
    if ansatz.get("kind") == "product":
        return all(is_positive(factor) for factor in ansatz.get("factors", []))
    return ansatz.get("kind") in ("rbm", "feedforward", "jastrow", "mean_field") and ansatz.get("weights") == "real"
