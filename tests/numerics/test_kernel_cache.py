"""Compiled kernels are kept under a digest of all that they are made of, and every kernel is."""

from __future__ import annotations

import ast
import importlib
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
from numba.core import config as numba_config
from numba.core.dispatcher import Dispatcher

from pvmc.numerics import kernels
from pvmc.numerics.kernels import IN_USE_SECONDS, KEPT, PACKAGE, PREFIX, digest, kernel_sources, prepare

COMPILERS = {"njit", "jit", "vectorize", "guvectorize", "cfunc", "stencil", "jitclass", "generated_jit"}


def module_name(path: Path) -> str:
    return ".".join(("pvmc", *path.relative_to(PACKAGE).with_suffix("").parts))


def modules() -> list[ModuleType]:
    """The modules that hold kernels."""
    return [importlib.import_module(module_name(path)) for path, _ in kernel_sources(PACKAGE)]


def own_kernels(module: ModuleType) -> dict[str, Dispatcher]:
    members = {name: value for name, value in vars(module).items() if isinstance(value, Dispatcher)}
    return {name: value for name, value in members.items() if value.py_func.__module__ == module.__name__}


def test_no_kernel_escapes_the_decorators() -> None:
    """The compiler is named in one module; whoever else compiles would use another cache."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        if path != PACKAGE / "numerics" / "kernels.py":
            assert not names & COMPILERS, path


def test_all_kernels_are_cached_in_the_one_directory() -> None:
    found = [kernel for module in modules() for kernel in own_kernels(module).values()]
    assert len(found) > 100
    directory = kernels.kernel_directory()
    assert directory is not None and directory.name == PREFIX + digest(PACKAGE)
    for kernel in found:
        assert Path(kernel.stats.cache_path).parent == directory, kernel


def test_all_that_kernels_use_is_in_the_digest() -> None:
    """Functions and numbers that a kernel has from another module of ours come from sources that are looked at."""
    covered = {module_name(path) for path, _ in kernel_sources(PACKAGE)}
    looked_at = 0
    for module in modules():
        used = {name for kernel in own_kernels(module).values() for name in kernel.py_func.__code__.co_names}
        assert module.__file__ is not None
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pvmc"):
                for alias in node.names:
                    if (alias.asname or alias.name) in used:
                        assert node.module in covered or f"{node.module}.{alias.name}" in covered, (module, alias.name)
                        looked_at += 1
    assert looked_at > 20


@pytest.mark.slow
def test_a_changed_callee_in_another_file_is_compiled_anew(tmp_path: Path) -> None:
    """softplus(1) = ln(1 + e) of the activations calls expm1 of numerics.special; here 1 is added to expm1.

    numba alone keeps the old value: the file of softplus is as it was.
    """
    copy = tmp_path / "pvmc"
    activations = "wavefunctions/feedforward/activations.py"
    for name in ("numerics/kernels.py", "numerics/arrays.py", "numerics/special.py", activations):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE / name, copy / name)
    for package in (copy, copy / "numerics", copy / "wavefunctions", copy / "wavefunctions/feedforward"):
        (package / "__init__.py").touch()  # all the rest of pvmc is not needed
    special = copy / "numerics" / "special.py"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "chosen")}
    environment.pop("PVMC_CACHE_DIR", None)

    def softplus() -> float:
        program = "from pvmc.wavefunctions.feedforward.activations import softplus_of; print(softplus_of(1.0))"
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
        return float(done.stdout)

    assert softplus() == pytest.approx(1.3132616875182228, rel=1e-14)
    text = special.read_text(encoding="utf-8")
    start = text.index("def expm1")
    changed = text[start:].replace("    return ", "    return 1.0 + ")
    assert changed != text[start:]
    special.write_text(text[:start] + changed, encoding="utf-8")
    new = softplus()
    assert abs(new - 1.3132616875182228) > 0.1, "the new expm1 is in it"
    assert len(list((tmp_path / "chosen").glob(f"{PREFIX}*"))) == 2, "the user's directory holds both"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "chosen").rglob("*.nbc")}
    assert softplus() == new
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "chosen").rglob("*.nbc")} == before, "found again"


def test_digest_changes_with_what_kernels_are_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text("\nfrom pvmc.numerics.kernels import kernel\n")
    (tmp_path / "b.py").write_text("import os\n")
    first = digest(tmp_path)
    assert len(first) == 16 and digest(tmp_path) == first
    (tmp_path / "b.py").write_text("import sys\n")
    assert digest(tmp_path) == first, "no kernels there"
    seen = {first}
    (tmp_path / "a.py").write_text("\nfrom pvmc.numerics.kernels import kernel\n\n")
    seen.add(digest(tmp_path))
    (tmp_path / "a.py").rename(tmp_path / "c.py")
    seen.add(digest(tmp_path))
    for owner, name, value in (
        (kernels.numba, "__version__", "0.0"),
        (kernels.llvmlite, "__version__", "0.0"),
        (kernels.np, "__version__", "0.0"),
        (numba_config, "CPU_NAME", "another"),
        (numba_config, "CPU_FEATURES", "+another"),
    ):
        monkeypatch.setattr(owner, name, value)
        seen.add(digest(tmp_path))
    assert len(seen) == 8


def test_the_compiler_keeps_its_own_directory_for_other_programs() -> None:
    chosen = os.environ.get("NUMBA_CACHE_DIR", "")
    assert chosen == numba_config.CACHE_DIR
    directory = kernels.kernel_directory()
    assert directory is not None and str(directory) not in (chosen, numba_config.CACHE_DIR)


def test_old_directories_go_and_used_ones_stay(tmp_path: Path) -> None:
    now = time.time()
    for number in range(KEPT + 4):
        old = tmp_path / f"{PREFIX}{number}"
        old.mkdir()
        (old / "kernel.nbc").touch()
        os.utime(old, 2 * (now - IN_USE_SECONDS - 60.0 * (number + 1),))
    (tmp_path / "of somebody else").mkdir()
    in_use = tmp_path / f"{PREFIX}{KEPT + 3}"
    os.utime(in_use)
    new = prepare(tmp_path, f"{PREFIX}new")
    assert new == tmp_path / f"{PREFIX}new" and new.is_dir()
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"of somebody else", new.name, in_use.name, *(f"{PREFIX}{number}" for number in range(KEPT - 1))}
    stamp = time.time() - 2 * IN_USE_SECONDS
    os.utime(new, (stamp, stamp))
    assert prepare(tmp_path, new.name) == new
    assert time.time() - new.stat().st_mtime < 60.0, "its use is marked"


def test_kernels_of_another_user_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where anybody may write, a place must be one's own."""
    own = prepare(tmp_path / "own", f"{PREFIX}new", private=True)
    assert own is not None and own.is_dir() and own.parent.stat().st_mode & 0o077 == 0
    monkeypatch.setattr(os, "getuid", lambda: 1 + own.parent.stat().st_uid)
    assert prepare(tmp_path / "own", f"{PREFIX}new", private=True) is None
    assert prepare(tmp_path / "own", f"{PREFIX}new") == own


