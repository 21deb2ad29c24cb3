"""Signs of off-diagonal elements, and the turn about z that a model chooses for itself."""

from __future__ import annotations

import json
import tomllib
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from pydantic import TypeAdapter

from pvmc.cli import main
from pvmc.config import KeyProblem, RawInput, stored_tables
from pvmc.exact import Basis, ground_state
from pvmc.hamiltonians import HamiltonianSpec, Operator, PauliSum, X, Y, Z
from pvmc.hamiltonians.rotation import chosen_turn
from pvmc.hamiltonians.signs import amplitude_signs, is_stoquastic, mean_amplitude, removing_signs
from pvmc.lattice import Lattice, chain, graph, honeycomb, rectangle, triangular
from pvmc.measurement.observable import frame_signs
from pvmc.results.judged import Judged
from pvmc.results.symptoms import is_positive, positive_state
from pvmc.spins.flips import FlipSets
from pvmc.vmc import checkpoints
from pvmc.vmc.display import notes
from pvmc.vmc.job import Job, load_job
from tests.helpers import compiled_matrix, random_strings
from tests.jobs import job_of

N = 5
MODELS: TypeAdapter[Any] = TypeAdapter(HamiltonianSpec)


def model(**keys: Any) -> Any:
    return MODELS.validate_python(keys)


def turn_of(lattice: Lattice, **keys: Any) -> object:
    """What the automatic choice is, after the operator was compiled."""
    spec, _, _ = model(**keys).compiled(lattice)
    return spec.turn


def operator_of(terms: PauliSum, n_sites: int = N) -> Operator:
    return Operator.from_pauli_sum(terms, n_sites)


def off_diagonal(operator: Operator) -> np.ndarray:
    matrix = compiled_matrix(operator).toarray()
    return matrix - np.diag(np.diag(matrix))


def all_turns(n_sites: int) -> list[np.ndarray]:
    return [np.array(signs, dtype=np.int8) for signs in product((1, -1), repeat=n_sites)]


# Signs of amplitudes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_signs_of_amplitudes_are_those_of_all_configurations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Few letters on few sites, so that several strings flip the same set and products of spins depend on each other.
    terms = random_strings(rng, 3, 30, letters="XYZ" if seed % 2 else "XZ", largest=3) + 4.0 * X(0) - 4.0 * X(1) * X(2)
    operator = operator_of(terms, 3)
    amplitudes = operator.amplitudes(Basis.enumerate(3).spins)
    expected = [
        0 if np.any(np.imag(row)) or (row.real.min() < 0 < row.real.max()) else -1 if row.real.max() <= 0 else 1
        for row in amplitudes
    ]
    assert amplitude_signs(operator).tolist() == expected
    assert seed % 2 or len(set(expected)) > 1


def test_products_of_spins_that_depend_on_each_other() -> None:
    """2 + s0 s1 + s1 s2 + s2 s0 is never negative, though the moduli of the products sum to 3."""
    for constant, sign in ((1.0, 1), (0.9, 0), (-3.0, -1)):
        inner = constant + Z(0) * Z(1) + Z(1) * Z(2) + Z(2) * Z(0)
        assert amplitude_signs(operator_of(inner * X(3))).tolist() == [sign]


def test_rounding_makes_no_sign() -> None:
    """XX + YY has amplitude 0 on parallel spins, also where thirds and tenths are summed."""
    terms = (0.1 + 0.2) * X(0) * X(1) + 0.3 * Y(0) * Y(1)
    assert amplitude_signs(operator_of(terms)).tolist() == [1]


# Turns that remove them -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_a_turn_is_found_exactly_where_there_is_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sets = [sorted(rng.choice(N, size=rng.integers(1, 4), replace=False).tolist()) for _ in range(3 + seed % 5)]
    flips = FlipSets.from_lists(sorted({tuple(one) for one in sets}))
    signs = rng.choice([-1, 1], size=len(flips)).astype(np.int8)
    solutions = [turn for turn in all_turns(N) if np.array_equal(flips.products(turn), -signs)]
    found = removing_signs(flips, signs, N)
    assert (found is not None) == bool(solutions)
    assert found is None or any(np.array_equal(found, turn) for turn in solutions)


