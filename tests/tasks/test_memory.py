"""Memory and solver as pvmc validate prints them: comments, so that the output is an input file."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from pvmc.cli import main
from pvmc.config import RawInput, validate
from pvmc.errors import InputError
from pvmc.planning.rates import TYPICAL
from pvmc.planning.solver_costs import SOLVERS, choose, linear_memory
from pvmc.sr import resolve
from pvmc.tasks.memory import bytes_in_words, memory_per_rank, memory_table, seconds_in_words, sizes_of, solver_table
from pvmc.vmc.job import Job
from pvmc.vmc.spec import JobConfig
from tests.jobs import job_of_text

SMALL = """\
lattice = { kind = "chain", length = 10 }
hamiltonian = { model = "heisenberg" }
ansatz = { kind = "rbm", alpha = 2 }
sampler = { walkers = 64, block_width = 16, samples = 128 }
"""
LARGE = SMALL.replace("alpha = 2", "alpha = 600")
"""6600 parameters, 600 features of ten weights and a bias, and 128 samples; translations leave no outer products."""


def with_solver(job: Job, solver: str) -> Job:
    sr = job.config.sr.model_copy(update={"solver": solver})
    config = job.config.model_copy(update={"sr": sr})
    return replace(job, config=config, choice=resolve(sr, sizes_of(job)))


@pytest.mark.parametrize("text", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("ranks", [[], ["--ranks", "3"]])
def test_validate_prints_an_input_file(
    text: str, ranks: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was resolved once is read back as the same config."""
    file = tmp_path / "in.toml"
    file.write_text(text)
    assert main(["validate", str(file), *ranks]) == 0
    printed = capsys.readouterr().out
    raw = RawInput(tomllib.loads(printed), "printed.toml")
    assert validate(JobConfig, raw) == job_of_text(text).config
    comments = printed[printed.index("# heisenberg on chain") :]
    assert all(line.startswith("#") for line in comments.splitlines())


def rows(table: str, after: str) -> list[list[str]]:
    """The rows of the table below a line that starts so, without the head, cells apart."""
    lines = table[table.index(after) :].splitlines()
    head = next(i for i, line in enumerate(lines) if "memory " in line and "messages" in line)
    found = []
    for line in lines[head + 1 :]:
        if not re.match(r"# *(\d+|[a-z]+)  +\S", line):
            break
        found.append(re.split(r"  +", line.removeprefix("#").strip()))
    return found


def test_the_solver_is_printed_with_its_cost_on_all_numbers_of_ranks() -> None:
    job = with_solver(job_of_text(SMALL), "dense")
    table = solver_table(job, TYPICAL)
    assert table.startswith('# solver: dense (sr.solver = "dense")\n# linear problem')
    assert [row[0] for row in rows(table, "# linear problem")] == ["1", "2", "4"]
    expected = bytes_in_words(linear_memory(sizes_of(job), "dense", 1).peak)
    assert {row[1] for row in rows(table, "# linear problem")} == {expected}
    assert "# the three solvers on 4 ranks:" in table, "as many as there are blocks"
    assert [row[0] for row in rows(table, "# the three solvers")] == list(SOLVERS)


def test_one_number_of_ranks() -> None:
    job = job_of_text(SMALL)
    table = solver_table(job, TYPICAL, 3)
    assert [row[0] for row in rows(table, "# linear problem")] == ["3"]
    assert "# the three solvers on 3 ranks:" in table
    memory = {row[0]: row[1] for row in rows(table, "# the three solvers")}
    assert memory == {solver: bytes_in_words(linear_memory(sizes_of(job), solver, 3).peak) for solver in SOLVERS}
    with pytest.raises(InputError, match="--ranks 5: this job has 4 blocks"):
        solver_table(job, TYPICAL, 5)


def test_a_better_solver_than_the_one_asked_for_is_named() -> None:
    job = job_of_text(LARGE)
    assert choose(sizes_of(job)).solver == "minsr"
    line = "# automatic choice: minsr (K = 6600 parameters, 128 samples: minsr solves a 128 x 128 system"
    assert line in solver_table(with_solver(job, "dense"), TYPICAL)
    assert "automatic choice" not in solver_table(with_solver(job, "minsr"), TYPICAL)


def test_memory_depends_on_the_solver() -> None:
    """6600 parameters: S takes 2.5 x 6600^2 numbers, the rows of 128 samples 128 x 6600."""
    job = job_of_text(LARGE)
    memory = {solver: memory_per_rank(with_solver(job, solver), 1) for solver in (*SOLVERS, "auto")}
    assert memory["dense"].linear.peak == 40 * 6600**2
    assert memory["minsr"].linear.peak == 16 * (128 * 6600 + 3 * 256 * 128) + 24 * 128**2
    assert memory["krylov"].linear.peak == 16 * (128 * 6600 + 10 * 6600)
    assert memory["auto"] == memory["minsr"]
    assert len({one.total - one.linear.peak - one.states for one in memory.values()}) == 1, "all else is the same"
    for solver, head in (("dense", "S"), ("minsr", "T"), ("krylov", "vectors")):
        assert memory_table(with_solver(job, solver)).splitlines()[2].split()[5] == head


def test_a_penalty_without_a_relative_shift_is_uniform() -> None:
    assert not sizes_of(job_of_text(SMALL)).uniform_penalty
    assert sizes_of(job_of_text(SMALL + "sr = { shift = 0.0, floor = 1e-3 }\n")).uniform_penalty
    assert not sizes_of(job_of_text(SMALL + "sr = { shift = { initial = 0.0, minimum = 1e-4 } }\n")).uniform_penalty


def test_seconds_in_words() -> None:
    words = [seconds_in_words(seconds) for seconds in (0.0, 3.4e-6, 1.23e-4, 9.996e-4, 0.0995, 0.9996, 99.4, 1234.4)]
    assert words == ["0 s", "3.4 us", "123 us", "1 ms", "100 ms", "1 s", "99 s", "1234 s"]
