"""What an iteration costs as a whole, from the time of one block of walkers and the cost of the linear problem."""

from __future__ import annotations

import numpy as np
import pytest

from pvmc.planning.rates import TYPICAL
from pvmc.planning.solver_costs import cost
from pvmc.tasks import bench
from pvmc.tasks.bench import BlockCost, iteration_table, time_block
from pvmc.tasks.memory import sizes_of
from tests.jobs import job_of_text

INPUT = """\
lattice = { kind = "chain", length = 8 }
hamiltonian = { model = "heisenberg" }
ansatz = { kind = "rbm", alpha = 1 }
sampler = { walkers = 64, block_width = 16, samples = 192, sweep = 200, discard = 2 }
run = { iterations = 1000 }
"""


def test_times_of_a_block_stand_for_all_its_sweeps_and_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """3 draws and 2 discarded sweeps of 200 proposals, where 1 draw and 1 discarded sweep of 64 were timed."""
    phases = {"sampling": 0.128, "local_energies": 0.5, "derivatives": 0.25, "products": 9.0}
    monkeypatch.setattr(bench, "_phases", lambda *_: phases)
    block = time_block(job_of_text(INPUT))
    assert block is not None
    assert block.sampling == pytest.approx(0.128 * (5 * 200) / (2 * 64))
    assert (block.energies, block.derivatives) == (1.5, 0.75)


@pytest.mark.parametrize("more", ["", 'sr = { integrator = "heun" }\n'])
def test_an_iteration_is_the_sum_of_its_parts(more: str) -> None:
    """On 4 blocks: 1 s of sampling, 2 s of local energies and 3 s of derivatives for each, twice with heun."""
    job, twice = job_of_text(INPUT + more), 2 if more else 1
    rows = [line.split() for line in iteration_table(job, BlockCost(1.0, 2.0, 3.0), TYPICAL).splitlines()[-3:]]
    assert [row[1] for row in rows] == ["1", "2", "4"]
    for row, blocks in zip(rows, (4, 2, 1), strict=True):
        found = [float(row[k]) for k in (2, 4, 6)]
        np.testing.assert_allclose(found, twice * blocks * np.array([1.0, 2.0, 3.0]))
        assert row[3] == row[5] == row[7] == "s"
    assert cost(sizes_of(job), job.choice.solver, 1, TYPICAL).seconds < 0.1, "the linear problem does not show"
    assert rows[2][10:12] == [f"{6 * twice}", "s"]
    assert rows[2][12] == ("3h20m" if twice == 2 else "1h40m")


def test_every_kind_of_sampler_is_timed() -> None:
    for sampler in ('{ kind = "exact" }', "{ walkers = 16, block_width = 8, samples = 16, power = 1.0 }"):
        job = job_of_text(INPUT.replace(INPUT.splitlines()[3], f"sampler = {sampler}"))
        block = time_block(job)
        assert block is not None
        assert min(block.sampling, block.energies, block.derivatives) > 0.0
        assert block.seconds == block.sampling + block.energies + block.derivatives
    assert "not predicted" in iteration_table(job, None, TYPICAL)
