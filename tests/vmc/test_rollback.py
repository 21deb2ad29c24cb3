"""After trouble a run goes back and tries again with more caution, and not for ever."""

from __future__ import annotations

import itertools
import math

import pytest

from pvmc.config import RawInput, validate
from pvmc.errors import NumericalError
from pvmc.mpi import SerialCommunicator
from pvmc.sr import Schedule, Solver, build_solver
from pvmc.vmc.guard import Guard, Trouble, spectrum_bounds
from pvmc.vmc.job import Job, build_job
from pvmc.vmc.loop import State, iterate
from pvmc.vmc.rollback import Retry, Rewind
from pvmc.vmc.spec import JobConfig
from pvmc.vmc.start import initial_state

TROUBLE = Trouble(17, "it went wrong")
COMM = SerialCommunicator()


class TestRetry:
    def test_caution_grows_with_each_and_the_last_trouble_ends_the_run(self) -> None:
        retry = Retry(most=2)
        assert (retry.shift_factor, retry.rate_factor) == (1.0, 1.0)
        text = retry.again(TROUBLE)
        assert text.startswith(
            "iteration 17: it went wrong; retry 1 of 2 from 1 iteration before, with sr.shift (sr.floor, where it is "
            "0) times 10 "
        )
        assert (retry.shift_factor, retry.rate_factor) == (10.0, 0.5)
        retry.again(TROUBLE)
        assert (retry.shift_factor, retry.rate_factor, retry.iterations_back) == (100.0, 0.25, 4)
        with pytest.raises(NumericalError, match="^iteration 17: it went wrong; 2 retries .* did not help") as caught:
            retry.again(TROUBLE)
        assert caught.value.collective and caught.value.exit_code == 3

    def test_none_are_wanted(self) -> None:
        with pytest.raises(NumericalError, match="^iteration 17: it went wrong. The results"):
            Retry(most=0).again(TROUBLE)

    def test_caution_decays(self) -> None:
        retry = Retry()
        retry.again(TROUBLE)
        factors = []
        for iteration in range(16, 16 + 51):
            factors.append(retry.shift_factor)
            retry.succeeded(iteration)
        assert all(later < earlier for earlier, later in itertools.pairwise(factors))
        assert retry.shift_factor == retry.rate_factor == 1.0

    def test_the_count_ends_beyond_the_trouble_and_not_before(self) -> None:
        retry = Retry(most=1)
        retry.again(TROUBLE)
        for iteration in range(1, 27):
            retry.succeeded(iteration)
        with pytest.raises(NumericalError):
            retry.again(TROUBLE)
        retry.succeeded(27)
        retry.again(Trouble(28, "something else"))
        assert retry.retries == 1 and retry.level > 1.0

    def test_how_far_back(self) -> None:
        retry, back = Retry(most=5), []
        assert retry.iterations_back == 0
        for _ in range(5):
            retry.again(TROUBLE)
            back.append(retry.iterations_back)
        assert back == [1, 4, 16, 16, 16]

    def test_a_checkpoint_keeps_it(self) -> None:
        retry, resumed = Retry(), Retry()
        retry.again(TROUBLE)
        retry.succeeded(17)
        resumed.restore(retry.state())
        for iteration in range(18, 80):
            assert (resumed.level, resumed.retries) == (retry.level, retry.retries)
            retry.succeeded(iteration)
            resumed.succeeded(iteration)


class TestRewind:
    def rewind(self) -> Rewind[str]:
        rewind: Rewind[str] = Rewind()
        for iteration in range(30):
            rewind.keep(iteration, f"before {iteration}")
        return rewind

    @pytest.mark.parametrize(("n", "found"), [(1, 29), (4, 26), (16, 14), (100, 13)])
    def test_back(self, n: int, found: int) -> None:
        rewind = self.rewind()
        assert rewind.back(30, n) == (found, f"before {found}")
        assert rewind.back(30, 1) == (found, f"before {found}"), "what came later is gone"

    def test_one_that_comes_again_replaces_what_was_there(self) -> None:
        rewind = self.rewind()
        rewind.keep(25, "again before 25")
        assert rewind.back(26, 1) == (25, "again before 25")

    def test_the_first_iteration_of_a_run_has_its_own_state_to_go_back_to(self) -> None:
        rewind: Rewind[str] = Rewind()
        with pytest.raises(LookupError):
            rewind.back(0, 1)
        rewind.keep(0, "start")
        assert rewind.back(0, 1) == rewind.back(5, 16) == (0, "start")


# On runs --------------------------------------------------------------------------------------------------------------


def small_job(learning_rate: float, shift: float) -> Job:
    tables = {
        "lattice": {"kind": "chain", "length": 8},
        "hamiltonian": {"model": "heisenberg"},
        "ansatz": {"kind": "rbm", "alpha": 1},
        "sampler": {"kind": "metropolis", "samples": 512, "walkers": 64},
        "sr": {"learning_rate": learning_rate, "shift": shift, "floor": 0.0},
    }
    raw = RawInput(tables, "in.toml")
    return build_job(validate(JobConfig, raw), raw)


def cautious(job: Job, retry: Retry) -> Solver:
    """The job's solver with its constants multiplied by the factors of a retry."""
    sr = job.config.sr
    rate = Schedule(initial=sr.learning_rate.initial * retry.rate_factor)
    shift = Schedule(initial=sr.shift.initial * retry.shift_factor)
    return build_solver(sr.model_copy(update={"learning_rate": rate, "shift": shift}))


def guarded_run(job: Job, retry: Retry, n_iterations: int) -> tuple[float, list[str]]:
    """The last energy, and what the retries said."""
    guard, messages, energy = Guard(spectrum_bounds(job.config.hamiltonian.build(job.lattice))), [], math.nan
    state = initial_state(job, COMM)
    rewind: Rewind[State] = Rewind()
    rewind.keep(0, state)
    while state.iteration < n_iterations:
        try:
            step = next(iterate(state, job.ansatz, job.operator, job.sampler, cautious(job, retry), COMM))
        except NumericalError as error:
            assert error.collective
            trouble: Trouble | None = Trouble(state.iteration, str(error))
        else:
            e = step.energy
            energy = e.mean.real
            trouble = guard.check(step.iteration, energy, e.error, e.variance, e.acceptance)
        if trouble:
            messages.append(retry.again(trouble))
            first, state = rewind.back(trouble.iteration, retry.iterations_back)
            guard.forget(first)
        else:
            retry.succeeded(step.iteration)
            rewind.keep(step.iteration, state)
            state = step.state
    return energy, messages


def test_a_healthy_run_is_left_alone() -> None:
    energy, messages = guarded_run(small_job(0.05, 0.01), Retry(most=0), 60)
    assert messages == [] and energy < -3.5  # exact: -3.6511


def test_a_run_that_explodes_is_brought_to_its_end() -> None:
    job = small_job(2.0, 1e-3)
    with pytest.raises(NumericalError, match="^iteration "):
        guarded_run(job, Retry(most=0), 60)
    energy, messages = guarded_run(job, Retry(most=3), 60)
    assert messages and -3.66 < energy < -3.0
