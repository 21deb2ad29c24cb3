"""Ranks and their communication: reductions, work done by the root alone, and errors that end every rank.

The only module that imports mpi4py.  Importing it does not start MPI; :func:`world` does.  Every method whose
docstring begins with "Collective." must be called by all ranks of the communicator, in the same order.

How a program ends (:func:`run_main`):

- an error that all ranks raise together (``collective = True``; :meth:`Communicator.on_root` makes such errors)
  is printed once, and every rank leaves in good order with the error's exit code;
- any other error of one rank is printed by that rank, which then aborts the job, so that no rank waits for ever.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import pickle
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import threadpoolctl

from pvmc.errors import InputError, NumericalError, PvmcError

T = TypeVar("T")
Array = npt.NDArray[Any]

LARGEST_COUNT = 2**31 - 1
"""Largest count in one MPI call: a C int in every MPI before version 4."""

AWAKE_SECONDS = 3e-4
"""How long a waiting rank looks for messages without sleeping: longer than a small collective takes."""

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

    def max(self, array: npt.ArrayLike) -> Array:
        return _reducible(array, _ORDERED).copy()

    def min(self, array: npt.ArrayLike) -> Array:
        return self.max(array)

    def broadcast(self, array: Array) -> Array:
        _flat_bytes(array)
        return array

    def gather(self, array: npt.ArrayLike) -> Array:
        return _with_rows(array).copy()

    def broadcast_object(self, value: T) -> T:
        return value

    def on_root(self, function: Callable[[], T]) -> T:
        return self.root_value(function)

    def root_value(self, function: Callable[[], T]) -> T:
        value, failure = _attempt(function)
        if failure is not None:
            raise failure
        return value[0]

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

    def barrier(self) -> None:
        self._wait(self._comm.Ibarrier())

    def abort(self, code: int) -> NoReturn:
        _flush()
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


# Errors ---------------------------------------------------------------------------------------------------------------


def _attempt(function: Callable[[], T]) -> tuple[list[T], PvmcError | None]:
    """``[function()]`` and None, or [] and the error that every rank is to raise for the one of this rank.

    The traceback of an error that nobody foresaw is printed here.
    """
    try:
        return [function()], None
    except PvmcError as error:
        failure = error
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


def everywhere(function: Callable[[], T]) -> T:
    """Run ``function()`` on every rank, where all have the same input and so meet the same errors.

    Not collective: it does not communicate.

    Raises:
        PvmcError: ``function`` raised it; it now counts as collective and is printed once.  Any other error of
            ``function`` passes unchanged.
    """
    try:
        return function()
    except PvmcError as error:
        error.collective = True
        raise


def require_identical(comm: Communicator, array: Array, what: str) -> None:
    """Collective.  Check that every rank holds the same bytes, dtype and shape.

    Args:
        comm: the ranks to compare.
        array: what each rank believes to be common to all.
        what: its name in the message.

    Raises:
        NumericalError: some rank differs from rank 0 (raised on every rank, collective).
    """
    content = hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=8)
    content.update(f"{array.dtype.str} {array.shape}".encode())
    hashes = np.zeros(comm.size, dtype=np.int64)
    hashes[comm.rank] = np.frombuffer(content.digest(), dtype=np.int64)[0]
    hashes = comm.sum(hashes)
    different = np.flatnonzero(hashes != hashes[0])
    if different.size:
        error = NumericalError(
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


# Starting -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Launcher:
    """What the program that started this process says of itself in the environment.

    Attributes:
        name: the program, in words.
        rank: this process's number among those it started.
        size: how many it started; None where it does not say.
    """

    name: str
    rank: int
    size: int | None


# The nearest launcher first: mpiexec itself may use srun to start its helpers on the nodes.
_LAUNCHERS = (
    ("Open MPI's mpiexec", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("MVAPICH's mpiexec", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    ("a PMI launcher (mpiexec of MPICH or Intel MPI, or srun --mpi=pmi2)", "PMI_RANK", "PMI_SIZE"),
    ("srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ("PALS' mpiexec", "PALS_RANKID", ""),
    ("a PMIx launcher", "PMIX_RANK", ""),
)


def launcher(environment: Mapping[str, str] = os.environ) -> Launcher | None:
    """The MPI launcher that started this process, or None when it was started by hand."""
    for name, rank, size in _LAUNCHERS:
        if name == "srun" and "SLURM_STEP_ID" not in environment:
            continue  # a batch script has SLURM_PROCID too, but is no step
        if rank in environment or size in environment:
            return Launcher(name, _number(environment.get(rank)) or 0, _number(environment.get(size)))
    return None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _load_mpi() -> Any:
    """The module ``mpi4py.MPI``, MPI not yet initialised; finalised at exit if it ever is."""
    import mpi4py

    mpi4py.rc.initialize = False
    mpi4py.rc.finalize = True
    return importlib.import_module("mpi4py.MPI")


def world() -> Communicator:
    """Collective.  All ranks of this job; starts MPI.

    Without mpi4py or an MPI library, and where the variable PVMC_NO_MPI=1 asks for it, this process alone.

    Raises:
        InputError: a launcher started several processes, but MPI cannot be loaded, or each would be a world of its own.
    """
    if os.environ.get("PVMC_NO_MPI") == "1":
        return SerialCommunicator()
    started_by = launcher()
    try:
        mpi = _load_mpi()
    except (ImportError, RuntimeError) as error:
        if started_by is None or started_by.size == 1:
            return SerialCommunicator()
        raise _start_error(
            f"{started_by.name} started this program, but MPI cannot be loaded ({_one_line(error)}). Install mpi4py "
            "and the MPI library that this launcher belongs to, or set MPI4PY_LIBMPI to that library's file"
        ) from error
    if not mpi.Is_initialized():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # mpi4py warns of what is refused below
            mpi.Init_thread(mpi.THREAD_FUNNELED)
    comm = MpiCommunicator(mpi, mpi.COMM_WORLD)
    if started_by is not None:
        _require_one_world(started_by, comm.size, _library_name(mpi))
    return comm


def _require_one_world(started_by: Launcher, size: int, library: str) -> None:
    if started_by.size is None or started_by.size == size:
        return
    raise _start_error(
        f"{started_by.name} started {started_by.size} processes, but the MPI library ({library}) sees {size}: "
        "launcher and library belong to different MPIs, and each process would do the whole run. Use this library's "
        "own mpiexec (for srun: --mpi=pmi2 with MPICH, --mpi=pmix with Open MPI), or point MPI4PY_LIBMPI to the "
        "launcher's library; PVMC_NO_MPI=1 runs independent copies on purpose"
    )


def _start_error(message: str) -> InputError:
    error = InputError(message)
    error.collective = True  # every process of the launcher finds the same
    return error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _library_name(mpi: Any) -> str:
    """First line of the library's description, such as "MPICH Version: 5.0.0" or "Open MPI v5.0.8"."""
    return " ".join(mpi.Get_library_version().strip("\x00\n ").splitlines()[0].split(",")[0].split())


