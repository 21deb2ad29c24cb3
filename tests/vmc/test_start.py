"""Several starts: the energy of a trial, which one is kept, and what the results file and ``pvmc status`` say."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import pytest

from pvmc.errors import InputError
from pvmc.io import schema
from pvmc.io.layout import StartTrial, best_trial
from pvmc.io.reader import open_run
from pvmc.io.results import ResultsWriter
from pvmc.results.facts import RunFacts, as_json, read_facts
from pvmc.results.status import status_table, status_text
from pvmc.sampler import Metropolis
from pvmc.vmc.job import Job, with_seed
from pvmc.vmc.start import cost_in_words, finished
from tests import jobs
from tests.run_files import OPTIONS, four_sites

CONFIG = "[run]\nstarts = 3\nstart_iterations = 40\n"
ATTRIBUTES = four_sites(config=CONFIG, n_iterations=100)


def writer(directory: Path, n_trials: int = 3, **options: Any) -> ResultsWriter:
    trials = [StartTrial(7 + number) for number in range(n_trials)]
    return ResultsWriter(directory, ATTRIBUTES, trials=trials, **OPTIONS | options)


def resumed(directory: Path) -> ResultsWriter:
    return ResultsWriter.resume(directory, 0, ATTRIBUTES, **OPTIONS)


# The energy of a trial, and the choice --------------------------------------------------------------------------------


def test_the_last_quarter_counts() -> None:
    """11 iterations have a last quarter of 2; what comes before may be anything."""
    energies = [(1e9, 1e9)] * 9 + [(-3.0, 0.1), (-4.0, 0.1)]
    trial = finished(5, energies)
    assert (trial.seed, trial.iterations, trial.energy) == (5, 11, -3.5)
    assert trial.energy_error == pytest.approx(0.5), "the scatter of the two: sqrt(2) / 2 over sqrt(2)"


def test_the_error_is_that_of_the_samples_where_the_means_agree_by_chance() -> None:
    trial = finished(1, [(-3.0, 0.3)] * 16)
    assert trial.energy == -3.0 and trial.energy_error == pytest.approx(0.3 / math.sqrt(4))


@pytest.mark.parametrize(
    ("energies", "seed"),
    [
        ([-1.0, -3.0, -2.0], 2),
        ([-3.0, -1.0, -3.0], 1),
        ([math.inf, -1.0, math.inf], 2),
        ([-1.0, math.nan, -3.0], None),
        ([math.inf, math.nan, math.inf], None),
        ([math.inf, math.inf, math.inf], None),
        ([], None),
    ],
)
def test_the_lowest_is_kept(energies: list[float], seed: int | None) -> None:
    best = best_trial([StartTrial(number, 10, energy) for number, energy in enumerate(energies, start=1)])
    assert (best.seed if best else None) == seed


# The results file -----------------------------------------------------------------------------------------------------


def test_trials_are_written_and_read(tmp_path: Path) -> None:
    with writer(tmp_path) as results:
        assert [(trial.seed, trial.over) for trial in open_run(tmp_path).trials] == [(7, False), (8, False), (9, False)]
        results.record_trial(0, StartTrial(7, 12))
        assert open_run(tmp_path).trials[0].iterations == 12
        results.record_trial(0, StartTrial(7, 40, -3.5, 0.1))
        results.record_trial(1, StartTrial(8, 3, math.inf))
        first, second, third = open_run(tmp_path).trials
        assert first == StartTrial(7, 40, -3.5, 0.1) and first.over and not first.bad
        assert second.over and second.bad and (second.seed, second.iterations) == (8, 3)
        assert not third.over
    with h5py.File(tmp_path / "run.h5") as file:
        assert set(file["starts"]) == {"start", *(quantity.name for quantity in schema.STARTS)}  # with its scale
        for quantity in schema.STARTS:
            dataset = file["starts"][quantity.name]
            assert (dataset.dtype, dataset.shape, dataset.dims[0].label) == (quantity.dtype, (3,), "start")
            assert dataset.attrs["description"] == quantity.description
        assert file["starts/energy"].attrs["units"] == file["starts/energy_error"].attrs["units"] == "J"


def test_a_run_that_goes_on_keeps_what_is_over_and_begins_the_rest_anew(tmp_path: Path) -> None:
    results = writer(tmp_path)
    results.record_trial(0, StartTrial(7, 40, -3.5, 0.1))
    results.record_trial(1, StartTrial(8, 3, math.inf))
    results.record_trial(2, StartTrial(9, 25))
    results.finish("stopped")
    with resumed(tmp_path) as again:
        assert again.trials[0] == StartTrial(7, 40, -3.5, 0.1)
        assert again.trials[1].bad
        assert not again.trials[2].over and again.trials[2].iterations == 0
        assert [trial.over for trial in open_run(tmp_path).trials] == [True, True, False]


def test_the_energy_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill at any moment leaves a row that is complete, or one that does not count."""
    results, written = writer(tmp_path), []
    put = ResultsWriter._set

    def put_and_look(self: ResultsWriter, name: str, *others: Any) -> None:
        put(self, name, *others)
        trial = open_run(tmp_path).trials[1]
        written.append(name)
        assert not trial.over or trial == StartTrial(8, 40, -3.5, 0.1)

    monkeypatch.setattr(ResultsWriter, "_set", put_and_look)
    results.record_trial(1, StartTrial(8, 40, -3.5, 0.1))
    assert written[-1] == "starts/energy" and {"starts/iterations", "starts/energy_error"} <= set(written)
    assert open_run(tmp_path).trials[1].over
    monkeypatch.undo()
    results.finish("stopped")


