"""Runs from a script: the public names of pvmc, and the example of its docstring."""

from __future__ import annotations

import itertools
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvmc
from benchmarks.run_bits import bits_of, differences
from pvmc.errors import InputError
from pvmc.io.checkpoint import latest_checkpoint
from pvmc.mpi import SerialCommunicator
from tests.designs import slow_but
from tests.run_files import write_layout_1

TABLES: dict[str, Any] = {
    "lattice": {"kind": "chain", "length": 6},
    "hamiltonian": {"model": "heisenberg"},
    "ansatz": {"kind": "rbm", "alpha": 1},
    "sampler": {"walkers": 32, "block_width": 16, "samples": 64},
    "run": {"iterations": 4},
}
COMM = SerialCommunicator()


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With fewer iterations; it prints the last energy per site."""
    example = textwrap.dedent(str(pvmc.__doc__).split("::\n", 1)[1].split("\n\nKeys", 1)[0])
    assert '"iterations": 200' in example and len(example.strip().splitlines()) <= 12
    monkeypatch.chdir(tmp_path)
    exec(example.replace('"iterations": 200', '"iterations": 2').replace('"length": 20', '"length": 6'), {})
    found: pvmc.Run = pvmc.open_run("runs/chain20")
    assert isinstance(found, pvmc.Run)
    assert float(capsys.readouterr().out.splitlines()[-1]) == found.series["energy"][-1] / 6


def test_a_run_has_the_iterations_of_its_job(tmp_path: Path) -> None:
    """As the loop makes them; it can go on, and is not replaced unless asked for."""
    job = pvmc.job(TABLES, ["run.iterations=3"])
    energies = [record.energy.mean.real for record in itertools.islice(pvmc.iterate(job, COMM), 4)]
    found = pvmc.run(job, tmp_path / "run", comm=COMM)
    assert found.status() == "finished" and found.series["energy"].tolist() == energies[:3]
    assert "iterations = 3" in found.config_text
    with pytest.raises(InputError, match="exists; go on with --resume"):
        pvmc.run(job, tmp_path / "run", comm=COMM)
    longer = pvmc.run(pvmc.job(TABLES), tmp_path / "run", resume=True, comm=COMM)
    assert longer.series["energy"].tolist() == energies
    assert len(pvmc.run(job, tmp_path / "run", overwrite=True, comm=COMM).sessions) == 1


def test_a_measurement_of_a_run(tmp_path: Path) -> None:
    tables = TABLES | {"sampler": {"kind": "exact"}}
    pvmc.run(pvmc.job(tables), tmp_path / "run", comm=COMM)
    found = pvmc.measure(tmp_path / "run", ["magnetization"], comm=COMM)
    assert found.number == 1 and "energy" in found.estimates
    after = next(itertools.islice(pvmc.iterate(pvmc.job(tables), COMM), 4, None))
    np.testing.assert_allclose(float(found.estimates["energy"].value), after.energy.mean.real, rtol=1e-12)
    assert len(pvmc.open_run(tmp_path / "run").measurements) == 1


def test_an_input_file_and_sections_make_the_same_job(tmp_path: Path) -> None:
    (tmp_path / "in.toml").write_text(
        '[lattice]\nkind = "chain"\nlength = 6\n[hamiltonian]\nmodel = "heisenberg"\n'
        '[ansatz]\nkind = "rbm"\nalpha = 1\n'
        "[sampler]\nwalkers = 32\nblock_width = 16\nsamples = 64\n[run]\niterations = 4\n"
    )
    assert pvmc.job(tmp_path / "in.toml").config == pvmc.job(TABLES).config
    assert (
        pvmc.job(tmp_path / "in.toml", ["ansatz.alpha=2"]).config.ansatz
        == pvmc.job(TABLES, ["ansatz.alpha=2"]).config.ansatz
    )
    with pytest.raises(InputError, match=r"the input: ansatz\.alpha = 0: must be"):
        pvmc.job(TABLES | {"ansatz": {"kind": "rbm", "alpha": 0}})


def test_packages_are_loaded_when_asked_for() -> None:
    assert pvmc.lattice.chain(6).n_sites == 6
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pvmc.nothing


# Going on -------------------------------------------------------------------------------------------------------------

REMEMBERING: dict[str, Any] = TABLES | {
    "sampler": {"walkers": 32, "block_width": 16, "samples": 64, "growth": {"maximum": 256, "window": 2}},
    "sr": {
        "solver": "krylov",
        "momentum": {"mu": 0.8, "march": 0.9},
        "line_search": True,
        "adapt_shift": True,
        "shift": 0.1,
        "reject_rise": 3.0,
    },
}
"""Everything is remembered from step to step that can be."""


def of_length(iterations: int) -> Any:
    return pvmc.job(REMEMBERING | {"run": {"iterations": iterations, "save_every": 1}})


@pytest.mark.parametrize("stop", slow_but([1, 4], range(1, 8)))
def test_a_run_with_memory_goes_on_from_any_iteration(tmp_path: Path, stop: int) -> None:
    pvmc.run(of_length(8), tmp_path / "whole", comm=COMM)
    pvmc.run(of_length(stop), tmp_path / "parts", comm=COMM)
    pvmc.run(of_length(8), tmp_path / "parts", resume=True, comm=COMM)
    others = differences(bits_of(tmp_path / "parts"), bits_of(tmp_path / "whole"))
    assert [name for name in others if "stuck_walkers" not in name] == [], "looks at walkers were not kept then"


def test_a_run_goes_on_from_a_checkpoint_of_layout_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits as without a stop: all that it remembers is found under the names of earlier versions."""
    pvmc.run(of_length(8), tmp_path / "whole", comm=COMM)
    pvmc.run(of_length(4), tmp_path / "parts", comm=COMM)
    saved, _ = latest_checkpoint(tmp_path / "parts")
    assert saved is not None
    rollback: Any = saved.parts["rollback"]
    arrays = {f"memory_{name}": values for name, values in saved.parts["memory"].items()}
    arrays |= {name: rollback[name] for name in ("retry", "rejections", "last")}
    arrays |= {f"before_{name}": rollback["before"][name] for name in ("theta", "spins")}
    arrays |= {f"before_memory_{name}": values for name, values in rollback["before"]["memory"].items()}
    assert len(arrays) > 12
    write_layout_1(tmp_path / "parts", replace(saved, parts={}), arrays, monkeypatch)
    found, _ = latest_checkpoint(tmp_path / "parts")
    assert found is not None and found.parts["memory"].keys() == saved.parts["memory"].keys()
    pvmc.run(of_length(8), tmp_path / "parts", resume=True, comm=COMM)
    others = differences(bits_of(tmp_path / "parts"), bits_of(tmp_path / "whole"))
    assert [name for name in others if "stuck_walkers" not in name] == [], "looks at walkers were not kept then"
