"""Sums of Pauli strings as other programs write them: OpenFermion's text, and Qiskit's labels.

OpenFermion: ``0.5 [X0 X1] +`` newline ``-1.0 [Z2]``, factors with their sites in brackets, ``[]`` for the identity;
what ``str`` makes of a ``QubitOperator``, whose own dictionary ``terms`` holds also the coefficients below 1e-8 that
its text leaves out.  Qiskit: pairs such as ``("XXIZ", 0.5)``, what ``SparsePauliOp.to_list``
gives; a label has a letter for every site and is little-endian, so that its last letter acts on site 0.

Sites keep their numbers, and sigma^z = +1 is the state |0> of a qubit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from pvmc.hamiltonians.pauli import Pauli, PauliSum, TermError, label, multiply, parse_coefficient, parse_factors

_TERM = re.compile(r"(?P<before>[^\[\]]*)\[(?P<product>[^\[\]]*)\]")
_LABEL = re.compile(r"[IXYZ]{2,}")


def from_openfermion(text: str) -> PauliSum:
    """The operator that a text in OpenFermion's form means; "0" is the sum of no terms.

    ``str`` of a ``QubitOperator`` leaves out coefficients below 1e-8: :func:`from_openfermion_terms` has all of them.

    Raises:
        TermError: names the term that cannot be read; an empty text is none.
    """
    return PauliSum.total(_product(coefficient, product) for coefficient, product in openfermion_terms(text))


def from_openfermion_terms(terms: Mapping[Pauli, complex]) -> PauliSum:
    """The operator whose strings and coefficients are the ``terms`` of OpenFermion's ``QubitOperator``, all of them.

    Args:
        terms: such as {((0, "X"), (1, "X")): 0.5, (): 1e-9}.

    Raises:
        TermError: a letter other than X, Y and Z, or a coefficient that is no number.
    """
    return PauliSum.total(
        _product(coefficient, " ".join(f"{letter}{site}" for site, letter in string) or "I")
        for string, coefficient in terms.items()
    )


def to_openfermion(operator: PauliSum) -> str:
    """The text that OpenFermion's ``QubitOperator`` reads as this operator; every digit is kept.

    The sum of no terms is "0.0 []", since ``QubitOperator`` does not read the "0" that it prints.
    """
    lines = [f"{_shown(c)} [{'' if not string else label(string)}]" for string, c in operator.terms.items()]
    return " +\n".join(lines) or "0.0 []"


def from_labels(terms: Iterable[tuple[str, complex]]) -> PauliSum:
    """The operator that pairs of a label and its coefficient mean.

    Raises:
        TermError: a label with another letter than I, X, Y and Z, or labels of different lengths.
    """
    pairs = list(terms)
    if len({len(word) for word, _ in pairs}) > 1:
        raise TermError("labels of different lengths: each has a letter for every site")
    return PauliSum.total(_product(coefficient, label_product(word)) for word, coefficient in pairs)


def to_labels(operator: PauliSum, n_sites: int) -> list[tuple[str, complex]]:
    """Pairs of a label and its coefficient, for Qiskit's ``SparsePauliOp.from_list``.

    Raises:
        ValueError: the operator acts on a site beyond ``n_sites``.
    """
    return [(_label(dict(string), n_sites), complex(c)) for string, c in operator.terms.items()]


def openfermion_terms(text: str) -> Iterator[tuple[complex, str]]:
    """Coefficient and product, such as (0.5, "X0 X1") or (1.0, "I"), of each term of OpenFermion's text.

    Terms are joined by + or -, or stand on lines of their own.  "0" has no terms.

    Raises:
        TermError: names the term that cannot be read; or the text is empty, which ``QubitOperator`` takes for the
            identity and prints for an operator whose coefficients are all below 1e-8.
    """
    if not text.strip():
        raise TermError('an empty text is no operator: write "[]" for the identity, "0" for no terms')
    if text.strip() == "0":
        return
    end = 0
    for number, match in enumerate(_TERM.finditer(text), start=1):
        if match.start() != end:
            break
        end = match.end()
        before = match["before"].strip()
        new_line = "\n" in match["before"].partition(before)[0] if before else "\n" in match["before"]
        sign, rest = before[:1], before[1:].strip()
        if sign not in ("+", "-"):
            sign, rest = "", before
        if number > 1 and not sign and not new_line:
            raise TermError(f'"{match.group().strip()}": a + or - or a new line must stand before it')
        coefficient = parse_coefficient(rest or 1.0)
        yield (-coefficient if sign == "-" else coefficient), " ".join(match["product"].split()) or "I"
    if rest := text[end:].strip():
        raise TermError(f'"{rest.splitlines()[0]}" is no term such as 0.5 [X0 X1]')


def is_label(word: str) -> bool:
    """True where a word is a label such as XXIZ."""
    return _LABEL.fullmatch(word) is not None


def label_product(word: str) -> str:
    """The product that a label means: "XXIZ" is "Z0 X2 X3".

    Raises:
        TermError: it has another letter than I, X, Y and Z.
    """
    if not word or set(word) - set("IXYZ"):
        raise TermError(f'"{word}" is no label such as XXIZ, with a letter I, X, Y or Z for every site')
    factors = [f"{letter}{site}" for site, letter in enumerate(reversed(word)) if letter != "I"]
    return " ".join(factors) or "I"


def _label(letters: dict[int, str], n_sites: int) -> str:
    if outside := [site for site in letters if site >= n_sites]:
        raise ValueError(f"the operator acts on site {max(outside)}, labels are to have {n_sites} sites")
    return "".join(letters.get(site, "I") for site in reversed(range(n_sites)))


def _product(coefficient: complex, product: str) -> PauliSum:
    factors = parse_factors(product)
    if any(factor.placeholder for factor in factors):
        raise TermError(f'"{product}" has sites without a number')
    return multiply(parse_coefficient(_plain(coefficient)), factors, [factor.number for factor in factors])


def _plain(value: complex) -> float | str:
    """A coefficient as the input takes it: a number, or text where it is complex."""
    try:
        number = complex(value)
    except (TypeError, ValueError):
        raise TermError(f'coefficient "{value}" is not a number') from None
    return number.real if number.imag == 0 else str(number)


def _shown(value: complex) -> str:
    return str(_plain(value))
