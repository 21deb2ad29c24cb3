"""Hamiltonians written in the input: what is read, what is refused and with which words, and what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from pvmc.cli.inputs import EXAMPLE_MODELS
from pvmc.config import KeyProblem, to_toml
from pvmc.errors import InputError
from pvmc.figures.placement import circle, place
from pvmc.hamiltonians import HamiltonianSpec, PauliSum, X, Y, Z, lowering, raising
from pvmc.hamiltonians.geometry import bonds_by_direction
from pvmc.hamiltonians.heisenberg import XXZSpec
from pvmc.hamiltonians.terms import TermsSpec
from pvmc.lattice import Lattice, chain, graph, honeycomb, rectangle
from pvmc.vmc.display import notes
from pvmc.vmc.job import Job, load_job
from pvmc.vmc.spec import example_config
from tests.helpers import compiled_matrix

RING = chain(4)


def written(lattice: Lattice = RING, **keys: Any) -> PauliSum:
    return TermsSpec.model_validate({"model": "terms", **keys}).written(lattice)


def pattern(operator: str, lattice: Lattice = RING, **keys: Any) -> PauliSum:
    return written(lattice, patterns=[{"operator": operator, **keys}])


def ring_sum(*offsets_and_letters: tuple[int, Any]) -> PauliSum:
    """sum_i prod P(i + offset) on the ring of 4."""
    total = PauliSum()
    for i in range(4):
        product = PauliSum([((), 1.0)])
        for offset, letter in offsets_and_letters:
            product = product * letter((i + offset) % 4)
        total = total + product
    return total


def test_single_terms() -> None:
    terms = written(terms=[[-1.0, "Z0 Z1"], [0.5, "X2"], [2, "I"], [1, "Y3*Z0"], ["-0.25", "X0 Y1 Z2 X3"]])
    expected = -Z(0) * Z(1) + 0.5 * X(2) + 2 + Y(3) * Z(0) - 0.25 * X(0) * Y(1) * Z(2) * X(3)
    assert terms.terms == expected.terms


def test_repeated_sites_are_multiplied_in_their_order() -> None:
    assert written(terms=[["1j", "X0 Z0"]]).terms == Y(0).terms  # X Z = -i Y
    assert written(terms=[["-1j", "Z0 X0"]]).terms == Y(0).terms
    assert written(terms=[[1, "X0 X0 Z1"]]).terms == Z(1).terms


def test_patterns_over_bonds_and_sites() -> None:
    assert pattern("Xi Xj").terms == ring_sum((0, X), (1, X)).terms
    assert pattern("Zi", coefficient=-0.5).terms == (-0.5 * ring_sum((0, Z))).terms
    assert pattern("Zi Zj", shell=2).terms == (Z(0) * Z(2) + Z(1) * Z(3)).terms
    square = rectangle((3, 3))
    assert pattern("Yj Yi", square).terms == {((i, "Y"), (j, "Y")): 1.0 for i, j in square.bonds().tolist()}


def test_patterns_that_are_not_symmetric_follow_the_ring() -> None:
    assert pattern("Xi Yj").terms == ring_sum((0, X), (1, Y)).terms
    assert pattern("Xi Y[i+1]").terms == ring_sum((0, X), (1, Y)).terms
    assert pattern("Z[i-1] Xi Z[i+1]").terms == ring_sum((-1, Z), (0, X), (1, Z)).terms


def test_bonds_of_a_graph_point_as_they_are_listed() -> None:
    directed = [(1, 0, 1.0), (1, 2, 0.5), (3, 2, 1.0), (0, 3, -2.0)]
    square = graph(directed)
    assert pattern("Xi Yj", square).terms == PauliSum.total(c * X(i) * Y(j) for i, j, c in directed).terms
    ladder = written(
        square,
        patterns=[{"coefficient": 0.5, "operator": "S+i S-j"}, {"coefficient": 0.5, "operator": "S-i S+j"}],
    )
    expected = PauliSum.total(0.25 * c * (X(i) * X(j) + Y(i) * Y(j)) for i, j, c in directed)
    assert ladder.is_close(expected) and expected.is_close(ladder)


def test_a_gamma_term_on_each_direction_of_bonds() -> None:
    """S^b_i S^c_j + S^c_i S^b_j on each kind of bonds of the honeycomb, b and c the letters that are not the kind's."""
    lattice = honeycomb((2, 2))
    groups = bonds_by_direction(lattice)
    assert [round(angle) for angle, _, _ in groups] == [30, 90, 150]
    letters = {30.0: "YZ", 90.0: "XZ", 150.0: "XY"}
    patterns = [
        {"coefficient": 0.3, "operator": f"{one}i {other}j", "direction": angle}
        for angle, pair in letters.items()
        for one, other in (pair, pair[::-1])
    ]
    op = {"X": X, "Y": Y, "Z": Z}
    expected = PauliSum.total(
        0.3 * (op[b](i) * op[c](j) + op[c](i) * op[b](j))
        for (b, c), (_, bonds, _) in zip(letters.values(), groups, strict=True)
        for i, j in bonds.tolist()
    )
    assert len(expected.terms) == 24
    assert written(lattice, patterns=patterns).terms == expected.terms