def test_both_outcomes_occur() -> None:
    ring = FlipSets.from_lists([[0, 1], [1, 2], [0, 2]])
    assert removing_signs(ring, np.array([1, 1, 1], dtype=np.int8), 3) is None
    found = removing_signs(ring, np.array([1, 1, -1], dtype=np.int8), 3)
    assert found is not None and found.tolist() == [1, -1, 1]
    assert removing_signs(ring, np.array([1, 0, -1], dtype=np.int8), 3) is None


def test_the_mean_amplitude_is_the_energy_of_equal_amplitudes() -> None:
    operator = operator_of(random_strings(np.random.default_rng(3), N, 40))
    uniform = np.full(2**N, 2.0 ** (-N / 2))
    for turn in all_turns(N)[::7]:
        expected = uniform @ off_diagonal(operator.turned_about_z(turn)) @ uniform
        assert mean_amplitude(operator, turn) == pytest.approx(expected.real, abs=1e-12)


def test_a_compiled_operator_turns_as_its_sum() -> None:
    terms = random_strings(np.random.default_rng(4), N, 40)
    turn = np.array([1, -1, -1, 1, -1], dtype=np.int8)
    turned = compiled_matrix(operator_of(terms).turned_about_z(turn))
    expected = compiled_matrix(operator_of(terms.turned_about_z(turn.tolist())))
    np.testing.assert_allclose(turned.toarray(), expected.toarray(), atol=1e-14)


# What models choose ---------------------------------------------------------------------------------------------------

SIGNED_EDGES = [(0, 1, 1.0), (1, 2, -1.0), (2, 3, 1.0), (0, 3, -1.0), (3, 4, -1.0)]
"""A ring with two antiferromagnetic bonds, and a tail: without frustration, not by its sublattices."""

FREE_OF_SIGNS = [
    ({"model": "heisenberg"}, chain(8), True),
    ({"model": "heisenberg", "coupling": -1.0}, chain(8), False),
    ({"model": "heisenberg"}, chain(7, periodic=False), True),
    ({"model": "heisenberg", "coupling": -1.0}, triangular((3, 3)), False),
    ({"model": "xxz", "anisotropy": -1.5}, chain(6), True),
    ({"model": "xyz", "couplings": [-1.0, 0.7, 0.4]}, chain(6), False),
    ({"model": "j1j2", "j1": 1.0, "j2": -0.5}, chain(8), True),
    ({"model": "long_range_xxz", "coupling": -1.0}, chain(6), False),
    ({"model": "heisenberg"}, graph(SIGNED_EDGES), [1, 2]),
    ({"model": "ising", "field": 1.0}, chain(6), False),
    ({"model": "ising", "field": -1.0}, chain(6), True),
    ({"model": "ising", "field": [0.3, -0.2, 0.0, -0.1, 0.2, 0.5]}, chain(6), [1, 3]),
    ({"model": "long_range_ising", "field": -0.4}, chain(7), True),
    ({"model": "rydberg", "rabi": 1.5}, chain(6), True),
    ({"model": "rydberg", "rabi": -1.5}, chain(6), False),
    ({"model": "compass", "couplings": [-1.0, 1.0]}, rectangle((4, 2), (True, False)), [1, 3, 5, 7]),
    ({"model": "cluster_ising", "coupling": 0.2, "field": -1.0}, chain(6), True),
    ({"model": "j1j2", "j1": 0.0, "j2": 1.0}, chain(8), [2, 3, 6, 7]),
    ({"model": "terms", "patterns": [{"operator": "Xi Xj"}, {"operator": "Zi"}]}, chain(6), True),
    ({"model": "terms", "terms": [[1.0, "X0 X1 X2"], [0.5, "X1 X2 X3"], [-0.1, "Z0"]]}, chain(4), [2]),
]


