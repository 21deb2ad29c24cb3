#!/bin/sh
# OpenFermion 1.8.1: str() of an operator and the operator of that text are not each other's inverse, and a + b is not b + a.
#
# One would guess: QubitOperator(str(op)) == op, as for the examples of its documentation, and str(op) shows every term.
# Seen: str() leaves out terms below 1e-8 without a sign of it; where all are, the text is empty, and an empty text makes the
# identity; zero prints as "0", which QubitOperator refuses.  A sum drops such a term of its right side, and keeps it of its left.
set -eu
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
${PYTHON:-python3} -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'openfermion==1.8.1'
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'END'
import openfermion
from openfermion import QubitOperator

print("OpenFermion", openfermion.__version__)
small, large = QubitOperator("X0", 1e-9), QubitOperator("Z1")
mixed, other = small + large, large + small
print("terms", mixed.terms, "print as", repr(str(mixed)))
print("1e-9 [X0] + 1.0 [Z1] has", len(mixed.terms), "terms, 1.0 [Z1] + 1e-9 [X0] has", len(other.terms))
assert len(mixed.terms) == 2 and len(other.terms) == 1, "no longer so"
print("terms", small.terms, "print as", repr(str(small)), "which is read as", QubitOperator(str(small)).terms)
assert str(mixed) == "1.0 [Z1]" and str(small) == "" and QubitOperator(str(small)).terms == {(): 1.0}, "no longer so"
zero = QubitOperator()
try:
    QubitOperator(str(zero))
    raise SystemExit("no longer so")
except ValueError as error:
    print("zero prints as", repr(str(zero)), "which is refused:", error)
END
