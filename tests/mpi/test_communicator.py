"""The parallel layer without ranks of its own: the serial communicator, launchers, and how jobs end.

How several ranks end is seen from outside: these tests start ``mpiexec`` and read what it prints and returns.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import pvmc
from pvmc.errors import InputError, NumericalError, PvmcError, StorageError
from pvmc.mpi import (
    Launcher,
    SerialCommunicator,
    block_range,
    describe_mpi,
    describe_threads,
    launcher,
    limit_threads,
    mpi_library,
    require_identical,
    run_main,
    world,
)
from pvmc.mpi.launch import speaks_with

HANG_SECONDS = 60
"""A job that has not ended by then hangs; each of those below takes less than a second."""

SECONDS = 20
"""In which a failure of one rank ends all; about two, on a machine with nothing else to do."""

_LAUNCHER_VARIABLES = re.compile("PMI|PMIX|OMPI_COMM|MV2_COMM|SLURM|PALS|PVMC")


@pytest.fixture(autouse=True)
def _started_by_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also where these tests run inside a SLURM job; what an aborted mpiexec leaves behind goes with the test."""
    for name in list(os.environ):
        if _LAUNCHER_VARIABLES.match(name) and name != "PVMC_NO_MPI":
            monkeypatch.delenv(name)
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def run_python(code: str, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program that has ``world``, ``run_main`` and the errors at hand, behind a launching command."""
    imports = """
        import os, sys, time
        import numpy as np
        from pvmc.errors import InputError, NumericalError, PvmcError, on_every_rank
        from pvmc.mpi import run_main, world
    """
    program = textwrap.dedent(imports) + textwrap.dedent(code)
    return subprocess.run(
        [*command, sys.executable, "-c", program],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )


# One process ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.complex128, np.int64])
def test_serial_reductions_are_copies(dtype: type) -> None:
    comm = SerialCommunicator()
    array: np.ndarray = np.arange(6).reshape(2, 3).astype(dtype)
    reduced = [comm.sum(array), comm.gather(array)]
    if dtype is not np.complex128:
        reduced += [comm.max(array), comm.min(array)]
    for result in reduced:
        np.testing.assert_array_equal(result, array)
        assert result.dtype == dtype and not np.shares_memory(result, array)
    assert comm.broadcast(array) is array
    assert comm.broadcast_object("value") == "value"
    comm.barrier()
    require_identical(comm, array, "theta")


def test_serial_refuses_what_mpi_refuses() -> None:
    comm = SerialCommunicator()
    with pytest.raises(TypeError, match="float32"):
        comm.sum(np.zeros(2, dtype=np.float32))
    with pytest.raises(TypeError, match="complex128"):
        comm.max(np.zeros(2, dtype=np.complex128))
    with pytest.raises(ValueError, match="contiguous"):
        comm.broadcast(np.zeros((2, 3)).T)
    with pytest.raises(ValueError, match="at least one axis"):
        comm.gather(1.0)
    there, here = np.zeros((2, 3)), np.zeros((3, 2))
    for sent, received in ((here.T, there), (there, here.T)):
        with pytest.raises(ValueError, match="contiguous"):
            comm.exchange([sent], [received])


@pytest.mark.parametrize("shape", [(4,), (0,), (0, 3), (2, 3), ()])
def test_serial_exchange_is_a_copy(shape: tuple[int, ...]) -> None:
    for dtype in (np.float64, np.complex128, np.int8):
        sent = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
        received = np.full(shape, 7, dtype=dtype)
        SerialCommunicator().exchange([sent], [received])
        np.testing.assert_array_equal(received, sent)
        assert not np.shares_memory(sent, received)


def test_serial_on_root(capsys: pytest.CaptureFixture[str]) -> None:
    comm = SerialCommunicator()
    assert comm.on_root(lambda: 3) == comm.root_value(lambda: 3) == 3

    def fail() -> None:
        raise StorageError("disk full")

    with pytest.raises(StorageError, match="^disk full$") as caught:
        comm.on_root(fail)
    assert caught.value.collective and capsys.readouterr().err == ""
    with pytest.raises(PvmcError, match="^KeyError: 'PVMC_UNSET'$") as caught_key:
        comm.on_root(lambda: os.environ["PVMC_UNSET"])
    assert isinstance(caught_key.value.__cause__, KeyError)
    assert capsys.readouterr().err.count("Traceback") == 1


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 64])
@pytest.mark.parametrize("n_blocks", [0, 1, 5, 63, 64, 65, 1000])
def test_block_range(n_blocks: int, size: int) -> None:
    shares = [block_range(n_blocks, rank, size) for rank in range(size)]
    assert [block for share in shares for block in share] == list(range(n_blocks))
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1
    assert lengths[0] == max(lengths)


# Memory order ---------------------------------------------------------------------------------------------------------


BUFFER_CALLS = {"Iallreduce", "Ireduce", "Ibcast", "Gatherv", "Ialltoallv"}
"""What pvmc calls of mpi4py with memory of arrays; test_parallel.py has each of them on arrays of every layout."""


def test_there_are_no_other_calls_with_buffers() -> None:
    """mpi4py's calls with memory have a capital; whoever adds one adds it to the tests on ranks."""
    words = "send|recv|sendrecv|bcast|reduce|allreduce|scan|exscan|gather|allgather|scatter|alltoall|accumulate"
    capitals = "|".join(word.capitalize() for word in words.split("|"))
    call = re.compile(rf"(I({words})|[BRS](send)|({capitals}))(_\w+|v|w)?")
    for path in Path(pvmc.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        found = {name for name in names if call.fullmatch(name)}
        assert found == (BUFFER_CALLS if path.name == "communicator.py" else set()), path


# Launchers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "rank", "size"),
    [
        ({"PMI_RANK": "2", "PMI_SIZE": "4"}, 2, 4),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "3", "PMIX_RANK": "1"}, 1, 3),
        ({"SLURM_PROCID": "5", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "8", "PMIX_RANK": "5"}, 5, 8),
        # Hydra inside a SLURM job: srun starts one helper on each node, the helper starts the ranks.
        (
            {"PMI_RANK": "6", "PMI_SIZE": "8", "SLURM_PROCID": "1", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2"},
            6,
            8,
        ),
        ({"PALS_RANKID": "3"}, 3, None),
    ],
)
def test_launchers(environment: dict[str, str], rank: int, size: int | None) -> None:
    found = launcher(environment)
    assert found is not None and (found.rank, found.size) == (rank, size)