# Describing -----------------------------------------------------------------------------------------------------------


def limit_threads(n_threads: int) -> dict[str, int]:
    """Let the linear algebra libraries of this process use ``n_threads`` threads.

    Ranks that together have more threads than cores slow each other down many times over.

    Returns:
        Threads now in use, by library: those loaded when it was called (numpy's, scipy's).
    """
    threadpoolctl.threadpool_limits(limits=n_threads)
    return describe_threads()


def describe_threads() -> dict[str, int]:
    """Threads of the linear algebra and OpenMP libraries loaded now, by name, version and file name."""
    threads = {}
    for pool in threadpoolctl.threadpool_info():
        name = f"{pool['internal_api']} {pool['version'] or ''}".strip()
        threads[f"{name} ({os.path.basename(pool['filepath'])})"] = int(pool["num_threads"])
    return threads


def mpi_library() -> str:
    """Name and version of the MPI library; empty without one.  Does not start MPI."""
    try:
        return _library_name(_load_mpi())
    except (ImportError, RuntimeError):
        return ""


def describe_mpi() -> dict[str, str]:
    """The MPI in use: ``library``, ``standard``, ``mpi4py``, ``launcher``.  Does not start MPI."""
    started_by = launcher()
    launched = "none" if started_by is None else f"{started_by.name}, {started_by.size or '?'} processes"
    try:
        mpi = _load_mpi()
    except (ImportError, RuntimeError) as error:
        return {"library": f"none ({_one_line(error)})", "standard": "", "mpi4py": "", "launcher": launched}
    return {
        "library": _library_name(mpi),
        "standard": ".".join(map(str, mpi.Get_version())),
        "mpi4py": importlib.import_module("mpi4py").__version__,
        "launcher": launched,
    }


# Ending ---------------------------------------------------------------------------------------------------------------


def run_main(main: Callable[[], int]) -> int:
    """Run a program's main function and turn what it raises into messages and an exit code.

    Does not start MPI.  In a world of one rank, and for a collective error, the root prints one line and every rank
    returns the exit code.  Any other error in a larger world aborts the job from here, with this rank's message.
    Before MPI is started, a process knows no other: of an :class:`~pvmc.errors.InputError` raised then (a wrong command
    line, the same for all) only the launcher's first process speaks.

    Returns:
        ``main``'s value, the error's ``exit_code``, 1 for an error that nobody foresaw, 130 when interrupted from the
        keyboard, 141 when the reader of our output has gone.
    """
    try:
        code = main()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _discard_output()
        return _leave(141)
    except KeyboardInterrupt:
        return _leave(130, "pvmc: interrupted")
    except SystemExit as leaving:  # argparse's way out, its message already printed
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        return _leave(code, "" if isinstance(leaving.code, int) else str(leaving.code)) if code else 0
    except PvmcError as error:
        if error.collective:
            if _print_rank() == 0:
                _print(f"pvmc: error: {error}")
            return error.exit_code
        return _leave(error.exit_code, f"pvmc: error: {error}", only_first=isinstance(error, InputError))
    except Exception as error:
        details = "".join(traceback.format_exception(error))
        return _leave(1, f"{details}pvmc: error: {type(error).__name__}: {error} (a bug: please report it)")


def _leave(code: int, message: str = "", only_first: bool = False) -> int:
    """Print this rank's message; abort a world of several ranks, else return the code."""
    comm = _running_world()
    if comm is not None and comm.size > 1:
        if message:
            _print(f"[rank {comm.rank}] {message}")
        comm.abort(code)
    rank = _print_rank()
    if message and rank == 0:
        _print(message)
    elif message and not only_first:
        _print(f"[rank {rank}] {message}")
    return code


def _running_world() -> MpiCommunicator | None:
    """The world, if something has started MPI."""
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is None or not mpi.Is_initialized() or mpi.Is_finalized():
        return None
    return MpiCommunicator(mpi, mpi.COMM_WORLD)


def _print_rank() -> int:
    """This process's number: MPI's where it sees the others, else the launcher's."""
    comm = _running_world()
    if comm is not None and comm.size > 1:
        return comm.rank
    started_by = launcher()
    return 0 if started_by is None else started_by.rank


def _print(message: str) -> None:
    print(message, file=sys.stderr)
    _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # the reader is gone, or the stream closed: nobody to tell
            stream.flush()


def _discard_output() -> None:
    """Point stdout nowhere, so that Python's own flush at exit does not complain once more."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