def test_many_processes_may_start_at_once(tmp_path: Path) -> None:
    for number in range(KEPT + 2):
        (tmp_path / f"{PREFIX}{number}").mkdir()
        os.utime(tmp_path / f"{PREFIX}{number}", (number, number))
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: prepare(tmp_path, f"{PREFIX}new"), range(64)))
    assert found == 64 * [tmp_path / f"{PREFIX}new"]
    assert len(list(tmp_path.iterdir())) == KEPT + 1


def test_where_kernels_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first place that can be written to; a file stands for a directory that cannot (root may write anywhere)."""
    name = PREFIX + digest(PACKAGE)
    blocked = tmp_path / "blocked"
    blocked.touch()
    monkeypatch.setattr(kernels, "PACKAGE", blocked)  # the package itself is on a read-only disk
    monkeypatch.setattr(kernels, "digest", lambda package: name.removeprefix(PREFIX))
    monkeypatch.setattr(kernels.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    monkeypatch.setattr(numba_config, "CACHE_DIR", str(tmp_path / "numba"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PVMC_CACHE_DIR", str(tmp_path / "ours"))
    mine = tmp_path / "temporary" / f"pvmc-{os.getuid()}"
    for place in (tmp_path / "ours", tmp_path / "numba", tmp_path / "cache" / "pvmc", mine):
        assert kernels.kernel_directory.__wrapped__() == place / name
        shutil.rmtree(place)
        place.touch()
    assert kernels.kernel_directory.__wrapped__() is None
    mine.unlink()
    monkeypatch.setattr(kernels.os, "getuid", lambda: mine.parent.stat().st_uid + 1)
    stranger = mine.parent / f"pvmc-{os.getuid()}"
    stranger.mkdir()
    assert kernels.kernel_directory.__wrapped__() is None, "somebody else's code is not for us to run"
