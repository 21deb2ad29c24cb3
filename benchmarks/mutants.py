"""Mutation check: small changes of signs, indices, conjugations, comparisons and bounds that the tests must notice.

    python benchmarks/mutants.py                               # sample, run what has no result yet, write the page
    python benchmarks/mutants.py --package sr --sample 20      # a part of the sample
    python benchmarks/mutants.py --record                      # after functions or tests have changed: who enters what
    python benchmarks/mutants.py --key K --tests tests/sr      # one mutant, all tests of a folder
    python benchmarks/mutants.py --page                        # only docs/reports/mutants.md, from the results
    python benchmarks/mutants.py --list                        # the sample, without running it

A mutant is one change inside one function of the packages in PACKAGES.  The sample takes from each module in
proportion to its number of statements, at most one mutant a statement, those with the smallest digests: it does not
move when other code does, and the results (benchmarks/results/mutants.json) are kept by the text of function and
statement, not by file and line.  A number that is no index is changed only where the statement has nothing else to
change.  Left out are docstrings, messages, annotations, decorators, default arguments and module-level code.

How one mutant runs: pytest imports and collects once.  For each mutant the collected process forks; the child exchanges
the bytecode of the changed function, drops the cached machine code of every kernel that calls it, directly or not, and
runs the tests that enter the function (a first pass over the tests records which do), quick ones that enter little
first, until one fails.  Tests that start programs are left out: a mutant killed here is killed by ``make test``, but
not the reverse.  A mutant survives when all its tests pass, or as many as fit into --budget seconds of processor time.

mutmut does not mutate functions with decorators, which all kernels have.  cosmic-ray starts pytest anew for each mutant
(import and collection take ten seconds), runs all tests or those of one fixed command, would compile all kernels again
(their cache has the name of a digest of the sources), and knows no conjugations and no sample by package.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import gc
import hashlib
import json
import os
import resource
import signal
import sys
import textwrap
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import pytest
from page import table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "mutants.json"
REASONS = ROOT / "benchmarks" / "mutants.toml"
PAGE = ROOT / "docs" / "reports" / "mutants.md"
REACH = ROOT / "build" / "mutants_reach.jsonl"

PACKAGES = ("numerics", "wavefunctions", "sampler", "estimators", "sr", "statistics", "hamiltonians")
PROGRAM_TESTS = ("architecture", "benchmarks", "cli", "docs", "mpi", "slurm")
"""Directories of tests that start programs, need ranks or look at texts."""

LONGEST_TEST = 30.0
"""Tests that take more processor seconds are left out."""

SKIPPED_FUNCTIONS = ("__repr__", "__str__", "describe", "summary")
COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
MEMBERSHIPS = {ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is}
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr}
ARITHMETIC |= {ast.LShift: ast.RShift, ast.RShift: ast.LShift}
NAMES = {"real": "imag", "imag": "real", "min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum"}
NAMES |= {"any": "all", "all": "any", "floor": "ceil", "ceil": "floor", "cos": "sin", "sin": "cos", "vdot": "dot"}
NAMES |= {"argmin": "argmax", "argmax": "argmin", "triu": "tril", "tril": "triu", "cosh": "sinh", "sinh": "cosh"}
DROPPED = ("conj", "conjugate", "abs", "sqrt")
"""Functions of one argument, or methods of none, that a mutant leaves out."""


# Mutants --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutant:
    """One change: ``before`` -> ``after`` in a statement of a function."""

    path: Path
    function: str
    line: int
    ordinal: int
    """Which one of the changes of its module, as :func:`changes` counts them."""
    before: str
    after: str
    plain: bool
    """True where only a number changes that is no index: taken from a statement that has nothing else."""
    statement: str
    """Text of the statement, and its number among the equal ones of the function."""

    @property
    def package(self) -> str:
        return self.path.relative_to(ROOT / "pvmc").parts[0]

    @property
    def module(self) -> str:
        return self.path.stem

    @property
    def where(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"

    def place(self) -> dict[str, Any]:
        """Where it is, for the results."""
        return {"package": self.package, "module": self.module, "function": self.function, "line": self.line}

    @cached_property
    def key(self) -> str:
        """Digest of the function's name, the statement and the change."""
        text = "\n".join((self.function, self.statement, self.before, self.after))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def rank(self, seed: int) -> tuple[bool, str]:
        return self.plain, hashlib.blake2b(f"{seed} {self.key}".encode(), digest_size=8).hexdigest()


