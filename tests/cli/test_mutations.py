"""Mutations of valid inputs: each has one answer, exit code 2 and nothing written, or is a proper input that runs."""

from __future__ import annotations

import copy
import json
import random
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tomlkit

from pvmc.cli import main
from pvmc.planning.rates import TYPICAL

SEEDS = {
    "heisenberg": """
lattice = { kind = "chain", length = 6, periodic = true }
hamiltonian = { model = "heisenberg", coupling = 1.0, field = 0.0 }
ansatz = { kind = "rbm", alpha = 1.0, symmetry = "translation", weights = "complex", init_scale = 0.05 }
sampler = { walkers = 16, block_width = 8, samples = 32, sweep = 6, burn_in = 2, discard = 1, start = "random" }
sr = { solver = "dense", learning_rate = 0.05, shift = { initial = 1.0, decay = 0.9, minimum = 1e-3 } }
run = { seed = 3, iterations = 1, save_every = 1, retries = 1, reference = "auto" }
""",
    "ising": """
lattice = { kind = "rectangle", size = [2, 3], periodic = [false, true] }
hamiltonian = { model = "ising", coupling = 1.0, field = { seed = 1, width = 0.5, mean = 1.0 } }
ansatz = { kind = "feedforward", widths = [4, 3], activation = ["tanh", "lncosh"], symmetry = "none" }
sampler = { kind = "exact", magnetization = "any", block_width = 16 }
sr = { factorisation = "eigen", cutoff = 1e-6, snr = 2.0, learning_rate = 0.05 }
run = { iterations = 1, time = { limit = "1h", margin = 5.0 }, checkpoint = { iterations = 1 } }
""",
    "terms": """
lattice = { kind = "graph", edges = [[0, 1], [1, 2, 0.5], [2, 3], [3, 0]], sites = 4 }
hamiltonian = { model = "terms", terms = [[-1.0, "Z0 Z1"], [0.5, "X2"]], patterns = [{ operator = "Xi Xj" }] }
ansatz = { kind = "projected", spin_flip = 1, inner = { kind = "rbm", alpha = 1.0, symmetry = "none" } }
sampler = { walkers = 8, block_width = 4, samples = 16, moves = { flip = 0.5, global_flip = 0.1, exchange = 0.4 } }
sr = { solver = "minsr", shift = 0.01, learning_rate = 0.02, largest_angle = 0.2 }
run = { iterations = 1, threads_per_rank = 1, stop = { variance = 1e-8 } }
""",
    "xxz": """
lattice = { kind = "ladder", length = 3, legs = 2, periodic = false }
hamiltonian = { model = "xxz", coupling = 1.0, anisotropy = 0.5 }
ansatz = { kind = "product", factors = [{ kind = "jastrow", symmetry = "none" }, { kind = "mean_field" }] }
sampler = { walkers = 8, block_width = 8, samples = 16, tempering = { replicas = 2, smallest_beta = 0.5 }, power = 1.5 }
sr = { method = "adam", learning_rate = 0.01, mean_decay = 0.8 }
run = { iterations = 1, starts = 1, start_iterations = 8 }
fit = { target = "exact", weights = "uniform", epochs = 1, optimizer = "adam", learning_rate = 0.02, samples = 16 }
""",
}
NUMBERS: list[float] = [0, -1, 1, 2, 3, 10**9, 10**18, 10**20, -(10**18)]
NUMBERS += [0.3, -0.5, 1e308, -1e308, 1e-320, 1e-30, float("nan"), float("inf")]
"""What a key is set to; 1e-320 is denormal."""
OTHERS: list[Any] = ["", "x", "none", "exact", "square", "3", "a\nb", "\u00e4" * 70, True, False]
OTHERS += ["runs/none", "empty.txt", "folder", "table.txt", "other.h5", "in.toml"]
OTHERS += [[], [1], [[1, 2], [3]], ["a", 1.5], {}, {"x": 1}, {"kind": "chain"}, {"initial": -1}, {"seed": 1}]
VALUES = [*map(repr, NUMBERS), *("True", "false", "'a'", "word", "[1,2]", "{}", "{kind='exact'}", '"', "=", "[", "1 2")]
"""What --set gives to a key."""
FILE_KEYS = [
    ("ansatz", "start_from", {}),
    ("sampler", "start_file", {"start": "file"}),
    ("hamiltonian", "file", {}),
    ("lattice", "edges", {}),
    ("fit", "source", {"target": "file"}),
    ("fit", "source", {"target": "run"}),
]
KINDS = ["drop", "rename", "number", "number", "other", "other", "move", "set", "file", "nest", *["near"] * 6]
"""Kinds of changes, by how often."""
FILES = ["missing", "folder", "empty.txt", "table.txt", "other.h5", "in.toml", "binary.npy", "x" * 300, ""]