def test_a_batch_script_is_no_launcher() -> None:
    assert launcher({}) is None
    assert launcher({"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_NTASKS": "8"}) is None


def test_describe_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("PMI_SIZE", "3")
    found = launcher()
    assert isinstance(found, Launcher) and found.size == 3
    assert describe_mpi()["launcher"] == f"{found.name}, 3 processes"


def test_no_mpi_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PVMC_NO_MPI", "1")
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("PMI_SIZE", "3")
    assert isinstance(world(), SerialCommunicator)


def test_mpi_starts_in_world_and_not_before(mpiexec: str) -> None:
    done = run_python(
        """
        import pvmc.mpi as parallel
        assert "mpi4py" not in sys.modules
        parallel.describe_mpi(), parallel.mpi_library()
        assert run_main(lambda: 0) == 0
        from mpi4py import MPI
        assert not MPI.Is_initialized()
        comm = world()
        assert MPI.Is_initialized() and comm.size == 1 and isinstance(comm, parallel.MpiCommunicator)
        assert world().size == 1
        """
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_serial_without_an_mpi_library(mpiexec: str) -> None:
    done = run_python("print(type(world()).__name__)", MPI4PY_LIBMPI="/nowhere/libmpi.so")
    assert (done.returncode, done.stdout) == (0, "SerialCommunicator\n"), done.stderr


ONE_OF_FOUR = """
def main():
    world()
    return 0
sys.exit(run_main(main))
"""


def test_launcher_without_an_mpi_library(mpiexec: str) -> None:
    done = run_python(ONE_OF_FOUR, PMI_RANK="0", PMI_SIZE="4", MPI4PY_LIBMPI="/nowhere/libmpi.so")
    assert done.returncode == 2
    assert done.stderr.startswith("pvmc: error: a PMI launcher") and "MPI cannot be loaded" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("rank", "speaks"), [(0, True), (1, False), (3, False)])
def test_launcher_of_another_mpi_is_refused(mpiexec: str, rank: int, speaks: bool) -> None:
    """Each of four processes would be a world of its own: the first says so, all end with the code of bad input."""
    for variables in (
        {"PMI_RANK": str(rank), "PMI_SIZE": "4"},
        {"OMPI_COMM_WORLD_RANK": str(rank), "OMPI_COMM_WORLD_SIZE": "4"},
        {"SLURM_PROCID": str(rank), "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4"},
    ):
        done = run_python(ONE_OF_FOUR, **variables)
        assert done.returncode == 2, done.stderr
        if speaks:
            problem = r"(sees 1|does not know its language)"
            line = rf"pvmc: error: .* started 4 processes, but .* {problem}: .*\n"
            assert re.fullmatch(line, done.stderr), done.stderr
            assert "mpiexec" in done.stderr and "MPI4PY_LIBMPI" in done.stderr
        else:
            assert done.stderr == ""


