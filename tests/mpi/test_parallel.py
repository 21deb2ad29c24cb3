"""Collectives on real ranks, against numpy on data that every rank can work out for all the others."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pvmc.errors import InputError, NumericalError, PvmcError, on_every_rank
from pvmc.mpi import (
    Communicator,
    MpiCommunicator,
    Node,
    node_of,
    oversubscription,
    require_identical,
    run_main,
)

pytestmark = [pytest.mark.mpi, pytest.mark.ranks(1, 2, 3, 4)]

SHAPE = (3, 5)
PIECE = 7  # elements or bytes in one MPI call, where arrays are to travel in several


class AwkwardError(InputError):
    """Its constructor wants something else than the message."""

    def __init__(self, key: str, value: float):
        super().__init__(f"{key} = {value} is wrong")


class Counting:
    """An mpi4py communicator that counts the calls of each of its methods."""

    def __init__(self, comm: Any):
        self.comm = comm
        self.calls: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        self.calls[name] = self.calls.get(name, 0) + 1
        return getattr(self.comm, name)


@pytest.fixture
def in_pieces(comm: Communicator) -> tuple[MpiCommunicator, dict[str, int]]:
    """The same ranks with tiny pieces, and the counts of MPI calls."""
    from mpi4py import MPI

    assert isinstance(comm, MpiCommunicator)
    counting = Counting(comm._comm)
    return MpiCommunicator(MPI, counting, largest_count=PIECE), counting.calls


def of_rank(rank: int, dtype: type, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Rank ``rank``'s data: integers, so that sums are exact in any order and in any dtype."""
    rng = np.random.default_rng([20170210, rank])
    values: np.ndarray = rng.integers(-1000, 1000, size=shape).astype(dtype)
    return values + 1j * rng.integers(-1000, 1000, size=shape) if dtype is np.complex128 else values


def of_all(comm: Communicator, dtype: type, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.stack([of_rank(rank, dtype, shape) for rank in range(comm.size)])


def test_there_are_as_many_processes_as_ranks(comm: Communicator, n_ranks: int) -> None:
    processes = comm.gather(np.array([os.getpid()]))
    ranks = comm.gather(np.array([comm.rank]))
    if comm.rank == 0:
        assert processes is not None and ranks is not None
        assert len(set(processes.tolist())) == n_ranks
        assert ranks.tolist() == list(range(n_ranks))
    else:
        assert processes is None and ranks is None
    # 1, 11, 111, 1111: every rank counted once.
    assert comm.sum(10**comm.rank) == int("1" * n_ranks)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128, np.int64])
def test_sum_max_and_min(comm: Communicator, dtype: type) -> None:
    local, everything = of_rank(comm.rank, dtype), of_all(comm, dtype)
    reductions = [(comm.sum, np.sum)] + ([] if dtype is np.complex128 else [(comm.max, np.max), (comm.min, np.min)])
    for reduce, expected in reductions:
        found = reduce(local)
        assert found.dtype == dtype and not np.shares_memory(found, local)
        np.testing.assert_array_equal(found, expected(everything, axis=0))
        np.testing.assert_array_equal(local, everything[comm.rank])


