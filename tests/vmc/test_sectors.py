"""Sectors of conserved quantum numbers: where the ground state is, against dense diagonalisation of all 2^N states."""

from __future__ import annotations

import operator
import tomllib
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter
from scipy import sparse

from pvmc.cli import main
from pvmc.config import RawInput, to_toml, validate
from pvmc.exact import Basis, ground_state, heisenberg_chain_energy
from pvmc.exact.characters import characters_of, positive_characters
from pvmc.exact.closed_chains import heisenberg_chain_magnetizations
from pvmc.exact.ground_sector import (
    all_sectors,
    ground_sector,
    likely_sector,
    pair_bound,
    polarised_energies,
    smaller_lattices,
)
from pvmc.hamiltonians import HamiltonianSpec, Operator, PauliSum, X, Y, Z
from pvmc.hamiltonians.pairs import (
    heisenberg_ring,
    is_even_in_spins,
    is_rotation_invariant,
    sign_of_ground_state,
)
from pvmc.hamiltonians.signs import is_stoquastic
from pvmc.io.reader import Run, open_run
from pvmc.lattice import ChainSpec, LatticeSpec
from pvmc.results.judged import Judged, judged
from pvmc.results.symptoms import above_product, wrong_sector
from pvmc.vmc.job import Job, build_job
from pvmc.vmc.sectors import exact_answer, sector_of
from pvmc.vmc.spec import JobConfig
from pvmc.wavefunctions.symmetry import claimed_symmetry
from tests.helpers import pauli
from tests.jobs import job_of

pytestmark = pytest.mark.exact

RBM = {"kind": "rbm", "alpha": 1}
PLAIN = {**RBM, "symmetry": "none"}
SPECS: TypeAdapter[HamiltonianSpec] = TypeAdapter(HamiltonianSpec)


def make_job(
    model: dict[str, Any], length: int = 6, *, ansatz: dict[str, Any] = RBM, sampler: Any = None, **lattice: Any
) -> Job:
    metropolis = {"walkers": 8, "block_width": 4, "samples": 16}
    sampler = sampler or {}
    tables: dict[str, Any] = {
        "lattice": {"kind": "chain", "length": length, **lattice},
        "hamiltonian": model,
        "ansatz": ansatz,
        "sampler": sampler if "kind" in sampler else metropolis | sampler,
    }
    return job_of(tables)


def dense(n_sites: int, couplings: list[tuple[str, tuple[int, ...], float]]) -> np.ndarray:
    """sum c P on all 2^N states by Kronecker products, of terms (letters, sites, c)."""
    total = sparse.csr_array((2**n_sites, 2**n_sites), dtype=complex)
    for letters, sites, coefficient in couplings:
        total = total + coefficient * reduce(
            operator.matmul, (pauli(letter, site, n_sites) for letter, site in zip(letters, sites, strict=True))
        )
    return np.asarray(total.toarray())


def ring(n_sites: int, **strengths: float) -> list[tuple[str, tuple[int, ...], float]]:
    """Terms of a ring; x, y, z of neighbours, and hx, hz of single sites, in Pauli matrices."""
    terms: list[tuple[str, tuple[int, ...], float]] = []
    for i in range(n_sites):
        for letter in "xyz":
            terms.append((2 * letter.upper(), (i, (i + 1) % n_sites), strengths.get(letter, 0.0)))
            terms.append((letter.upper(), (i,), strengths.get(f"h{letter}", 0.0)))
    return terms


def as_input(terms: list[tuple[str, tuple[int, ...], float]]) -> dict[str, Any]:
    """The section [hamiltonian] of a sum of terms."""
    return {
        "model": "terms",
        "terms": [
            [c, " ".join(f"{letter}{site}" for letter, site in zip(letters, sites, strict=True))]
            for letters, sites, c in terms
            if c
        ],
    }


def magnetizations(n_sites: int) -> np.ndarray:
    """sum_i s_i of the 2^N states."""
    labels = np.arange(2**n_sites)
    return n_sites - 2 * np.bitwise_count(labels).astype(int)


