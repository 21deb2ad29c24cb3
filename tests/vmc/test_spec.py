"""The sections of this layer inside a larger one, as an input file has them: messages, and TOML that reads back."""

from __future__ import annotations

import tomllib

import pytest

from pvmc.config import RawInput, Section, allowed_values, to_toml, validate
from pvmc.errors import InputError
from pvmc.vmc.interruptions import TimeSpec
from pvmc.vmc.spec import CheckpointSpec, ConvergenceSpec


class RunPart(Section):
    """The run."""

    stop: ConvergenceSpec | None = None
    """criteria"""
    time: TimeSpec = TimeSpec()
    """limit"""
    checkpoint: CheckpointSpec = CheckpointSpec()
    """how often"""


class Whole(Section):
    """All of it."""

    run: RunPart = RunPart()
    """the run"""


@pytest.mark.parametrize(
    ("key", "table", "expected"),
    [
        ("stop", {"window": 50}, "run.stop = {window = 50}: must give at least one of error, variance and v_score"),
        ("stop", {"window": 3, "error": 1.0}, "run.stop.window = 3: must be an integer >= 16"),
        ("stop", {"eror": 1e-5}, "run.stop.eror = 1e-05: unknown key, did you mean 'run.stop.error'?"),
        ("time", {"limit": "soon"}, 'run.time.limit = "soon": must be a length of time: "90" (minutes), "24:00:00", '),
        ("time", {"limit": 90}, 'run.time.limit = 90: must be a length of time: "90" (minutes), "24:00:00", '),
        ("time", {"margin": -1}, "run.time.margin = -1: must be a number >= 0"),
        ("checkpoint", {"iterations": 0}, "run.checkpoint.iterations = 0: must be an integer >= 1"),
        ("checkpoint", {"cost": 2}, "run.checkpoint.cost = 2: must be a number > 0 and <= 1"),
    ],
)
def test_messages(key: str, table: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        validate(Whole, RawInput({"run": {key: table}}, "in.toml"))
    assert str(caught.value).startswith(f"in.toml: {expected}")
    assert "\n" not in str(caught.value)


def test_what_a_length_of_time_may_be() -> None:
    assert allowed_values(TimeSpec.model_fields["limit"]).startswith('a length of time: "90"')


@pytest.mark.parametrize("commented", [False, True])
def test_written_toml_reads_back_the_same(commented: bool) -> None:
    for part in (
        RunPart(),
        RunPart(
            stop=ConvergenceSpec(error=1e-5), time=TimeSpec(limit="1-12:00:00"), checkpoint=CheckpointSpec(minutes=5)
        ),
    ):
        whole = Whole(run=part)
        assert validate(Whole, RawInput(tomllib.loads(to_toml(whole, commented=commented)), "again")) == whole