@dataclass
class Mutant:
    """An input, and the command line."""

    name: str
    text: str | bytes
    overrides: list[str] = field(default_factory=list)


def places(table: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all keys and list entries."""
    for name, value in table.items() if isinstance(table, dict) else enumerate(table):
        yield (*path, name)
        if isinstance(value, dict | list):
            yield from places(value, (*path, name))


def at(tables: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        tables = tables[name]
    return tables


def misspelt(word: str, rng: random.Random) -> str:
    k = rng.randrange(len(word))
    kinds: list[Callable[[], str]] = [
        lambda: word[:k] + word[k + 1 :] + "x",
        lambda: word.upper(),
        lambda: word.replace("_", "-") + "s",
        lambda: rng.choice(["lr", "steps", "n_samples", "J", "h", "pbc", "L", "chains", "type"]),
    ]
    return rng.choice(kinds)()


def changed(tables: Any, rng: random.Random) -> Mutant:
    """One key dropped, renamed, doubled, moved, or set to another value."""
    tables = copy.deepcopy(tables)
    path = rng.choice(list(places(tables)))
    parent, name = at(tables, path[:-1]), path[-1]
    kind = rng.choice(KINDS)
    if kind == "drop":
        del parent[name]
    elif kind == "rename" and isinstance(parent, dict):
        parent[misspelt(str(name), rng)] = parent.pop(name)
    elif kind == "move" and isinstance(parent, dict):
        tables[rng.choice(list(tables))][name] = copy.deepcopy(parent[name])
    elif kind == "near" and isinstance(parent[name], bool):
        parent[name] = not parent[name]
    elif kind == "near" and isinstance(parent[name], int | float):
        parent[name] = rng.choice([2 * parent[name], parent[name] + 1, parent[name] // 2 or 1, 1.5 * parent[name]])
    elif kind == "nest":
        parent[name] = {"table": parent[name]} if rng.random() < 0.5 else [parent[name]]
    elif kind == "file":
        section, key, more = rng.choice(FILE_KEYS)
        if section in tables and isinstance(tables[section], dict):
            tables[section] |= {key: rng.choice(FILES), **more}
    elif kind == "set":
        key = ".".join(map(str, (part for part in path if isinstance(part, str))))
        return Mutant(
            f"--set {key}", tomlkit.dumps(tables), [rng.choice([f"{key}=", f"{key}.", key]) + rng.choice(VALUES)]
        )
    else:
        value = rng.choice(NUMBERS) if kind == "number" else rng.choice(OTHERS)
        parent[name] = copy.deepcopy(value)
    return Mutant(f"{kind} {path}", tomlkit.dumps(tables))


def spoilt(text: str, rng: random.Random) -> Mutant:
    """The text cut, with letters lost or doubled, lines twice or swapped, other bytes."""
    k, lines = rng.randrange(len(text)), text.strip().splitlines()
    j = rng.randrange(len(lines))
    kinds: dict[str, Callable[[], str | bytes]] = {
        "cut": lambda: text[:k],
        "lost": lambda: text[:k] + text[k + 1 :],
        "letter": lambda: text[:k] + rng.choice('"[]{}=#,.\n\\\0Tx9') + text[k:],
        "twice": lambda: "\n".join([*lines, lines[j]]),
        "gone": lambda: "\n".join(lines[:j] + lines[j + 1 :]),
        "bytes": lambda: text.encode()[:k] + bytes([rng.randrange(256)]) + text.encode()[k:],
        "utf-16": lambda: text.encode("utf-16"),
        "python": lambda: text.replace("true", "True").replace("1.0", ".5") + "\nx = None\n",
        "crlf": lambda: text.replace("\n", "\r\n"),
    }
    kind = rng.choice(list(kinds))
    return Mutant(f"text {kind} {k}", kinds[kind]())


def mutants(count: int, seed: int) -> Iterator[Mutant]:
    """So many inputs, the same for the same seed; some have two changes."""
    rng = random.Random(seed)
    for number in range(count):
        text = SEEDS[rng.choice(list(SEEDS))]
        if number % 5 == 4:
            yield spoilt(text, rng)
            continue
        tables = tomllib.loads(text)
        mutant = changed(tables, rng)
        again = tomllib.loads(str(mutant.text))
        if number % 3 == 0 and all(isinstance(table, dict) for table in again.values()):
            mutant, before = changed(again, rng), mutant
            mutant.overrides = before.overrides + mutant.overrides
            mutant.name = f"{before.name} and {mutant.name}"
        yield mutant


@pytest.fixture(autouse=True)
def files(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pvmc.planning.rates.measure_rates", lambda: TYPICAL)
    monkeypatch.setattr("pvmc.tasks.bench.time_block", lambda _: None)  # which compiles kernels, as runs do
    Path("folder").mkdir()
    Path("empty.txt").write_text("")
    np.savetxt("table.txt", np.arange(12.0).reshape(3, 4))
    np.save("binary.npy", np.ones((2, 6)))
    with h5py.File("other.h5", "w") as file:
        file["x"] = [1, 2]


def answer(capsys: pytest.CaptureFixture[str], arguments: list[str], mutant: Mutant) -> int:
    """The exit code of a command; what it says is as it should be."""
    before = sorted(Path().rglob("*"))
    told = f"{mutant.name}: pvmc {' '.join(arguments)}\n{mutant.text!r}"
    code = main(arguments)
    said = capsys.readouterr()
    assert "Traceback" not in said.err and "a bug" not in said.err, f"{told}\n{said.err}"
    if code == 2:
        assert said.out == "", told
        lines = said.err.splitlines()
        assert lines and all(line.startswith("pvmc: error: ") and len(line) > 20 for line in lines), (
            f"{told}\n{said.err}"
        )
        assert len(lines) == len(set(lines)), f"{told}\n{said.err}"
        assert sorted(Path().rglob("*")) == before, f"{told}\n{said.err}"
    return code


def is_small(mutant: Mutant) -> bool:
    """Whether an input is quickly carried out."""
    numbers = json.dumps(tomllib.loads(mutant.text if isinstance(mutant.text, str) else mutant.text.decode()))
    return not any(word in numbers + str(mutant.overrides) for word in ("0000000", "e+", "e1", "10**"))


@pytest.mark.filterwarnings("ignore:.*input contained no data")
@pytest.mark.slow
def test_mutated_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    refused = good = carried_out = 0
    for mutant in mutants(360, seed=14):
        path = Path("in.toml")
        path.write_bytes(mutant.text if isinstance(mutant.text, bytes) else mutant.text.encode())
        arguments = ["in.toml", *(word for override in mutant.overrides for word in ("--set", override))]
        code = answer(capsys, ["validate", *arguments], mutant)
        assert code in (0, 2), mutant
        refused += code == 2
        good += code == 0
        if code == 0 and good % 8 == 0 and is_small(mutant):
            small = ["--set", "run.iterations=1", "--output", f"out{good}"]
            assert answer(capsys, ["run", *arguments, *small], mutant) in (0, 2, 3), mutant
            carried_out += 1
    assert refused >= 150 and good >= 50 and carried_out >= 5, (refused, good, carried_out)