def lowest_of_each(matrix: np.ndarray) -> dict[int, float]:
    """The lowest energy of every magnetisation."""
    values = magnetizations(int(np.log2(len(matrix))))
    return {
        int(value): float(np.linalg.eigvalsh(matrix[np.ix_(values == value, values == value)])[0])
        for value in np.unique(values)
    }


# What was answered at magnetisation 0 before, with the right values ---------------------------------------------------

CASES: list[tuple[str, int, dict[str, Any], float, tuple[int, ...]]] = [
    ("classical ring", 4, {"model": "ising", "field": 0.0}, -4.0, (4, -4)),
    ("classical ring of 10", 10, {"model": "ising", "field": 0.0}, -10.0, (10, -10)),
    ("longitudinal field alone", 6, {"model": "ising", "field": 0.0, "longitudinal": 0.1}, -6.6, (6,)),
    ("strong field", 8, {"model": "heisenberg", "field": 5.0}, -18.0, (8,)),
    ("strong field, 12 sites", 12, {"model": "heisenberg", "field": 10.0}, -57.0, (12,)),
    # 6 pairs at distance 1, 6 at 2, 3 at 3: 6 + 6/8 + 3/27
    ("long range", 6, {"model": "long_range_ising", "field": 0.0}, -(6 + 6 / 8 + 3 / 27), (6, -6)),
    # V (6 + 6/2^6 + 3/3^6) - 20 N, and no atom excited
    ("Rydberg, excited", 6, {"model": "rydberg", "rabi": 0.0, "detuning": 20.0}, 6 + 6 / 64 + 3 / 729 - 120, (6,)),
    ("Rydberg, ground", 6, {"model": "rydberg", "rabi": 0.0, "detuning": -1.0}, 0.0, (-6,)),
    ("ferromagnetic XXZ", 8, {"model": "xxz", "anisotropy": -1.5}, -3.0, (8, -8)),
    ("XYZ without exchange", 6, {"model": "xyz", "couplings": [0.0, 0.0, -1.0]}, -1.5, (6, -6)),
]


@pytest.mark.parametrize(("name", "length", "model", "energy", "held"), CASES, ids=[case[0] for case in CASES])
def test_the_ground_state_is_looked_for_in_all_magnetisations(
    name: str, length: int, model: dict[str, Any], energy: float, held: tuple[int, ...]
) -> None:
    job = make_job(model, length)
    answer = exact_answer(job, only_magnetization=False)
    assert answer is not None and answer.reference.energy == pytest.approx(energy, abs=1e-10)
    assert answer.lines[0].startswith(f"ground state: magnetisation {held[0]}")
    assert f"all {length + 1} values searched" in answer.lines[0]
    assert job.sampler.magnetization == held[0]  # the default of a run
    sector = sector_of(job)
    assert sector.reference is not None and sector.reference.energy == pytest.approx(energy, abs=1e-10)
    assert sector.elsewhere == ""
    found = ground_sector(job.operator)
    assert found is not None and found.magnetizations == held


