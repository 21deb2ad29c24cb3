"""The cost model of an iteration: hand-computed values, limits, and the collectives that the code really sends."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks import cost_model
from benchmarks.cost_model import Case, Collective, Layout, Link, Machine
from pvmc.mpi import SerialCommunicator
from pvmc.mpi.communicator import AWAKE_SECONDS
from pvmc.vmc.interruptions import Signals
from pvmc.vmc.loop import CHECK_INTERVAL, iterate
from pvmc.vmc.start import initial_state
from pvmc.vmc.stop import StopWatcher
from tests.jobs import job_of, ring

MACHINE = Machine(cores=4, inside=Link(1e-6, 1e9), between=Link(2e-6, 1e10), call=0.0, adding=((1, 0.0),))
FREE = Machine(cores=4, inside=Link(0.0, math.inf), between=Link(0.0, math.inf), call=0.0, adding=((1, 0.0),))
LAYOUT = Layout(width=64, draws=8, blocks=16, block_seconds=0.01, spread=0.0)
CASE = Case(n_parameters=100, is_complex=True, layouts=(LAYOUT,), rank_seconds=0.0, root_seconds=0.0)


class Recording(SerialCommunicator):
    """One rank that notes what it would send."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []

    def _note(self, kind: str, array: Any) -> None:
        self.sent.append((kind, np.asarray(array).nbytes))

    def sum(self, array: Any) -> Any:
        self._note("allreduce", array)
        return super().sum(array)

    def max(self, array: Any) -> Any:
        self._note("allreduce", array)
        return super().max(array)

    def sum_to_root(self, array: Any) -> Any:
        self._note("reduce", array)
        return np.array(array)

    def broadcast(self, array: Any) -> Any:
        self._note("broadcast", array)
        return super().broadcast(array)

    def on_root(self, function: Any) -> Any:
        self.sent.append(("broadcast", 8))  # the flag of a failure
        return super().on_root(function)


@pytest.mark.parametrize("weights", ["complex", "real"])
def test_the_collectives_are_those_of_the_driver(weights: str) -> None:
    tables = ring({"walkers": 16, "block_width": 8, "samples": 32, "burn_in": 1})
    tables["ansatz"]["weights"] = weights
    job, comm = job_of(tables), Recording()
    steps = iterate(initial_state(job, comm), job.ansatz, job.operator, job.sampler, job.solver, comm)
    comm.sent.clear()
    next(steps)  # iteration 0 compares the parameters
    comm.on_root(lambda: None)  # the output of an iteration
    StopWatcher(10, Signals()).decide(0, comm)
    expected = cost_model.collectives(job.ansatz.n_parameters, 1, is_complex=weights == "complex")
    assert comm.sent == [(collective.kind, collective.n_bytes) for collective in expected]


def test_the_intervals_are_those_of_the_code() -> None:
    assert cost_model.CHECK_INTERVAL == CHECK_INTERVAL
    assert cost_model.AWAKE == AWAKE_SECONDS


def test_the_mean_maximum_of_normal_deviates() -> None:
    exact = {1: 0.0, 2: 1 / math.sqrt(math.pi), 3: 1.5 / math.sqrt(math.pi), 10: 1.5387527308}
    for count, value in exact.items():
        assert cost_model.mean_maximum(count) == pytest.approx(value, abs=1e-6)
    growing = [cost_model.mean_maximum(2**n) for n in range(13)]
    assert np.all(np.diff(growing) > 0)


def test_collectives_by_hand() -> None:
    def seconds(n_bytes: int, ranks: int, machine: Machine = MACHINE, kind: Any = "broadcast") -> float:
        return cost_model.collective_seconds(Collective(kind, n_bytes), ranks, machine)

    assert seconds(8, 1) == 0.0
    assert seconds(0, 2) == pytest.approx(1e-6)
    assert seconds(0, 4) == pytest.approx(2e-6)
    assert seconds(0, 5) == pytest.approx(2e-6 + 2e-6)  # two nodes
    assert seconds(0, 64) == pytest.approx(2e-6 + 4 * 2e-6)  # sixteen nodes
    assert seconds(1000, 2) == pytest.approx(1e-6 + 1e-6)  # a tree
    assert seconds(10**9, 4) == pytest.approx(4e-6 + 0.75 * 2)  # scattered parts
    adding = replace(MACHINE, adding=((1, 1e-9),))
    assert seconds(10**9, 4, adding) == pytest.approx(seconds(10**9, 4))  # a broadcast adds nothing
    assert seconds(10**9, 4, adding, "reduce") == pytest.approx(4e-6 + 0.75 * 3)
    assert seconds(0, 2, replace(MACHINE, call=1e-5)) == pytest.approx(1.1e-5)


def test_adding_grows_beyond_the_cache() -> None:
    machine = replace(MACHINE, adding=((100, 1e-9), (10_000, 3e-9)))
    assert machine.add_seconds(10) == pytest.approx(1e-8)
    assert machine.add_seconds(1000) == pytest.approx(2e-6)  # half way, in the logarithm
    assert machine.add_seconds(100_000) == pytest.approx(3e-4)