def test_max_and_min_of_a_nan_on_one_rank_is_nan(comm: Communicator) -> None:
    for bad_rank in range(comm.size):
        local = np.array([1.0, float(comm.rank)])
        if comm.rank == bad_rank:
            local[0] = np.nan
        for result, of_ranks in ((comm.max(local), comm.size - 1), (comm.min(local), 0)):
            assert np.isnan(result[0]) and result[1] == of_ranks
        # A NaN wins over the infinities of the others, whichever rank has it, in any place of a long array.
        for infinity in (np.inf, -np.inf):
            long = np.full((7, 11), infinity)
            if comm.rank == bad_rank:
                long[:, bad_rank::5] = np.nan
            for result in (comm.max(long), comm.min(long)):
                assert np.isnan(result[:, bad_rank::5]).all()
                others = np.delete(result, np.arange(bad_rank, 11, 5), axis=1)
                assert (others == infinity).all()


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "every other": lambda array: np.repeat(array, 2, axis=1)[:, ::2],
    "backwards": lambda array: array[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": lambda array: np.broadcast_to(array, array.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_elements_meet_and_not_places_in_memory(
    comm: Communicator, in_pieces: tuple[MpiCommunicator, dict[str, int]], layout: str
) -> None:
    """mpi4py sends a Fortran array as it lies in memory, without a word: here the ranks have different layouts."""
    everything = of_all(comm, np.float64)
    mine = everything[comm.rank] if comm.rank % 2 else LAYOUTS[layout](everything[comm.rank])
    np.testing.assert_array_equal(mine, everything[comm.rank])
    for ranks in (comm, in_pieces[0]):
        np.testing.assert_array_equal(ranks.sum(mine), everything.sum(axis=0))
        np.testing.assert_array_equal(ranks.max(mine), everything.max(axis=0))
        np.testing.assert_array_equal(ranks.min(mine.astype(np.int64)), everything.min(axis=0))
        rows, root = ranks.gather(mine), ranks.sum_to_root(mine.copy(order="K"))
        if comm.rank == 0:
            np.testing.assert_array_equal(rows, everything.reshape(-1, SHAPE[1]))
            np.testing.assert_array_equal(root, everything.sum(axis=0))