@pytest.mark.parametrize("seed", range(12))
def test_random_models_with_fields(seed: int) -> None:
    """Couplings and fields of any sign on all pairs of 2 to 7 sites: `exact` has the minimum over all 2^N states."""
    rng = np.random.default_rng([20, seed])
    n_sites = 2 + seed % 6
    pairs = [(i, j) for i in range(n_sites) for j in range(i)]
    exchange, parallel = rng.normal(size=(2, len(pairs)))
    fields = rng.normal(size=n_sites) * rng.choice([0.0, 0.3, 3.0])
    terms = [
        term
        for (i, j), a, b in zip(pairs, exchange.tolist(), parallel.tolist(), strict=True)
        for term in (("XX", (i, j), a), ("YY", (i, j), a), ("ZZ", (i, j), b))
    ] + [("Z", (i,), h) for i, h in enumerate(fields.tolist())]
    matrix = dense(n_sites, terms)
    model = as_input(terms)
    job = make_job(model, n_sites, periodic=False, ansatz=PLAIN)
    levels = lowest_of_each(matrix)
    lowest = float(np.linalg.eigvalsh(matrix)[0])
    answer = exact_answer(job, only_magnetization=False)
    assert answer is not None and answer.reference.energy == pytest.approx(lowest, abs=1e-10)
    found = all_sectors(job.operator)
    assert found.levels == pytest.approx(levels, abs=1e-10)
    bound = pair_bound(job.operator)
    assert bound is not None and bound <= lowest + 1e-10
    assert polarised_energies(job.operator) == pytest.approx({m: levels[m] for m in (n_sites, -n_sites)})
    for magnetization, level in levels.items():
        one = make_job(model, n_sites, periodic=False, ansatz=PLAIN, sampler={"magnetization": magnetization})
        sector = sector_of(one)
        assert sector.reference is not None and sector.reference.energy == pytest.approx(level, abs=1e-10)
        assert bool(sector.elsewhere) == (level > lowest + 1e-8)
        if sector.elsewhere:
            assert f"sampler.magnetization = {job.sampler.magnetization}, or leave it out" in sector.elsewhere
            assert f"{lowest:.10g}" in sector.elsewhere and f"{level:.10g}" in sector.elsewhere
        only = exact_answer(one, only_magnetization=True)
        assert only is not None and only.reference.energy == pytest.approx(level, abs=1e-10)
        assert only.lines[0] == f"magnetisation {magnetization} alone was searched (sampler.magnetization)"


@pytest.mark.parametrize("n_sites", [2, 3, 5, 7])
@pytest.mark.parametrize("kind", ["metropolis", "exact"])
def test_an_odd_number_of_sites_needs_no_key(n_sites: int, kind: str) -> None:
    sampler = {"kind": kind} if kind == "exact" else None
    job = make_job({"model": "heisenberg"}, n_sites, sampler=sampler, periodic=False)
    assert job.sampler.magnetization == n_sites % 2
    answer = exact_answer(job, only_magnetization=False)
    terms = [term for term in ring(n_sites, x=0.25, y=0.25, z=0.25) if term[1] not in ((n_sites - 1, 0), (1, 0))]
    assert answer is not None
    assert answer.reference.energy == pytest.approx(np.linalg.eigvalsh(dense(n_sites, terms))[0], abs=1e-10)


def test_the_resolved_input_keeps_the_magnetisation() -> None:
    """What was chosen is written, read again, and chosen no more; where moves change it, no key is written."""
    strong = {"model": "heisenberg", "field": 5.0}
    flips = {"moves": {"flip": 1.0}}
    cases: list[tuple[dict[str, Any], Any, int | None]] = [
        (strong, None, 6),
        (strong, {"magnetization": 0}, 0),
        (strong, flips, None),
        ({"model": "ising"}, None, None),
        ({"model": "ising", "field": 0.0}, None, 6),
        (strong, {"start": "neel"}, 0),
        (strong, {"moves": {"exchange": 1.0, "global_flip": 0.1}}, 0),
    ]
    for model, sampler, magnetization in cases:
        text = to_toml(make_job(model, sampler=sampler).config)
        tables = tomllib.loads(text)
        assert tables["sampler"].get("magnetization") == magnetization
        again = job_of(tables)
        assert to_toml(again.config) == text and again.sampler.magnetization == magnetization


def test_files_of_earlier_versions_hold_a_zero_that_meant_nothing() -> None:
    tables = tomllib.loads(to_toml(make_job({"model": "ising"}).config))
    tables["sampler"]["magnetization"] = 0
    stored = RawInput(tables, "run.h5", stored=True)
    assert build_job(validate(JobConfig, stored), stored).sampler.magnetization is None
    tables["sampler"]["magnetization"] = 2
    with pytest.raises(Exception, match=r"sampler\.magnetization = 2: this Hamiltonian does not conserve"):
        build_job(validate(JobConfig, stored), stored)