@pytest.mark.parametrize(("keys", "lattice", "expected"), FREE_OF_SIGNS)
def test_models_without_frustration_become_positive(keys: dict[str, Any], lattice: Lattice, expected: object) -> None:
    spec, terms, operator = model(**keys).compiled(lattice)
    assert spec.turn == expected
    assert is_stoquastic(operator) and off_diagonal(operator).real.max() <= 0
    assert terms.is_close(model(**keys).build(lattice))
    before, after = (np.linalg.eigvalsh(compiled_matrix(one).toarray()) for one in (plain(keys, lattice), operator))
    np.testing.assert_allclose(before, after, atol=1e-9)


def plain(keys: dict[str, Any], lattice: Lattice) -> Operator:
    return Operator.from_pauli_sum(model(**keys).written(lattice), lattice.n_sites)


FRUSTRATED = [
    ({"model": "j1j2", "j2": 0.5}, rectangle((4, 4)), True),
    ({"model": "j1j2", "j2": 0.5}, chain(8), True),
    ({"model": "j1j2", "j1": -0.8, "j2": 0.5}, chain(8), False),
    ({"model": "haldane_shastry"}, chain(8), True),
    ({"model": "heisenberg"}, chain(7), False),
    ({"model": "heisenberg"}, triangular((3, 3)), False),
    ({"model": "dzyaloshinskii_moriya"}, chain(6), True),
    ({"model": "dzyaloshinskii_moriya", "coupling": -1.0}, chain(6), False),
    ({"model": "kitaev"}, honeycomb((2, 2)), False),
    # A field along x joins the sublattices: turned, the ring would lose its translations.
    ({"model": "xyz", "couplings": [1.0, 1.0, 1.0], "field_x": 0.1}, chain(6), False),
]


@pytest.mark.parametrize(("keys", "lattice", "expected"), FRUSTRATED)
def test_frustrated_models_take_the_turn_with_less_positive_weight(
    keys: dict[str, Any], lattice: Lattice, expected: bool
) -> None:
    spec, _, operator = model(**keys).compiled(lattice)
    assert spec.turn is expected and not is_stoquastic(operator)
    if expected or keys["model"] == "j1j2":
        other = model(**keys, **{spec.turn_key: not expected}).compiled(lattice)[2]
        if lattice.n_sites <= 8:
            weights = [np.maximum(off_diagonal(one).real, 0).sum() for one in (operator, other)]
            assert weights[0] < weights[1]
        ones = np.ones(lattice.n_sites, dtype=np.int8)
        assert mean_amplitude(operator, ones) < mean_amplitude(other, ones)


def test_only_symmetries_of_the_wave_function_are_kept() -> None:
    """A field along x joins the sublattices of the ring: its turn has less positive weight, but no translations."""
    spec = model(model="xyz", couplings=[1.0, 0.7, 0.4], field_x=0.3)
    assert spec.compiled(chain(6))[0].turn is spec.compiled(chain(6), ["translation"])[0].turn is False
    free, _, turned = spec.compiled(chain(6), ["none"])
    assert free.turn is True
    plain = model(model="xyz", couplings=[1.0, 0.7, 0.4], field_x=0.3, marshall=False).compiled(chain(6))[2]
    weights = [np.maximum(off_diagonal(one).real, 0).sum() for one in (turned, plain)]
    assert weights[0] < weights[1]


def test_symmetries_are_kept() -> None:
    """Every automatic choice keeps the translations that the Hamiltonian has."""
    for keys in ({"model": "ising", "field": -1.0}, {"model": "heisenberg"}, {"model": "j1j2", "j2": 0.5}):
        terms = model(**keys).build(chain(6))
        assert all(terms.is_close(terms.permuted(g)) for g in chain(6).generators["translation"])


def test_the_rule_ignores_turns_that_change_nothing() -> None:
    operator = operator_of(Z(0) * Z(1))
    assert chosen_turn(chain(5), operator, np.full(5, -1, dtype=np.int8)) is False


