"""Runs that stop, go back or fail, and go on: to the last bit as if nothing had happened, at any number of ranks."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.run_bits import bits_of, differences
from pvmc.errors import EXIT_RESUMABLE, DifferentRanks, NumericalError, on_every_rank
from pvmc.io.checkpoint import latest_checkpoint
from pvmc.io.reader import Run, open_run
from pvmc.io.storage import STOP_FILE
from pvmc.mpi import Communicator
from pvmc.vmc.job import Job
from tests.designs import slow_but
from tests.jobs import carry_out, job_of, ring
from tests.vmc.test_eigenstates import frustrated_square

pytestmark = pytest.mark.mpi

ITERATIONS = 12

Directory = Callable[[], Path]
Straight = Callable[[Job], Path]
Disturb = Callable[..., object]


def make_job(sr: dict[str, Any] | None = None, **settings: Any) -> Job:
    """A job of four blocks of walkers, without checkpoints on its way unless told otherwise."""
    return job_of(ring(sr=sr, **{"iterations": ITERATIONS, "checkpoint": {"seconds": 0}, **settings}))


def signalled(rank: int, comm: Communicator) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), signal.SIGUSR1) if comm.rank == rank else None


@pytest.mark.parametrize(("before", "after"), [("all", "one"), ("one", "all"), ("all", "all")])
def test_a_stopped_run_goes_on_with_the_same_bits(
    comm: Communicator, new: Directory, straight: Straight, disturb: Disturb, before: str, after: str
) -> None:
    """Written on all ranks and read on one, and the reverse; the signal comes to the last rank alone."""
    job, directory = make_job(), new()
    expected = bits_of(straight(job))
    disturb(6, signalled(comm.size - 1 if before == "all" else 0, comm))
    assert carry_out(job, directory, comm, on=before) == EXIT_RESUMABLE
    stopped = open_run(directory)
    where = f" on rank {comm.size - 1}" if before == "all" and comm.size > 1 else ""
    assert (stopped.status(), stopped.message) == ("stopped", f"SIGUSR1{where}")
    assert stopped.iteration.tolist() == list(range(7))
    comm.barrier()
    assert carry_out(job, directory, comm, on=after, resume=True) == 0
    assert differences(bits_of(directory), expected) == []
    ranks = {"all": comm.size, "one": 1}
    sessions = [(session.first_iteration, session.ranks, session.outcome) for session in open_run(directory).sessions]
    assert sessions == [(0, ranks[before], "stopped"), (7, ranks[after], "finished")]


@pytest.mark.parametrize("kind", ["exact", "tempering", "power", "smear", "smear, rows kept"])
def test_other_samplers_go_on_with_the_same_bits(
    comm: Communicator, new: Directory, straight: Straight, disturb: Disturb, kind: str
) -> None:
    tables = make_job().config.model_dump(exclude_none=True)
    if kind == "exact":
        tables["sampler"] = {"kind": "exact", "block_width": 16}
    elif kind == "tempering":
        tables["sampler"]["tempering"] = {"replicas": 2, "smallest_beta": 0.5}
    elif kind == "power":
        tables["sampler"]["power"] = 1.5
    else:
        tables["sampler"]["smear"] = 0.2
        tables["sr"]["solver"] = "minsr" if "rows" in kind else "dense"
    tables["run"]["leak_every"] = 3
    job, directory = job_of(tables), new()
    expected = bits_of(straight(job))
    disturb(6, signalled(0, comm))
    assert carry_out(job, directory, comm) == EXIT_RESUMABLE
    assert carry_out(job, directory, comm, resume=True) == 0
    assert differences(bits_of(directory), expected) == []
    tested = np.flatnonzero(np.isfinite(open_run(directory).series["leak"])).tolist()
    assert tested == ([] if kind == "exact" else [2, 5, 8, 11]), "before the stop, and after it"


def test_a_stop_file_stops_and_is_removed(
    comm: Communicator, new: Directory, straight: Straight, disturb: Disturb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pvmc.vmc.stop.LOOK_SECONDS", 0.0)
    job, directory = make_job(), new()
    expected = bits_of(straight(job))
    disturb(4, lambda: (directory / STOP_FILE).touch() if comm.rank == 0 else None)
    assert carry_out(job, directory, comm) == EXIT_RESUMABLE
    assert open_run(directory).message == f"found {directory / STOP_FILE}, and removed it"
    comm.barrier()
    assert carry_out(job, directory, comm, resume=True) == 0
    assert differences(bits_of(directory), expected) == []


# Fault --------------------------------------------------------------------------------------------------------------


def good(directory: Path) -> Run:
    """The run, once every iteration is there once."""
    written = open_run(directory)
    assert written.iteration.tolist() == list(range(len(written.iteration)))
    return written


def test_a_run_in_trouble_goes_back_and_warns(
    comm: Communicator, new: Directory, trouble: Disturb, capfd: pytest.CaptureFixture[str]
) -> None:
    """Twice at one iteration: one back, then four back, with more damping each time."""
    trouble(7, 7)
    directory = new()
    assert carry_out(make_job(retries=3), directory, comm) == 0
    written = good(directory)
    assert len(written.iteration) == ITERATIONS
    assert (written.retries, len(written.launches)) == (2, 1)
    assert [session.outcome for session in written.sessions] == ["retried", "retried", "finished"]
    rates = written.series["learning_rate"]
    assert rates[2] == 0.05 and 0.0125 < rates[3] < 0.0135 < rates[11], "a quarter, then a little more each time"
    assert (written.series["shift"][3] / written.series["shift"][2]) == pytest.approx(0.9 * 100, rel=0.3)
    warnings = [line for line in capfd.readouterr().err.splitlines() if "retry" in line]
    if comm.rank == 0:
        assert [line.split(";")[1].strip().split(",")[0] for line in warnings] == [
            "retry 1 of 3 from 1 iteration before",
            "retry 2 of 3 from 4 iterations before",
        ]
    else:
        assert warnings == []


def test_a_checkpoint_of_iterations_that_no_longer_count_is_replaced(
    comm: Communicator, new: Directory, disturb: Disturb, trouble: Disturb
) -> None:
    """Killed after it has gone back behind its last checkpoint, a run goes on from where it went back to."""
    often = {"iterations": 6, "minutes": 0, "seconds": 0, "cost": 1.0}
    job, directory, whole = make_job(checkpoint=often), new(), new()
    trouble(7, 7)
    assert carry_out(job, whole, comm) == 0
    trouble(7, 7)
    disturb(6, lambda: disturb(5, lambda: 1 // 0))  # not before it has come to iteration 6
    with pytest.raises(ZeroDivisionError):
        carry_out(job, directory, comm)
    comm.barrier()
    checkpoint, passed_over = latest_checkpoint(directory)
    assert checkpoint is not None and (checkpoint.iteration, passed_over) == (3, [])
    assert len(good(directory).iteration) == 6
    comm.barrier()
    assert carry_out(job, directory, comm, resume=True) == 0
    assert differences(bits_of(directory), bits_of(whole)) == []


@pytest.mark.ranks(1, 2, 3, 4)
def test_a_bad_start_is_drawn_again_with_the_same_bits(comm: Communicator, new: Directory, straight: Straight) -> None:
    """Weights of 8 give psi that no walker can follow: whichever draw serves is the same on any number of ranks."""
    ansatz = {"kind": "rbm", "alpha": 1, "init_scale": 8.0}
    job, directory = job_of(ring({"samples": 256}, iterations=6) | {"ansatz": ansatz}), new()
    expected = straight(job)
    assert carry_out(job, directory, comm) == 0
    assert good(directory).draw == open_run(expected).draw >= 1
    assert differences(bits_of(directory), bits_of(expected)) == []


@pytest.mark.ranks(1, 2, 3, 4)
def test_stuck_walkers_start_again_with_the_same_bits(
    comm: Communicator, new: Directory, straight: Straight, disturb: Disturb
) -> None:
    """Of a spin glass with a sharp psi, also where the run was stopped between the looks and goes on on one rank."""
    square, _ = frustrated_square(3, 1)
    sampler = {"walkers": 64, "block_width": 16, "samples": 256}
    job = job_of(
        {"lattice": square, "hamiltonian": {"model": "ising", "coupling": -1.0, "field": 0.0}}
        | {"ansatz": {"kind": "rbm", "alpha": 1, "symmetry": "none", "weights": "complex"}, "sampler": sampler}
        | {"sr": {"learning_rate": 0.1}, "run": {"iterations": 85, "seed": 2, "checkpoint": {"seconds": 0}}}
    )
    expected, directory = straight(job), new()
    assert open_run(expected).series["stuck_walkers"].max() > 0
    disturb(45, signalled(0, comm))
    assert carry_out(job, directory, comm) == EXIT_RESUMABLE
    comm.barrier()
    assert carry_out(job, directory, comm, on="one", resume=True) == 0
    assert differences(bits_of(directory), bits_of(expected)) == []
    assert open_run(directory).series["energy"][-1] == -12.0, "the walkers at -8 were started again"


@pytest.mark.ranks(1, 3)
def test_levels_of_refinement_have_the_same_bits(
    comm: Communicator, new: Directory, straight: Straight, disturb: Disturb
) -> None:
    """With filters that are shared at first, of a run that ends by itself and was stopped within a window."""
    sampler = {"walkers": 64, "block_width": 16}
    job = job_of(
        {"lattice": {"kind": "chain", "length": 6, "periodic": False}, "hamiltonian": {"model": "heisenberg"}}
        | {"ansatz": {"kind": "rbm"}, "sampler": sampler}
        | {"run": {"refine": {"levels": 2, "window": 8}, "starts": 1, "checkpoint": {"seconds": 0}}}
    )
    assert job.refinement is not None and job.refinement.tied is not None
    expected, directory = straight(job), new()
    assert "at the smallest learning rate" in open_run(expected).message
    disturb(20, signalled(0, comm))
    assert carry_out(job, directory, comm) == EXIT_RESUMABLE
    comm.barrier()
    assert carry_out(job, directory, comm, on="one", resume=True) == 0
    assert differences(bits_of(directory), bits_of(expected)) == []


def test_a_run_that_stays_in_trouble_leaves_its_last_good_state(
    comm: Communicator, new: Directory, trouble: Disturb
) -> None:
    """After going back, the last good state is one of the iterations that count, not of those before."""
    trouble(9, 9, 6, 6)
    directory = new()
    with pytest.raises(NumericalError, match="iteration 6: a test; 3 retries .* did not help") as caught:
        carry_out(make_job(retries=3), directory, comm)
    assert caught.value.collective and caught.value.exit_code == 3
    comm.barrier()
    checkpoint, _ = latest_checkpoint(directory)
    written = good(directory)
    assert checkpoint is not None and checkpoint.iteration == 5
    assert written.iteration.tolist() == list(range(6))
    assert written.status() == "failed" and "did not help" in written.message


def test_a_blow_up_ends_with_a_checkpoint_that_can_be_used(
    comm: Communicator, new: Directory, capfd: pytest.CaptureFixture[str]
) -> None:
    """Steps that are far too long, of a run that was good until then."""
    directory = new()
    shift = {"initial": 1e6, "decay": 0.1, "minimum": 1e-9}
    wild = {"learning_rate": 1e3, "shift": shift, "floor": 0.0, "largest_angle": 1e9}
    with pytest.raises(NumericalError) as caught:
        carry_out(make_job(wild, retries=2), directory, comm)
    assert caught.value.collective and caught.value.exit_code == 3
    if comm.rank == 0:
        assert capfd.readouterr().err.count("retry") >= 2
    comm.barrier()
    checkpoint, _ = latest_checkpoint(directory)
    assert checkpoint is not None and 0 < checkpoint.iteration <= len(good(directory).iteration)
    assert bits_of(directory)["theta"] == checkpoint.theta.tobytes(), "it is good"


def test_ranks_that_differ_do_not_replace_good_checkpoints(
    comm: Communicator, new: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def differ(comm: Communicator, array: object, what: str) -> None:
        if "iteration 10" in what:
            with on_every_rank():
                raise DifferentRanks(what)

    monkeypatch.setattr("pvmc.vmc.loop.require_identical", differ)
    directory = new()
    with pytest.raises(DifferentRanks):
        carry_out(make_job(checkpoint={"iterations": 5, "minutes": 0, "seconds": 0, "cost": 1.0}), directory, comm)
    comm.barrier()
    checkpoint, _ = latest_checkpoint(directory)
    assert checkpoint is not None and checkpoint.iteration in (5, 10)


@pytest.mark.parametrize("stop", slow_but([5], [2, 5, 8]))
def test_steps_that_raise_the_energy_are_taken_back(
    comm: Communicator,
    new: Directory,
    disturb: Disturb,
    capfd: pytest.CaptureFixture[str],
    stop: int,
) -> None:
    """Also where the rise is seen only after a resume: the checkpoint holds the state before the step."""
    job, directory = make_job({"reject_rise": 0.01}), new()
    assert carry_out(job, whole := new(), comm, on="one") == 0
    expected = bits_of(whole)
    taken_back = capfd.readouterr().err.count("the step is taken back")
    assert comm.rank > 0 or taken_back > 2
    disturb(stop, signalled(0, comm))
    assert carry_out(job, directory, comm) == EXIT_RESUMABLE
    assert carry_out(job, directory, comm, resume=True) == 0
    assert comm.rank > 0 or capfd.readouterr().err.count("the step is taken back") == taken_back
    assert differences(bits_of(directory), expected) == []
    assert set(open_run(directory).series["learning_rate"] / 0.05) <= {1.0, 0.5, 0.25, 0.125}


def test_the_largest_angle_of_a_step(comm: Communicator, new: Directory) -> None:
    """Shorter than it would be: by a larger shift, or a lower learning rate."""
    free, capped = new(), new()
    rate = {"learning_rate": 1.0, "shift": 1e-3}
    assert carry_out(make_job(rate, iterations=4), free, comm) == 0
    assert carry_out(make_job({**rate, "largest_angle": 0.02}, iterations=4), capped, comm) == 0
    assert open_run(free).series["update_angle"].max() > 0.1
    series = open_run(capped).series
    assert series["update_angle"].max() <= 0.02 * (1 + 1e-12)
    assert (series["shift"] > 1e-3).any() or (series["learning_rate"] < 1.0).any()