def test_a_spin_flip_quantum_number_keeps_the_magnetisation_zero() -> None:
    projected = {"kind": "projected", "spin_flip": 1, "inner": PLAIN}
    job = make_job({"model": "xxz", "anisotropy": -1.5}, ansatz=projected)
    assert job.sampler.magnetization == 0
    assert "magnetisation 6 or -6 (degenerate)" in sector_of(job).elsewhere


# Large systems --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_sites", [4, 6, 8])
def test_bethe_ansatz_of_every_magnetisation(n_sites: int) -> None:
    levels = lowest_of_each(dense(n_sites, ring(n_sites, x=0.25, y=0.25, z=0.25)))
    for magnetization, level in levels.items():
        assert heisenberg_chain_energy(n_sites, 1.0, magnetization) == pytest.approx(level, abs=1e-10)
    for field in (-3.0, -0.9, 0.2, 0.7, 1.4, 1.9, 2.0, 2.5):
        shifted = {value: 1.3 * level - field * value / 2 for value, level in levels.items()}
        lowest = min(shifted.values())
        held, energy = heisenberg_chain_magnetizations(n_sites, 1.3, field)
        assert energy == pytest.approx(lowest, abs=1e-10)
        assert set(held) == {value for value, level in shifted.items() if level < lowest + 1e-9}


@pytest.mark.parametrize(
    ("model", "magnetization", "method"),
    [
        ({"model": "heisenberg"}, 0, "spin rotations"),
        ({"model": "heisenberg", "field": 1.0}, 10, "Bethe ansatz"),
        ({"model": "heisenberg", "field": -1.0}, -10, "Bethe ansatz"),
        ({"model": "xxz", "anisotropy": -1.5}, 40, "product state"),
        ({"model": "xxz", "anisotropy": 0.5, "field": 4.0}, 40, "product state"),
        ({"model": "j1j2", "j2": 0.4, "field": 20.0}, 40, "product state"),
    ],
)
def test_forty_sites(model: dict[str, Any], magnetization: int, method: str) -> None:
    job = make_job(model, 40)
    found = ground_sector(job.operator)
    assert found is not None and found.method == method and found.preferred == magnetization
    assert job.sampler.magnetization == magnetization
    other = make_job(model, 40, sampler={"magnetization": 2})
    if found.energy is not None:
        assert f"sampler.magnetization = {magnetization}" in sector_of(other).elsewhere


def test_what_is_not_known_of_forty_sites() -> None:
    job = make_job({"model": "xxz", "anisotropy": 0.5, "field": 0.5}, 40)
    assert ground_sector(job.operator) is None and job.sampler.magnetization == 0
    assert "likely to have another magnetisation: on 16 sites of the same kind it is 4" in sector_of(job).elsewhere
    assert exact_answer(job, only_magnetization=False) is None


@pytest.mark.parametrize("field", [0.0, 0.2, 0.5, -0.5, 0.8])
def test_a_small_lattice_tells_the_likely_magnetisation(field: float) -> None:
    """Of the XX ring of 40 sites: free fermions of energies cos k - h, an even number of them."""
    n_sites = 40
    model = {"model": "xxz", "anisotropy": 0.0, "field": field}
    likely = likely_sector(ChainSpec(kind="chain", length=n_sites), SPECS.validate_python(model), n_sites)
    levels = np.cos(2 * np.pi * (np.arange(n_sites) + 0.5) / n_sites)
    exact = 2 * int(np.count_nonzero(levels < field)) - n_sites
    assert likely is not None and likely.sites == 16
    assert likely.lowest <= exact <= likely.highest
    text = sector_of(make_job(model, n_sites, sampler={"magnetization": 0})).elsewhere
    assert bool(text) == (abs(field) >= 0.5)
    if text:
        assert f"try sampler.magnetization = {likely.guess}" in text
        assert sector_of(make_job(model, n_sites, sampler={"magnetization": exact})).elsewhere == ""