@pytest.mark.parametrize(("rank", "speaks"), [(0, True), (1, False)])
def test_launcher_of_a_language_that_the_library_does_not_know(mpiexec: str, rank: int, speaks: bool) -> None:
    """MPICH would abort when it starts, in its own words, each process for itself."""
    if not mpi_library().startswith("MPICH"):
        pytest.skip(f"{mpi_library()} may know it")
    variables = {"OMPI_COMM_WORLD_RANK": str(rank), "OMPI_COMM_WORLD_SIZE": "2", "PMIX_NAMESPACE": "a@1"}
    done = run_python(ONE_OF_FOUR, **variables, PMIX_RANK=str(rank))
    assert (done.returncode, done.stderr.count("\n")) == (2, int(speaks)), done.stderr
    assert not speaks or "started 2 processes, but the MPI library (MPICH" in done.stderr


OPEN_MPI, MPICH = "Open MPI v5.0.11, package: ...", "MPICH Version:      5.0.2\nMPICH configure:    --with-pm=hydra\n"


@pytest.mark.parametrize(
    ("description", "variables", "several", "speaks"),
    [
        (OPEN_MPI, {"PMIX_RANK": "0", "PMIX_NAMESPACE": "a"}, True, True),
        (OPEN_MPI, {"PMI_RANK": "0", "PMI_SIZE": "2"}, True, False),
        (OPEN_MPI, {"PMI_RANK": "0", "PMI_SIZE": "1"}, False, True),
        (OPEN_MPI.replace("v5", "v4"), {"PMI_RANK": "0", "PMI_SIZE": "2"}, True, True),  # built with it, perhaps
        (MPICH, {"PMI_RANK": "0", "PMI_FD": "7"}, True, True),
        (MPICH, {"PMIX_RANK": "0", "PMIX_NAMESPACE": "a"}, True, False),
        (MPICH, {"PMIX_RANK": "0", "PMIX_NAMESPACE": "a"}, False, False),
        (MPICH, {"PMIX_RANK": "0", "PMI_FD": "7"}, True, True),  # mpiexec within a job of another launcher
        (MPICH + "--with-pmix=/usr", {"PMIX_RANK": "0", "PMIX_NAMESPACE": "a"}, True, True),
        ("Intel(R) MPI Library 2021", {"PMIX_RANK": "0"}, True, True),
    ],
)
def test_languages(description: str, variables: dict[str, str], several: bool, speaks: bool) -> None:
    assert speaks_with(description, variables, several) == speaks