def test_a_pattern_with_bonds_of_its_own() -> None:
    lattice = graph([(0, 1, 3.0)], 5)
    terms = pattern("Xi Yj", lattice, coefficient=0.5, bonds=[[3, 1], [1, 4]])
    assert terms.terms == (0.5 * X(3) * Y(1) + 0.5 * X(1) * Y(4)).terms
    free = graph([], 3)
    assert pattern("Zi Zj", free, bonds=[[0, 2]]).terms == (Z(0) * Z(2)).terms
    assert pattern("Xi", free).terms == (X(0) + X(1) + X(2)).terms


def test_offsets_stop_at_the_ends_of_an_open_chain() -> None:
    terms = pattern("Z[i-1] Xi Z[i+1]", chain(5, periodic=False))
    assert terms.terms == {((i - 1, "Z"), (i, "X"), (i + 1, "Z")): 1.0 for i in (1, 2, 3)}


def test_ladder_operators_make_the_xxz_model() -> None:
    terms = written(
        patterns=[
            {"coefficient": 0.5, "operator": "S+i S-j"},
            {"coefficient": 0.5, "operator": "S-i S+j"},
            {"coefficient": 0.075, "operator": "Zi Zj"},
        ]
    )
    expected = XXZSpec(model="xxz", anisotropy=0.3, marshall=False).written(RING)
    assert terms.is_close(expected) and expected.is_close(terms)


def test_ladder_operators_of_the_algebra() -> None:
    assert (raising(0) * lowering(0)).terms == (0.5 + 0.5 * Z(0)).terms
    assert raising(1).adjoint().terms == lowering(1).terms
    assert (raising(0) + lowering(0)).terms == X(0).terms
    assert not raising(0).is_hermitian()


def test_complex_coefficients_whose_sum_is_hermitian() -> None:
    terms = written(terms=[["0.5+0.5j", "X0 Y1"], ["0.5-0.5j", "X0 Y1"]])
    assert terms.terms == (X(0) * Y(1)).terms
    rounded = written(terms=[["0.1+0.1j", "X0"], ["0.1+0.2j", "X0"], ["0.1-0.3j", "X0"]])
    assert rounded.is_hermitian() and list(rounded.terms) == [((0, "X"),)]


def test_a_file_of_terms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("h.txt").write_text("# an Ising bond\n-1.0  Z0 Z1   # ferromagnetic\n\n0.5\tX2\n-0.25j X0 Z0\n")
    spec = TermsSpec(model="terms", terms=[(2.0, "Y3")], file="h.txt")
    expected = 2.0 * Y(3) - Z(0) * Z(1) + 0.5 * X(2) - 0.25 * Y(0)
    assert spec.written(RING).terms == expected.terms
    resolved = spec.without_file()
    assert resolved.file is None and resolved.written(RING).terms == expected.terms


