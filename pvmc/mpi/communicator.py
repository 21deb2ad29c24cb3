"""Communicators: reductions, broadcasts, and work of the root alone whose failure every rank sees.

Every method whose docstring begins with "Collective." must be called by all ranks of the communicator, in the same
order.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from pvmc.errors import DifferentRanks, OutOfMemory, PvmcError

T = TypeVar("T")
R = TypeVar("R")
Array = npt.NDArray[Any]

LARGEST_COUNT = 2**31 - 1
"""Largest count in one MPI call: a C int in every MPI before version 4."""

AWAKE_SECONDS = 3e-4
"""Seconds that a waiting rank looks for messages without sleeping: longer than a small collective takes."""

_ORDERED = (np.dtype(np.float64), np.dtype(np.int64))
_SUMMED = (*_ORDERED, np.dtype(np.complex128))


class Communicator(Protocol):
    """A group of ``size`` processes, of which this one is number ``rank``; rank 0 is the root."""

    rank: int
    size: int

    def sum(self, array: npt.ArrayLike) -> Array:
        """Collective.  Elementwise sum over ranks of float64, complex128 or int64 arrays, as a new array on every rank.

        All ranks pass the same shape and dtype.  The order of the additions depends on the number of ranks.

        Raises:
            TypeError: the dtype is another one.
        """

    def sum_to_root(self, array: npt.ArrayLike) -> Array | None:
        """Collective.  As :meth:`sum`, with the result on rank 0 alone, in the place of ``array``; None elsewhere.

        ``array`` may be large: it is overwritten on the root, where it is a contiguous array, and is not copied.
        """

    def max(self, array: npt.ArrayLike) -> Array:
        """Collective.  Elementwise maximum over ranks of float64 or int64 arrays; NaN where any rank has NaN.

        Raises:
            TypeError: the dtype is another one.
        """

    def min(self, array: npt.ArrayLike) -> Array:
        """Collective.  Elementwise minimum over ranks; otherwise as :meth:`max`."""

    def broadcast(self, array: Array) -> Array:
        """Collective.  Overwrite ``array`` on every rank with the root's values, and return it.

        Raises:
            ValueError: the array is not contiguous in C order.
        """

    def gather(self, array: npt.ArrayLike) -> Array | None:
        """Collective.  Concatenation along axis 0, in order of rank, on rank 0; None elsewhere.

        The ranks may hold different lengths, also none; dtype and the other axes must agree.

        Raises:
            ValueError: they do not agree (on every rank), or the array has no axis.
        """

    def exchange(self, sent: Sequence[Array], received: Sequence[Array]) -> None:
        """Collective.  Every rank sends an array to every rank.

        Args:
            sent: the array for each rank, C-contiguous; 2^31 - 1 bytes at most together.
            received: where each rank's array is written; of the shape and dtype that it sends.

        Raises:
            ValueError: too many bytes, or an array is not contiguous in C order.
        """

    def broadcast_object(self, value: T) -> T:
        """Collective.  The root's value, a small picklable one, on every rank."""

    def on_root(self, function: Callable[[], T]) -> T | None:
        """Collective.  Run ``function()`` on rank 0 alone; its value there, None elsewhere.

        ``function`` must not communicate.  The other ranks wait without keeping their cores busy.

        Raises:
            PvmcError: ``function`` failed.  Every rank raises the same type and message, with ``collective`` set; an
                error that is no PvmcError becomes one, and the root prints its traceback.
        """

    def root_value(self, function: Callable[[], T]) -> T:
        """Collective.  As :meth:`on_root`, with the value (small, picklable) returned on every rank."""

    def on_node(self, value: T) -> tuple[int, list[T]]:
        """Collective.  Of the ranks that share this one's memory: its number among them, and the values of all."""

    def barrier(self) -> None:
        """Collective.  Wait until every rank is here."""

    def abort(self, code: int) -> NoReturn:
        """End every rank at once with this exit code.  Not collective: one rank is enough."""