@pytest.mark.parametrize(
    ("lattice", "sizes"),
    [
        ({"kind": "chain", "length": 40}, [16, 14, 12, 10, 8, 6, 4, 2]),
        ({"kind": "chain", "length": 7}, [5, 3, 1]),
        ({"kind": "rectangle", "size": [6, 6]}, [(4, 4), (6, 2), (2, 6), (4, 2), (2, 4), (2, 2)]),
        ({"kind": "rectangle", "supercell": [[4, 2], [-2, 4]]}, []),
        ({"kind": "graph", "edges": [[0, 1], [1, 2]]}, []),
    ],
)
def test_smaller_lattices(lattice: dict[str, Any], sizes: list[Any]) -> None:
    spec: Any = TypeAdapter(LatticeSpec).validate_python(lattice)
    assert [getattr(small, "length", None) or small.size for small in smaller_lattices(spec, 16)] == sizes


def test_nothing_is_likely_where_sites_differ() -> None:
    spec = ChainSpec(kind="chain", length=40)
    for field in ([0.5] * 40, {"seed": 1, "width": 1.0}):
        assert likely_sector(spec, SPECS.validate_python({"model": "heisenberg", "field": field}), 40) is None
    terms = {"model": "terms", "terms": [[1.0, "Z0 Z39"]]}
    assert likely_sector(spec, SPECS.validate_python(terms), 40) is None


# Symmetries -----------------------------------------------------------------------------------------------------------


def test_rotation_invariance() -> None:
    """Against the commutator with the total S^+, after the same turns."""
    rng = np.random.default_rng(3)
    for turned, spoilt in ((False, False), (True, False), (True, True), (False, True)):
        signs = rng.choice([-1, 1], size=5) if turned else np.ones(5, dtype=int)
        terms: list[tuple[str, tuple[int, ...], float]] = []
        for i in range(5):
            for j in range(i):
                c = float(rng.normal())
                flipped = c * float(signs[i] * signs[j])
                terms += [("XX", (j, i), flipped), ("YY", (j, i), flipped), ("ZZ", (j, i), c)]
        terms.append(("ZZ", (0, 1), 0.1 if spoilt else 0.0))
        raising = sum(
            signs[i] * (pauli("X", i, 5) + 1j * pauli("Y", i, 5)).toarray() for i in range(5)
        )  # turns by pi about z
        matrix = dense(5, terms)
        commutes = np.abs(matrix @ raising - raising @ matrix).max() < 1e-10
        assert commutes == (not spoilt)
        job = make_job(as_input(terms), 5, ansatz=PLAIN, periodic=False)
        assert is_rotation_invariant(job.operator) == commutes


def test_rings_are_recognised() -> None:
    found = heisenberg_ring(make_job({"model": "heisenberg", "coupling": 1.7, "field": 0.3}, 8).operator)
    assert found is not None
    assert (found.coupling, found.field, found.constant) == pytest.approx((1.7, 0.3, 0.0))
    for model, lattice in (
        ({"model": "heisenberg"}, {"periodic": False}),
        ({"model": "heisenberg", "field": [0.1] + [0.0] * 7}, {}),
        ({"model": "xxz", "anisotropy": 0.9}, {}),
        ({"model": "j1j2", "j2": 0.2}, {}),
    ):
        assert heisenberg_ring(make_job(model, 8, ansatz=PLAIN, **lattice).operator) is None


@pytest.mark.parametrize("marshall", [True, False])
@pytest.mark.parametrize("length", [4, 6, 8])
@pytest.mark.parametrize("magnetization", [0, 2])
def test_characters_of_the_ground_state(length: int, magnetization: int, marshall: bool) -> None:
    """From signs and from the eigenvector; momentum pi where an odd number of spins is down and nothing is turned."""
    model = {"model": "xxz", "anisotropy": 0.7, "marshall": marshall}
    job = make_job(model, length, sampler={"magnetization": magnetization})
    group = claimed_symmetry(job.ansatz)
    assert group is not None
    basis = Basis.enumerate(length, magnetization)
    of_vector = characters_of(ground_state(job.operator, basis)[1], basis, group)
    of_signs = positive_characters(job.operator, magnetization, group)
    assert of_vector is not None and of_signs is not None
    np.testing.assert_allclose(of_signs, of_vector, atol=1e-8)
    is_pi = not marshall and (length - magnetization) // 2 % 2 == 1
    assert (of_signs.real.min() < 0) == is_pi
    assert is_stoquastic(job.operator) == marshall and is_even_in_spins(job.operator)