def changed_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that may stand in place of one."""

    def with_operator(kind: type[ast.AST], **fields: Any) -> ast.AST:
        other = copy.deepcopy(node)
        for name, value in fields.items():
            setattr(other, name, value)
        return other

    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC and not (_text(left) or _text(right)):
            yield with_operator(ast.BinOp, op=ARITHMETIC[type(op)]())
        case ast.AugAssign(op=op, value=value) if type(op) in ARITHMETIC and not _text(value):
            yield with_operator(ast.AugAssign, op=ARITHMETIC[type(op)]())
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert(), operand=operand):
            yield copy.deepcopy(operand)
        case ast.Compare(ops=[op], comparators=[_]) if type(op) in COMPARISONS | MEMBERSHIPS:
            yield with_operator(ast.Compare, ops=[(COMPARISONS | MEMBERSHIPS)[type(op)]()])
        case ast.Compare(ops=[first, second]) if type(first) in COMPARISONS and type(second) in COMPARISONS:
            yield with_operator(ast.Compare, ops=[COMPARISONS[type(first)](), second])
            yield with_operator(ast.Compare, ops=[first, COMPARISONS[type(second)]()])
        case ast.BoolOp(op=op):
            yield with_operator(ast.BoolOp, op=ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant({0: 1, 1: 0}.get(value, value + 1) if isinstance(value, int) else 2 * value or 1.0)
        case ast.Constant(value=complex() as value):
            yield ast.Constant(-value)
        case ast.Attribute(value=value, attr=name) if name in NAMES:
            yield ast.Attribute(copy.deepcopy(value), NAMES[name], ast.Load())
        case ast.Attribute(value=value, attr="T"):
            yield copy.deepcopy(value)
        case ast.Call(func=ast.Name(id=name), args=[_, *_]) if name in NAMES:
            yield with_operator(ast.Call, func=ast.Name(NAMES[name], ast.Load()))
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name), args=[argument]) if name in DROPPED:
            yield copy.deepcopy(argument)
        case ast.Call(func=ast.Attribute(value=value, attr=name), args=[], keywords=[]) if name in DROPPED:
            yield copy.deepcopy(value)
        case ast.Call(func=ast.Name(id="range"), args=[*_, last]) if not isinstance(last, ast.Constant):
            other = copy.deepcopy(node)
            place = 0 if len(other.args) == 1 else 1  # type: ignore[attr-defined]
            other.args[place] = ast.BinOp(other.args[place], ast.Sub(), ast.Constant(1))  # type: ignore[attr-defined]
            yield other
        case ast.Slice(lower=lower, upper=upper):
            for name, bound, by in (("lower", lower, ast.Add()), ("upper", upper, ast.Sub())):
                if bound is not None and not isinstance(bound, ast.Constant):
                    yield with_operator(ast.Slice, **{name: ast.BinOp(copy.deepcopy(bound), by, ast.Constant(1))})
        case ast.Subscript(slice=ast.Name() as index) if isinstance(node.ctx, ast.Load):
            yield with_operator(ast.Subscript, slice=ast.BinOp(copy.deepcopy(index), ast.Sub(), ast.Constant(1)))


def _text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def changes(tree: ast.Module) -> Iterator[tuple[str, ast.stmt, ast.AST, ast.AST, bool, Callable[[], None]]]:
    """(function, statement, node, other node, is it an index, what makes the change in the tree), in order."""

    def statements(body: list[ast.stmt], function: str | None, names: tuple[str, ...]) -> Iterator[Any]:
        for statement in body:
            match statement:
                case ast.FunctionDef(name=name):
                    if name not in SKIPPED_FUNCTIONS:
                        own = (*names, name)
                        yield from statements(statement.body, function or ".".join(own), (*own, "<locals>"))
                    continue
                case ast.ClassDef(name=name):
                    yield from statements(statement.body, function, (*names, name))
                    continue
                case ast.Expr(value=ast.Constant()) | ast.Raise() | ast.Assert() | ast.Import() | ast.ImportFrom():
                    continue
            if function is not None:
                for field, value in ast.iter_fields(statement):
                    if field not in ("body", "orelse", "finalbody", "handlers", "annotation", "targets", "target"):
                        yield from nodes(statement, field, value, function, statement)
                yield from own_changes(statement, function)
            for field in ("body", "orelse", "finalbody"):
                yield from statements(getattr(statement, field, []), function, names)
            for handler in getattr(statement, "handlers", []):
                yield from statements(handler.body, function, names)

    def own_changes(statement: ast.stmt, function: str) -> Iterator[Any]:
        for other in changed_nodes(statement):  # x += y

            def change(other: ast.AST = other) -> None:
                statement.op = other.op  # type: ignore[attr-defined]

            yield function, statement, statement, other, False, change

    def nodes(
        parent: ast.AST, field: str, value: Any, function: str, statement: ast.stmt, index: bool = False
    ) -> Iterator[Any]:
        for place, node in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(node, ast.AST) or isinstance(node, ast.JoinedStr):
                continue
            for other in changed_nodes(node):

                def change(other: ast.AST = other, place: int = place) -> None:
                    if isinstance(value, list):
                        value[place] = other
                    else:
                        setattr(parent, field, other)

                yield function, statement, node, other, index, change
            if _message(node) or (isinstance(node, ast.keyword) and node.arg == "strict"):
                continue
            for name, inner in ast.iter_fields(node):
                if name not in ("annotation", "ctx", "op", "ops"):
                    here = (
                        isinstance(node, ast.Subscript)
                        and name == "slice"
                        or (index and not isinstance(node, ast.Call))
                    )
                    yield from nodes(node, name, inner, function, statement, here)

    yield from statements(tree.body, None, ())


def _message(node: ast.AST) -> bool:
    """True for calls that make a message or an error."""
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name.endswith(("Error", "Warning", "warn", "print")) or name in ("cast", "TypeVar", "format", "isinstance")


def mutants_of(path: Path) -> list[Mutant]:
    """All mutants of a module."""
    source = path.read_text()
    found, numbers = [], {}
    counts: Counter[tuple[str, str]] = Counter()
    for ordinal, (function, statement, node, other, index, _) in enumerate(changes(ast.parse(source))):
        if id(statement) not in numbers:
            head = copy.copy(statement)
            for field in ("body", "orelse", "finalbody", "handlers"):
                if hasattr(head, field):
                    setattr(head, field, [ast.Pass()] if field == "body" else [])
            text = ast.unparse(ast.fix_missing_locations(head))
            counts[function, text] += 1
            numbers[id(statement)] = statement, f"{text} #{counts[function, text]}"
        before, after = (" ".join(ast.unparse(ast.fix_missing_locations(it)).split()) for it in (node, other))
        if before != after:
            line = getattr(node, "lineno", statement.lineno)
            plain = isinstance(node, ast.Constant) and not index
            found.append(Mutant(path, function, line, ordinal, before, after, plain, numbers[id(statement)][1]))
    return found


def mutated(mutant: Mutant) -> ast.Module:
    """The syntax tree of the module with the change made; lines stay."""
    tree = ast.parse(mutant.path.read_text())
    for ordinal, (_, statement, _, other, _, change) in enumerate(changes(tree)):
        if ordinal == mutant.ordinal:
            ast.copy_location(other, statement)
            change()
            return ast.fix_missing_locations(tree)
    raise LookupError(mutant.where)


def sample(size: int, seed: int) -> list[Mutant]:
    """``size`` mutants over all modules in proportion to their statements, at most one a statement."""
    chosen = {}
    for package in PACKAGES:
        for path in modules(package):
            by_statement: dict[tuple[str, str], list[Mutant]] = defaultdict(list)
            for mutant in mutants_of(path):
                by_statement[mutant.function, mutant.statement].append(mutant)
            firsts = [min(group, key=lambda one: one.rank(seed)) for group in by_statement.values()]
            chosen[path] = sorted(firsts, key=lambda one: one.rank(seed)[1])
    share = size / sum(map(len, chosen.values()))
    return [one for firsts in chosen.values() for one in firsts[: round(len(firsts) * share + 0.2)]]


def modules(package: str) -> list[Path]:
    """The files of a package."""
    return sorted((ROOT / "pvmc" / package).rglob("*.py"))


# Change of a running process ------------------------------------------------------------------------------------------


def code_objects(code: CodeType) -> Iterator[CodeType]:
    """A code object and all those inside."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from code_objects(constant)