REFUSED = [
    ([[1.0, "X0"], [0.5, "Q0 X1"]], r'hamiltonian\.terms = \[0\.5, "Q0 X1"\]: term 2: "Q0" is not an operator'),
    ([[0.5, "X0 x1"]], r'term 1: "x1" is not an operator'),
    ([[0.5, "X"]], r'term 1: "X" is not an operator'),
    ([[0.5, "X-1"]], r'term 1: "X-1" is not an operator'),
    ([[0.5, "X0X1"]], r'term 1: "X0X1" is not an operator'),
    ([[0.5, "X4"]], r"term 1: X4 lies outside the lattice; sites are 0 to 3"),
    ([[0.5, "Z7 Z7"]], r"term 1: Z7 lies outside the lattice"),
    ([[0.5, " "]], r"term 1: is empty"),
    ([[0.5, "Xi Xj"]], r"term 1: placeholders i and j belong into hamiltonian\.patterns"),
    ([["half", "X0"]], r'term 1: coefficient "half" is not a number'),
    ([["nan", "X0"]], r'term 1: coefficient "nan" is not finite'),
    ([["inf", "X0"]], r'term 1: coefficient "inf" is not finite'),
    ([["1+infj", "X0"]], r'term 1: coefficient "1\+infj" is not finite'),
    (
        [[1.0, "Z0"], ["0.5j", "X0 Y1"]],
        r'terms = \["0\.5j", "X0 Y1"\]: term 2: .* not Hermitian: it holds 0\+0\.5j X0 Y1',
    ),
    ([[1.0, "X0 Z0"]], r"term 1: .* not Hermitian: it holds 0-1j Y0"),
    ([[1.0, "S+0"]], r"term 1: .* not Hermitian: it holds 0\+0\.5j Y0"),
    ([], r"hamiltonian\.terms = \[\]: no terms"),
]


@pytest.mark.parametrize(("terms", "message"), REFUSED, ids=[str(terms) for terms, _ in REFUSED])
def test_refused_terms(terms: list[list[object]], message: str) -> None:
    with pytest.raises(KeyProblem, match=message):
        written(terms=terms)


REFUSED_PATTERNS: list[tuple[dict[str, Any], Lattice, str]] = [
    ({"operator": "Xi Xj", "shell": 5}, RING, r"pattern 1: neighbour shell 5 of 4 sites: known are 1 to 2"),
    ({"operator": "Xi", "shell": 2}, RING, r"pattern 1: shell = 2 needs the placeholders i and j"),
    ({"operator": "Xj"}, RING, r"pattern 1: a pattern needs the placeholder i"),
    ({"operator": "X0"}, RING, r"pattern 1: a pattern needs the placeholder i"),
    ({"operator": "Xi Xj", "direction": 45.0}, RING, r"pattern 1: direction = 45: the bonds lie at 0 degrees"),
    ({"operator": "Xi", "direction": 0.0}, RING, r"direction = 0.0 needs the placeholders i and j"),
    ({"operator": "Xi Xj", "direction": 0.0, "shell": 2}, RING, r"direction is one of nearest neighbours"),
    ({"operator": "Xi Xj", "bonds": [[0, 4]]}, RING, r"bond \[0, 4\] does not join two of the sites 0 to 3"),
    ({"operator": "Xi Xj", "bonds": [[0, 1]], "shell": 2}, RING, r"bonds stand in place of shell and direction"),
    ({"operator": "Xi Xj"}, graph([], 4), r"this lattice has no bonds; give it lattice.edges, or bonds to the pattern"),
    ({"operator": "Xi Yj", "shell": 2}, RING, r"pattern 1: the bond of sites 0 and 2 has no orientation"),
    ({"operator": "Z[i+1] Xi"}, rectangle((3, 3)), r"pattern 1: offsets such as \[i\+1\] need a chain"),
    ({"operator": "Xi Z9"}, RING, r"pattern 1: Z9 lies outside the lattice"),
    ({"operator": "Xi Yj", "coefficient": "1j"}, RING, r"hamiltonian\.patterns = \{.*\}: pattern 1: .* not Hermitian"),
]


@pytest.mark.parametrize(("keys", "lattice", "message"), REFUSED_PATTERNS)
def test_refused_patterns(keys: dict[str, Any], lattice: Lattice, message: str) -> None:
    with pytest.raises(KeyProblem, match=message):
        written(lattice, patterns=[keys])


def test_a_file_with_the_text_of_zero(tmp_path: Path) -> None:
    """What OpenFermion prints for an operator without terms: it is read, and has none."""
    (path := tmp_path / "zero.txt").write_text("0\n")
    with pytest.raises(KeyProblem, match="no terms; give some"):
        written(file=str(path))