def test_the_time_of_adding_is_found_from_that_of_a_reduction() -> None:
    for n_bytes, each in ((1000, 1e-9), (10**7, 2e-10)):
        machine = replace(MACHINE, adding=((1, each),), call=1e-5)
        seconds = cost_model.collective_seconds(Collective("reduce", n_bytes), 2, machine)
        assert cost_model.invert_reduce(n_bytes, seconds, machine.inside, 1e-5) == pytest.approx(n_bytes * each)
    assert cost_model.invert_reduce(8, 0.0, MACHINE.inside, 1e-5) == 0.0


def test_ranks_take_turns_on_a_single_node() -> None:
    single = replace(FREE, between=None, cores=2)
    assert single.turns(2) == 1.0 and single.turns(4) == 2.0 and FREE.turns(4096) == 1.0
    assert cost_model.iteration(CASE, 2, single).total == pytest.approx(0.08)
    assert cost_model.iteration(CASE, 4, single).total == pytest.approx(0.08)


def test_one_rank_sends_nothing_and_waits_for_nobody() -> None:
    parts = cost_model.iteration(replace(CASE, root_seconds=0.5, rank_seconds=0.25), 1, MACHINE)
    assert (parts.latency, parts.reduction, parts.slowest, parts.waking, parts.rounding) == (0, 0, 0, 0, 0)
    assert parts.total == pytest.approx(0.16 + 0.5 + 0.25)


def test_free_messages_and_equal_blocks_scale_perfectly() -> None:
    for ranks in (1, 2, 4, 8, 16):
        assert cost_model.strong_efficiency(CASE, ranks, FREE) == pytest.approx(1.0)
    for ranks in (1, 3, 4096):
        assert cost_model.weak_efficiency(CASE, ranks, FREE) == pytest.approx(1.0)


def test_whole_blocks() -> None:
    parts = cost_model.iteration(CASE, 5, FREE)
    assert parts.work == pytest.approx(16 / 5 * 0.01)
    assert parts.work + parts.rounding == pytest.approx(0.04)
    with pytest.raises(ValueError, match="17 blocks"):
        cost_model.iteration(CASE, 17, FREE)


def test_the_root_is_amdahls_serial_part() -> None:
    serial = replace(CASE, root_seconds=0.04)
    monotone = [cost_model.strong_efficiency(serial, ranks, FREE) for ranks in (1, 2, 4, 8, 16)]
    assert monotone[-1] == pytest.approx(0.2 / (16 * 0.05), rel=0.05)  # and little for waking
    assert np.all(np.diff(monotone) < 0)
    losses = cost_model.iteration(serial, 16, FREE).losses(even_work=0.01)
    assert max(losses, key=losses.__getitem__) == "root"
    assert losses["smaller"] == pytest.approx(0.0)


def test_slower_networks_and_more_parameters_cost_more() -> None:
    def total(case: Case, machine: Machine) -> float:
        return cost_model.iteration(case, 16, machine).total

    assert total(CASE, FREE) < total(CASE, MACHINE)
    assert total(CASE, MACHINE) < total(CASE, replace(MACHINE, between=Link(2e-5, 1e10)))
    assert total(CASE, MACHINE) < total(CASE, replace(MACHINE, between=Link(2e-6, 1e9)))
    assert total(CASE, MACHINE) < total(replace(CASE, n_parameters=1000), MACHINE)
    assert total(CASE, MACHINE) < total(replace(CASE, sharing=1.1), MACHINE)


def test_the_slowest_rank() -> None:
    noisy = replace(CASE, layouts=(replace(LAYOUT, spread=0.001),))
    assert cost_model.iteration(noisy, 1, FREE).slowest == 0
    assert cost_model.iteration(noisy, 2, FREE).slowest == pytest.approx(0.001 * math.sqrt(8 / math.pi))


def test_sleepers_wake_late() -> None:
    assert cost_model.oversleep(1e-4, 64) == 0.0  # still awake
    assert cost_model.oversleep(1e-2, 1) == 0.0
    assert cost_model.oversleep(1e-2, 8) == pytest.approx(3 * 5e-4 / 2)
    assert cost_model.oversleep(10.0, 8) == pytest.approx(3 * 1e-3 / 2)


def test_the_best_layout_is_taken() -> None:
    small = replace(LAYOUT, blocks=64, block_seconds=0.003)  # costs more in total, but reaches more ranks
    both = replace(CASE, layouts=(LAYOUT, small))
    assert cost_model.iteration(both, 16, FREE).total == pytest.approx(0.01)
    parts = cost_model.iteration(both, 64, FREE)
    assert parts.total == pytest.approx(0.003)
    assert parts.losses(even_work=0.16 / 64)["smaller"] == pytest.approx(0.0005)


def test_fits_find_what_made_the_numbers() -> None:
    sizes = [8, 1024, 10**5, 10**7]
    link = cost_model.fit_link(sizes, [3e-6 + n / 5e9 for n in sizes])
    assert link.latency == pytest.approx(3e-6) and link.bandwidth == pytest.approx(5e9)
    k = [50, 200, 800, 2000]
    cost = cost_model.fit_root(k, [1e-4 + 2e-9 * n**2 + 3e-11 * n**3 for n in k])
    assert (cost.constant, cost.square, cost.cube) == pytest.approx((1e-4, 2e-9, 3e-11))
    assert cost(1000) == pytest.approx(1e-4 + 2e-3 + 3e-2)