def test_signs_of_a_ground_state_need_exchanges_that_join_all_sites() -> None:
    """prod s_i over one sublattice of a bipartite antiferromagnet (Marshall), whichever way its bonds are numbered."""

    def signs(n_sites: int, *bonds: tuple[int, int]) -> list[float] | None:
        total = PauliSum.total([letter(i) * letter(j) for i, j in bonds for letter in (X, Y, Z)])
        found = sign_of_ground_state(Operator.from_pauli_sum(total, n_sites))
        return None if found is None else [float(sign * found[0]) for sign in found]

    assert signs(3, (0, 1), (1, 2)) == [1, -1, 1]
    assert signs(3, (0, 2), (1, 2)) == [1, 1, -1]
    assert signs(4, (0, 3), (2, 3), (1, 2)) == [1, -1, 1, -1]
    assert signs(3, (0, 1), (1, 2), (0, 2)) is None  # frustrated
    assert signs(4, (0, 2), (1, 3)) is None  # two parts


def test_translations_that_exclude_the_ground_state() -> None:
    """The ring of 6 without rotation has momentum pi; of 5 sites no ground state is invariant under translations."""
    six = sector_of(make_job({"model": "heisenberg", "marshall": False}))
    matrix = dense(6, ring(6, x=0.25, y=0.25, z=0.25))
    shift = np.zeros((64, 64))
    for label in range(64):
        shift[((label << 1) & 63) | (label >> 5), label] = 1.0
    invariant = np.linalg.eigh(shift + shift.T)[1][:, -14:]  # 14 orbits of 6 sites: momentum 0
    lowest = np.linalg.eigvalsh(invariant.T @ matrix.real @ invariant)[0]
    assert six.reference is not None and six.reference.energy == pytest.approx(lowest, abs=1e-10)
    assert six.ground is not None and six.ground.energy == pytest.approx(np.linalg.eigvalsh(matrix)[0], abs=1e-10)
    assert 'ansatz.symmetry = "translation" excludes the ground state (E = -2.802775638)' in six.elsewhere
    assert "momentum [3]" in six.elsewhere and f"{lowest:.10g}" in six.elsewhere
    five = sector_of(make_job({"model": "heisenberg", "marshall": False}, 5, sampler={"magnetization": 1}))
    assert five.reference is not None and five.reference.energy == pytest.approx(-0.75, abs=1e-10)
    assert "excludes the ground state (E = -1.868033989)" in five.elsewhere
    assert sector_of(make_job({"model": "heisenberg"})).elsewhere == ""
    assert sector_of(make_job({"model": "ising"})).elsewhere == ""


@pytest.mark.parametrize("ansatz", [RBM, {"kind": "projected", "momentum": 0, "inner": PLAIN}])
def test_the_turn_that_brings_the_ground_state_into_the_sector_is_named_first(ansatz: dict[str, Any]) -> None:
    """Even rings have momentum 0 or N/2 without the Marshall turn, and 0 with it; odd rings have no such turn."""
    ten = sector_of(make_job({"model": "heisenberg", "marshall": False}, 10, ansatz=ansatz)).elsewhere
    assert "E = -4.515446354" in ten and ": leave hamiltonian.marshall out, or " in ten
    assert sector_of(make_job({"model": "heisenberg"}, 10, ansatz=ansatz)).elsewhere == ""
    assert sector_of(make_job({"model": "heisenberg", "marshall": False}, 8, ansatz=ansatz)).elsewhere == ""
    for model in ({"model": "heisenberg"}, {"model": "heisenberg", "marshall": False}):
        nine = sector_of(make_job(model, 9, ansatz=ansatz)).elsewhere
        assert "E = -3.797299784" in nine and "leave" not in nine