class SerialCommunicator(Communicator):
    """One process, without MPI."""

    rank = 0
    size = 1

    def sum(self, array: npt.ArrayLike) -> Array:
        return _reducible(array, _SUMMED).copy()

    def sum_to_root(self, array: npt.ArrayLike) -> Array:
        return _reducible(array, _SUMMED)

    def max(self, array: npt.ArrayLike) -> Array:
        return _reducible(array, _ORDERED).copy()

    def min(self, array: npt.ArrayLike) -> Array:
        return self.max(array)

    def broadcast(self, array: Array) -> Array:
        _flat_bytes(array)
        return array

    def gather(self, array: npt.ArrayLike) -> Array:
        return _with_rows(array).copy()

    def exchange(self, sent: Sequence[Array], received: Sequence[Array]) -> None:
        _flat_bytes(received[0])[:] = _flat_bytes(sent[0])

    def broadcast_object(self, value: T) -> T:
        return value

    def on_root(self, function: Callable[[], T]) -> T:
        return self.root_value(function)

    def root_value(self, function: Callable[[], T]) -> T:
        value, failure = _attempt(function)
        if failure is not None:
            raise failure
        return value[0]

    def on_node(self, value: T) -> tuple[int, list[T]]:
        return 0, [value]

    def barrier(self) -> None:
        pass

    def abort(self, code: int) -> NoReturn:
        sys.exit(code)


