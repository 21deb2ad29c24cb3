"""Several starts: the run is that of the best seed, to the last bit, at any number of ranks, stopped or not."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.run_bits import bits_of, differences
from pvmc.errors import EXIT_RESUMABLE, DifferentRanks, InputError, NumericalError, on_every_rank
from pvmc.io.checkpoint import latest_checkpoint
from pvmc.io.layout import StartTrial
from pvmc.io.reader import open_run
from pvmc.io.storage import STOP_FILE
from pvmc.mpi import Communicator
from pvmc.vmc import pieces
from pvmc.vmc.job import Job
from pvmc.vmc.loop import State, StepRecord
from pvmc.vmc.rollback import GoneBack, Rollback, guarded
from tests.jobs import carry_out, job_of, ring

pytestmark = pytest.mark.mpi

SEED, STARTS, TRIED, ITERATIONS = 3, 3, 12, 9

Directory = Callable[[], Path]
Straight = Callable[[Job], Path]
Disturb = Callable[..., Any]


def make_job(sampler: str = "metropolis", sr: dict[str, Any] | None = None, **settings: Any) -> Job:
    """A job of four blocks of walkers, or of all configurations."""
    exact = {"kind": "exact", "block_width": 16} if sampler == "exact" else None
    return job_of(ring(exact, sr, **{"seed": SEED, "iterations": ITERATIONS, **settings}))


def with_starts(sampler: str = "metropolis", **settings: Any) -> Job:
    return make_job(sampler, **{"starts": STARTS, "start_iterations": TRIED, **settings})


def serial(job: Job, new: Directory, comm: Communicator) -> Path:
    """Collective. The directory of a new run of rank 0 alone."""
    directory = new()
    assert carry_out(job, directory, comm, on="one") == 0
    return directory


def trials_of(directory: Path) -> tuple[StartTrial, ...]:
    return open_run(directory).trials


# The choice -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["metropolis", "exact"])
def test_the_run_is_a_plain_one_of_the_best_seed(
    comm: Communicator, new: Directory, straight: Straight, sampler: str
) -> None:
    """The trials have the energies of plain runs of their seeds, which know nothing of starts."""
    directory = new()
    assert carry_out(with_starts(sampler), directory, comm) == 0
    seeds = [SEED, SEED + 1, SEED + 2]
    plain = {seed: straight(make_job(sampler, seed=seed, iterations=TRIED)) for seed in seeds}
    energies = [float(np.mean(open_run(plain[seed]).series["energy"][-TRIED // 4 :])) for seed in seeds]
    trials = trials_of(directory)
    assert [(trial.seed, trial.iterations) for trial in trials] == [(seed, TRIED) for seed in seeds]
    np.testing.assert_allclose([trial.energy for trial in trials], energies, rtol=1e-14)
    best = seeds[int(np.argmin(energies))]
    assert best != SEED, "the first seed would be kept without any trial"
    chosen = straight(make_job(sampler, seed=best))
    assert differences(bits_of(directory), bits_of(chosen)) == []
    others = [straight(make_job(sampler, seed=seed)) for seed in seeds if seed != best]
    assert all(differences(bits_of(directory), bits_of(other)) for other in others)


def test_the_same_choice_and_bits_as_on_one_rank(
    comm: Communicator, new: Directory, straight: Straight, capfd: pytest.CaptureFixture[str]
) -> None:
    directory = new()
    expected = straight(with_starts())
    capfd.readouterr()
    assert carry_out(with_starts(), directory, comm) == 0
    text = capfd.readouterr().out
    assert trials_of(directory) == trials_of(expected)
    assert differences(bits_of(directory), bits_of(expected)) == []
    if comm.rank > 0:
        assert text == ""
        return
    found = open_run(directory)
    best = min(found.trials, key=lambda trial: trial.energy)
    assert f"; kept: seed {best.seed}\n" in text and text.count("E/N of the starts: ") == 1
    assert all(f"seed {trial.seed} {trial.energy / 8:.8g} +-" in text for trial in found.trials)
    assert [f"start {number} of 3: seed {SEED + number - 1}\n" in text for number in (1, 2, 3)] == [True] * 3
    checkpoint, _ = latest_checkpoint(directory)
    assert checkpoint is not None and checkpoint.attributes["seed"] == best.seed
    assert found.config["run"]["seed"] == found.attributes["seed"] == SEED, "as the user wrote it"


def test_the_energy_of_a_trial_that_goes_back(
    comm: Communicator, new: Directory, straight: Straight, trouble: Disturb
) -> None:
    """Iterations that no longer count are not in the mean: as in a plain run with the same trouble."""
    trouble(TRIED - 1)
    plain = serial(make_job(iterations=TRIED), new, comm)
    smooth = straight(make_job(iterations=TRIED))
    directory = new()
    trouble(TRIED - 1)
    assert carry_out(with_starts(), directory, comm) == 0
    expected = [float(np.mean(open_run(path).series["energy"][-TRIED // 4 :])) for path in (plain, smooth)]
    assert trials_of(directory)[0].energy == pytest.approx(expected[0], rel=1e-14)
    assert trials_of(directory)[0].energy != pytest.approx(expected[1], rel=1e-6)
    assert trials_of(directory)[0].iterations == TRIED


# Stopping and going on ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "before", "after"),
    [
        (5, "all", "one"),
        (TRIED, "one", "all"),
        (TRIED + 4, "one", "all"),
        (TRIED + 4, "all", "all"),
        (STARTS * TRIED, "all", "one"),
        (STARTS * TRIED + 4, "all", "all"),
    ],
)
def test_stopped_in_a_trial_it_goes_on_with_the_same_bits(
    comm: Communicator, new: Directory, straight: Straight, disturb: Disturb, number: int, before: str, after: str
) -> None:
    """Within a trial, at the end of one, of the last one, and in the run itself; finished trials are not repeated."""
    directory, expected = new(), straight(with_starts())
    struck = comm.size - 1 if before == "all" else 0
    disturb(number, lambda: os.kill(os.getpid(), signal.SIGUSR1) if comm.rank == struck else None, counted=True)
    assert carry_out(with_starts(), directory, comm, on=before) == EXIT_RESUMABLE
    stopped, over = open_run(directory), number // TRIED
    where = f" on rank {struck}" if before == "all" and comm.size > 1 else ""
    assert (stopped.status(), stopped.message) == ("stopped", f"SIGUSR1{where}")
    assert [trial.over for trial in stopped.trials] == [row < over for row in range(STARTS)]
    assert len(stopped.iteration) == max(0, number - STARTS * TRIED)
    comm.barrier()
    done = disturb(-1, lambda: None)
    assert carry_out(with_starts(), directory, comm, on=after, resume=True) == 0
    assert (
        after == "one" and comm.rank > 0 or len(done) == (STARTS - over) * TRIED + ITERATIONS - len(stopped.iteration)
    )
    assert trials_of(directory) == trials_of(expected)
    assert differences(bits_of(directory), bits_of(expected)) == []


@pytest.mark.parametrize("kind", ["stop file", "time"])
def test_what_else_stops_a_trial(
    comm: Communicator, new: Directory, straight: Straight, disturb: Disturb, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A time limit whose margin is all of it is over after the first iteration."""
    monkeypatch.setattr("pvmc.vmc.stop.LOOK_SECONDS", 0.0)
    directory, expected = new(), straight(with_starts())
    time_limit = {"time": {"limit": "1h", "margin": 3600.0}} if kind == "time" else {}
    if kind == "stop file":
        disturb(1, lambda: (directory / STOP_FILE).touch() if comm.rank == 0 else None, counted=True)
    assert carry_out(with_starts(**time_limit), directory, comm) == EXIT_RESUMABLE
    stopped = open_run(directory)
    assert stopped.trials[0].iterations == 1 and not stopped.trials[0].over
    assert ("removed it" if kind == "stop file" else "out of time") in stopped.message
    comm.barrier()
    assert carry_out(with_starts(), directory, comm, resume=True) == 0
    assert differences(bits_of(directory), bits_of(expected)) == []


