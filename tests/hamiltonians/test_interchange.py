"""Hamiltonians as OpenFermion's text and Qiskit's labels: against matrices, and against the programs themselves."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pvmc.config import KeyProblem, RawInput, to_toml, validate
from pvmc.config.section import Section
from pvmc.hamiltonians import PauliSum, X, Y, Z
from pvmc.hamiltonians.interchange import (
    from_labels,
    from_openfermion,
    from_openfermion_terms,
    to_labels,
    to_openfermion,
)
from pvmc.hamiltonians.pauli import TermError
from pvmc.hamiltonians.terms import TermsSpec
from pvmc.lattice import chain
from tests.helpers import PAULI, kronecker_sum, random_strings

N = 4
OPERATORS = [
    (0.5 * X(0) * X(1) - Z(2) - 1.25 + Y(3) * Z(0), "0.5 [X0 X1] - [Z2] +\n-1.25 [] + 1.0 [Z0 Y3]"),
    ((1 + 0.5j) * X(0) - 0.1 * Y(1), "(1+0.5j) [X0] - 0.1 [Y1]"),
    (-1.0 * Z(0) + 1e-3 * Z(1), "-[Z0]\n+ 0.001[Z1]"),
    (1j * Z(1), "1.0 [X1 Y1]"),
    (0.5 * X(0) + 1.0 * Z(1) - 2.0 * Y(0) + 3.0, "0.5 [X0]\n[Z1]\n\n-2.0 [Y0]\n +3 []"),  # lines without +
    (0.5 * X(0) * Z(1) + 2.0 * Z(0), "0.5 [X0\nZ1] + 2.0\n[Z0]"),  # lines that end anywhere
    (PauliSum(), "0"),
    (PauliSum(), "0.0 []"),
    (PauliSum([((), 1.0)]), "[]"),
]
"""Operators, and texts that OpenFermion 1.8.1 prints or reads for them; it prints "0", but does not read it."""


@pytest.mark.parametrize(("operator", "text"), OPERATORS)
def test_openfermion_text(operator: PauliSum, text: str) -> None:
    assert from_openfermion(text).terms == operator.terms
    assert from_openfermion(to_openfermion(operator)).terms == operator.terms
    assert from_openfermion_terms(operator.terms).terms == operator.terms
    assert to_openfermion(operator) != "0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.5 [X0] 0.5 [X1]", r'"0\.5 \[X1\]": a \+ or - or a new line must stand before it'),
        ("0.5 [X0] 0.5\n[X1]", "a new line must stand before it"),
        ("", 'an empty text is no operator: write "\\[\\]" for the identity, "0" for no terms'),
        (" \n", "an empty text is no operator"),
        ("0.5 [X0] + half [X1]", 'coefficient "half" is not a number'),
        ("0.5 [Q0]", '"Q0" is not an operator'),
        ("0.5 [X0] + 0.5 X1", "is no term such as 0.5"),
        ("0.5 [X0", "is no term such as 0.5"),
        ("0.5 [Xi]", "has sites without a number"),
    ],
)
def test_bad_openfermion_text(text: str, message: str) -> None:
    with pytest.raises(TermError, match=message):
        from_openfermion(text)


def test_terms_of_openfermion_are_kept_where_its_text_drops_them() -> None:
    """str of QubitOperator("X0", 1e-9) + QubitOperator("Z1") is "1.0 [Z1]" (OpenFermion 1.8.1)."""
    terms: dict[tuple[tuple[int, str], ...], complex] = {((0, "X"),): 1e-9, ((1, "Z"), (3, "Y")): 1.0, (): 2e-300j}
    operator = from_openfermion_terms(terms)
    assert operator.terms == terms
    assert from_openfermion(to_openfermion(operator)).terms == terms
    assert from_openfermion_terms({}).terms == {}
    for bad, message in (({((0, "Q"),): 1.0}, '"Q0" is not'), ({(): "half"}, '"half" is not a number')):
        with pytest.raises(TermError, match=message):
            from_openfermion_terms(bad)  # type: ignore[arg-type]


def kronecker_labels(terms: list[tuple[str, complex]]) -> np.ndarray:
    """sum c P_1 x P_2 x ... of labels, letter by letter from the left: Qiskit's matrix of them."""
    total = 0.0
    for word, coefficient in terms:
        product = np.ones((1, 1))
        for letter in word:
            product = np.kron(product, np.eye(2) if letter == "I" else PAULI[letter].toarray())
        total = total + coefficient * product
    return np.asarray(total)


def test_labels_are_little_endian(rng: np.random.Generator) -> None:
    """The last letter is site 0, which is the last Kronecker factor in both."""
    assert from_labels([("XXIZ", 0.5)]).terms == (0.5 * X(3) * X(2) * Z(0)).terms
    operator = random_strings(rng, N, 12)
    labels = to_labels(operator, N)
    np.testing.assert_allclose(kronecker_labels(labels), kronecker_sum(operator, N), atol=1e-13)
    assert from_labels(labels).terms == operator.terms


@pytest.mark.parametrize("terms", [[("XQ", 1.0)], [("", 1.0)], [("XX", 1.0), ("XXX", 1.0)]])
def test_bad_labels(terms: list[tuple[str, complex]]) -> None:
    with pytest.raises(TermError, match="label"):
        from_labels(terms)