REFUSED = [
    ({"model": "heisenberg", "marshall": [0, 8]}, chain(8), r"^hamiltonian\.marshall = \[0, 8\]: site 8 lies outside"),
    ({"model": "ising", "rotate": [1, 1]}, chain(8), r"^hamiltonian\.rotate = \[1, 1\]: names a site twice"),
]


@pytest.mark.parametrize(("keys", "lattice", "text"), REFUSED)
def test_turns_that_do_not_exist(keys: dict[str, Any], lattice: Lattice, text: str) -> None:
    with pytest.raises(KeyProblem, match=text):
        model(**keys).build(lattice)


# Jobs and stored inputs -----------------------------------------------------------------------------------------------


def job(hamiltonian: dict[str, Any], length: int = 6, **sampler: Any) -> Job:
    tables = {"lattice": {"kind": "chain", "length": length}, "hamiltonian": hamiltonian, "sampler": sampler}
    return job_of(tables | {"ansatz": {"kind": "rbm", "alpha": 1, "symmetry": "none"}})


def test_the_choice_is_stored_with_the_input() -> None:
    for hamiltonian, length, turn in (
        ({"model": "ising", "field": -1.0}, 6, True),
        ({"model": "heisenberg"}, 6, True),
        ({"model": "heisenberg"}, 5, False),
        ({"model": "heisenberg", "marshall": False}, 6, False),
    ):
        assert job(hamiltonian, length, **({"magnetization": 1} if length % 2 else {})).config.hamiltonian.turn is turn


def test_inputs_of_older_versions_turn_no_spin() -> None:
    text = '[hamiltonian]\nmodel = "ising"\nfield = -1.0\n'
    assert stored_tables(text)["hamiltonian"]["rotate"] is False
    assert stored_tables(text + "rotate = true\n")["hamiltonian"]["rotate"] is True
    assert "rotate" not in stored_tables('[hamiltonian]\nmodel = "heisenberg"\nmarshall = true\n')["hamiltonian"]


@pytest.mark.parametrize("field", [-1.0, [0.4, -0.3, 0.2, -0.9, 0.7, -0.1]])
def test_what_is_measured_is_of_the_spins_that_are_not_turned(field: float | list[float]) -> None:
    """<sigma^x_i> of the positive ground state, with the signs of the frame, is that of H as it is written."""
    lattice = chain(6)
    one = job({"model": "ising", "field": field, "longitudinal": 0.1})
    means = []
    written = Operator.from_pauli_sum(one.config.hamiltonian.written(lattice), 6)
    for operator in (written, one.operator):
        _, vector = ground_state(operator, Basis.enumerate(6))
        flipped = [vector[np.arange(64) ^ (1 << site)] for site in range(6)]
        means.append([float(vector @ other) for other in flipped])
    assert np.all(vector * np.sign(vector[0]) > 0)
    np.testing.assert_allclose(means[0], frame_signs(one) * means[1], atol=1e-9)
    assert min(means[0]) < 0