def test_projections_on_other_quantum_numbers() -> None:
    model = {"model": "heisenberg", "marshall": False}
    right = make_job(model, ansatz={"kind": "projected", "momentum": 3, "spin_flip": -1, "inner": PLAIN})
    assert sector_of(right).elsewhere == "" and sector_of(right).words == "magnetisation 0, momentum 3, spin flip -1"
    wrong = make_job(model, ansatz={"kind": "projected", "momentum": 0, "inner": PLAIN})
    assert "change ansatz.momentum unless an excited state is wanted" in sector_of(wrong).elsewhere
    answer = exact_answer(wrong, only_magnetization=False)
    assert answer is not None and answer.reference.energy == pytest.approx(-2.118033988749895, abs=1e-10)
    assert "has E = -2.8027756" in answer.lines[1]


# As a user sees it ----------------------------------------------------------------------------------------------------

INPUT = """\
[lattice]
kind = "chain"
length = 8

[hamiltonian]
model = "heisenberg"
field = 5.0

[ansatz]
kind = "rbm"
alpha = 1

[sampler]
walkers = 16
block_width = 8
samples = 64

[run]
iterations = 12
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PVMC_NO_MPI", "1")
    (tmp_path / "a.toml").write_text(INPUT)
    return "a.toml"


def test_exact_as_a_command(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exact", file]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "E   = -18 J (S.S)  (Lanczos)",
        "E/N = -2.25",
        "ground state: magnetisation 8; all 9 values searched",
    ]
    assert main(["exact", file, "--set", "sampler.magnetization=0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("E   = -3.651093408937 ")
    assert lines[2] == "magnetisation 0 alone was searched (sampler.magnetization)"
    assert "the ground state has magnetisation 8 and E = -18" in lines[3]
    assert main(["exact", file, "--set", 'hamiltonian={model="ising"}', "--set", "sampler.magnetization=4"]) == 2
    message = "sampler.magnetization = 4: this Hamiltonian does not conserve the magnetisation; leave it out"
    assert message in capsys.readouterr().err


def test_a_run_of_the_product_state_has_its_exact_energy(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", file, "--output", "r"]) == 0
    run = open_run("r")
    assert np.all(run.series["energy"] == -18.0) and np.all(run.series["variance"] == 0.0)
    assert run.reference_energy == -18.0 and run.config["sampler"]["magnetization"] == 8
    assert run.sector.startswith("magnetisation 8 (all spins up: a product state") and run.elsewhere == ""
    assert "warning" not in capsys.readouterr().err
    assert main(["status", "r"]) == 0
    assert "warning" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("sampler", "cure"),
    [
        ({"start": "neel"}, 'set sampler.start = "random" and sampler.magnetization = 8'),
        (
            {"moves": {"exchange": 0.5, "global_flip": 0.5}},
            "set sampler.moves.global_flip = 0 and sampler.magnetization = 8",
        ),
        ({"magnetization": 0}, "set sampler.magnetization = 8, or leave it out"),
    ],
)
def test_what_holds_the_magnetisation_is_what_the_cure_names(sampler: dict[str, Any], cure: str) -> None:
    job = make_job({"model": "heisenberg", "field": 5.0}, 8, sampler=sampler)
    assert sector_of(job).elsewhere.endswith(f": {cure}")


def test_a_run_elsewhere_warns_from_beginning_to_end(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """At its start, in status, analyze and report, and after going on; compared with the energy of its own sector."""
    text = "the ground state has magnetisation 8 and E = -18; the states of this input have magnetisation 0"
    cure = "set sampler.magnetization = 8, or leave it out"
    sector = "magnetisation 0, momentum 0 (ansatz.symmetry"
    flag = ["--set", "sampler.magnetization=0"]
    assert main(["validate", file, *flag]) == 0
    shown = capsys.readouterr()
    assert f"# sector: {sector}" in shown.out and "# ground state: magnetisation 8" in shown.out
    (line,) = [line for line in shown.out.splitlines() if line.startswith("# warning: ")]
    assert text in line and cure in line
    assert main(["run", file, *flag, "--output", "r"]) == 0
    shown = capsys.readouterr()
    assert f"sector: {sector}" in shown.out
    (line,) = [line for line in shown.err.splitlines() if "magnetisation" in line]
    assert line.startswith("pvmc: warning: ") and text in line and cure in line
    run = open_run("r")
    assert run.reference_energy == pytest.approx(-3.651093408937176, abs=1e-10)
    assert text in run.elsewhere and run.sector.startswith(sector)
    for command in (["status", "r"], ["status", "--json", "r"], ["analyze", "r"]):
        assert main(command) == 0
        assert text in capsys.readouterr().out.replace("\n", " ")
    assert main(["report", "r", "--output", "r.html"]) == 0
    assert text in Path("r.html").read_text()
    capsys.readouterr()
    assert main(["run", "r", "--resume", "--set", "run.iterations=14"]) == 0
    assert text in capsys.readouterr().err and text in open_run("r").elsewhere


def test_an_excited_level_that_is_asked_for_has_a_name_of_its_own(file: str) -> None:
    """Quantum numbers that an input projects on are told, but are no fault of a run, see benchmarks/false_alarms.py."""
    projected = {"kind": "projected", "momentum": 0, "inner": PLAIN}
    for ansatz, name in ((projected, "excited"), (RBM, "sector")):
        job = make_job({"model": "heisenberg", "marshall": False}, ansatz=ansatz)
        Path("in.toml").write_text(to_toml(job.config))
        assert main(["run", "in.toml", "--output", name, "--set", "run.iterations=6"]) == 0
        (symptom,) = wrong_sector(judged(open_run(name)))
        assert symptom.name == name


def test_an_energy_above_that_of_all_spins_up_is_a_warning(file: str) -> None:
    """Where nothing was known before: the mean is compared with the energy that the file holds."""
    assert (
        main(["run", file, "--output", "r", "--set", "sampler.magnetization=0", "--set", "hamiltonian.field=0.0"]) == 0
    )
    run = open_run("r")
    assert run.product_energy == 2.0  # 8 bonds of 1/4

    def part(given: Run, settled: bool) -> Judged:
        return Judged(given, replace(judged(given).plateau, settled=settled))

    below = replace(run, product_energy=-4.0)
    for given, expected in ((run, False), (below, True)):
        assert bool(list(above_product(part(given, True)))) == expected
    (symptom,) = above_product(part(below, True))
    assert "-0.5 per site" in symptom.text and "change sampler.magnetization" in symptom.text
    assert not list(above_product(part(below, False)))


def test_files_without_a_sector_can_be_read(file: str) -> None:
    import h5py

    assert main(["run", file, "--output", "r", "--set", "sampler.magnetization=0"]) == 0
    with h5py.File("r/run.h5", "r+") as stored:
        for name in ("sector", "ground_sector", "elsewhere", "ground_energy", "product_energy"):
            del stored["reference"].attrs[name]
    run = open_run("r")
    assert (run.sector, run.elsewhere) == ("", "") and run.reference_energy is not None


def test_a_list_of_turned_sites_hides_no_small_lattice() -> None:
    """What 40 sites turn, 16 do not have; the magnetisation does not depend on it."""
    turned = [site for site in range(40) if site % 4 > 1]
    for marshall in (turned, False):
        spec = SPECS.validate_python({"model": "j1j2", "j1": 0.1, "j2": 1.0, "field": 0.5, "marshall": marshall})
        found = likely_sector(ChainSpec(kind="chain", length=40), spec, 40)
        assert found is not None and (found.sites, found.found) == (16, 0)
