"""Several runs at once: which are of one system, what they differ in, and one that cannot be used hides no other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from pvmc.cli import main
from pvmc.errors import InputError
from pvmc.figures.accuracy import error_alpha_drawing
from pvmc.results.result import extrapolate, result_of
from pvmc.results.status import status_text
from pvmc.results.stored_system import differences, groups
from tests.results.test_status import GOOD, facts_of, fill, new

RING = {
    "lattice": {"kind": "chain", "length": 8, "periodic": True},
    "hamiltonian": {"model": "heisenberg", "coupling": 1.0, "field": 0.0, "marshall": True},
    "ansatz": {"kind": "rbm", "alpha": 1, "symmetry": "translation"},
    "sampler": {"kind": "metropolis", "magnetization": 0},
}


def config(changes: dict[str, object]) -> str:
    """The input of a ring with some keys replaced, as TOML; a table stands for a random field."""
    lines = []
    for section, table in RING.items():
        values = dict(table) | {
            key.partition(".")[2]: value for key, value in changes.items() if key.partition(".")[0] == section
        }
        lines += [f"[{section}]", *(f"{key} = {_toml(value)}" for key, value in values.items() if value is not None)]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {json.dumps(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def store(directory: Path, n: int = 40, variance: float = 0.02, **changes: object) -> Path:
    """A run of the ring, finished, with keys replaced: "hamiltonian__field" is that of its section."""
    text = config({key.replace("__", "."): value for key, value in changes.items()})
    with new(directory, config=text, ranks=1) as results:
        fill(results, 0, n, variance=variance)
    return directory


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"lattice__periodic": False}, "lattice.periodic: true (a), false (b)"),
        ({"hamiltonian__coupling": 2.0}, "hamiltonian.coupling: 1.0 (a), 2.0 (b)"),
        (
            {"hamiltonian__field": {"seed": 7, "width": 0.5}},
            "hamiltonian.field: 0.0 (a), none (b); hamiltonian.field.seed",
        ),
        ({"sampler__magnetization": 2}, "sampler.magnetization: 0 (a), 2 (b)"),
        ({"ansatz__kind": "projected", "ansatz__momentum": 4}, "ansatz.momentum: none (a), 4 (b)"),
    ],
)
def test_what_is_of_another_system_is_not_joined(tmp_path: Path, changes: dict[str, object], text: str) -> None:
    from pvmc.io.reader import open_run

    paths = [store(tmp_path / "a"), store(tmp_path / "b", variance=0.04, **changes)]
    results = [result_of(open_run(path)) for path in paths]
    assert "; ".join(differences(results)).startswith(text)
    assert len(groups(results)) == 2
    with pytest.raises(InputError, match="these runs differ in"):
        extrapolate(results)
    drawing = error_alpha_drawing([open_run(path) for path in paths])
    lines = [line for line in drawing.figure.axes[0].get_lines() if len(np.asarray(line.get_xdata())) > 1]
    assert lines == [], "no line joins two systems"


def test_states_of_one_system_are_joined(tmp_path: Path) -> None:
    """Other alpha, symmetry of the ansatz or frame of the Hamiltonian: the same level."""
    from pvmc.io.reader import open_run

    others = {"ansatz__alpha": 2, "ansatz__symmetry": "none", "hamiltonian__marshall": False}
    paths = [store(tmp_path / "a"), store(tmp_path / "b", variance=0.04, **others)]
    results = [result_of(open_run(path)) for path in paths]
    assert differences(results) == [] and len(groups(results)) == 1
    assert extrapolate(results).n == 2


@pytest.mark.slow
def test_one_that_cannot_be_used_hides_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, short, nowhere = store(tmp_path / "good"), store(tmp_path / "short", n=3), tmp_path / "nowhere"
    for arguments in (["analyze"], ["report", "--output", str(tmp_path / "page.html")]):
        assert main([arguments[0], str(good), str(short), str(nowhere), *arguments[1:]]) == 2
        out, err = capsys.readouterr()
        assert err.count("pvmc: warning: left out: ") == 2
        assert "short" in err and "too few iterations" in err and "nowhere does not exist" in err
        assert "good" in out or "page.html" in out
    page = (tmp_path / "page.html").read_text()
    assert page.count("left out: ") == 2 and "good" in page
    figure = str(tmp_path / "figure")
    for kind in ("convergence", "error-alpha"):
        assert main(["plot", str(good), str(short), str(nowhere), "--kind", kind, "--output", figure]) == 2
        assert "nowhere does not exist" in capsys.readouterr().err
        assert (tmp_path / "figure.png").exists()
    assert main(["analyze", str(short), str(nowhere)]) == 2, "none is left"
    assert capsys.readouterr().out == ""


def test_a_run_of_fewer_iterations_than_it_has_done(tmp_path: Path) -> None:
    with new(tmp_path, n_iterations=20) as results:
        fill(results, 0, 40)
    facts = facts_of(tmp_path)
    assert "\niteration        40, of which 20 were asked for last\n" in status_text(facts)
    assert "%" not in status_text(facts)


@pytest.mark.slow
def test_a_report_without_an_exact_energy_names_what_is_not_excluded(tmp_path: Path) -> None:
    from pvmc.io.reader import open_run
    from pvmc.io.results import ResultsWriter
    from pvmc.report.report import report_page
    from tests.results.test_status import BLOCKS, attributes

    for name, units in (("a", "J (S.S)"), ("c", "h")):
        given = attributes(config=config({}), ranks=1) | {"energy_units": units}
        with ResultsWriter(tmp_path / name, given, parameter_blocks=BLOCKS, parameter_dtype=np.float64) as results:
            for iteration in range(40):
                results.append(iteration, {"energy": -7.0, **GOOD})
    page = report_page([open_run(tmp_path / "a")])
    assert "an excited level is not excluded" in page and "run.starts" in page
    assert "excited level" not in report_page([open_run(store(tmp_path / "b"))])
    both = report_page([open_run(tmp_path / "a"), open_run(tmp_path / "c")])  # a figure for each unit of energy
    captions = re.findall(r"<figcaption>(Energy per spin .*)</figcaption>", both)
    assert [caption[-3:] for caption in captions] == ["(a)", "(c)"]


def test_a_fit_among_runs_is_called_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, fit = store(tmp_path / "run"), tmp_path / "fit"
    fit.mkdir()
    (fit / "fit.h5").touch()
    for command in ("analyze", "report"):
        assert main([command, str(fit)]) == 2
        assert f"{fit}: is a fit, not a run; pvmc plot and pvmc status read it" in capsys.readouterr().err
        assert main([command, str(fit), str(run)]) == 2
        assert f"left out: {fit}: is a fit" in capsys.readouterr().err
    assert main(["analyze", str(tmp_path / "none")]) == 2
    assert "is a fit" not in capsys.readouterr().err