def test_a_refused_line_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "h.txt"
    path.write_text("1.0 Z0 Z1\n# remark\n0.5j X0 Y1\n")
    with pytest.raises(KeyProblem, match=r'^hamiltonian\.file = ".*: line 3, "0\.5j X0 Y1": .* not Hermitian'):
        written(file=str(path))
    path.write_text("1.0 Z0 Z1\n0.5\n")
    with pytest.raises(KeyProblem, match=r'line 2, "0\.5": is empty'):
        written(file=str(path))
    path.write_bytes(b"1.0 Z0 \xff\n")
    with pytest.raises(KeyProblem, match="must be UTF-8 text"):
        written(file=str(path))
    with pytest.raises(KeyProblem, match=r"cannot be read: No such file"):
        written(file=str(tmp_path / "none.txt"))


# Whole inputs ---------------------------------------------------------------------------------------------------------

INPUT = """
lattice = {kind = "chain", length = 4}
ansatz = {kind = "rbm", alpha = 2, symmetry = "none"}
"""


def loaded(folder: Path, hamiltonian: str, ansatz: str = "") -> Job:
    path = folder / "input.toml"
    path.write_text(f"{INPUT}{ansatz}\n[hamiltonian]\n{hamiltonian}\n")
    return load_job(path)


def problem(folder: Path, hamiltonian: str) -> str:
    with pytest.raises(InputError) as caught:
        loaded(folder, hamiltonian)
    message = str(caught.value)
    assert "\n" not in message
    return message.partition("input.toml: ")[2]


def test_the_message_of_a_whole_input_is_one_line(tmp_path: Path) -> None:
    assert problem(tmp_path, 'model = "terms"\nterms = [[1.0, "X0"], [1, "Q"]]').startswith(
        'hamiltonian.terms = [1.0, "Q"]: term 2: "Q" is not an operator'
    )
    assert problem(tmp_path, 'model = "terms"\nterms = [["X0", 1.0]]').startswith("hamiltonian.terms = ")
    assert "must be a list, each entry a list of 2 values" in problem(tmp_path, 'model = "terms"\nterms = 3')
    text = problem(tmp_path, 'model = "terms"\n[[hamiltonian.patterns]]\noperator = 3')
    assert text.startswith("hamiltonian.patterns.operator = 3: must be text")
    text = problem(tmp_path, 'model = "terms"\n[[hamiltonian.patterns]]\noperator = "Xi"\nshel = 2')
    assert "hamiltonian.patterns.shel = 2: unknown key, did you mean 'hamiltonian.patterns.shell'" in text
    text = problem(tmp_path, 'model = "xyz"\ncouplings = [1.0, 2.0]')
    assert text.startswith("hamiltonian.couplings = [1.0, 2.0]: must be a list of 3 values, each a number")
    text = problem(tmp_path, 'model = "ising"\nfield = "strong"')
    assert text.startswith('hamiltonian.field = "strong": must be a number, or a list, each entry a number, or a table')
    assert "unknown key, did you mean 'hamiltonian.field.width'" in problem(
        tmp_path, 'model = "ising"\nfield = {seed = 1, widht = 0.5}'
    )