def is_inside(qualname: str, function: str) -> bool:
    """True for a function and those that it defines."""
    return qualname == function or qualname.startswith(f"{function}.<locals>")


def exchange(mutant: Mutant) -> int:
    """Give the mutated function its new bytecode, wherever it is held; the number of functions changed."""
    path = str(mutant.path)
    codes = code_objects(compile(mutated(mutant), path, "exec"))
    new = {(it.co_qualname, it.co_firstlineno): it for it in codes if is_inside(it.co_qualname, mutant.function)}
    count = 0
    for function in [it for it in gc.get_objects() if isinstance(it, FunctionType) and it.__code__.co_filename == path]:
        other = new.get((function.__code__.co_qualname, function.__code__.co_firstlineno))
        if other is not None:
            function.__code__ = other
            count += 1
    return count


def named_kernels(function: FunctionType) -> list[Any]:
    """The kernels that a function names."""
    from numba.core.dispatcher import Dispatcher

    names = {name for code in code_objects(function.__code__) for name in code.co_names}
    values = [function.__globals__.get(name) for name in names]
    values += [vars(value).get(name) for value in values if isinstance(value, ModuleType) for name in names]
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:
            continue
    return [value for value in values if isinstance(value, Dispatcher)]


def callers_of(path: Path, qualname: str) -> list[Any]:
    """The kernels that are made of a function: itself, and those that call it, directly or not."""
    from numba.core.dispatcher import Dispatcher

    everything = [it for it in gc.get_objects() if isinstance(it, Dispatcher)]
    if any(line in path.read_text() for line in ("numba.extending", "numba.core", "llvmlite")):
        return everything  # code generators
    own = [it for it in everything if it.py_func.__code__.co_filename == str(path)]
    affected = [it for it in own if is_inside(it.py_func.__qualname__, qualname)]
    grown = True
    while grown:
        more = [it for it in everything if it not in affected and any(k in affected for k in named_kernels(it.py_func))]
        affected += more
        grown = bool(more)
    return affected


