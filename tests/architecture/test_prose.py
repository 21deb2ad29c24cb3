"""Public names are documented, and their first lines are noun phrases or commands."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "pvmc"
MODULES = sorted(PACKAGE.rglob("*.py"))

QUESTION = re.compile(r"(What|Whether)\b")


def documented(tree: ast.Module) -> Iterator[tuple[str, str | None, bool]]:
    """Place and text of every docstring and of every text below a constant or a key; and those that must not be empty.

    Methods may have their docstring from the class that they are declared in.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield f"line {node.lineno}", node.value.value, False
    yield "the module", ast.get_docstring(tree), True
    for item in tree.body:
        if isinstance(item, ast.ClassDef | ast.FunctionDef) and not item.name.startswith("_"):
            yield item.name, ast.get_docstring(item), True


def problems(source: str) -> list[str]:
    """Everything that is wrong with the docstrings of a module."""
    found = []
    for name, text, must_be in documented(ast.parse(source)):
        if must_be and not text:
            found.append(f"{name} has no docstring")
        if not must_be and text and QUESTION.match(text.removeprefix("Collective.").strip()):
            found.append(f"{name} begins like a question: {text.splitlines()[0]}")
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('"""Sums."""\ndef f():\n    """The sum."""', 0),
        ('"""Sums."""\ndef f():\n    pass', 1),
        ('"""Sums."""\ndef _f():\n    pass', 0),
        ('"""What sums are."""', 1),
        ('"""Sums."""\nclass A:\n    """A sum."""\n    def f(self):\n        """Collective. Whether it is 0."""', 1),
        ('"""Sums."""\nLIMIT = 2\n"""What it may be."""', 1),
        ("x = 1", 1),
    ],
)
def test_problems_are_found(source: str, expected: int) -> None:
    assert len(problems(source)) == expected


def test_docstrings() -> None:
    found = {str(path.relative_to(PACKAGE)): problems(path.read_text(encoding="utf-8")) for path in MODULES}
    assert len(found) > 50
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