class MpiCommunicator(Communicator):
    """The ranks of an mpi4py communicator.

    Args:
        mpi: the module ``mpi4py.MPI``, with MPI initialised.
        comm: an intracommunicator of it.
        largest_count: longer arrays travel in pieces of at most this many elements (reductions) or bytes.
    """

    def __init__(self, mpi: Any, comm: Any, largest_count: int = LARGEST_COUNT):
        self._mpi = mpi
        self._comm = comm
        self._largest_count = largest_count
        self.rank = int(comm.Get_rank())
        self.size = int(comm.Get_size())

    def sum(self, array: npt.ArrayLike) -> Array:
        return self._reduced(_reducible(array, _SUMMED), self._mpi.SUM)

    def sum_to_root(self, array: npt.ArrayLike) -> Array | None:
        local = _reducible(array, _SUMMED)
        flat = local.reshape(-1)
        for start in range(0, flat.size, self._largest_count):
            piece = flat[start : start + self._largest_count]
            sent, received = (self._mpi.IN_PLACE, piece) if self.rank == 0 else (piece, None)
            self._wait(self._comm.Ireduce(sent, received, op=self._mpi.SUM, root=0))
        return local if self.rank == 0 else None

    def max(self, array: npt.ArrayLike) -> Array:
        local = _reducible(array, _ORDERED)
        if local.dtype != np.float64:
            return self._reduced(local, self._mpi.MAX)
        # MPI leaves the maximum of a NaN and a number open, so that NaNs travel as flags beside the numbers.
        is_nan = np.isnan(local)
        both = self._reduced(np.stack([np.where(is_nan, -np.inf, local), is_nan]), self._mpi.MAX)
        return np.asarray(np.where(both[1] > 0, np.nan, both[0]))

    def min(self, array: npt.ArrayLike) -> Array:
        local = _reducible(array, _ORDERED)
        return -self.max(-local) if local.dtype == np.float64 else self._reduced(local, self._mpi.MIN)

    def _reduced(self, local: Array, operation: Any) -> Array:
        result = np.empty_like(local)
        sent, received = local.reshape(-1), result.reshape(-1)
        for start in range(0, sent.size, self._largest_count):
            piece = slice(start, start + self._largest_count)
            self._wait(self._comm.Iallreduce(sent[piece], received[piece], op=operation))
        return result

    def broadcast(self, array: Array) -> Array:
        flat = _flat_bytes(array)
        for start in range(0, flat.size, self._largest_count):
            self._wait(self._comm.Ibcast(flat[start : start + self._largest_count], root=0))
        return array

    def gather(self, array: npt.ArrayLike) -> Array | None:
        local = _with_rows(array)
        layouts = self._comm.allgather((local.shape, local.dtype.str))
        if len({(shape[1:], dtype) for shape, dtype in layouts}) > 1:
            raise ValueError(f"gather needs one dtype and one shape after axis 0, got {layouts}")
        result = None
        if self.rank == 0:
            result = np.empty((sum(shape[0] for shape, _ in layouts), *local.shape[1:]), dtype=local.dtype)
        row_bytes = local.dtype.itemsize * int(np.prod(local.shape[1:], dtype=np.int64))
        n_bytes = np.array([shape[0] for shape, _ in layouts], dtype=np.int64) * row_bytes
        self._gather_bytes(_flat_bytes(local), n_bytes, None if result is None else _flat_bytes(result))
        return result

    def _gather_bytes(self, sent: npt.NDArray[np.uint8], n_bytes: npt.NDArray[np.int64], result: Array | None) -> None:
        """Collective.  Gather ``n_bytes[rank]`` bytes of each rank into the root's ``result``."""
        if n_bytes.sum() <= self._largest_count:
            self._comm.Gatherv(sent, None if result is None else [result, n_bytes.tolist()], root=0)
            return
        starts = np.concatenate([[0], np.cumsum(n_bytes)[:-1]])
        share = max(1, self._largest_count // self.size)  # of each rank in one round
        for done in range(0, int(n_bytes.max()), share):
            counts = np.clip(n_bytes - done, 0, share)
            received = None if result is None else np.empty(int(counts.sum()), dtype=np.uint8)
            mine = sent[done : done + int(counts[self.rank])]
            self._comm.Gatherv(mine, None if received is None else [received, counts.tolist()], root=0)
            if result is not None and received is not None:
                for start, piece in zip(starts + done, np.split(received, np.cumsum(counts)[:-1]), strict=True):
                    result[start : start + piece.size] = piece

    def exchange(self, sent: Sequence[Array], received: Sequence[Array]) -> None:
        outgoing = np.concatenate([_flat_bytes(array) for array in sent])
        counts = [array.nbytes for array in sent], [array.nbytes for array in received]
        incoming = np.empty(sum(counts[1]), dtype=np.uint8)
        if max(outgoing.size, incoming.size) > self._largest_count:
            raise ValueError(f"an exchange of {max(outgoing.size, incoming.size)} bytes is too large for one message")
        self._wait(self._comm.Ialltoallv([outgoing, counts[0], self._mpi.BYTE], [incoming, counts[1], self._mpi.BYTE]))
        for array, part in zip(received, np.split(incoming, np.cumsum(counts[1])[:-1]), strict=True):
            _flat_bytes(array)[:] = part

    def broadcast_object(self, value: T) -> T:
        result: T = self._comm.bcast(value, root=0)
        return result

    def on_root(self, function: Callable[[], T]) -> T | None:
        value, failure = _attempt(function) if self.rank == 0 else ([], None)
        failed = np.array([failure is not None], dtype=np.int64)
        self._wait(self._comm.Ibcast(failed, root=0))
        if failed[0]:
            packed = self.broadcast_object(None if failure is None else _packed(failure))
            raise failure or _unpacked(packed)
        return value[0] if value else None

    def root_value(self, function: Callable[[], T]) -> T:
        kept: list[T] = []

        def packed_value() -> bytes:
            kept.append(function())
            return pickle.dumps(kept[0])

        packed = self.broadcast_object(self.on_root(packed_value))
        if not kept:
            kept.append(pickle.loads(packed or b""))
        return kept[0]

    def _wait(self, request: Any) -> None:
        """Collective.  Wait for a request: at first awake, then asleep between looks.

        A blocking call would keep its core busy: where ranks share cores, or the root computes with threads, the
        others would take time from those they wait for (in the worst case a time slice for each message), and signals
        would not be seen.  The sleeps grow with the time waited, to 1 ms: some 5% of the wait at most.
        """
        started = time.perf_counter()
        while not request.Test():
            waited = time.perf_counter() - started
            if waited < AWAKE_SECONDS:
                os.sched_yield()
            else:
                time.sleep(min(waited / 20, 1e-3))

    def on_node(self, value: T) -> tuple[int, list[T]]:
        node = self._comm.Split_type(self._mpi.COMM_TYPE_SHARED, self.rank)
        try:
            return int(node.Get_rank()), node.allgather(value)
        finally:
            node.Free()

    def barrier(self) -> None:
        self._wait(self._comm.Ibarrier())

    def abort(self, code: int) -> NoReturn:
        flush_output()
        time.sleep(0.1)  # the launcher reads this rank's last lines; mpich's drops some of them otherwise
        self._comm.Abort(code)
        time.sleep(10)  # mpich's MPI_Abort may return before the launcher has ended this process
        os._exit(code)


def _reducible(array: npt.ArrayLike, dtypes: tuple[np.dtype[Any], ...]) -> Array:
    local = np.asarray(array, order="C")
    if local.dtype not in dtypes:
        raise TypeError(f"cannot reduce {local.dtype}: convert to one of {', '.join(map(str, dtypes))}")
    return local


def _with_rows(array: npt.ArrayLike) -> Array:
    local = np.asarray(array, order="C")
    if local.ndim == 0:
        raise ValueError("gather needs an array with at least one axis")
    return local


def _flat_bytes(array: Array) -> npt.NDArray[np.uint8]:
    """The array's memory, not a copy."""
    if not array.flags.c_contiguous:
        raise ValueError("the array must be contiguous in C order")
    return array.reshape(-1).view(np.uint8)


def _attempt(function: Callable[[], T]) -> tuple[list[T], PvmcError | None]:
    """``[function()]`` and None, or [] and the error that every rank is to raise for the one of this rank.

    The traceback of an error that nobody foresaw is printed here.
    """
    try:
        return [function()], None
    except PvmcError as error:
        failure = error
    except MemoryError as error:
        failure = OutOfMemory.of(error)
    except Exception as error:
        traceback.print_exception(error)
        failure = PvmcError(f"{type(error).__name__}: {error}")
        failure.__cause__ = error
    failure.collective = True
    return [], failure


def _packed(error: PvmcError) -> bytes:
    """Type and message, pickled; of a type that cannot be (a local class), its nearest base that can."""
    for kind in type(error).__mro__:
        try:
            return pickle.dumps((kind, str(error)))
        except (pickle.PicklingError, AttributeError):
            continue
    raise AssertionError("PvmcError itself can be pickled")


def _unpacked(packed: bytes | None) -> PvmcError:
    """The error of :func:`_packed`, whatever arguments its type's constructor wants."""
    kind, message = pickle.loads(packed or b"")
    error: PvmcError = kind.__new__(kind, message)
    error.collective = True
    return error


@dataclass(frozen=True)
class OnRoot(Generic[T]):
    """An object that rank 0 alone has, such as what writes the files, as all ranks use it.

    Attributes:
        root: the object, on rank 0; None elsewhere.
        comm: the ranks.
    """

    root: T | None
    comm: Communicator

    @classmethod
    def made(cls, make: Callable[[], T], comm: Communicator) -> OnRoot[T]:
        """Collective.  Make the object on rank 0.  A failure there is raised on every rank."""
        return cls(comm.on_root(make), comm)

    def do(self, action: Callable[[T], R]) -> R | None:
        """Collective.  The value of ``action(object)`` on rank 0; None elsewhere.  Raises as Communicator.on_root."""
        return self.comm.on_root(lambda: action(self._object()))

    def ask(self, question: Callable[[T], R]) -> R:
        """Collective.  The value of ``question(object)``, small and picklable, on every rank."""
        return self.comm.root_value(lambda: question(self._object()))

    def _object(self) -> T:
        assert self.root is not None, "rank 0 alone acts, and has the object"
        return self.root


def require_identical(comm: Communicator, array: Array, what: str) -> None:
    """Collective.  Check that every rank holds the same bytes, dtype and shape.

    Args:
        comm: the ranks to compare.
        array: what each rank believes to be common to all.
        what: its name in the message.

    Raises:
        DifferentRanks: some rank differs from rank 0 (raised on every rank, collective).
    """
    content = hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=8)
    content.update(f"{array.dtype.str} {array.shape}".encode())
    hashes = np.zeros(comm.size, dtype=np.int64)
    hashes[comm.rank] = np.frombuffer(content.digest(), dtype=np.int64)[0]
    hashes = comm.sum(hashes)
    different = np.flatnonzero(hashes != hashes[0])
    if different.size:
        error = DifferentRanks(
            f"{what} differs between ranks: {', '.join(map(str, different))} against rank 0. "
            "All nodes must have the same kind of processor and the same libraries"
        )
        error.collective = True
        raise error


def block_range(n_blocks: int, rank: int, size: int) -> range:
    """Rank ``rank``'s share of ``n_blocks`` blocks: contiguous, in order of rank; rank 0's is never the shorter."""
    share, left_over = divmod(n_blocks, size)
    start = rank * share + min(rank, left_over)
    return range(start, start + share + (rank < left_over))


def flush_output() -> None:
    """Pass on what this process has printed."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # the reader is gone, or the stream closed: nobody to tell
            stream.flush()
