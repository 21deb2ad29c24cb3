"""Short runs that tune an input: what is varied, what fails, the input that is written, refusals, ranks and signals."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pvmc.cli import main
from pvmc.config import RawInput, edited, overridden
from pvmc.errors import EXIT_RESUMABLE
from pvmc.tasks.tune import Score
from pvmc.vmc.automatic import FACTORS, held
from pvmc.vmc.job import Draft, Job
from tests.jobs import ring_text, with_mpi

INPUT = "# my ring\n" + ring_text("retries = 0", ansatz='alpha = 1  # small\nweights = "complex"')


@pytest.fixture(autouse=True)
def input_file(directory: Path) -> None:
    Path("ring.toml").write_text(INPUT)


def rows(text: str) -> dict[str, str]:
    """The outcome of each trial in the table, by what was tried."""
    table = text.split("\ntried ", 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    return {(cells := re.split(r"\s{2,}", line))[0]: cells[-1] for line in table}


def test_the_best_input_is_written_and_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rate so small that nothing moves is beaten; one that is far too large fails; given keys stay."""
    monkeypatch.setattr("pvmc.tasks.tune.PLANNED", 0.3)  # time is left also where the machine has other work
    command = ["tune", "ring.toml", "--set", "sr.learning_rate=1e-6", "--set", "sampler.moves.exchange=1"]
    command += ["--minutes", "0.05", "--seed", "5", "--output", "tuned.toml"]
    assert main([*command, "--try", "sr.learning_rate=0.05,1e9"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    found = rows(output.out)
    assert {words for words in found if not words.startswith("sr.momentum = ")} == {
        "the input as it is",
        "sr.learning_rate = 0.05",
        "sr.learning_rate = 1000000000.0",
    }
    assert found["the input as it is"] == "as it is"
    assert found["sr.learning_rate = 1000000000.0"].startswith("failed: iteration ")
    assert "better" in found["sr.learning_rate = 0.05"].split(" <- ")[0].split("; ")
    assert sum(outcome.endswith("<- kept") for outcome in found.values()) == 1
    text = Path("tuned.toml").read_text()
    assert text in output.out and text.startswith("# Found by pvmc ")
    assert "# my ring\n" in text and "alpha = 1  # small\n" in text
    tables = tomllib.loads(text)
    assert tables["sr"].pop("learning_rate") == 0.05
    tables["sr"].pop("momentum", None)
    assert tables == tomllib.loads(INPUT) | {
        "sampler": tomllib.loads(INPUT)["sampler"] | {"moves": {"exchange": 1}},
        "sr": {},
    }
    assert main(["run", "tuned.toml", "--set", "run.iterations=3"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--output ring.toml", "ring.toml: exists; choose another name"),
        ("--output no/tuned.toml", "no/tuned.toml: there is no directory no"),
        ("--try ansatz.alpha=x", '--try ansatz.alpha=x: ansatz.alpha = "x": must be a number > 0'),
        ("--try ansatz.size=1", "--try ansatz.size=1: ansatz.size = 1: unknown key"),
        ("--try alpha", "argument --try: must be KEY=V1,V2,..., such as ansatz.alpha=1,2,4, not 'alpha'"),
        ("--minutes 0", "argument --minutes: must be a number > 0, not '0'"),
        ("--set ansatz.alpha=-1", "--set: ansatz.alpha = -1: must be a number > 0"),
    ],
)
def test_refusals(capsys: pytest.CaptureFixture[str], arguments: str, message: str) -> None:
    before = sorted(Path().iterdir())
    assert main(["tune", "ring.toml", *arguments.split()]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"pvmc: error: {message}") and output.err.count("\n") == 1
    assert sorted(Path().iterdir()) == before


def test_two_ranks_take_the_same_decisions(mpiexec: str) -> None:
    command = [mpiexec, "-n", "2", sys.executable, "-m", "pvmc", "tune", "ring.toml", "--minutes", "0.05"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=with_mpi())
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the input as it is: ") == 1
    assert Path("ring_tuned.toml").read_text().startswith("# Found by pvmc ")
    assert "(ranks: 2)" in Path("ring_tuned.toml").read_text()


def test_interrupted_it_prints_what_it_has_found() -> None:
    command = [sys.executable, "-m", "pvmc", "tune", "ring.toml", "--minutes", "0.2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline(), process.stdout.readline()]  # the title, and the first trial
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == EXIT_RESUMABLE
    assert lines[1].startswith("the input as it is: ")
    assert rows(rest)["the input as it is"].startswith("as it is")
    assert "stopped before its end (SIGINT)" in rest
    assert not Path("ring_tuned.toml").exists()


def job(text: str, *overrides: str) -> Job:
    return Draft(overridden(RawInput(tomllib.loads(text), "in.toml", text), overrides)).finished()


AUTOMATIC = ring_text(ansatz="").replace("walkers = 64\nblock_width = 16\nsamples = 256\n", "")


def test_a_learning_rate_that_is_given_changes_nothing_else() -> None:
    """The automatic values beside it are held: all of the resolved input but the rate is the same."""
    before = job(AUTOMATIC)
    changes = FACTORS["sr.learning_rate"](before, lambda key: False)[1]
    changes |= held(before, job(AUTOMATIC, *(f"{key}={value}" for key, value in changes.items())), changes)
    after = job(AUTOMATIC, *(f"{key}={value}" for key, value in changes.items()))
    assert before.config.sr.learning_rate is not None and after.config.sr.learning_rate is not None
    assert after.config.sr.learning_rate.initial == pytest.approx(3.0 * before.config.sr.learning_rate.initial)
    same = after.config.sr.model_copy(update={"learning_rate": before.config.sr.learning_rate})
    assert after.config.model_copy(update={"sr": same}) == before.config


@pytest.mark.parametrize(
    ("model", "key", "wanted"),
    [
        ("heisenberg", "sampler.moves", ["{exchange_any = 1.0}"]),
        ("ising", "sampler.moves", ["{flip = 0.5, exchange = 0.5}"]),
        ("heisenberg", "ansatz.weights", ['"real"']),
        ("dzyaloshinskii_moriya", "ansatz.weights", []),
        ("heisenberg", "ansatz.alpha", ["2", "8"]),
        ("heisenberg", "sampler.samples", ["512", "2048"]),
        ("heisenberg", "sr.momentum", ["{mu = 0.9}"]),
    ],
)
def test_variants_are_those_that_make_sense(model: str, key: str, wanted: list[str]) -> None:
    start = job(AUTOMATIC, f"hamiltonian.model={model}")
    variants = FACTORS[key](start, lambda key: False)
    assert [changes[key] for changes in variants] == wanted
    for changes in variants:
        job(AUTOMATIC, f"hamiltonian.model={model}", *(f"{name}={value}" for name, value in changes.items()))
    assert FACTORS[key](start, lambda given: given == key) == []


def test_energies_within_their_errors_and_walkers_that_disagree_win_nothing() -> None:
    best = Score(-10.0, 0.03)
    assert Score(-10.06, 0.04).beats(best)
    assert not Score(-10.04, 0.04).beats(best)
    assert not Score(-10.06, 0.04, r_hat=2.0).beats(best)
    assert best.beats(Score()) and not Score().beats(best)


@pytest.mark.parametrize(
    "text",
    [
        "# top\n[lattice]\nlength = 8 # sites\n",
        "lattice = {length = 8} # sites\n",
        "lattice.length = 8 # sites\n",
    ],
)
def test_edited_text_has_new_values_and_old_comments(text: str) -> None:
    raw = overridden(RawInput(tomllib.loads(text), "in.toml", text), ["lattice.kind=chain", "sr.shift.initial=2"])
    new = edited(raw)
    assert tomllib.loads(new) == {"lattice": {"length": 8, "kind": "chain"}, "sr": {"shift": {"initial": 2}}}
    assert "# sites" in new


def test_when_every_trial_fails_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("sr.learning_rate=1e9", "sr.momentum.mu=0.5", "sampler.moves.exchange=1")
    command = ["tune", "ring.toml", "--minutes", "0.05", *(word for key in given for word in ("--set", key))]
    assert main(command) == 3
    output = capsys.readouterr()
    assert rows(output.out)["the input as it is"].startswith("failed: iteration 1: ") and "kept" not in output.out
    assert re.fullmatch(r"pvmc: error: the numbers of every trial went bad; failed: iteration 1: .*\n", output.err)
    assert not Path("ring_tuned.toml").exists()
