"""After a fault a run goes back and tries again with smaller steps, and not for ever."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvmc.errors import NumericalError
from pvmc.estimators import EnergyStatistics
from pvmc.io.reader import open_run
from pvmc.mpi import SerialCommunicator
from pvmc.sampler import Walkers
from pvmc.sr import Step
from pvmc.vmc.checkpoints import SavedRun
from pvmc.vmc.guard import Fault, Guard, spectrum_bounds
from pvmc.vmc.job import Job
from pvmc.vmc.loop import State, StepRecord
from pvmc.vmc.pieces import Piece, Round, StopReason, carry_out
from pvmc.vmc.rollback import GoneBack, Rollback
from pvmc.vmc.start import initial_parameters, initial_state
from tests.jobs import carry_out as run_to_its_end
from tests.jobs import job_of, ring

FAULT = Fault(17, "it went wrong")
COMM = SerialCommunicator()
NO_ROWS = {name: np.zeros(0) for name in ("iteration", "energy", "energy_error", "variance")}


def state(iteration: int) -> State:
    return State(iteration, np.array([float(iteration)]), Walkers(np.ones((1, 2, 4), np.int8), 0))


def step(iteration: int, energy: float = -1.0, error: float = 0.1) -> StepRecord:
    statistics = EnergyStatistics(energy + 0j, error, 0.01, 1.0, 1.0, 1e-3, 0.5, 100, 100.0)
    return StepRecord(
        iteration, statistics, Step(np.zeros(1), 0.1, 0.0, 0.0, 0, 0.0, 0.0), state(iteration + 1), None, {}
    )


def after(n: int, retries: int = 3, **options: Any) -> Rollback:
    """After n good iterations."""
    rollback = Rollback(Guard(), retries, **options)
    rollback.keep(state(0))
    for iteration in range(n):
        assert rollback.judge(step(iteration)) is None
    return rollback


def factors(rollback: Rollback) -> tuple[float, float]:
    return rollback.shift_factor, rollback.rate_factor


class TestRetries:
    def test_damping_grows_with_each_and_the_last_fault_ends_the_run(self) -> None:
        rollback = after(17, retries=2)
        assert factors(rollback) == (1.0, 1.0)
        back = rollback.recover(FAULT)
        assert back.is_retry and back.message.startswith(
            "iteration 17: it went wrong; retry 1 of 2 from 1 iteration before, with sr.shift (sr.floor, where it is "
            "0) times 10 and sr.learning_rate times 0.5"
        )
        assert factors(rollback) == (10.0, 0.5)
        assert "retry 2 of 2 from 4 iterations before" in rollback.recover(FAULT).message
        assert factors(rollback) == (100.0, 0.25)
        with pytest.raises(NumericalError, match="^iteration 17: it went wrong; 2 retries .* did not help") as caught:
            rollback.recover(FAULT)
        assert caught.value.collective and caught.value.exit_code == 3

    def test_none_are_wanted(self) -> None:
        with pytest.raises(NumericalError, match="^iteration 17: it went wrong. The results"):
            after(17, retries=0).recover(FAULT)

    def test_damping_decays(self) -> None:
        rollback, seen = after(17), []
        rollback.recover(FAULT)
        for iteration in range(16, 16 + 51):
            seen.append(factors(rollback))
            rollback.judge(step(iteration))
        assert all(later[0] < earlier[0] and later[1] > earlier[1] for earlier, later in itertools.pairwise(seen))
        assert factors(rollback) == (1.0, 1.0)

    def test_the_count_ends_beyond_the_fault_and_not_before(self) -> None:
        rollback = after(17, retries=1)
        rollback.recover(FAULT)
        for iteration in range(16, 27):
            rollback.judge(step(iteration))
        with pytest.raises(NumericalError):
            rollback.recover(FAULT)
        rollback.judge(step(27))
        assert "retry 1 of 1" in rollback.recover(Fault(28, "something else")).message
        assert rollback.shift_factor > 10.0

    def test_a_checkpoint_keeps_it(self) -> None:
        rollback, resumed = after(17, reject_rise=3.0), Rollback(Guard(), reject_rise=3.0)
        rollback.recover(FAULT)
        assert rollback.judge(step(16)) is None
        resumed.restored(SavedRun(state(17), {"rollback": rollback.saved(COMM)}, NO_ROWS))
        resumed.keep(state(17))
        for iteration in range(17, 80):
            assert factors(resumed) == factors(rollback)
            assert rollback.judge(step(iteration)) is None and resumed.judge(step(iteration)) is None
        assert [one.recover(Fault(80, "")).message.split(";")[1] for one in (rollback, resumed)] == [
            " retry 1 of 3 from 1 iteration before, with sr.shift (sr.floor, where it is 0) times 10 and "
            "sr.learning_rate times 0.5"
        ] * 2

    def test_a_checkpoint_without_a_part_begins_anew(self) -> None:
        rollback = Rollback(Guard())
        rollback.restored(SavedRun(state(1), {}, NO_ROWS))
        assert factors(rollback) == (1.0, 1.0)


class TestStates:
    @pytest.mark.parametrize(
        ("n", "faults", "expected"),
        [
            (30, [30, 30, 30, 30], [29, 26, 14, 0]),  # what came later is gone
            (30, [29, 29, 29], [28, 25, 13]),
            (200, [200] * 5, [199, 196, 184, 128, 96]),  # of those long ago every 32nd is kept
            (500, [500] * 5, [499, 496, 484, 416, 384]),
            (0, [0, 5], [0, 0]),  # the first iteration has its own state to go back to
        ],
    )
    def test_how_far_back(self, n: int, faults: list[int], expected: list[int]) -> None:
        rollback = after(n, retries=5)
        assert [rollback.recover(Fault(iteration, "")).state.iteration for iteration in faults] == expected

    def test_one_that_comes_again_replaces_what_was_there(self) -> None:
        rollback = after(30)
        again = replace(state(25), theta=np.array([-1.0]))
        rollback.keep(again)
        assert rollback.recover(Fault(26, "")).state is again

    def test_the_last_good_state(self) -> None:
        """There is none in a run that has made no iteration."""
        assert after(0).last_good() is None
        found = [after(n).last_good() for n in (1, 7)]
        assert [good and good.iteration for good in found] == [0, 6]


class TestRejections:
    def test_a_rise_takes_the_step_back_three_times_at_most(self) -> None:
        rollback = after(6, reject_rise=5.0)
        for factor in (0.5, 0.25, 0.125):
            back = rollback.judge(step(6, energy=-0.1))
            assert back is not None and not back.is_retry and back.state.iteration == 5
            assert back.message == (
                "iteration 6: the energy rose from -1 +- 0.1 to -0.1 +- 0.1: the step is taken back, and taken with "
                f"sr.learning_rate times {factor:.3g}"
            )
            assert factors(rollback) == (1.0, factor)
            assert rollback.judge(step(5)) is None and rollback.rate_factor == factor, "the same iteration again"
        assert rollback.judge(step(6, energy=-0.1)) is None
        assert factors(rollback) == (1.0, 1.0)

    @pytest.mark.parametrize(("energy", "reject_rise"), [(-0.4, 5.0), (-0.1, None), (-2.0, 5.0)])
    def test_no_other_step_is_taken_back(self, energy: float, reject_rise: float | None) -> None:
        assert after(6, reject_rise=reject_rise).judge(step(6, energy)) is None


class TestDraws:
    """Of first parameters that turn out to be bad."""

    @staticmethod
    def drawing(retries: int = 1) -> tuple[Rollback, list[int]]:
        asked = list[int]()

        def redraw(draw: int, comm: Any) -> State:
            asked.append(draw)
            return replace(state(0), theta=np.array([100.0 + draw]))

        rollback = Rollback(Guard((-12.0, 12.0)), retries, redraw=redraw)
        rollback.keep(state(0))
        return rollback, asked

    def test_a_bad_start_is_drawn_again_until_draws_are_used_up(self) -> None:
        rollback, asked = self.drawing()
        for draw in range(1, 9):
            back = rollback.judge(step(0, energy=-7660.0))
            assert back is not None and back.draw == draw and not back.is_retry
            assert f"drawn again, {draw} of 8 times, at {0.5**draw:.3g} of their scale" in back.message
            rollback.keep(rollback.redrawn(back, COMM).state)
            assert factors(rollback) == (1.0, 1.0)
        assert asked == list(range(1, 9))
        with pytest.raises(NumericalError, match=r"8 other draws .* did not help.*ansatz\.init_scale") as caught:
            rollback.judge(step(0, energy=-7660.0))
        assert "sr.learning_rate" not in str(caught.value), "no step was made"

    def test_so_is_one_whose_first_steps_no_retry_mends(self) -> None:
        rollback, _ = self.drawing()
        assert rollback.judge(step(0)) is None
        first = rollback.recover(Fault(1, "bad"))
        assert (first.is_retry, first.draw) == (True, 0)
        assert rollback.recover(Fault(1, "bad"), step(1)).draw == 1
        assert factors(rollback) == (1.0, 1.0)

    def test_a_late_fault_is_none_of_the_start(self) -> None:
        rollback, _ = self.drawing()
        for iteration in range(20):
            assert rollback.judge(step(iteration)) is None
        assert rollback.recover(Fault(20, "bad")).is_retry
        with pytest.raises(NumericalError):
            rollback.recover(Fault(20, "bad"))

    def test_parameters_of_another_run_are_not_drawn_again_and_not_tried_again(self) -> None:
        rollback = Rollback(Guard((-12.0, 12.0)))
        rollback.keep(state(0))
        with pytest.raises(NumericalError, match=r"^iteration 0: the energy is -7660 .*ansatz\.start_from"):
            rollback.judge(step(0, energy=-7660.0))

    def test_a_checkpoint_keeps_their_number(self) -> None:
        rollback, _ = self.drawing()
        rollback.judge(step(0, energy=-7660.0))
        rollback.keep(state(0))
        assert rollback.judge(step(0)) is None
        resumed, _ = self.drawing()
        resumed.restored(SavedRun(state(1), {"rollback": rollback.saved(COMM)}, NO_ROWS))
        resumed.keep(state(0))
        back = resumed.judge(step(0, energy=-7660.0))
        assert back is not None and back.draw == 2


# On runs --------------------------------------------------------------------------------------------------------------


def small_job(learning_rate: float, shift: float, retries: int) -> Job:
    sr = {"learning_rate": learning_rate, "shift": shift, "floor": 0.0}
    return job_of(ring({"samples": 512}, sr, retries=retries))


class Watch(Piece):
    """Keeps the energies and what is said of steps back; stops a run after so many iterations."""

    def __init__(self, n_iterations: int):
        self.n_iterations, self.energy, self.back = n_iterations, math.nan, list[GoneBack]()

    def after(self, done: Round, comm: Any) -> None:
        self.energy = done.step.energy.mean.real
        if done.step.iteration + 1 == self.n_iterations:
            done.decision = replace(done.decision, stop=StopReason("iterations", "", finished=True))

    def gone_back(self, back: GoneBack, comm: Any) -> None:
        self.back.append(back)


def watched(job: Job) -> Watch:
    """60 iterations of a job."""
    watch = Watch(60)
    assert carry_out(initial_state(job, COMM), job, Rollback.of(job), [watch], COMM).finished
    return watch


def test_a_healthy_run_is_left_alone() -> None:
    watch = watched(small_job(0.05, 0.01, retries=0))
    assert watch.back == [] and watch.energy < -3.5  # exact: -3.6511


def test_a_run_that_explodes_is_brought_to_its_end() -> None:
    with pytest.raises(NumericalError, match="^iteration "):
        watched(small_job(2.0, 1e-3, retries=0))
    watch = watched(small_job(2.0, 1e-3, retries=3))
    assert watch.back and all(back.is_retry for back in watch.back) and -3.66 < watch.energy < -3.0


def test_a_bad_start_is_drawn_again_and_recorded(tmp_path: Path) -> None:
    """Weights of 8 make psi differ so much between neighbours that no walker moves."""
    job = job_of(ring({"samples": 256}) | {"ansatz": {"kind": "rbm", "alpha": 1, "init_scale": 8.0}})
    assert run_to_its_end(job, tmp_path, COMM) == 0
    found = open_run(tmp_path)
    assert found.draw >= 1 and found.retries == 0 and found.status() == "finished"
    assert any(session.outcome == f"redrawn {found.draw}" for session in found.sessions)
    assert np.abs(initial_parameters(job, COMM, found.draw)).std() < 8.0 * 0.5**found.draw
    low, high = spectrum_bounds(job.config.hamiltonian.build(job.lattice))
    assert low <= found.series["energy"][0] <= high and found.series["acceptance"][0] > 1e-3