def test_arrays_that_have_no_axis_or_no_element(comm: Communicator) -> None:
    assert comm.sum(1.5).shape == () and comm.sum(1.5) == 1.5 * comm.size
    assert comm.max(float(comm.rank)).shape == () and comm.max(float(comm.rank)) == comm.size - 1
    assert comm.sum(np.empty((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.bool_])
def test_no_silent_conversion(comm: Communicator, dtype: type) -> None:
    with pytest.raises(TypeError, match=np.dtype(dtype).name):
        comm.sum(np.zeros(3, dtype=dtype))
    with pytest.raises(TypeError, match="complex128"):
        comm.max(np.zeros(3, dtype=np.complex128))


def test_long_reductions_travel_in_pieces(in_pieces: tuple[MpiCommunicator, dict[str, int]]) -> None:
    comm, calls = in_pieces
    shape = (5, 5)
    total = comm.sum(of_rank(comm.rank, np.complex128, shape))
    np.testing.assert_array_equal(total, of_all(comm, np.complex128, shape).sum(axis=0))
    assert calls["Iallreduce"] == -(-25 // PIECE)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128, np.int64, np.int8, np.bool_])
def test_broadcast_in_place(comm: Communicator, in_pieces: tuple[MpiCommunicator, dict[str, int]], dtype: type) -> None:
    for ranks in (comm, in_pieces[0]):
        array = of_rank(comm.rank, dtype)
        assert ranks.broadcast(array) is array
        np.testing.assert_array_equal(array, of_rank(0, dtype))
    assert in_pieces[1]["Ibcast"] == -(-array.nbytes // PIECE)


@pytest.mark.parametrize("layout", ["Fortran", "every other", "backwards"])
def test_what_is_to_be_filled_in_place_must_be_contiguous(comm: Communicator, layout: str) -> None:
    good, bad = np.zeros(SHAPE), LAYOUTS[layout](np.zeros(SHAPE))
    with pytest.raises(ValueError, match="contiguous"):
        comm.broadcast(bad)
    for sent, received in ((bad, good), (good, bad)):
        with pytest.raises(ValueError, match="contiguous"):
            comm.exchange([sent] * comm.size, [received] * comm.size)
    assert comm.sum(1.0) == comm.size  # the ranks are together still


@pytest.mark.parametrize("dtype", [np.float64, np.complex128, np.int64, np.int8])
@pytest.mark.parametrize("pieces", [False, True])
def test_gather_of_unequal_lengths(
    comm: Communicator, in_pieces: tuple[MpiCommunicator, dict[str, int]], dtype: type, pieces: bool
) -> None:
    lengths = [(3 * rank + 2) % 5 for rank in range(comm.size)]  # 2, 0, 3, 1
    blocks = [of_rank(rank, dtype, (lengths[rank], 2)) for rank in range(comm.size)]
    gathered = (in_pieces[0] if pieces else comm).gather(blocks[comm.rank])
    if comm.rank == 0:
        assert gathered is not None and gathered.dtype == dtype
        np.testing.assert_array_equal(gathered, np.concatenate(blocks))
        assert not pieces or dtype is np.int8 or in_pieces[1]["Gatherv"] > 1
    nothing = comm.gather(np.empty((0, 4)))
    if comm.rank:
        assert gathered is None and nothing is None
    else:
        assert nothing is not None and nothing.shape == (0, 4)


def test_gather_refuses_different_columns_on_every_rank(comm: Communicator) -> None:
    if comm.size > 1:
        with pytest.raises(ValueError, match="one shape after axis 0"):
            comm.gather(np.zeros((2, 3 + (comm.rank == comm.size - 1))))
        with pytest.raises(ValueError, match="one dtype"):
            comm.gather(np.zeros(2, dtype=np.float64 if comm.rank else np.int64))
    with pytest.raises(ValueError, match="at least one axis"):
        comm.gather(np.float64(1))


def between(sender: int, receiver: int, dtype: type) -> np.ndarray:
    """What one rank sends to another: 0 to 4 rows."""
    return of_rank(10 * sender + receiver, dtype, ((3 * sender + 2 * receiver + sender * receiver) % 5, 3))


@pytest.mark.parametrize("dtype", [np.float64, np.complex128, np.int64, np.int8])
def test_exchange_of_unequal_lengths(comm: Communicator, dtype: type) -> None:
    ranks = range(comm.size)
    sent = [between(comm.rank, rank, dtype) for rank in ranks]
    expected = [between(rank, comm.rank, dtype) for rank in ranks]
    received = [np.full_like(array, 99) for array in expected]
    comm.exchange(sent, received)
    for rank in ranks:
        np.testing.assert_array_equal(received[rank], expected[rank])
        np.testing.assert_array_equal(sent[rank], between(comm.rank, rank, dtype))
    lengths = comm.gather(np.array([len(array) for array in sent]))
    assert lengths is None or comm.size == 1 or len(set(lengths.tolist())) > 1


def test_exchange_with_the_last_rank_alone(comm: Communicator) -> None:
    """All others are sent nothing, and nothing at all travels in a second exchange."""
    last = comm.size - 1
    sent = [np.empty((0, 5), complex) for _ in range(last)] + [of_rank(comm.rank, np.complex128)]
    received = [np.full(SHAPE if comm.rank == last else (0, 5), np.nan, dtype=complex) for _ in range(comm.size)]
    comm.exchange(sent, received)
    for rank, array in enumerate(received):
        np.testing.assert_array_equal(array, of_rank(rank, np.complex128) if comm.rank == last else np.empty((0, 5)))
    nothing = [np.empty(0) for _ in range(comm.size)]
    comm.exchange(nothing, nothing)


def test_an_exchange_that_is_too_large_for_one_message(in_pieces: tuple[MpiCommunicator, dict[str, int]]) -> None:
    """Refused before anything travels: 7 bytes do, 8 do not."""
    comm, calls = in_pieces
    most = [np.full(PIECE if rank == comm.rank else 0, comm.rank, dtype=np.int8) for rank in range(comm.size)]
    received = [np.full(array.size, -1, dtype=np.int8) for array in most]
    comm.exchange(most, received)
    np.testing.assert_array_equal(received[comm.rank], most[comm.rank])
    assert calls["Ialltoallv"] == 1
    more = [np.zeros(1 if rank == comm.rank else 0) for rank in range(comm.size)]
    with pytest.raises(ValueError, match="an exchange of 8 bytes is too large"):
        comm.exchange(more, more)
    assert calls["Ialltoallv"] == 1
    assert comm.sum(1.0) == comm.size


def test_broadcast_object(comm: Communicator) -> None:
    assert comm.broadcast_object({"from": comm.rank}) == {"from": 0}


def test_on_root_runs_there_alone(comm: Communicator) -> None:
    ran: list[int] = []

    def work() -> str:
        ran.append(comm.rank)
        return "done"

    assert comm.on_root(work) == ("done" if comm.rank == 0 else None)
    assert ran == ([0] if comm.rank == 0 else [])


def test_root_value_is_everywhere(comm: Communicator) -> None:
    assert comm.root_value(lambda: {"rank": comm.rank, "theta": [1.5, 2.5]}) == {"rank": 0, "theta": [1.5, 2.5]}
    assert comm.root_value(lambda: None) is None


def test_others_wait_for_a_slow_root(comm: Communicator) -> None:
    """The wait with sleeps ends, and not before the root has finished."""

    def work() -> float:
        time.sleep(0.05)
        return time.monotonic()

    finished = comm.root_value(work)
    assert time.monotonic() >= finished


@pytest.mark.parametrize("method", ["on_root", "root_value"])
def test_failure_of_the_root_is_raised_on_every_rank(comm: Communicator, method: str) -> None:
    def fail() -> None:
        assert comm.rank == 0
        raise AwkwardError("ansatz.alpha", -1)

    with pytest.raises(AwkwardError) as caught:
        getattr(comm, method)(fail)
    everyone = [comm.rank]  # all ranks are here together: the next collective would fail otherwise
    assert comm.sum(np.array(everyone)) == comm.size * (comm.size - 1) // 2
    assert type(caught.value) is AwkwardError
    assert str(caught.value) == "ansatz.alpha = -1 is wrong"
    assert caught.value.collective and caught.value.exit_code == 2
    assert not AwkwardError.collective


def test_unforeseen_failure_of_the_root(comm: Communicator, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PvmcError) as caught:
        comm.on_root(lambda: 1 / 0)
    assert type(caught.value) is PvmcError and caught.value.collective
    assert str(caught.value) == "ZeroDivisionError: division by zero"
    assert capfd.readouterr().err.count("Traceback") == (1 if comm.rank == 0 else 0)


def test_value_of_the_root_that_cannot_be_sent(comm: Communicator) -> None:
    with pytest.raises(PvmcError, match="pickle") as caught:
        comm.root_value(lambda: lambda: None)
    assert caught.value.collective


def test_failure_of_a_local_type_arrives_as_its_nearest_base(comm: Communicator) -> None:
    class LocalError(NumericalError):
        pass

    def fail() -> None:
        raise LocalError("no convergence")

    with pytest.raises(NumericalError, match="^no convergence$") as caught:
        comm.on_root(fail)
    assert caught.value.exit_code == 3


def test_collective_error_is_printed_by_the_root_only(comm: Communicator, capfd: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        with on_every_rank():
            raise InputError("alpha = -1: must be positive")

    assert run_main(main) == 2
    assert capfd.readouterr().err == ("pvmc: error: alpha = -1: must be positive\n" if comm.rank == 0 else "")


def test_require_identical(comm: Communicator) -> None:
    theta = np.linspace(0, 1, 101)
    require_identical(comm, theta, "theta")
    if comm.size == 1:
        return
    for bad_rank in range(comm.size):
        different = theta.copy()
        if comm.rank == bad_rank:
            different[50] = np.nextafter(different[50], 2)
        with pytest.raises(NumericalError, match="theta differs between ranks") as caught:
            require_identical(comm, different, "theta")
        assert caught.value.collective
        named = [bad_rank] if bad_rank else list(range(1, comm.size))
        assert f"ranks: {', '.join(map(str, named))} against rank 0" in str(caught.value)


def test_require_identical_sees_dtype_and_shape(comm: Communicator) -> None:
    zeros: list[np.ndarray] = [np.zeros(4), np.zeros(4, dtype=np.int64), np.zeros((2, 2)), np.zeros(3)]
    if comm.size > 1:
        for other in zeros[1:]:
            with pytest.raises(NumericalError):
                require_identical(comm, other if comm.rank == comm.size - 1 else zeros[0], "array")


def test_ranks_of_this_node(comm: Communicator) -> None:
    """All ranks of the tests run on one machine: each sees the values of all, and they are warned where they crowd."""
    number, values = comm.on_node(10 * comm.rank)
    assert values[number] == 10 * comm.rank
    assert sorted(values) == [10 * rank for rank in range(comm.size)]
    node = node_of(comm)
    assert (node.ranks, node.cores >= 1) == (comm.size, True)
    warning = oversubscription(comm, Node(node.rank, comm.size, 1), threads=2)
    assert ("on 1 core" in warning) == (comm.rank == 0)
