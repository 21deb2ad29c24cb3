"""Wave functions named in the input file: the user's own class, nested tables, and one clear line for what is wrong."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvmc.cli import main
from pvmc.config import to_toml
from pvmc.errors import InputError
from pvmc.vmc.job import Job, load_job
from pvmc.wavefunctions import Product, Projected
from pvmc.wavefunctions.fallback import FormulaAnsatz

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "own_ansatz.toml"

INPUT = """
[lattice]
kind = "chain"
length = 6
[hamiltonian]
model = "ising"
[ansatz]
"""

MODULE = """
from math import nothing_of_this_name
"""

CLASSES = '''
import numpy as np

class Field:
    """ln psi = a sum s."""
    n_parameters = 1
    def __init__(self, lattice, strength=1.0, dtype="complex128"):
        self.strength, self.dtype = strength, dtype
    def log_psi(self, theta, spins):
        return theta[0] * self.strength * spins.sum(axis=0)
    def log_derivatives(self, theta, spins):
        return self.strength * spins.sum(axis=0)[None]

class Lacking:
    n_parameters = 1
    def __init__(self, lattice):
        pass
    def log_psi(self, theta, spins):
        return spins.sum(axis=0)

class Short(Field):
    def log_psi(self, spins):
        return spins.sum(axis=0)

class Fails(Field):
    def __init__(self, lattice):
        raise RuntimeError("no disk\\nleft")

class Wrong(Field):
    def log_derivatives(self, theta, spins):
        return 2 * super().log_derivatives(theta, spins)

class Flat(Field):
    def log_derivatives(self, theta, spins):
        return self.strength * spins.sum(axis=0)

class Column(Field):
    def log_psi(self, theta, spins):
        return super().log_psi(theta, spins)[:, None]

class Scalar(Field):
    def log_psi(self, theta, spins):
        return theta[0]

class Complex(Field):
    psi_dtype = "float64"
    def log_psi(self, theta, spins):
        return 1j * super().log_psi(theta, spins)

class Half:
    def __init__(self, lattice):
        self.n_sites, self.n_parameters = lattice.n_sites, 1
    def at(self, theta):
        return self
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "states_of_test.py").write_text(CLASSES)
    (tmp_path / "unusable_of_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(folder: Path, ansatz: str) -> Job:
    path = folder / "job.toml"
    path.write_text(INPUT + ansatz)
    return load_job(path)


@pytest.mark.parametrize("place", ["states_of_test", "states_of_test.py"])
def test_a_class_of_a_module_or_file(folder: Path, place: str) -> None:
    job = load(folder, f'kind = "{place}:Field"\noptions = {{strength = 0.5, dtype = "float64"}}')
    assert isinstance(job.ansatz, FormulaAnsatz)
    assert job.ansatz.dtype == np.float64 and job.ansatz.n_parameters == 1
    state = job.ansatz.at(np.array([2.0]))
    np.testing.assert_array_equal(state.log_psi(np.ones((6, 2), dtype=np.int8)), 6.0)
    assert f'kind = "{place}:Field"' in to_toml(job.config) and "strength = 0.5" in to_toml(job.config)


def test_an_entry_point(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = importlib.metadata.EntryPoint("uniform_field", "states_of_test:Field", "pvmc.ansatz")

    def entry_points(**wanted: str) -> Any:
        return importlib.metadata.EntryPoints([point]).select(**wanted)

    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr("pvmc.wavefunctions.own.entry_points", entry_points)
    assert isinstance(load(folder, 'kind = "uniform_field"').ansatz, FormulaAnsatz)


def test_own_classes_within_others(folder: Path) -> None:
    own = '{kind = "states_of_test.py:Field", options = {strength = 0.5}}'
    product = load(folder, f'kind = "product"\nfactors = [{own}, {{kind = "jastrow"}}]').ansatz
    assert isinstance(product, Product) and product.n_parameters == 4
    projected = load(folder, f'kind = "projected"\nspin_flip = -1\ninner = {own}').ansatz
    assert isinstance(projected, Projected) and projected.n_parameters == 1


@pytest.mark.parametrize(
    ("ansatz", "key", "text"),
    [
        ('kind = "absent_of_test:Field"', "ansatz.kind", "module absent_of_test not found"),
        ('kind = "absent.py:Field"', "ansatz.kind", "file absent.py not found"),
        ('kind = "states_of_test:Feld"', "ansatz.kind", "has no class Feld; it has: Field, Lacking"),
        ('kind = "states_of_test:"', "ansatz.kind", 'must be "module:Class"'),
        ('kind = "unusable_of_test:Field"', "ansatz.kind", "importing unusable_of_test failed: ImportError"),
        ('kind = "states_of_test:Lacking"', "ansatz.kind", "Lacking lacks log_derivatives; it needs"),
        ('kind = "states_of_test:Short"', "ansatz.kind", "Short.log_psi(spins) cannot be called as (theta, spins)"),
        ('kind = "states_of_test:Fails"', "ansatz.kind", "Fails failed: RuntimeError: no disk left"),
        ('kind = "states_of_test:Half"', "ansatz.kind", "Half has at(theta) but lacks dtype, parameter_blocks"),
        (
            'kind = "states_of_test:Field"\noptions = {stength = 1}',
            "ansatz.kind",
            "cannot be called as Field(lattice, stength=1)",
        ),
        ('kind = "states_of_test:Field"\noptions = {dtype = "int8"}', "ansatz.kind", "float64 or complex128, not int8"),
        ('kind = "states_of_test:Field"\noption = {}', "ansatz.option", "did you mean 'ansatz.options'"),
        ('kind = "states_of_test:Field"\noptions = 3', "ansatz.options", "must be a table"),
        ('kind = "jastow"', "ansatz.kind", 'did you mean "jastrow"?'),
        ("alpha = 2", "ansatz.kind", "missing"),
        ('kind = "product"\nfactors = [{kind = "rbm"}, {kind = "jastrow"}]', "ansatz.factors[0].alpha", "missing"),
        ('kind = "product"\nfactors = [{kind = "jastrow"}, {king = "rbm"}]', "ansatz.factors[1].kind", "missing"),
        ('kind = "product"\nfactors = [{kind = "jastrow"}]', "ansatz.factors", "must be a list"),
        ('kind = "product"\nfactors = [{kind = "jastrow"}, 3]', "ansatz.factors[1]", "must be"),
        (
            'kind = "product"\nfactors = [{kind = "jastrow", weights = "real"}, {kind = "jastrow"}]',
            "ansatz.factors",
            "all complex or all real",
        ),
        (
            'kind = "product"\nfactors = [{kind = "jastrow"}, {kind = "jastrow", onebody = true}]',
            "ansatz.factors[1].onebody",
            "did you mean 'ansatz.factors[1].one_body'",
        ),
        (
            'kind = "product"\nfactors = [{kind = "jastrow"}, {kind = "rbm", alpha = 1.01}]',
            "ansatz.factors[1].alpha",
            "must be a positive multiple of 1",
        ),
        ('kind = "projected"\nmomentum = 1', "ansatz.inner", "section missing"),
        ('kind = "projected"\n[ansatz.inner]\nkind = "jastrow"', "ansatz.kind", "needs a momentum, a parity"),
        ('kind = "projected"\nparity = 2\n[ansatz.inner]\nkind = "jastrow"', "ansatz.parity", "must be 1 or -1"),
        ('kind = "projected"\nmomentum = "pi"\n[ansatz.inner]\nkind = "jastrow"', "ansatz.momentum", "an integer"),
        ('kind = "projected"\nirrep = "B1"\n[ansatz.inner]\nkind = "jastrow"', "ansatz.irrep", "no rotation"),
        (
            'kind = "projected"\nspin_flip = -1\n[ansatz.inner]\nkind = "jastrow"',
            "ansatz.inner",
            "the projection is zero",
        ),
        (
            'kind = "projected"\nmomentum = 1\n[ansatz.inner]\nkind = "rbm"\nalpha = 1.01\nsymmetry = "none"',
            "ansatz.inner.alpha",
            "must be a positive multiple",
        ),
        (
            'kind = "projected"\nmomentum = 1\n[ansatz.inner]\nkind = "states_of_test:Lacking"',
            "ansatz.inner.kind",
            "lacks log_derivatives",
        ),
    ],
)
def test_one_line_says_what_is_wrong(folder: Path, ansatz: str, key: str, text: str) -> None:
    with pytest.raises(InputError) as caught:
        load(folder, ansatz)
    message = str(caught.value)
    assert message.startswith(f"{folder / 'job.toml'}: ") and "\n" not in message
    assert f" {key} = " in message or f" {key}: " in message or f"[{key}]" in message, message
    assert text in message, message


def test_check_ansatz_passes_and_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "job.toml").write_text(INPUT + 'kind = "states_of_test:Field"')
    assert main(["check-ansatz", "job.toml"]) == 0
    assert "all 11 checks passed" in capsys.readouterr().out
    assert main(["check-ansatz", "job.toml", "--set", "ansatz.kind=states_of_test:Wrong"]) == 2
    output = capsys.readouterr().out
    assert "FAIL  log-derivatives against differences, real axis" in output and "2 of 11 checks failed" in output


BEGIN, SHAPES = "initial parameters, at(theta), log_psi", "shapes, dtypes and parameter blocks"


@pytest.mark.parametrize(
    ("name", "where", "expected"),
    [
        ("Flat", SHAPES, "log_derivatives(theta, spins) gives the shape (16,), must be (K, L) = (1, 16)"),
        ("Column", BEGIN, "log_psi(theta, spins) gives the shape (256, 1), must be (L,) = (256,)"),
        ("Scalar", BEGIN, "log_psi(theta, spins) gives the shape (), must be (L,) = (256,)"),
        ("Complex", BEGIN, "log_psi(theta, spins) gives complex numbers; with psi_dtype float64"),
    ],
)  # fmt: skip
def test_wrong_shapes_fail_with_what_they_must_be(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, where: str, expected: str
) -> None:
    """numpy would stretch (L,) to (K, L), without a word."""
    (folder / "job.toml").write_text(f'{INPUT}kind = "states_of_test:{name}"\n')
    assert main(["check-ansatz", "job.toml"]) == 2
    line = next(line for line in capsys.readouterr().out.splitlines() if expected in line)
    assert line.startswith(f"FAIL  {where}")
    assert main(["run", "job.toml", "--output", "out"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith(f"pvmc: error: {expected.partition(' gives')[0]} gives ") and "Traceback" not in said
    assert not Path("out").exists()


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["check-ansatz", str(EXAMPLE)]) == 0
    arguments = [
        "run",
        str(EXAMPLE),
        "--output",
        str(tmp_path),
        "--set",
        "lattice.length=8",
        "--set",
        "run.iterations=60",
    ]
    assert main([*arguments, "--set", "sampler.samples=512"]) == 0
    assert "results in" in capsys.readouterr().out
    from pvmc.io.reader import open_run

    run = open_run(tmp_path)
    exact = -10.251661790966
    energies = np.asarray(run.series["energy"])[-10:]
    assert abs(energies.mean() - exact) / abs(exact) < 5e-3


def test_the_jax_example() -> None:
    if importlib.util.find_spec("jax") is None:
        pytest.skip("the package jax is not installed here: pip install jax")
    job = load_job(
        ROOT / "examples" / "jax_ansatz.toml", [f"ansatz.kind={ROOT / 'examples' / 'jax_ansatz.py'}:Network"]
    )
    from pvmc.wavefunctions.contract import check_ansatz, failed, table

    checks = check_ansatz(job.ansatz)
    assert not list(failed(checks)), table(checks)