def test_label_that_is_too_short() -> None:
    with pytest.raises(ValueError, match="acts on site 3, labels are to have 3 sites"):
        to_labels(Z(3), 3)


FILES = {
    "openfermion": "# of OpenFermion\n-1.0 [Z0 Z1] +\n0.5 [X3] + # a comment\n(2+0j) []\n",
    "openfermion without plus": "-1.0 [Z0 Z1]\n0.5 [X3]\n\n2 []\n",
    "labels": "-1.0 IIZZ\n0.5 XIII   # site 3\n2 IIII\n",
    "plain": "-1.0 Z0 Z1\n0.5 X3\n2 I\n",
}


class Input(Section):
    hamiltonian: TermsSpec
    """the model"""


@pytest.mark.parametrize("name", FILES)
def test_files_of_terms(tmp_path: Path, name: str) -> None:
    """All of them are the same Hamiltonian, and what is stored in a run no longer needs the file."""
    path = tmp_path / "h.txt"
    path.write_text(FILES[name])
    raw = RawInput({"hamiltonian": {"model": "terms", "file": str(path)}}, "input")
    spec = validate(Input, raw).hamiltonian
    expected = -1.0 * Z(0) * Z(1) + 0.5 * X(3) + 2.0
    assert spec.written(chain(N)).terms == expected.terms
    resolved, terms, _ = spec.compiled(chain(N))
    path.unlink()
    assert resolved.written(chain(N)).terms == expected.terms
    assert resolved.marshall is True and resolved.build(chain(N)).terms == terms.terms  # X3 becomes -X3
    assert "file" not in to_toml(Input(hamiltonian=resolved)).split()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-1.0 IZZ\n", r'line 1, "-1.0 IZZ": a label of 3 letters; this lattice has 4 sites'),
        ("1.0 [Z0] + 1.0 [Z9]", r'term 2, "Z9": Z9 lies outside the lattice'),
        ("1.0 [Z0] + 1.0 Z1", "is no term such as"),
        ("1j [Z0]", 'term 1, "Z0": the sum of all terms is not Hermitian'),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "h.txt"
    path.write_text(text)
    with pytest.raises(KeyProblem, match=message):
        TermsSpec(model="terms", file=str(path)).build(chain(N))


def test_openfermion_itself(rng: np.random.Generator) -> None:
    openfermion = pytest.importorskip("openfermion")
    operator = random_strings(rng, N, 12) + (0.3 + 0.7j) * X(1) * Y(2)
    theirs = openfermion.QubitOperator(to_openfermion(operator))
    assert {string: c for string, c in theirs.terms.items() if c} == pytest.approx(operator.terms, rel=1e-15)
    assert from_openfermion(str(theirs)).terms == pytest.approx(operator.terms, rel=1e-15)
    # OpenFermion's matrices have qubit 0 as the first Kronecker factor, ours as the last.
    reversed_sites = operator.permuted(range(N - 1, -1, -1))
    matrix = openfermion.get_sparse_operator(theirs, n_qubits=N).toarray()
    np.testing.assert_allclose(matrix, kronecker_sum(reversed_sites, N), atol=1e-13)


def read(openfermion: ModuleType, text: str) -> dict[tuple[tuple[int, str], ...], complex] | None:
    """Terms that a QubitOperator of this text has; None where it refuses the text."""
    try:
        return {string: c for string, c in openfermion.QubitOperator(text).terms.items() if c}
    except ValueError:
        return None


def test_texts_mean_what_openfermion_takes_them_for() -> None:
    openfermion = pytest.importorskip("openfermion")
    for operator, text in OPERATORS:
        assert read(openfermion, text) in ([None] if text == "0" else [operator.terms])
        assert read(openfermion, to_openfermion(operator)) == operator.terms
    zero = openfermion.QubitOperator()
    assert from_openfermion(str(zero)).terms == from_openfermion_terms(zero.terms).terms == {}
    assert openfermion.QubitOperator(to_openfermion(PauliSum())) == zero
    # What pvmc refuses means something else to it than to most readers.
    assert read(openfermion, "") == {(): 1.0}
    assert read(openfermion, "0.5 [X0] + 0.5 X1") == {((0, "X"),): 0.5}


def test_small_coefficients_of_openfermion_itself() -> None:
    openfermion = pytest.importorskip("openfermion")
    theirs = openfermion.QubitOperator("X0", 1e-9) + openfermion.QubitOperator("Z1 Y3", 0.1 + 0.2j)
    assert from_openfermion(str(theirs)).terms == {((1, "Z"), (3, "Y")): 0.1 + 0.2j}
    operator = from_openfermion_terms(theirs.terms)
    assert operator.terms == theirs.terms
    assert openfermion.QubitOperator(to_openfermion(operator)).terms == theirs.terms
    assert str(openfermion.QubitOperator("X0", 1e-9)) == "", "which from_openfermion refuses"


def test_qiskit_itself(rng: np.random.Generator) -> None:
    quantum_info = pytest.importorskip("qiskit.quantum_info")
    operator = random_strings(rng, N, 12)
    theirs = quantum_info.SparsePauliOp.from_list(to_labels(operator, N))
    np.testing.assert_allclose(theirs.to_matrix(), kronecker_sum(operator, N), atol=1e-13)
    assert from_labels(theirs.to_list()).terms == pytest.approx(operator.terms, rel=1e-15)