def forget_machine_code(affected: list[Any]) -> None:
    """Have kernels compiled anew at their next call."""
    from numba.core.caching import NullCache

    for dispatcher in affected:
        dispatcher._cache = NullCache()
        if dispatcher.overloads:
            dispatcher._make_finalizer()()
            dispatcher._reset_overloads()


# Tests ----------------------------------------------------------------------------------------------------------------


class ProgramStarted(pytest.skip.Exception):
    """A test was about to start a program, which would not be mutated."""


def without_programs() -> None:
    """Have tests skipped as soon as they start a program."""
    import subprocess

    def refuse(*args: Any, **options: Any) -> None:
        raise ProgramStarted("starts a program")

    subprocess.Popen.__init__ = refuse  # type: ignore[method-assign]


class Loop:
    """Plugin of pytest that takes the place of its loop over the tests."""

    def __init__(self, work: Callable[[list[pytest.Item]], None]) -> None:
        self.work = work
        self.failed: str | None = None
        self.outcome = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.work(session.items)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.outcome = report.outcome
        if report.failed:
            self.failed = report.nodeid


def name_of(item: pytest.Item) -> str:
    """A test by file and name, without directories: it outlasts a move."""
    return item.nodeid.rpartition("/")[2]


def in_child(work: Callable[[Callable[[str], None]], None], seconds: float) -> tuple[int, list[str]]:
    """Run work in a forked process; how it ended, and the lines that it sent."""
    source, sink = os.pipe()
    child = os.fork()
    if not child:
        code = 3
        try:
            os.close(source)
            os.setpgid(0, 0)
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
            resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
            work(lambda line: (os.write(sink, (line + "\n").encode()), None)[1])
            code = 0
        except BaseException as error:
            os.write(sink, f"error {type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(code)
    os.close(sink)
    try:
        with os.fdopen(source) as stream:
            lines = stream.read().splitlines()
        _, status = os.waitpid(child, 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
    return status, lines


def record_reach(items: list[pytest.Item], loop: Loop) -> None:
    """Which functions of the tree each test enters, and its time; one line a test in REACH.  Goes on where it was."""
    known = set(read_reach())
    missing = [item for item in items if name_of(item) not in known]
    missing.sort(key=lambda item: bool(item.get_closest_marker("slow") or item.get_closest_marker("statistical")))
    REACH.parent.mkdir(exist_ok=True)
    root = str(ROOT)

    def give_up(*_: Any) -> None:
        raise TimeoutError("too long for a test that runs for many mutants")

    def run(tell: Callable[[str], None]) -> None:
        without_programs()
        signal.signal(signal.SIGPROF, give_up)
        with open(REACH, "a") as file:
            for item, following in zip(missing, [*missing[1:], None], strict=True):
                seen: set[CodeType] = set()

                def note(frame: FrameType, event: str, argument: Any, seen: set[CodeType] = seen) -> None:
                    if event == "call":
                        seen.add(frame.f_code)

                loop.failed, loop.outcome, start = None, "", time.process_time()
                signal.setitimer(signal.ITIMER_PROF, LONGEST_TEST)
                sys.setprofile(note)
                try:
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                finally:
                    sys.setprofile(None)
                    signal.setitimer(signal.ITIMER_PROF, 0)
                entered = sorted(
                    {
                        f"{Path(code.co_filename).stem}:{code.co_qualname.partition('.<locals>')[0]}"
                        for code in seen
                        if code.co_filename.startswith(root)
                    }
                )
                row = {"test": name_of(item), "seconds": round(time.process_time() - start, 4), "outcome": loop.outcome}
                file.write(json.dumps(row | {"entered": entered}) + "\n")
                file.flush()

    if missing:
        print(f"{len(missing)} tests are run once, to see what they enter", flush=True)
        status, lines = in_child(run, 36000)
        print(f"  ended with {status} {lines}", flush=True)


def read_reach() -> dict[str, dict[str, Any]]:
    """What :func:`record_reach` has written, by test."""
    if not REACH.exists():
        return {}
    rows = [json.loads(line) for line in REACH.read_text().splitlines() if line.endswith("}")]
    return {row["test"]: row for row in rows}


class Tests:
    """The tests that enter a function, in the order to run them."""

    def __init__(self, items: list[pytest.Item], whole: bool = False) -> None:
        """``whole``: all tests that were collected, whatever they enter."""
        self.whole = whole
        self.rows = {name: row for name, row in read_reach().items() if row["outcome"] == "passed"}
        if whole:
            self.rows = {
                name_of(item): {"seconds": 0.1, "entered": []} | self.rows.get(name_of(item), {}) for item in items
            }
        self.items = {name_of(item): item for item in items if name_of(item) in self.rows}
        self.by_function: dict[str, set[str]] = defaultdict(set)
        for name in self.items:
            for function in self.rows[name]["entered"]:
                self.by_function[function].add(name)
        self.found_sound: dict[str, bool] = {}
        self.killers: dict[str, list[str]] = defaultdict(list)
        functions = [it for it in gc.get_objects() if isinstance(it, FunctionType)]
        self.namers: dict[int, set[str]] = defaultdict(set)
        for function in functions:
            if function.__code__.co_filename.startswith(str(ROOT)):
                stem = Path(function.__code__.co_filename).stem
                for kernel in named_kernels(function):
                    self.namers[id(kernel)].add(f"{stem}:{function.__qualname__.partition('.<locals>')[0]}")

    def sound(self, name: str, loop: Loop) -> bool:
        """True where a test passes without any change."""

        def run(tell: Callable[[str], None]) -> None:
            without_programs()
            item = self.items[name]
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            tell("failed" if loop.failed else "passed")

        if name not in self.found_sound:
            self.found_sound[name] = in_child(run, 600)[1] == ["passed"]
        return self.found_sound[name]

    def of(self, mutant: Mutant, affected: list[Any]) -> list[pytest.Item]:
        """Those to run for a mutant, given the kernels it is part of."""
        functions = {f"{mutant.module}:{mutant.function}"}
        for kernel in affected:
            functions |= self.namers[id(kernel)]
        names = set(self.items)
        if not self.whole:
            names &= set().union(*(self.by_function[function] for function in functions))
        first = [name for name in reversed(self.killers[mutant.module]) if name in names]

        def cost(name: str) -> float:
            row = self.rows[name]
            return (row["seconds"] + 0.02) * (len(row["entered"]) + 3) ** 0.5

        def elsewhere(name: str) -> bool:
            """False for a test that names the function itself."""
            codes = code_objects(self.items[name].function.__code__)  # type: ignore[attr-defined]
            return not any(mutant.function.rpartition(".")[2] in code.co_names for code in codes)

        families: Counter[str] = Counter()
        ordered = []
        for name in sorted(names, key=cost):
            family = name.partition("[")[0]
            families[family] += 1
            ordered.append((families[family] > 2, families[family] > 6, elsewhere(name), cost(name), name))
        rest = [name for *_, name in sorted(ordered)]
        return [self.items[name] for name in dict.fromkeys([*first[:8], *rest])]


def run_mutant(mutant: Mutant, tests: Tests, loop: Loop, budget: float) -> dict[str, Any]:
    """The result of one mutant."""
    affected = callers_of(mutant.path, mutant.function)
    items = tests.of(mutant, affected)

    def run(tell: Callable[[str], None]) -> None:
        without_programs()
        changed = exchange(mutant)
        forget_machine_code(affected)
        tell(f"changed {changed}")
        for item, following in zip(items, [*items[1:], None], strict=True):
            if time.process_time() > budget:
                tell("budget")
                return
            tell(f"test {name_of(item)}")
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if loop.failed:
                tell("failed")
                return

    loop.failed = None
    started = time.perf_counter()
    status, lines = in_child(run, budget + 60) if items else (0, [])
    last = next((line[5:] for line in reversed(lines) if line.startswith("test ")), "")
    ran = sum(line.startswith("test ") for line in lines)
    outcome = "survived"
    if lines and lines[-1] == "failed":
        outcome = "killed"
    elif os.WIFSIGNALED(status):
        outcome = "timeout" if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL) else "crash"
    elif status or "changed 0" in lines:
        outcome = "error: " + " ".join(lines[-1:])
    if outcome == "killed":
        if not tests.sound(last, loop):
            del tests.items[last]  # fails without the change, too
            return run_mutant(mutant, tests, loop, budget)
        tests.killers[mutant.module].append(last)
    return mutant.place() | {
        "before": mutant.before,
        "after": mutant.after,
        "outcome": outcome,
        "test": last if outcome != "survived" else "",
        "tests": f"{ran}/{len(items)}",
        "seconds": round(time.perf_counter() - started, 1),
    }


# Results --------------------------------------------------------------------------------------------------------------


def read_results() -> dict[str, dict[str, Any]]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def write_results(results: dict[str, dict[str, Any]]) -> None:
    rows = [f"{json.dumps(key)}: {json.dumps(results[key])}" for key in sorted(results)]
    partial = RESULTS.with_suffix(".partial")
    partial.write_text("{\n" + ",\n".join(rows) + "\n}\n")
    partial.replace(RESULTS)


KILLED = ("killed", "timeout", "crash")


def every_mutant() -> dict[str, Mutant]:
    """All mutants by their keys; of equal changes of a statement the first, as in the sample."""
    every: dict[str, Mutant] = {}
    for one in (one for package in PACKAGES for path in modules(package) for one in mutants_of(path)):
        every.setdefault(one.key, one)
    return every


def page(results: dict[str, dict[str, Any]]) -> str:
    """The report, of all mutants with results whose code is still there."""
    reasons = tomllib.loads(REASONS.read_text())
    known = [(one, results[key]["outcome"] in KILLED) for key, one in every_mutant().items() if key in results]
    rows = []
    for name in (*PACKAGES, "all"):
        outcomes = [killed for one, killed in known if name in (one.package, "all")]
        count, killed = len(outcomes), sum(outcomes)
        rows.append([name, count, killed, count - killed, f"{100 * killed / max(count, 1):.1f} %"])
    left = ""
    for one, killed in known:
        if not killed:
            text = f"`{one.where}`, `{one.function}`: `{one.before}` -> `{one.after}`. {reasons.get(one.key, one.key)}"
            left += textwrap.fill(text, 118, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False) + "\n"
    return HEAD + table(["package", "mutants", "killed", "survivors", "killed, %"], rows) + "\n## Survivors\n\n" + left


HEAD = """# Mutation check

Written by `make mutants`; the results are in `benchmarks/results/mutants.json`.

Small changes of the program that the tests must notice: one sign, index, conjugation, comparison or bound at a time,
in the packages that hold the numbers, chosen by digest over all their modules (`benchmarks/mutants.py` says how).  A
mutant is killed where a test fails, crashes or runs without end.  Only tests that run in one process take part: those
that start programs or several ranks, which `make test` runs as well, could kill more of them, not fewer.

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sample", type=int, default=210, help="mutants over all packages (210)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--package", action="append", choices=PACKAGES, help="only these of the sample")
    parser.add_argument("--budget", type=float, default=90.0, help="processor seconds of tests for each mutant (90)")
    parser.add_argument("--key", action="append", help="run these mutants of the sample, again where they were")
    parser.add_argument("--again", action="store_true", help="run those again that had survived")
    parser.add_argument("--record", action="store_true", help="record anew which functions each test enters")
    parser.add_argument("--recorded", action="store_true", help="only tests whose functions are recorded already")
    parser.add_argument("--tests", nargs="+", help="all tests of these files or folders, whatever they enter")
    parser.add_argument("--list", action="store_true", help="print the sample only")
    parser.add_argument("--page", action="store_true", help="write the page only")
    chosen = parser.parse_args()
    wanted = [m for m in sample(chosen.sample, chosen.seed) if not chosen.package or m.package in chosen.package]
    if chosen.list:
        for mutant in wanted:
            print(f"{mutant.key} {mutant.where} {mutant.function}: {mutant.before} -> {mutant.after}")
        print(len(wanted), Counter(m.package for m in wanted))
    elif not chosen.page:
        run(wanted, chosen)
    if not chosen.list:
        every, results = every_mutant(), read_results()
        results = {key: row | every[key].place() for key, row in results.items() if key in every}
        write_results(results)  # those of code that is gone are gone too
        PAGE.write_text(page(results))


def run(wanted: list[Mutant], chosen: argparse.Namespace) -> None:
    """Run all that have no result yet."""
    sys.path.insert(0, str(ROOT))
    if chosen.record:
        REACH.unlink(missing_ok=True)
    results = read_results()
    todo = [m for m in wanted if m.key not in results or (chosen.again and results[m.key]["outcome"] not in KILLED)]
    if chosen.key:
        todo = [m for m in wanted if m.key in chosen.key]

    todo.sort(key=lambda one: one.rank(chosen.seed)[1])  # of all packages from the beginning

    def work(items: list[pytest.Item]) -> None:
        if not (chosen.recorded or chosen.tests):
            record_reach(items, loop)
        tests = Tests(items, whole=bool(chosen.tests))
        for row in results.values():
            if row["outcome"] == "killed":
                tests.killers[row["module"]].append(row["test"])
        for number, mutant in enumerate(todo, 1):
            result = run_mutant(mutant, tests, loop, chosen.budget)
            results.update(read_results())
            results[mutant.key] = result
            write_results(results)
            print(
                f"{number}/{len(todo)} {mutant.where} {mutant.function}: {mutant.before} -> {mutant.after}: "
                f"{result['outcome']} ({result['tests']} tests, {result['seconds']} s) {result['test']}",
                flush=True,
            )

    loop = Loop(work)
    folders = sorted(
        str(it)
        for it in (ROOT / "tests").iterdir()
        if it.is_dir() and it.name not in PROGRAM_TESTS and not it.name.startswith("_")
    )
    options = f"-q -s -p no:cacheprovider -p no:xdist --timeout=0 --basetemp={ROOT}/build/mutants_tmp".split()
    pytest.main([*options, *(chosen.tests or folders)], plugins=[loop])


if __name__ == "__main__":
    main()