def test_iterations_of_a_trial_wait_and_its_end_does_not(tmp_path: Path) -> None:
    with writer(tmp_path, patience=1000.0) as results:
        results.record_trial(0, StartTrial(7, 12))
        assert open_run(tmp_path).trials[0].iterations == 0
        results.record_trial(0, StartTrial(7, 40, -3.5, 0.1))
        assert open_run(tmp_path).trials[0].over
        results.record_trial(1, StartTrial(8, 13))
        assert open_run(tmp_path).trials[1].iterations == 0
    assert [trial.iterations for trial in open_run(tmp_path).trials] == [40, 13, 0], "nor does the end of the run"


def test_a_single_start_is_no_trial(tmp_path: Path) -> None:
    with writer(tmp_path, 0) as results:
        results.append(0, {"energy": -1.0})
    with h5py.File(tmp_path / "run.h5") as file:
        assert "starts" not in file
    assert open_run(tmp_path).trials == ()
    with resumed(tmp_path) as again:
        assert again.trials == []


# Status ---------------------------------------------------------------------------------------------------------------


def facts_after(directory: Path, *trials: StartTrial) -> RunFacts:
    results = writer(directory)
    for row, trial in enumerate(trials):
        results.record_trial(row, trial)
    facts = read_facts(directory)
    results.finish("stopped")
    assert isinstance(facts, RunFacts)
    return facts


def stages() -> Iterator[tuple[list[StartTrial], str]]:
    """Trials, and what status says; energies are of 4 sites."""
    yield [], "trying 1 of 3, seed 7, iteration 0/40"
    yield (
        [StartTrial(7, 40, -3.2, 0.04), StartTrial(8, 12)],
        "trying 2 of 3, seed 8, iteration 12/40; best so far: seed 7 -0.8 +-1.0e-02",
    )
    yield [StartTrial(7, 5, math.inf), StartTrial(8, 12)], "trying 2 of 3, seed 8, iteration 12/40"
    yield (
        [StartTrial(7, 40, -3.2, 0.04), StartTrial(8, 40, -3.4, 0.04), StartTrial(9, 2, math.inf)],
        "best of 3: seed 8 -0.85 +-1.0e-02",
    )
    yield [StartTrial(7, 1, math.inf), StartTrial(8, 2, math.inf), StartTrial(9, 0, math.inf)], "all 3 bad"


@pytest.mark.parametrize(("trials", "words"), list(stages()))
def test_status_says_how_far_the_trials_are(tmp_path: Path, trials: list[StartTrial], words: str) -> None:
    facts = facts_after(tmp_path, *trials)
    assert f"\nstarts           {words}\n" in status_text(facts)
    assert (f"starts: {words}" in status_table([facts, facts])) == ("best of" not in words), "while it is news"
    told = json.loads(as_json(facts))
    assert [row["seed"] for row in told["starts"]] == [7, 8, 9]
    assert [row["bad"] for row in told["starts"]].count(True) == sum(trial.bad for trial in trials)
    assert told["kept"] == (8 if "best of" in words else None)


def test_status_of_a_single_start_says_nothing_of_it(tmp_path: Path) -> None:
    with writer(tmp_path, 0) as results:
        results.append(0, {"energy": -1.0, "seconds": 1.0})
    facts = read_facts(tmp_path)
    assert isinstance(facts, RunFacts) and "starts" not in status_text(facts) and "starts" not in status_table([facts])


# The input ------------------------------------------------------------------------------------------------------------


def job_of(**run: Any) -> Job:
    return jobs.job_of(jobs.ring(**run))


def test_the_job_of_another_seed_differs_in_nothing_else() -> None:
    job = job_of(seed=3, starts=2)
    other = with_seed(job, 8)
    expected = job.config.model_dump()
    expected["run"]["seed"] = 8
    assert other.config.model_dump() == expected
    assert job.config.run.seed == 3
    assert [sampler.seed for sampler in (job.sampler, other.sampler) if isinstance(sampler, Metropolis)] == [3, 8]


def test_no_seed_is_too_large() -> None:
    assert job_of(seed=2**63 - 3, starts=3).config.run.starts == 3
    with pytest.raises(
        InputError, match=r"run\.starts = 4: must be <= 3, as seeds from run\.seed = 9223372036854775805"
    ):
        job_of(seed=2**63 - 3, starts=4)


def test_the_cost_in_words() -> None:
    assert cost_in_words(job_of().config.run) == ""
    words = cost_in_words(job_of(starts=8, start_iterations=50, iterations=800).config.run)
    assert words == "8 starts of 50 iterations each: 400 iterations before the 800 of the run (50% more time)"
