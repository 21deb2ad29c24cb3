"""Signs that the numbers of a run are not to be trusted: the one list that status, analyze and report show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pvmc.errors import InputError
from pvmc.exact.ground_sector import EXCITED
from pvmc.hamiltonians import Operator
from pvmc.hamiltonians.signs import amplitude_signs, is_stoquastic, removing_signs
from pvmc.results.judged import Judged, Signs, Symptom
from pvmc.results.measured import measured_warnings
from pvmc.results.sampling_symptoms import (
    disagreement,
    few_count,
    few_samples,
    heavy_tails,
    leaks,
    not_finite,
    retries,
    standstill,
    stuck,
)
from pvmc.results.stored_system import system_of
from pvmc.statistics.thresholds import (
    ABOVE_PRODUCT,
    ANOTHER_LEVEL,
    BELOW_EXACT,
    BELOW_EXACT_ROUNDING,
    EIGENSTATE_V_SCORE,
    LARGEST_RELATIVE_ERROR,
    LARGEST_V_SCORE,
    NEGLIGIBLE_DRIFT,
    RESOLVED,
    ROUNDING,
)


def not_settled(part: Judged) -> Iterator[Symptom]:
    """An energy that still drifts, of a run that is over: of one that goes on it is no surprise."""
    if part.plateau.settled or part.plateau.n < 2 or part.run.status() == "running" or _drift_is_negligible(part):
        return
    text = f"not converged: the energy still drifts over the last {part.plateau.n} iterations, or stays correlated"
    yield Symptom("drift", f"{text}; its error is a lower bound; go on with a larger run.iterations")


def _drift_is_negligible(part: Judged) -> bool:
    """True where the halves of the part differ by next to nothing on the scale of H, and the state is an eigenstate."""
    energies = part.run.energy_per_site[part.plateau.rows]
    half = energies.size // 2
    difference = abs(float(energies[:half].mean() - energies[half:].mean()))
    scale = max(abs(part.plateau.value), part.run.radius / part.run.n_sites)
    v_score = part.mean("v_score")
    is_eigenstate = v_score is not None and v_score <= EIGENSTATE_V_SCORE
    return is_eigenstate and difference <= NEGLIGIBLE_DRIFT * scale


def below_exact(part: Judged) -> Iterator[Symptom]:
    """An energy below the exact one, which no state has."""
    exact, scale = part.run.reference_energy_per_site, part.run.error_scale_per_site
    if exact is None or scale is None:
        return
    if part.plateau.value < exact - BELOW_EXACT * part.plateau.error - BELOW_EXACT_ROUNDING * scale:
        text = f"energy below the exact one by more than {BELOW_EXACT:.0f} standard errors: the error is too small, or"
        yield Symptom(
            "below exact", f"{text} chains are stuck (sampler.moves, sampler.sweep), or run.reference is wrong"
        )


def off_exact(part: Judged) -> Iterator[Symptom]:
    """An energy above the exact one: of another level, where the variance is far too small for the distance."""
    exact, scale = part.run.reference_energy_per_site, part.run.error_scale_per_site
    if exact is None or scale is None or not part.is_enough:
        return
    distance, variance = part.plateau.value - exact, part.mean("variance")
    resolved = distance - RESOLVED * part.plateau.error
    if not resolved > LARGEST_RELATIVE_ERROR * scale:
        return
    text = f"relative error {distance / scale:.2g} +- {part.plateau.error / scale:.1g}, resolved and above "
    text += f"{LARGEST_RELATIVE_ERROR:g}"
    # A state of this variance has a level within sqrt(variance) of its energy (Weinstein): this one, not the lowest.
    # One that still drifts and is far from every eigenstate has converged to none.
    v_score = part.mean("v_score")
    under_way = not part.plateau.settled and v_score is not None and v_score > LARGEST_V_SCORE
    spread_limit = 0.0 if under_way else ANOTHER_LEVEL * resolved * part.run.n_sites
    if variance is not None and math.sqrt(max(variance, 0.0)) < spread_limit:
        spread = f"the local energy spreads by {math.sqrt(max(variance, 0.0)) / part.run.n_sites:.1e} per site only"
        yield Symptom("another level", f"converged to another level: {text}, while {spread}; {_other_sector(part)}")
        return
    yield Symptom("relative error", f"{text}: {_better_state(part)}")


def far_from_eigenstate(part: Judged) -> Iterator[Symptom]:
    """A variance too large for an eigenstate, whatever its energy should be."""
    v_score = part.mean("v_score")
    if v_score is not None and part.is_enough and v_score > LARGEST_V_SCORE:
        text = f"V-score {v_score:.2g}, above {LARGEST_V_SCORE:g}: the state is far from every eigenstate"
        yield Symptom("V-score", f"{text}; {_better_state(part)}")


def _better_state(part: Judged) -> str:
    """Advice on a better state: smaller steps after retries, a richer ansatz, the right signs, more iterations."""
    ansatz = part.run.config.get("ansatz", {})
    keys = ["a smaller sr.learning_rate"] if part.run.retries else []
    keys += ["a larger ansatz.alpha" if "alpha" in ansatz else "a richer [ansatz]"]
    if ansatz.get("symmetry", "none") not in ("none", "translation"):
        keys.append('ansatz.symmetry = "translation" or "none"')
    elif ansatz.get("symmetry", "none") != "none":
        keys.append('ansatz.symmetry = "none"')
    if ansatz.get("weights") == "real":
        keys.append('ansatz.weights = "complex"')
    return f"{', '.join(keys)}, several run.starts, or more run.iterations may help"


def _other_sector(part: Judged) -> str:
    """Advice on the keys that hold a state in a sector which is not that of the ground state."""
    tables = part.run.config
    symmetry = tables.get("ansatz", {}).get("symmetry", "none")
    keys = []
    if symmetry != "none":
        text = f'ansatz.symmetry = "{symmetry}" keeps the momentum at zero'
        keys.append(f'{text}: "none", or ansatz.kind = "projected" with another')
    elif tables.get("ansatz", {}).get("kind") == "projected":
        keys.append("the quantum numbers of [ansatz] choose the sector: others")
    if symmetry != "none" and tables.get("hamiltonian", {}).get("marshall") is False:
        keys.append('hamiltonian.marshall = "auto" may move the ground state there')
    keys.append("several run.starts, or another sr.learning_rate, may find a lower one")
    return "; ".join(keys)


def wrong_sector(part: Judged) -> Iterator[Symptom]:
    """Quantum numbers, fixed by the input, that the ground state does not have: known before the run began."""
    if part.run.elsewhere:
        yield Symptom("excited" if part.run.elsewhere.endswith(EXCITED) else "sector", part.run.elsewhere)


def above_product(part: Judged) -> Iterator[Symptom]:
    """An energy above that of the states of all spins up or down, which has another magnetisation."""
    product, energy = part.run.product_energy, part.plateau
    if product is None or part.run.elsewhere or not energy.settled:
        return
    if energy.value > product / part.run.n_sites + ABOVE_PRODUCT * energy.error + ROUNDING * part.run.radius:
        text = f"energy above that of all spins up or all down, {product / part.run.n_sites:.8g} per site"
        yield Symptom("sector", f"{text}: the ground state has another magnetisation; change sampler.magnetization")


def is_product_state(part: Judged) -> bool:
    """True where the run keeps all spins up or all down: a single configuration, which no move leaves."""
    magnetization = part.run.config.get("sampler", {}).get("magnetization")
    return isinstance(magnetization, int) and abs(magnetization) == part.run.n_sites


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
    """True where psi is positive whatever its parameters are, by its section of the input."""
    if ansatz.get("kind") == "product":
        return all(is_positive(factor) for factor in ansatz.get("factors", []))
    return ansatz.get("kind") in ("rbm", "feedforward", "jastrow", "mean_field") and ansatz.get("weights") == "real"


SYMPTOMS: tuple[Signs, ...] = (
    not_finite,
    retries,
    not_settled,
    wrong_sector,
    above_product,
    stuck,
    disagreement,
    standstill,
    few_count,
    few_samples,
    below_exact,
    leaks,
    heavy_tails,
    off_exact,
    far_from_eigenstate,
    positive_state,
    measured_warnings,
)
"""Kinds of symptoms, in the order in which they are shown.  A new kind is a function of the part of a run that is
judged, in a file of its topic, and a line here; its limits stand in :mod:`pvmc.statistics.thresholds`."""


OF_PRODUCT_STATE: tuple[Signs, ...] = (not_finite, wrong_sector, below_exact, measured_warnings)
"""Kinds that are looked for where a run keeps its only configuration, which nothing samples and nothing changes."""


def symptoms(part: Judged) -> tuple[Symptom, ...]:
    """Symptoms of the last part of a run.

    Raises:
        StorageError: the run's file cannot be read any more.
    """
    kinds = OF_PRODUCT_STATE if is_product_state(part) else SYMPTOMS
    return tuple(symptom for kind in kinds for symptom in kind(part))