# Ends of one process --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (PvmcError("odd"), 1, "pvmc: error: odd\n"),
        (InputError("alpha = 0"), 2, "pvmc: error: alpha = 0\n"),
        (NumericalError("NaN"), 3, "pvmc: error: NaN\n"),
        (StorageError("disk full"), 4, "pvmc: error: disk full\n"),
        (KeyboardInterrupt(), 130, "pvmc: interrupted\n"),
        (BrokenPipeError(), 141, ""),
        (SystemExit(0), 0, ""),
        (SystemExit(2), 2, ""),
        (SystemExit("why"), 1, "why\n"),
    ],
)
def test_exit_codes(error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        raise error

    assert run_main(main) == code
    assert capsys.readouterr() == ("", message)


def test_a_bug_shows_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(lambda: 1 // 0) == 1
    text = capsys.readouterr().err
    assert text.startswith("Traceback") and "pvmc: error: ZeroDivisionError: " in text


def test_reader_that_has_gone() -> None:
    """``pvmc info | head -1``: neither a traceback nor Python's complaint at exit."""
    code = "sys.exit(run_main(lambda: print('line\\n' * 100_000) or 0))"
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys; from pvmc.mpi import run_main\n{code}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "line\n"
    process.stdout.close()
    assert process.wait(HANG_SECONDS) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


# Ends of several ranks ------------------------------------------------------------------------------------------------


def run_ranks(mpiexec: str, ranks: int, body: str) -> subprocess.CompletedProcess[str]:
    """A main function of these lines, with ``comm``, on so many ranks."""
    lines = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    code = f"def main():\n    comm = world()\n{lines}\n    return 0\nsys.exit(run_main(main))\n"
    return run_python(code, mpiexec, "-n", str(ranks))


ENDS: dict[str, tuple[int, str, int, tuple[str, ...], bool]] = {
    "an error": (
        3,
        """
        if comm.rank == 1:
            raise NumericalError("the energy is NaN")
        comm.barrier()
        time.sleep(3600)
        """,
        3,
        ("[rank 1] pvmc: error: the energy is NaN\n",),
        False,
    ),
    "a bug": (
        3,
        """
        if comm.rank == 2:
            np.zeros(3)[comm.rank + 5]
        comm.on_root(lambda: time.sleep(3600))
        """,
        1,
        ("[rank 2] Traceback", "pvmc: error: IndexError: "),
        True,
    ),
    "an exception after others have begun to wait": (
        2,
        """
        comm.barrier()
        if comm.rank == comm.size - 1:
            raise RuntimeError("one of us")
        time.sleep(3600)
        """,
        1,
        ("[rank 1] Traceback", "RuntimeError: one of us (a bug: please report it)\n"),
        True,
    ),
    "an interrupt": (
        2,
        "if comm.rank == 1: raise KeyboardInterrupt\ncomm.barrier()",
        130,
        ("[rank 1] pvmc: interrupted",),
        False,
    ),
    "sys.exit": (2, "if comm.rank == 1: sys.exit(5)\ncomm.barrier()", 5, (), False),
}
"""Ranks, the main function, its exit code, what stderr holds once, and True where it holds a traceback."""


@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_one_rank_ends_all_within_seconds(mpiexec: str, end: str) -> None:
    ranks, body, code, messages, traceback = ENDS[end]
    begin = time.monotonic()
    done = run_ranks(mpiexec, ranks, body)
    assert done.returncode == code, done.stderr
    assert [done.stderr.count(message) for message in messages] == [1] * len(messages)
    assert ("Traceback" in done.stderr) == traceback
    assert time.monotonic() - begin < SECONDS


def test_collective_error_is_one_message_and_no_abort(mpiexec: str) -> None:
    done = run_ranks(
        mpiexec,
        3,
        """
        def fail():
            raise InputError("chain.toml: alpha = -1: must be positive")
        comm.on_root(fail)
        """,
    )
    assert done.returncode == 2
    own_lines = [line for line in done.stderr.splitlines() if "pvmc" in line]
    assert own_lines == ["pvmc: error: chain.toml: alpha = -1: must be positive"]
    assert "Abort" not in done.stderr and "BAD TERMINATION" not in done.stderr and "Traceback" not in done.stderr


def test_wrong_command_line_before_mpi_is_one_message(mpiexec: str) -> None:
    done = run_python(
        """
        def main():
            raise InputError("--set needs KEY=VALUE")
        sys.exit(run_main(main))
        """,
        *(mpiexec, "-n", "3"),
    )
    assert done.returncode == 2
    assert done.stderr.count("pvmc: error: --set needs KEY=VALUE") == 1 and "[rank" not in done.stderr


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("struck", [0, 1])
def test_killed_rank_ends_all_within_seconds(mpiexec: str, ranks: int, struck: int) -> None:
    """As by the system for lack of memory: the rank says nothing, and the others wait for it inside MPI."""
    begin = time.monotonic()
    done = run_ranks(
        mpiexec,
        ranks,
        f"""
        comm.barrier()
        if comm.rank == {struck}:
            os.kill(os.getpid(), 9)
        comm.barrier()
        """,
    )
    assert done.returncode not in (0, 75), done.stderr
    assert time.monotonic() - begin < SECONDS


# Descriptions ---------------------------------------------------------------------------------------------------------


def test_describe_mpi(mpiexec: str) -> None:
    described = describe_mpi()
    assert re.match("MPICH|Open MPI|Intel|MVAPICH", described["library"])
    assert described["library"] == mpi_library()
    assert re.fullmatch(r"\d+\.\d+", described["standard"]) and described["mpi4py"][0].isdigit()
    assert described["launcher"] == "none"


def test_limit_threads() -> None:
    np.ones((4, 4)) @ np.ones((4, 4))
    before = describe_threads()
    assert before, "threadpoolctl sees numpy's BLAS"
    try:
        assert set(limit_threads(2).values()) <= {1, 2}  # 1: a library built without threads
        assert set(limit_threads(1).values()) == {1}
    finally:
        limit_threads(max(before.values()))