@pytest.mark.parametrize(
    "hamiltonian",
    [
        'model = "terms"\nfile = "h.txt"\nterms = [[1.0, "Z0"], ["1j", "X1 Y1"]]\n'
        '[[hamiltonian.patterns]]\noperator = "Zi Zj"\ncoefficient = "0.5"\n',
        'model = "ising"\nfield = {seed = 3, width = 0.5}\nlongitudinal = [0.1, 0.2, 0.3, 0.4]',
    ],
    ids=["terms", "random field"],
)
def test_the_stored_config_gives_the_same_operator(
    hamiltonian: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("h.txt").write_text("0.5 X2\n-1.5 Y0 Y1\n")
    job = loaded(tmp_path, hamiltonian)
    Path("h.txt").unlink()
    for commented in (False, True):
        Path("stored.toml").write_text(to_toml(job.config, commented=commented))
        again = load_job(Path("stored.toml"))
        np.testing.assert_array_equal(*(compiled_matrix(one.operator).toarray() for one in (again, job)))
        assert again.config == job.config


def test_a_symmetry_that_the_hamiltonian_lacks_is_refused(tmp_path: Path) -> None:
    field = 'model = "heisenberg"\nfield = {seed = 3, width = 0.5}'
    loaded(tmp_path, field)
    with pytest.raises(InputError, match='= "translation": this Hamiltonian lacks the symmetry; must be "none"'):
        path = tmp_path / "input.toml"
        load_job(path, ["ansatz.symmetry=translation"])
    loaded(tmp_path, 'model = "heisenberg"')
    load_job(path, ["ansatz.symmetry=space"])
    load_job(path, ["ansatz.symmetry=translation", "hamiltonian.model=dzyaloshinskii_moriya"])
    with pytest.raises(InputError, match='lacks the symmetry; must be "translation" or "none"'):
        # a reflection turns D round
        load_job(path, ["ansatz.symmetry=space", "hamiltonian.model=dzyaloshinskii_moriya"])


def test_the_default_moves_follow_the_magnetization(tmp_path: Path) -> None:
    conserving = loaded(tmp_path, 'model = "terms"\n[[hamiltonian.patterns]]\noperator = "Zi Zj"')
    assert conserving.config.sampler.moves is not None and conserving.config.sampler.moves.exchange > 0
    changing = loaded(tmp_path, 'model = "terms"\n[[hamiltonian.patterns]]\noperator = "Xi Xj"')
    assert changing.config.sampler.moves is not None and changing.config.sampler.moves.flip > 0
    with pytest.raises(InputError, match="this Hamiltonian changes the magnetisation"):
        load_job(tmp_path / "input.toml", ["sampler.moves={exchange=1.0}"])


def test_every_model_has_an_example() -> None:
    known = {get_args(spec.model_fields["model"].annotation)[0] for spec in get_args(get_args(HamiltonianSpec)[0])}
    assert set(EXAMPLE_MODELS) == known


@pytest.mark.parametrize("model", EXAMPLE_MODELS)
def test_the_example_of_each_model_loads(model: str, tmp_path: Path) -> None:
    path = tmp_path / "example.toml"
    path.write_text(example_config(model))
    job = load_job(path)
    assert job.config.hamiltonian.model == model and len(job.operator.flips) > 0
    assert 18 <= job.lattice.n_sites <= 20


def test_a_graph_without_edges(tmp_path: Path) -> None:
    """Terms need no bonds; models of neighbours do, and say so with the key."""
    lattice = (
        'lattice = {kind = "graph", edges = [], sites = 4}\nansatz = {kind = "rbm", alpha = 2, symmetry = "none"}\n'
    )

    def load(hamiltonian: str) -> Job:
        (tmp_path / "free.toml").write_text(f"{lattice}[hamiltonian]\n{hamiltonian}\n")
        return load_job(tmp_path / "free.toml")

    job = load(
        'model = "terms"\nterms = [[-1.0, "X0 X1"], [-1.0, "Y0 Y1"], [-1.0, "X2 X3"], [-1.0, "Y2 Y3"], [0.5, "Z0"]]'
    )
    assert len(job.operator.flips) == 2 and len(job.lattice.bonds()) == 0
    moves = job.config.sampler.moves
    assert moves is not None and (moves.exchange, moves.exchange_any) == (0.0, 1.0)
    assert place(job.lattice).points == pytest.approx(circle(4))  # what is drawn
    (tmp_path / "stored.toml").write_text(to_toml(job.config))
    assert load_job(tmp_path / "stored.toml").config == job.config
    with pytest.raises(
        InputError, match=r"lattice.edges = \[\]: must not be empty: this Hamiltonian couples neighbours"
    ):
        load('model = "heisenberg"')
    with pytest.raises(InputError, match=r"sampler.moves.exchange = 1.0: this lattice has no bonds; take exchange_any"):
        load_job(tmp_path / "stored.toml", ["sampler.moves={exchange=1.0, exchange_any=0.5}"])


def test_a_list_of_edges_from_one_is_told(tmp_path: Path) -> None:
    text = 'lattice = {kind = "graph", edges = [[1, 2], [2, 3], [3, 4], [4, 1]] SITES}\n'
    text += 'hamiltonian = {model = "heisenberg"}\nansatz = {kind = "rbm", alpha = 2, symmetry = "none"}\n'
    path = tmp_path / "edges.toml"
    path.write_text(text.replace("SITES", ""))
    (line,) = [line for line in notes(load_job(path)) if "lattice.edges" in line]
    assert line.startswith(
        "warning: lattice.edges: no edge names the site 0 (sites count from 0; does this list count from"
    )
    path.write_text(text.replace("SITES", ", sites = 5"))
    assert not any("lattice.edges" in line for line in notes(load_job(path)))
