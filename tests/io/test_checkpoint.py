"""Checkpoints: whole or refused, the last two kept, and no start from nothing where all are damaged."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pvmc.errors import StorageError
from pvmc.io import schema
from pvmc.io.checkpoint import (
    Checkpoint,
    Part,
    latest_checkpoint,
    list_checkpoints,
    read_checkpoint,
    remove_checkpoints,
    write_checkpoint,
)
from tests.helpers import mounted_disk
from tests.run_files import printed_by, write_layout_1

K, SHAPE = 6, (3, 4, 8)


def checkpoint(iteration: int = 5, **changes: Any) -> Checkpoint:
    rng = np.random.default_rng(iteration)
    whole = Checkpoint(
        iteration=iteration,
        theta=rng.normal(size=K) + 1j * rng.normal(size=K),
        spins=(1 - 2 * rng.integers(0, 2, SHAPE)).astype(np.int8),
        parts={
            "memory": {"momentum": rng.normal(size=K), "count": np.array(iteration)},
            "rollback": {"before": {"theta": rng.normal(size=K), "memory": {}}},
        },
        config='[run]\nseed = 3  # "é"\n',
        attributes={"seed": 3, "pvmc_version": "0.1", "host": "größe"},
    )
    return replace(whole, **changes)


def assert_same(one: Checkpoint, other: Checkpoint) -> None:
    assert (one.iteration, one.config, dict(one.attributes)) == (other.iteration, other.config, dict(other.attributes))
    assert_same_part(
        {"theta": one.theta, "spins": one.spins, "parts": one.parts},
        {"theta": other.theta, "spins": other.spins, "parts": other.parts},
    )


def assert_same_part(one: Part, other: Part) -> None:
    assert one.keys() == other.keys()
    for name, a in one.items():
        b: Any = other[name]
        if isinstance(a, Mapping):
            assert_same_part(a, b)
        else:
            assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


@pytest.mark.parametrize(
    "changes", [{}, {"theta": np.arange(3.0), "parts": {}}, {"config": "x" * 100_000, "attributes": {}}]
)
def test_what_is_read_is_what_was_written(tmp_path: Path, changes: dict[str, Any]) -> None:
    written = checkpoint(12, **changes)
    path = write_checkpoint(tmp_path / "new" / "run", written)
    assert path == tmp_path / "new" / "run" / "checkpoint-00000012.h5"
    assert names(path.parent) == [path.name]
    assert_same(read_checkpoint(path), written)


def test_file_is_hdf5_with_a_text_header(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, checkpoint())
    head = path.read_bytes()[: schema.CHECKPOINT_HEADER].decode().split("\n")
    length = path.stat().st_size - schema.CHECKPOINT_HEADER
    assert head[:3] == ["pvmc checkpoint", f"layout {schema.CHECKPOINT_LAYOUT}", f"length {length}"]
    with h5py.File(path) as file:
        assert file.userblock_size == schema.CHECKPOINT_HEADER
        assert set(file) == {name for name, *_ in schema.CHECKPOINT}
        assert {item.name for item in schema.CHECKPOINT_ATTRIBUTES} <= set(file.attrs)
        assert [axis.label for axis in file["spins"].dims] == ["block", "site", "lane"]
    page = schema.schema_markdown((), ())
    for name, *_ in schema.CHECKPOINT:
        assert f"| `{name}` |" in page


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for iteration in (5, 10, 15):
        write_checkpoint(tmp_path, checkpoint(iteration))
    write_checkpoint(tmp_path, checkpoint(100_000_000, config="old"))
    write_checkpoint(tmp_path, checkpoint(100_000_000))  # the same one is replaced
    assert names(tmp_path) == ["checkpoint-00000015.h5", "checkpoint-100000000.h5"]
    assert [file.iteration for file in list_checkpoints(tmp_path)] == [100_000_000, 15]
    newest, passed_over = latest_checkpoint(tmp_path)
    assert newest is not None
    assert_same(newest, checkpoint(100_000_000))
    assert passed_over == []
    remove_checkpoints(tmp_path)
    assert names(tmp_path) == []


def test_those_of_iterations_to_come_go(tmp_path: Path) -> None:
    """The last one was damaged: the run went back to the one before, and must not meet the damaged one again."""
    write_checkpoint(tmp_path, checkpoint(10))
    damaged = write_checkpoint(tmp_path, checkpoint(20))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    write_checkpoint(tmp_path, checkpoint(15))
    assert names(tmp_path) == ["checkpoint-00000010.h5", "checkpoint-00000015.h5"]


def test_one_recent_state_is_kept_between_checkpoints(tmp_path: Path) -> None:
    """It is read like a checkpoint, and pushes none of them out."""
    for iteration in (5, 10, 15):
        write_checkpoint(tmp_path, checkpoint(iteration))
    for iteration in (16, 17):
        path = write_checkpoint(tmp_path, checkpoint(iteration), lasting=False)
    assert path == tmp_path / "recent-00000017.h5"
    assert names(tmp_path) == ["checkpoint-00000010.h5", "checkpoint-00000015.h5", "recent-00000017.h5"]
    assert [(file.iteration, file.lasting) for file in list_checkpoints(tmp_path)] == [
        (17, False),
        (15, True),
        (10, True),
    ]
    newest, passed_over = latest_checkpoint(tmp_path)
    assert newest is not None and passed_over == []
    assert_same(newest, checkpoint(17))
    path.write_bytes(path.read_bytes()[:-1])  # a power cut
    newest, passed_over = latest_checkpoint(tmp_path)
    assert newest is not None and newest.iteration == 15 and "recent-00000017.h5 is cut short" in passed_over[0]
    write_checkpoint(tmp_path, checkpoint(16))
    assert names(tmp_path) == ["checkpoint-00000015.h5", "checkpoint-00000016.h5"]


def test_a_recent_state_of_iterations_that_no_longer_count_goes(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, checkpoint(10))
    write_checkpoint(tmp_path, checkpoint(20))
    write_checkpoint(tmp_path, checkpoint(23), lasting=False)
    write_checkpoint(tmp_path, checkpoint(15), lasting=False)
    assert names(tmp_path) == ["checkpoint-00000010.h5", "recent-00000015.h5"]
    write_checkpoint(tmp_path, checkpoint(12))
    assert names(tmp_path) == ["checkpoint-00000010.h5", "checkpoint-00000012.h5"]
    write_checkpoint(tmp_path, checkpoint(13), lasting=False)
    remove_checkpoints(tmp_path)
    assert names(tmp_path) == []


def test_directory_without_checkpoints_has_none(tmp_path: Path) -> None:
    (tmp_path / "run.h5").write_text("")
    (tmp_path / ".checkpoint-00000005.h5.here.1").write_text("")
    assert latest_checkpoint(tmp_path) == (None, [])
    assert latest_checkpoint(tmp_path / "nowhere") == (None, [])


def test_a_damaged_one_is_passed_over_and_named(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, checkpoint(10))
    path = write_checkpoint(tmp_path, checkpoint(20))
    flip(path, 3000)
    good, passed_over = latest_checkpoint(tmp_path)
    assert good is not None and good.iteration == 10
    assert passed_over == [f"{path} is damaged: its checksum is wrong"]
    flip(tmp_path / "checkpoint-00000010.h5", 3000)
    with pytest.raises(StorageError) as caught:
        latest_checkpoint(tmp_path)
    for name in names(tmp_path):
        assert f"{tmp_path / name} is damaged: its checksum is wrong" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4


def flip(path: Path, position: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def test_each_kind_of_damage_is_said(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, checkpoint())
    whole = path.read_bytes()
    length = len(whole) - 512
    cases = {
        b"": "is empty",
        whole[:5]: "is cut short: 5 bytes",
        whole[:-1]: f"is cut short: {length - 1} of {length} bytes",
        whole + b"x": f"is damaged: {length + 1} bytes after the header, {length} were written",
        whole[512:]: "is not a checkpoint of pvmc",
        whole.replace(b"layout 2", b"layout 3"): "is damaged: its checksum is wrong",
        whole[:400] + b"x" + whole[401:]: "is damaged: its header is not as it was written",
    }
    for content, message in cases.items():
        path.write_bytes(content)
        with pytest.raises(StorageError, match=re.escape(f"{path} {message}")):
            read_checkpoint(path)
    for other, message in ((tmp_path, "is not a file"), (tmp_path / "nowhere", "does not exist")):
        with pytest.raises(StorageError, match=message):
            read_checkpoint(other)


def test_newer_layout_asks_for_an_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("pvmc.io.checkpoint.CHECKPOINT_LAYOUT", 3)
        path = write_checkpoint(tmp_path, checkpoint())
        read_checkpoint(path)
    with pytest.raises(StorageError, match="has layout 3; this version reads layouts up to 2: update pvmc"):
        read_checkpoint(path)


def test_layout_1_of_a_run_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flat = {name: np.arange(3.0) + number for number, name in enumerate(("retry", "rejections", "last"))}
    memory, before = {"direction": np.arange(2.0), "memory_x": np.ones(1)}, {"direction": np.arange(2.0) - 7}
    state = {"theta": np.arange(6.0), "spins": np.ones((2, 2, 2), np.int8)}
    arrays = flat | {f"memory_{name}": values for name, values in memory.items()}
    without = {"memory": memory, "rollback": flat}
    write_layout_1(tmp_path, checkpoint(parts={}), arrays, monkeypatch)
    found, _ = latest_checkpoint(tmp_path)
    assert found is not None
    assert_same(found, checkpoint(parts=without))
    arrays |= {f"before_{name}": values for name, values in state.items()}
    arrays |= {f"before_memory_{name}": values for name, values in before.items()}
    write_layout_1(tmp_path, checkpoint(parts={}), arrays, monkeypatch)
    found, _ = latest_checkpoint(tmp_path)
    assert found is not None
    assert_same(
        found, checkpoint(parts={"memory": memory, "rollback": {**flat, "before": {**state, "memory": before}}})
    )


@pytest.mark.parametrize("arrays", [{}, {"sums": np.arange(4.0), "renyi2_sums": np.ones(2)}])
def test_layout_1_of_a_measurement_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrays: dict[str, Any]
) -> None:
    write_layout_1(tmp_path, checkpoint(parts={}), arrays, monkeypatch)
    found, _ = latest_checkpoint(tmp_path)
    assert found is not None
    assert_same(found, checkpoint(parts={"measurement": arrays} if arrays else {}))


def test_every_flipped_byte_and_every_cut_is_found(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, checkpoint())
    whole, bad = path.read_bytes(), tmp_path / "bad.h5"
    rng = np.random.default_rng(20170210)
    for number in range(200):
        content = bytearray(whole)
        if number % 4:
            position = int(rng.integers(len(whole) if number % 2 else schema.CHECKPOINT_HEADER))
            content[position] ^= 1 << int(rng.integers(8))
        else:
            del content[int(rng.integers(len(whole))) :]
        bad.write_bytes(content)
        with pytest.raises(StorageError) as caught:
            read_checkpoint(bad)
        assert str(caught.value).startswith(f"{bad} ") and "\n" not in str(caught.value)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"iteration": -1}, "iteration -1"),
    ({"theta": np.zeros((2, 3))}, "parameters of type float64 and shape (2, 3)"),
    ({"theta": np.zeros(3, np.float32)}, "parameters of type float32"),
    ({"theta": np.array([0.0, np.nan])}, "parameters that are not finite"),
    ({"spins": np.ones((4, 8), np.int8)}, "walkers of type int8 and shape (4, 8)"),
    ({"spins": np.ones(SHAPE)}, "walkers of type float64"),
    ({"spins": np.full(SHAPE, 2, np.int8)}, "spins other than +-1"),
    ({"spins": np.zeros(SHAPE, np.int8)}, "spins other than +-1"),
    ({"parts": {"p": {"x": np.array(["text"])}}}, "parts/p/x, which is no array of numbers"),
    ({"parts": {"p": {"q": {"a/b": np.zeros(2)}}}}, "an array of parts/p/q named 'a/b'"),
    ({"attributes": {"iteration": 3}}, "attributes of its own: iteration"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_wrong_contents_are_not_written(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        write_checkpoint(tmp_path, replace(checkpoint(), **changes))
    assert names(tmp_path) == []


@pytest.mark.parametrize(("changes", "message"), [*WRONG[1:4], *WRONG[5:8]])
def test_wrong_contents_with_a_right_checksum_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("pvmc.io.checkpoint._trouble", lambda checkpoint: "")
        path = write_checkpoint(tmp_path, checkpoint(**changes))
    with pytest.raises(StorageError, match=re.escape(message)):
        read_checkpoint(path)


def test_leftovers_of_dead_processes_go(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = os.uname().nodename
    dead = f".checkpoint-00000001.h5.{host}.{gone.pid}"
    alive = f".checkpoint-00000001.h5.{host}.{os.getppid()}"
    old, new = ".checkpoint-00000001.h5.else.where.7", ".checkpoint-00000001.h5.elsewhere.7"
    for name in (dead, alive, old, new, ".checkpoint-notes.h5.x.y"):
        (tmp_path / name).write_text("")
    hour_ago = time.time() - 3600
    os.utime(tmp_path / old, (hour_ago, hour_ago))
    write_checkpoint(tmp_path, checkpoint(2))
    assert names(tmp_path) == sorted([alive, new, ".checkpoint-notes.h5.x.y", "checkpoint-00000002.h5"])


WRITING = """
import sys
import numpy as np
from pvmc.errors import StorageError
from pvmc.io.checkpoint import Checkpoint, write_checkpoint
def attempt(iteration, size):
    spins = np.ones((size, 10, 100), np.int8)
    try:
        write_checkpoint(sys.argv[1], Checkpoint(iteration, np.zeros(5), spins))
        print(iteration, flush=True)
    except StorageError as error:
        print(error, flush=True)
