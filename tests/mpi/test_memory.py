"""What solvers and the sampler remember, over stops and steps back: to the last bit as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.run_bits import bits_of, differences
from pvmc.errors import EXIT_RESUMABLE
from pvmc.io.checkpoint import latest_checkpoint
from pvmc.io.reader import open_run
from pvmc.io.storage import STOP_FILE
from pvmc.mpi import Communicator, block_range
from pvmc.sr import Memory
from pvmc.vmc.guard import Guard
from pvmc.vmc.job import Job
from pvmc.vmc.loop import State, StepRecord
from pvmc.vmc.rollback import GoneBack, Rollback, guarded
from tests.designs import designed, slow_but
from tests.jobs import carry_out, job_of, ring

pytestmark = pytest.mark.mpi

ITERATIONS, STOP = 9, 5

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], set[str]]] = {
    "spring": ({"momentum": {"mu": 0.9}}, {}, {"direction"}),
    "march": ({"momentum": {"mu": 0.9, "march": 0.9}}, {}, {"direction", "changes"}),
    "krylov": ({"solver": "krylov", "krylov": {"tolerance": 1e-2}}, {}, {"start"}),
    "minsr": ({"solver": "minsr", "momentum": {"mu": 0.9}}, {}, {"direction"}),
    "velocity": ({"method": "momentum"}, {}, {"velocity"}),
    "adam": ({"method": "adam"}, {}, {"mean", "square", "steps"}),
    "line search": ({"line_search": True, "learning_rate": 0.01}, {}, {"rate_factor"}),
    "shift": ({"adapt_shift": True, "learning_rate": 0.01}, {}, {"shift_factor"}),
    "heun": ({"integrator": "heun", "tolerance": 1e-3}, {}, {"rate_factor"}),
    "growth": ({}, {"growth": {"maximum": 1024, "factor": 1.5, "window": 2}}, {"samples"}),
    "all": (
        {"solver": "krylov", "momentum": {"mu": 0.8, "march": 0.9}, "line_search": True, "adapt_shift": True},
        {"growth": {"maximum": 1024, "factor": 1.5, "window": 2}},
        {"direction", "changes", "start", "rate_factor", "shift_factor", "samples"},
    ),
}
"""Keys of [sr] and [sampler], and what is remembered."""

Directory = Callable[[], Path]
Straight = Callable[[Job], Path]
Stopped = Callable[..., None]


def make_job(sr: dict[str, Any], sampler: dict[str, Any] | None = None, **settings: Any) -> Job:
    """A job of four blocks of walkers, complex, without checkpoints on its way; lambda is small from the start."""
    sr = sr if "method" in sr else {"shift": 0.01} | sr
    return job_of(ring(sampler, sr, **{"iterations": ITERATIONS, **settings}))


@pytest.fixture
def stopped(comm: Communicator, monkeypatch: pytest.MonkeyPatch, disturb: Callable[..., object]) -> Callable[..., None]:
    """Collective. Makes a run that finds a stop file after iteration stop - 1."""

    def at(job: Job, directory: Path, on: str = "all", stop: int = STOP) -> None:
        with monkeypatch.context() as patched:
            patched.setattr("pvmc.vmc.stop.LOOK_SECONDS", 0.0)
            disturb(stop - 1, lambda: (directory / STOP_FILE).touch() if comm.rank == 0 else None)
            assert carry_out(job, directory, comm, on) == EXIT_RESUMABLE

    return at


def remembered(directory: Path) -> Memory:
    checkpoint, _ = latest_checkpoint(directory)
    assert checkpoint is not None
    memory: Memory = checkpoint.parts["memory"]  # type: ignore[assignment]
    return memory


@designed(strength=1, case=CASES, before=["all", "one"])
def test_what_is_remembered_outlives_a_stop(
    comm: Communicator,
    new: Directory,
    straight: Straight,
    stopped: Stopped,
    case: str,
    before: str,
) -> None:
    """Written on all ranks and read on one, and the reverse; the same bits as of a run that nothing stopped."""
    after = "one" if before == "all" else "all"
    sr, sampler, names = CASES[case]
    job, directory = make_job(sr, sampler), new()
    whole = straight(job)
    stopped(job, directory, before)
    comm.barrier()
    assert open_run(directory).iteration.tolist() == list(range(STOP))
    assert remembered(directory).keys() == names
    comm.barrier()
    assert carry_out(job, directory, comm, after, resume=True) == 0
    assert differences(bits_of(directory), bits_of(whole)) == []


@pytest.mark.parametrize("case", slow_but(["march", "all"], CASES))
def test_a_run_that_forgets_is_another_one(
    comm: Communicator, new: Directory, straight: Straight, stopped: Stopped, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """Without the memory of the checkpoint the bits are others: what is remembered counts."""
    sr, sampler, _ = CASES[case]
    job, directory = make_job(sr, sampler), new()
    whole = straight(job)
    stopped(job, directory)
    monkeypatch.setattr("pvmc.vmc.checkpoints.MEMORY", "nothing")
    assert carry_out(job, directory, comm, "all", resume=True) == 0
    assert "theta" in differences(bits_of(directory), bits_of(whole))


# Steps back -----------------------------------------------------------------------------------------------------------


def begun(job: Job, comm: Communicator) -> tuple[State, Rollback]:
    mine = block_range(job.sampler.n_blocks, comm.rank, comm.size)
    theta = job.ansatz.initial_parameters(np.random.default_rng(1))
    rollback = Rollback(Guard((-1e3, 1e3)), job.config.run.retries, job.config.sr.reject_rise)
    return State(0, theta, job.sampler.start(mine, comm)), rollback


def same(one: Memory, other: Memory) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(values, other[name]) for name, values in one.items())


@pytest.mark.parametrize("case", slow_but(["adam", "all"], CASES))
def test_going_back_restores_the_memory(comm: Communicator, trouble: Callable[..., None], case: str) -> None:
    """Fault at iteration 6, again at once: one iteration back, then four, to the memory of those states."""
    sr, sampler, names = CASES[case]
    job = make_job(sr, sampler)
    trouble(6, 6)
    state, rollback = begun(job, comm)
    states, back = {0: state}, []
    for item in guarded(state, job, rollback, comm):
        if isinstance(item, GoneBack):
            kept = states[item.state.iteration]
            assert same(item.state.memory, kept.memory) and item.state.theta.tobytes() == kept.theta.tobytes()
            back.append(item.state.iteration)
        else:
            assert item.state.memory.keys() == names or item.iteration == 0
            states[item.state.iteration] = item.state
            if item.iteration == 8:
                break
    assert back == [5, 2]


def test_a_step_taken_back_is_forgotten(comm: Communicator) -> None:
    """Of momentum: each step that is taken again starts from what was remembered before the one taken back."""
    job = make_job({"momentum": {"mu": 0.9}, "reject_rise": 0.01, "learning_rate": 0.1})
    state, rollback = begun(job, comm)
    before: dict[int, State] = {0: state}
    records: list[StepRecord] = []
    n_back = 0
    for item in guarded(state, job, rollback, comm):
        if isinstance(item, GoneBack):
            n_back += 1
            assert same(item.state.memory, before[item.state.iteration].memory)
        else:
            before[item.state.iteration] = item.state
            records.append(item)
            if len(records) > 25:
                break
    assert n_back > 2


@pytest.mark.parametrize("stop", slow_but([5], [2, 5, 8]))
def test_steps_are_taken_back_behind_a_checkpoint(
    comm: Communicator, new: Directory, straight: Straight, stopped: Stopped, stop: int
) -> None:
    """The checkpoint holds the memory of the state before its last step, too."""
    job = make_job({"momentum": {"mu": 0.9, "march": 0.9}, "reject_rise": 0.01, "learning_rate": 0.1}, iterations=12)
    directory, whole = new(), straight(job)
    stopped(job, directory, stop=stop)
    checkpoint, _ = latest_checkpoint(directory)
    assert checkpoint is not None
    rollback: Any = checkpoint.parts["rollback"]
    assert "direction" in rollback["before"]["memory"]
    comm.barrier()
    assert carry_out(job, directory, comm, "all", resume=True) == 0
    assert differences(bits_of(directory), bits_of(whole)) == []
