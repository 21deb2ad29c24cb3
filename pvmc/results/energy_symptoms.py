"""Signs that a run's energy is not that of the ground state, or not yet."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pvmc.results.symptom import Judged, Symptom
from pvmc.statistics.thresholds import (
    ANOTHER_LEVEL,
    BELOW_EXACT,
    BELOW_EXACT_ROUNDING,
    EIGENSTATE_V_SCORE,
    LARGEST_RELATIVE_ERROR,
    LARGEST_V_SCORE,
    NEGLIGIBLE_DRIFT,
    RESOLVED,
)


def not_settled(part: Judged) -> Iterator[Symptom]:
    """An energy that still drifts, of a run that is over: of one that goes on it is no surprise."""
    if part.plateau.settled or part.plateau.n < 2 or part.run.status() == "running" or _drift_is_negligible(part):
        return
    text = f"not converged: the energy still drifts over the last {part.plateau.n} iterations, or stays correlated"
    yield Symptom("drift", f"{text}; its error is a lower bound; go on with a larger run.iterations")


def _drift_is_negligible(part: Judged) -> bool:
    """Whether the halves of the part differ by next to nothing on the scale of H, and the state is an eigenstate."""
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
    """What makes a state better: smaller steps after retries, a richer one, the right signs, more iterations."""
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
    """Which keys hold a state in a sector that is not that of the ground state."""
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