def test_killed_in_a_trial_it_goes_on_with_the_same_bits(
    comm: Communicator, new: Directory, straight: Straight, disturb: Disturb
) -> None:
    directory, expected = new(), straight(with_starts())
    disturb(2 * TRIED + 1, lambda: 1 // 0, counted=True)
    with pytest.raises(ZeroDivisionError):
        carry_out(with_starts(), directory, comm)
    comm.barrier()
    assert [trial.over for trial in trials_of(directory)] == [True, True, False]
    comm.barrier()
    done = disturb(-1, lambda: None)
    assert carry_out(with_starts(), directory, comm, resume=True) == 0
    assert len(done) == TRIED + ITERATIONS
    assert trials_of(directory) == trials_of(expected)
    assert differences(bits_of(directory), bits_of(expected)) == []


def test_a_run_that_goes_back_keeps_its_starts(
    comm: Communicator, new: Directory, straight: Straight, disturb: Disturb, trouble: Disturb
) -> None:
    """Fault in the run itself lays the results file out anew."""
    directory = new()
    disturb(STARTS * TRIED + 4, lambda: trouble(5), counted=True)
    assert carry_out(with_starts(), directory, comm) == 0
    written = open_run(directory)
    assert len(written.sessions) == 2 and len(written.iteration) == ITERATIONS
    assert written.trials == trials_of(straight(with_starts()))


def test_a_finished_run_is_not_tried_again(
    comm: Communicator, new: Directory, straight: Straight, disturb: Disturb
) -> None:
    directory = serial(with_starts(), new, comm)
    expected = bits_of(directory)
    comm.barrier()
    done = disturb(-1, lambda: None)
    assert carry_out(with_starts(), directory, comm, resume=True) == 0
    assert done == [] and differences(bits_of(directory), expected) == []
    comm.barrier()
    assert carry_out(with_starts(iterations=ITERATIONS + 2), directory, comm, resume=True) == 0
    assert done == [ITERATIONS, ITERATIONS + 1]
    longer = straight(with_starts(iterations=ITERATIONS + 2))
    assert open_run(directory).series["energy"].tobytes() == open_run(longer).series["energy"].tobytes()


@pytest.mark.parametrize("change", [{"starts": 2}, {"starts": 1}, {"start_iterations": 13}, {"seed": 4}])
def test_other_starts_make_another_run(
    comm: Communicator, new: Directory, straight: Straight, change: dict[str, Any]
) -> None:
    directory = straight(with_starts())
    (key,) = change
    with pytest.raises(InputError, match=f"cannot go on with another input: run.{key} = .* there, {change[key]} now"):
        carry_out(with_starts(**change), directory, comm, resume=True)


# Trials that go bad ---------------------------------------------------------------------------------------------------


def going_bad(monkeypatch: pytest.MonkeyPatch, error: type[NumericalError], *seeds: int) -> None:
    """The numbers of these seeds go bad after two iterations of a trial."""

    def bad(state: State, job: Job, rollback: Rollback, comm: Communicator) -> Iterator[StepRecord | GoneBack]:
        for step in guarded(state, job, rollback, comm):
            if job.config.run.seed in seeds and not isinstance(step, GoneBack) and step.iteration == 2:
                with on_every_rank():
                    raise error("a test")
            yield step

    monkeypatch.setattr(pieces, "guarded", bad)


def test_a_bad_trial_does_not_count(
    comm: Communicator,
    new: Directory,
    straight: Straight,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Without the seed that would be kept, the best of the others is."""
    energies = [trial.energy for trial in trials_of(straight(with_starts()))]
    order = (SEED + np.argsort(energies)).tolist()
    going_bad(monkeypatch, NumericalError, order[0])
    directory = new()
    capfd.readouterr()
    assert carry_out(with_starts(), directory, comm) == 0
    bad = trials_of(directory)[order[0] - SEED]
    assert bad.bad and bad.iterations == 2
    assert differences(bits_of(directory), bits_of(straight(make_job(seed=order[1])))) == []
    told = capfd.readouterr()
    if comm.rank == 0:
        assert f"pvmc: warning: the start with seed {order[0]} does not count: a test\n" in told.err
        assert f"seed {order[0]} bad" in told.out and f"; kept: seed {order[1]}\n" in told.out
    else:
        assert told == ("", "")


def test_all_bad(comm: Communicator, new: Directory, disturb: Disturb) -> None:
    """Steps that are far too long; it stays so when the run is resumed, without another iteration."""
    shift = {"initial": 1e6, "decay": 0.1, "minimum": 1e-9}
    wild = {"learning_rate": 1e3, "shift": shift, "floor": 0.0, "largest_angle": 1e9}
    job, directory = make_job(sr=wild, starts=2, start_iterations=TRIED, retries=0), new()
    with pytest.raises(NumericalError, match="the numbers of all 2 starts went bad") as caught:
        carry_out(job, directory, comm)
    assert caught.value.collective and caught.value.exit_code == 3
    comm.barrier()
    assert all(trial.bad and 0 < trial.iterations < TRIED for trial in trials_of(directory))
    assert open_run(directory).status() == "failed" and latest_checkpoint(directory) == (None, [])
    comm.barrier()
    done = disturb(-1, lambda: None)
    with pytest.raises(NumericalError, match="the numbers of all 2 starts went bad"):
        carry_out(job, directory, comm, resume=True)
    assert done == []


def test_ranks_that_differ_end_the_run(comm: Communicator, new: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no trial that went bad: nothing can be trusted any more."""
    going_bad(monkeypatch, DifferentRanks, SEED + 1)
    directory = new()
    with pytest.raises(DifferentRanks):
        carry_out(with_starts(), directory, comm)
    comm.barrier()
    assert [trial.over for trial in trials_of(directory)] == [True, False, False]
