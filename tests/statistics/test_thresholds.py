"""One table of limits: what a run is judged by is compared with numbers of :mod:`pvmc.statistics.thresholds` alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from pvmc.statistics import thresholds

PACKAGE = Path(__file__).resolve().parents[2] / "pvmc"
TABLE = Path(thresholds.__file__)

JUDGED = {
    *("r_hat", "r_hats", "v_score", "acceptance", "autocorrelation_time", "tau", "effective", "effective_samples"),
    *("drift", "leak", "p_value", "sigmas", "spikes", "looks", "n_samples", "variance", "variances", "error", "errors"),
}
"""Names of numbers by which runs, measurements and validations are judged."""

HARMLESS = {0, 1, 2, 3, 4}
"""Signs, counts of what a formula needs, and exponents."""


def own_constants(tree: ast.Module) -> set[str]:
    """Names in capitals that a module gives a value itself."""
    targets = [
        target
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    return {
        name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name) and name.id.isupper()
    }


def parts(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what is below it, but for the limits that functions of the table compute."""
    yield node
    for child in ast.iter_child_nodes(node):
        called = child.func.id if isinstance(child, ast.Call) and isinstance(child.func, ast.Name) else ""
        if called not in ("r_hat_limit", "rounding_of"):
            yield from parts(child)


def limits_outside(source: str) -> list[str]:
    """Comparisons of a judged number with a number, or with a constant of the module itself."""
    tree = ast.parse(source)
    own, found = own_constants(tree), []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare) or isinstance(node.ops[0], ast.In | ast.NotIn | ast.Is | ast.IsNot):
            continue
        below = list(parts(node))
        names = {one.id for one in below if isinstance(one, ast.Name)}
        names |= {one.attr for one in below if isinstance(one, ast.Attribute)}
        numbers = {one.value for one in below if isinstance(one, ast.Constant) and isinstance(one.value, int | float)}
        if names & JUDGED and (numbers - HARMLESS or names & own):
            found.append(ast.get_source_segment(source, node) or "")
    return found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("warn = energy.r_hat > 1.1", 1),
        ("LIMIT = 0.01\ndef f(run):\n    return LIMIT < run.v_score and run.n > 4", 1),
        ("if samples / tau < 50 * 2: pass", 1),
        ("from pvmc.statistics.thresholds import LARGEST_R_HAT\nbad = energy.r_hat > LARGEST_R_HAT", 0),
        ("N = 3\nbad = energy.r_hat > r_hat_limit(N * 7)", 0),
        ("nothing = variance <= 0.0 or error == 1", 0),
    ],
)
def test_the_walk_finds_limits(source: str, found: int) -> None:
    assert len(limits_outside(source)) == found


def test_no_other_module_holds_a_limit() -> None:
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if path != TABLE]
    assert len(paths) > 100
    found = {path.name: limits for path in paths if (limits := limits_outside(path.read_text(encoding="utf-8")))}
    assert found == {}


def test_every_limit_has_a_reason_and_is_used() -> None:
    """A line below each says why it is there; one that nothing imports or mentions would be dead."""
    tree = ast.parse(TABLE.read_text(encoding="utf-8"))
    reasons = {
        target.id: after.value.value
        for node, after in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(node, ast.Assign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    limits = own_constants(tree)
    assert len(limits) > 50 and limits == set(reasons)
    assert all(isinstance(reason, str) and len(reason) > 40 for reason in reasons.values())
    elsewhere = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py") if path != TABLE)
    inside = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    assert {limit for limit in limits if limit not in elsewhere} <= inside