def test_a_run_that_goes_on_keeps_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one of a version without the key, whose input leaves the choice open."""
    stored = {"hamiltonian": {"model": "ising", "field": -1.0, "rotate": False}}
    monkeypatch.setattr(checkpoints, "input_of_run", lambda directory: RawInput(stored, "run.h5"))
    (tmp_path / "run.h5").touch()

    def kept(**keys: object) -> dict[str, Any]:
        raw = RawInput({"hamiltonian": {"model": "ising", "field": -1.0, **keys}, "run": {}}, "in.toml")
        return checkpoints.with_stored_choices(raw, tmp_path).tables["hamiltonian"]

    assert kept() == stored["hamiltonian"] == kept(rotate="auto")
    assert kept(rotate=True)["rotate"] is True  # asked for: refused later, as any other change
    assert "rotate" not in kept(model="heisenberg")
    other = RawInput({"hamiltonian": {"model": "ising"}}, "in.toml")
    assert checkpoints.with_stored_choices(other, tmp_path / "none") is other


FRAMES = [
    ("heisenberg", {}, "heisenberg", {}, None),
    ("heisenberg", {}, "heisenberg", {"marshall": False}, "hamiltonian.marshall = true"),
    ("heisenberg", {"marshall": False}, "heisenberg", {}, "hamiltonian.marshall = false"),
    ("heisenberg", {"marshall": [0, 2, 4]}, "heisenberg", {}, None),  # the other sublattice: all spins, a phase of psi
    ("ising", {"field": 1.0}, "ising", {"field": -1.0}, "hamiltonian.rotate = false"),
    ("heisenberg", {}, "ising", {"field": 1.0}, "hamiltonian.rotate = [1, 3, 5]"),
]


@pytest.mark.parametrize(("first", "its", "second", "keys", "cure"), FRAMES)
def test_parameters_of_another_frame_are_told(
    first: str,
    its: dict[str, Any],
    second: str,
    keys: dict[str, Any],
    cure: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are kept as they are, and mean another state: the key that gives the same one is named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PVMC_NO_MPI", "1")

    def write(name: str, model: str, hamiltonian: dict[str, Any], start: str) -> str:
        lines = [f"{key} = {json.dumps(value)}" for key, value in hamiltonian.items()]
        Path(name).write_text(
            f'[lattice]\nkind = "chain"\nlength = 6\n[hamiltonian]\nmodel = "{model}"\n'
            + "\n".join(lines)
            + f'\n[ansatz]\nkind = "rbm"\nalpha = 1\nsymmetry = "none"\nweights = "complex"\n{start}\n'
            "[sampler]\nwalkers = 8\nblock_width = 8\nsamples = 16\n[run]\niterations = 1\n"
        )
        return name

    assert main(["run", write("a.toml", first, its, ""), "--output", "a"]) == 0
    job = load_job(Path(write("b.toml", second, keys, 'start_from = "a"')))
    told = [line for line in notes(job) if "another state here" in line]
    assert [line.endswith(f"; set {cure} to keep it") for line in told] == ([True] if cure else [])


# Warnings of a run ----------------------------------------------------------------------------------------------------

RING = 'lattice = {kind = "chain", length = 6}\n'
OF_RUNS = [
    ('model = "ising"\nfield = -1.0\nrotate = false', '"real"', -1.0, 'take hamiltonian.rotate = "auto"'),
    ('model = "ising"\nfield = -1.0\nrotate = true', '"real"', -1.0, ""),
    ('model = "ising"\nfield = -1.0\nrotate = false', '"complex"', -1.0, ""),
    ('model = "heisenberg"\nmarshall = false', '"real"', -0.2, 'take hamiltonian.marshall = "auto"'),
    ('model = "j1j2"\nj2 = 0.4\nmarshall = true', '"real"', -0.2, 'take ansatz.weights = "complex"'),
    ('model = "j1j2"\nj2 = 0.4\nmarshall = true', '"real"', -1.2879, ""),  # the exact energy is reached
]


@pytest.mark.parametrize(("hamiltonian", "weights", "energy", "cure"), OF_RUNS)
def test_a_positive_state_of_another_ground_state_is_warned_of(
    hamiltonian: str, weights: str, energy: float, cure: str
) -> None:
    text = f'{RING}ansatz = {{kind = "rbm", weights = {weights}}}\n[hamiltonian]\n{hamiltonian}\n'
    run = SimpleNamespace(
        config=tomllib.loads(text),
        config_text=text,
        path="run.h5",
        reference_energy_per_site=-1.2879,
        error_scale_per_site=1.0,
    )
    part = cast("Judged", SimpleNamespace(run=run, plateau=SimpleNamespace(value=energy)))
    found = list(positive_state(part))
    assert [symptom.text.partition("; ")[2] for symptom in found] == ([cure] if cure else [])


def test_products_are_positive_where_all_factors_are() -> None:
    real, other = {"kind": "rbm", "weights": "real"}, {"kind": "jastrow", "weights": "complex"}
    assert is_positive({"kind": "product", "factors": [real, real]})
    assert not is_positive({"kind": "product", "factors": [real, other]})
    assert not is_positive({"kind": "projected", "inner": real})
