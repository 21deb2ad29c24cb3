"""Inputs written as TOML and read back are the same inputs, whatever their numbers."""

from __future__ import annotations

import tomllib
from typing import Any

from pvmc.config import RawInput, to_toml, validate
from pvmc.vmc.spec import JobConfig
from tests.properties import given, st

positive = st.floats(1e-300, 1e300)
schedules = positive | st.fixed_dictionaries(
    {"initial": positive, "decay": st.floats(0.1, 1.0), "minimum": st.just(0.0) | positive}
)


@st.composite
def inputs(draw: st.DrawFn) -> dict[str, Any]:
    """Tables of an input that is valid."""
    width, blocks, draws = draw(st.integers(1, 64)), draw(st.integers(1, 16)), draw(st.integers(1, 8))
    samples = width * blocks * draws
    sampler = {"walkers": width * blocks, "block_width": width, "samples": samples, "burn_in": draw(st.integers(0, 99))}
    return {
        "lattice": {"kind": "chain", "length": draw(st.integers(2, 64)), "periodic": draw(st.booleans())},
        "hamiltonian": {"model": "ising", "coupling": draw(positive), "field": draw(st.floats(-1e300, 1e300))},
        "ansatz": {"kind": "rbm", "alpha": draw(st.integers(1, 8)), "init_scale": draw(positive)},
        "sampler": sampler if width * blocks > 1 and samples > 1 else {},
        "sr": {"learning_rate": draw(schedules), "shift": draw(schedules)},
        "run": {"seed": draw(st.integers(0, 2**32)), "iterations": draw(st.integers(1, 10**9))},
    }


@given(inputs())
def test_an_input_goes_through_toml(tables: dict[str, Any]) -> None:
    config = validate(JobConfig, RawInput(tables, "", "test"))
    for commented in (False, True):
        again = tomllib.loads(to_toml(config, commented=commented))
        assert validate(JobConfig, RawInput(again, "", "test")) == config