"""


def test_full_disk_leaves_the_last_checkpoints(tmp_path: Path) -> None:
    with mounted_disk(tmp_path / "disk", "1m") as small_disk:
        lines = printed_by(WRITING + "for i, size in enumerate([200, 200, 2000, 700, 1]): attempt(i, size)", small_disk)
        full = "cannot write {}/checkpoint-{:08d}.h5: No space left on device"
        assert lines == ["0", "1", full.format(small_disk, 2), full.format(small_disk, 3), "4"]
        assert names(small_disk) == ["checkpoint-00000001.h5", "checkpoint-00000004.h5"]
        assert [read_checkpoint(file.path).iteration for file in list_checkpoints(small_disk)] == [4, 1]


def test_limit_of_a_file_leaves_the_last_checkpoints(tmp_path: Path) -> None:
    script = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
    lines = printed_by(WRITING + script + "for i, size in enumerate([20, 20, 200]): attempt(i, size)", tmp_path)
    assert lines == ["0", "1", f"cannot write {tmp_path}/checkpoint-00000002.h5: File too large"]
    assert names(tmp_path) == ["checkpoint-00000000.h5", "checkpoint-00000001.h5"]
    latest, passed_over = latest_checkpoint(tmp_path)
    assert latest is not None and latest.iteration == 1 and not passed_over


def test_kill_at_any_moment_leaves_a_good_one(tmp_path: Path) -> None:
    script = WRITING + "for i in range(int(sys.argv[2]), 10**6): attempt(i, 100)"
    rng = np.random.default_rng(7)
    last = 0
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path), str(last)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.03))
            process.send_signal(signal.SIGKILL)
            acknowledged = [int(line) for line in process.stdout if line.endswith("\n")]
        latest, passed_over = latest_checkpoint(tmp_path)
        assert latest is not None and latest.iteration >= max([last, *acknowledged]) and passed_over == []
        last = latest.iteration
    write_checkpoint(tmp_path, checkpoint(last + 1))
    assert len(names(tmp_path)) == 2


def test_unusable_directory_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*file/checkpoint-00000005\.h5: File exists"):
        write_checkpoint(tmp_path / "file", checkpoint())
    (tmp_path / "checkpoint-00000005.h5").mkdir()
    with pytest.raises(StorageError, match=r"cannot write .*checkpoint-00000005\.h5: Is a directory"):
        write_checkpoint(tmp_path, checkpoint())
    with pytest.raises(StorageError, match=r"checkpoint-00000005\.h5 is not a file"):
        latest_checkpoint(tmp_path)
