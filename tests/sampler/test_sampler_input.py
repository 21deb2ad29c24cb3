"""The sampler's section of an input file: what is chosen, what is refused and in which words; walkers from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pvmc.config import RawInput, to_toml, validate
from pvmc.errors import InputError
from pvmc.mpi import SerialCommunicator
from pvmc.sampler import Enumeration, ExactSpec, Growth, Metropolis, MetropolisSpec
from pvmc.vmc.job import Job, build_job
from pvmc.vmc.spec import JobConfig

COMM = SerialCommunicator()
SMALL = {"walkers": 8, "block_width": 4, "samples": 16}
GROWING = {"power": 1.5, "growth": {"maximum": 8192, "factor": 1.5}}


def make_job(sampler: dict[str, Any] | None, model: str = "heisenberg", **lattice: Any) -> Job:
    tables: dict[str, Any] = {
        "lattice": {"kind": "chain", "length": 6} | lattice,
        "hamiltonian": {"model": model},
        "ansatz": {"kind": "rbm", "alpha": 1, "symmetry": "none"},
    }
    if sampler is not None:
        tables["sampler"] = sampler
    raw = RawInput(tables, "in.toml")
    return build_job(validate(JobConfig, raw), raw)


def test_metropolis_needs_no_kind() -> None:
    for sampler in (None, {}, {"kind": "metropolis"}, SMALL):
        job = make_job(sampler)
        assert isinstance(job.config.sampler, MetropolisSpec) and isinstance(job.sampler, Metropolis)
        assert job.config.sampler.moves is not None and job.config.sampler.moves.exchange == 0.8
        assert job.sampler.magnetization == 0


@pytest.mark.parametrize(
    ("model", "length", "magnetization", "size"),
    [("heisenberg", 6, 0, 20), ("heisenberg", 5, 1, 10), ("ising", 6, None, 64)],
)
def test_exact_chooses_its_configurations(model: str, length: int, magnetization: int | None, size: int) -> None:
    marshall = {"periodic": False} if length == 5 else {}
    job = make_job({"kind": "exact"}, model, length=length, **marshall)
    assert isinstance(job.config.sampler, ExactSpec) and isinstance(job.sampler, Enumeration)
    assert job.sampler.magnetization == magnetization
    assert len(job.sampler.basis) == size
    assert 'kind = "exact"' in to_toml(job.config)


def test_the_resolved_input_can_be_read_again() -> None:
    import tomllib

    for sampler in ({"kind": "exact"}, {"tempering": {"replicas": 3, "smallest_beta": 0.2}}, GROWING):
        text = to_toml(make_job(sampler).config)
        raw = RawInput(tomllib.loads(text), "again.toml")
        assert to_toml(build_job(validate(JobConfig, raw), raw).config) == text


@pytest.mark.parametrize(
    ("sampler", "model", "message"),
    [
        ({"walker": 3}, "ising", "sampler.walker = 3: unknown key, did you mean 'sampler.walkers'?"),
        ({"walkers": "many"}, "ising", 'sampler.walkers = "many": must be an integer >= 2'),
        ({"kind": "exakt"}, "ising", 'sampler.kind = "exakt": must be "metropolis" or "exact", did you mean "exact"?'),
        ({"kind": "exact", "walkers": 8}, "ising", "sampler.walkers = 8: unknown key"),
        ({"kind": "exact", "magnetization": 1}, "heisenberg", "sampler.magnetization = 1: 6 spins"),
        (
            {"kind": "exact", "magnetization": 0},
            "ising",
            '= 0: this Hamiltonian does not conserve the magnetisation; write "any", or leave it out',
        ),
        ({"magnetization": 4}, "ising", "= 4: this Hamiltonian does not conserve the magnetisation; leave it out"),
        ({"magnetization": 0}, "ising", "= 0: this Hamiltonian does not conserve the magnetisation; leave it out"),
        (
            {"magnetization": 4, "moves": {"flip": 1.0}},
            "heisenberg",
            "sampler.magnetization = 4: sampler.moves.flip changes it; leave one of the two out",
        ),
        ({"moves": {"global_flip": 1.0}}, "ising", "do not reach every configuration"),
        ({"moves": {"exchange": 1.0}}, "ising", "this Hamiltonian changes the magnetisation"),
        (
            {"moves": {"exchange": 1.0, "global_flip": 1.0}, "magnetization": 2},
            "heisenberg",
            "a global flip does not keep magnetization = 2",
        ),
        ({"start": "file"}, "ising", 'sampler.start_file = "": goes with start = "file"'),
        ({"start_file": "x"}, "ising", 'sampler.start_file = "x": goes with start = "file"'),
        ({"tempering": {"replicas": 1, "smallest_beta": 0.5}}, "ising", "must be an integer >= 2 and <= 64"),
        ({"tempering": {"replicas": 2, "smallest_beta": 1.0}}, "ising", "must be a number > 0 and < 1"),
        ({"power": 0.0}, "ising", "sampler.power = 0.0: must be a number > 0 and <= 2"),
        ({"power": 2.5}, "ising", "sampler.power = 2.5: must be a number > 0 and <= 2"),
        ({"kind": "exact", "power": 1.0}, "ising", "sampler.power = 1.0: unknown key"),
        ({"kind": "exact", "growth": {"maximum": 64}}, "ising", "[sampler.growth]: unknown section"),
        ({"growth": {}}, "ising", "sampler.growth.maximum: missing; must be an integer >= 2"),
        ({"growth": {"maximum": 8192, "factor": 1.0}}, "ising", "sampler.growth.factor = 1.0: must be a number > 1"),
        ({"growth": {"maximum": 8192, "window": 1}}, "ising", "sampler.growth.window = 1: must be an integer >= 2"),
        ({**SMALL, "growth": {"maximum": 16}}, "ising", "sampler.growth.maximum = 16: must be above samples = 16"),
        ({**SMALL, "growth": {"maximum": 20}}, "ising", "growth.maximum = 20: must be a multiple of walkers = 8"),
    ],
)
def test_what_is_refused(sampler: dict[str, Any], model: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        make_job(sampler, model)
    assert message in str(caught.value)
    assert str(caught.value).startswith("in.toml: ") and "\n" not in str(caught.value)


def test_plain_samples_are_the_default() -> None:
    sampler = make_job(SMALL).sampler
    assert isinstance(sampler, Metropolis)
    assert (sampler.power, sampler.growth, sampler.n_draws, sampler.most_draws) == (2.0, None, 2, 2)
    assert sampler.describe() == "16 samples per iteration from 8 walkers in 2 blocks"
    enumeration = make_job({"kind": "exact"}).sampler
    assert (enumeration.growth, enumeration.n_draws, enumeration.most_draws) == (None, 1, 1)


def test_power_and_growth_are_described() -> None:
    tempering = {"replicas": 2, "smallest_beta": 0.5}
    sampler = make_job({**SMALL, "power": 1, "growth": {"maximum": 64}, "tempering": tempering}).sampler
    assert isinstance(sampler, Metropolis)
    assert sampler.power == 1.0 and sampler.growth == Growth(fewest=2, most=8, factor=2.0, window=50)
    assert sampler.describe() == (
        "16 samples per iteration (up to 64 as the energy converges) of |psi|^1, reweighted, "
        "from 8 walkers in 2 blocks, each at 2 values of beta"
    )


def test_kept_configurations_take_memory() -> None:
    """6 bytes of spins and 8 of the weight for each of the most samples; plain ones are not kept, however many."""
    growth, power = {"growth": {"maximum": 64}}, {"power": 1.5}
    plain, grown, weighted, both = (
        make_job(SMALL | more).sampler.memory(2, 6, 10) for more in ({}, growth, power, power | growth)
    )
    assert (grown - plain, weighted - plain, both - plain) == (0, 16 * 14, 64 * 14)


def test_no_translations_on_an_open_chain() -> None:
    with pytest.raises(InputError, match="this lattice has no translations"):
        make_job({"moves": {"exchange": 1.0, "translation": 1.0}}, periodic=False)


@pytest.mark.parametrize("model", ["heisenberg", "ising"])
def test_moves_of_the_hamiltonian_keep_what_it_keeps(model: str) -> None:
    sampler = make_job({"moves": {"hamiltonian": 1.0}}, model).sampler
    assert isinstance(sampler, Metropolis)
    assert len(sampler.moves.flips) == 6
    assert sampler.moves.conserving.all() == (model == "heisenberg")
    assert sampler.magnetization == (0 if model == "heisenberg" else None)


# Walkers from a file --------------------------------------------------------------------------------------------------

ROWS = np.array([[1, -1, 1, -1, 1, -1], [1, 1, 1, -1, -1, -1], [-1, 1, 1, -1, -1, 1]], dtype=np.int8)


def write(path: Path, rows: np.ndarray) -> str:
    if path.suffix == ".txt":
        np.savetxt(path, rows, fmt="%d")
    elif path.suffix == ".npy":
        np.save(path, rows)
    elif path.suffix == ".npz":
        np.savez(path, spins=rows, other=np.zeros(2))
    else:
        with h5py.File(path, "w") as file:
            file["spins"] = rows
    return str(path)


@pytest.mark.parametrize("name", ["a.txt", "a.npy", "a.npz", "a.h5"])
def test_walkers_take_the_rows_of_a_file_in_turn(tmp_path: Path, name: str) -> None:
    job = make_job({**SMALL, "start": "file", "start_file": write(tmp_path / name, ROWS)})
    walkers = job.sampler.start(range(2), COMM)
    np.testing.assert_array_equal(walkers.spins.transpose(0, 2, 1).reshape(8, 6), ROWS[np.arange(8) % 3])
    second = job.sampler.start(range(1, 2), COMM)
    np.testing.assert_array_equal(second.spins, walkers.spins[1:])


def test_replicas_start_alike_from_a_file(tmp_path: Path) -> None:
    tempering = {"replicas": 3, "smallest_beta": 0.1}
    path = write(tmp_path / "a.txt", ROWS)
    spins = (
        make_job({**SMALL, "start": "file", "start_file": path, "tempering": tempering})
        .sampler.start(range(2), COMM)
        .spins
    )
    assert spins.shape == (2, 6, 12)
    np.testing.assert_array_equal(spins[:, :, 4:8], spins[:, :, :4])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones((2, 5)), "must have one row of 6 spins per configuration, has shape (2, 5)"),
        (np.array([ROWS[0], [1, -1, 0, 1, 1, -1]]), "spins are +1 or -1; row 1 has others"),
        (np.array([ROWS[0], [1, -1, 1, 1, 1, -1]]), "row 1 sums to 2, but the magnetisation 0 is kept; set"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, rows: np.ndarray, message: str) -> None:
    job = make_job({**SMALL, "start": "file", "start_file": write(tmp_path / "a.txt", rows)})
    with pytest.raises(InputError) as caught:
        job.sampler.start(range(2), COMM)
    assert message in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    job = make_job({**SMALL, "start": "file", "start_file": str(tmp_path / "nothing.txt")})
    with pytest.raises(InputError, match=r"nothing\.txt: no such file"):
        job.sampler.start(range(2), COMM)
    (tmp_path / "words.txt").write_text("up down\n")
    job = make_job({**SMALL, "start": "file", "start_file": str(tmp_path / "words.txt")})
    with pytest.raises(InputError, match=r"words\.txt: no table of numbers"):
        job.sampler.start(range(2), COMM)
