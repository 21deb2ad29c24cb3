"""What the sections of an input ask of each other: quantum numbers, samplers, memory; and fits beside runs."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from pvmc.cli import main
from pvmc.mpi import SerialCommunicator
from pvmc.tasks.memory import memory_per_rank
from pvmc.vmc.job import Job
from pvmc.vmc.loop import iterate
from pvmc.vmc.start import initial_state
from tests.jobs import job_of_text

PROJECTED = """\
lattice = {{ kind = "chain", length = {length} }}
hamiltonian = {{ model = "heisenberg", marshall = false }}
ansatz = {{ kind = "projected", {numbers}, inner = {{ kind = "rbm", alpha = 1, symmetry = "none" }} }}
sampler = {{ walkers = 128, samples = 128 {sampler} }}
run = {{ iterations = 1 }}
fit = {{ target = "exact", epochs = 3 }}
"""


def write(numbers: str, length: int = 6, sampler: str = "") -> None:
    Path("in.toml").write_text(PROJECTED.format(length=length, numbers=numbers, sampler=sampler))


def refused(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert error.startswith("pvmc: error: ") and error.count("\n") == 1
    return error


def test_spin_flip_is_no_quantum_number_of_a_magnetised_sector(capsys: pytest.CaptureFixture[str]) -> None:
    write("spin_flip = -1", sampler=", magnetization = 2")
    for command in ("run", "validate", "exact"):
        message = refused(capsys, 2, command, "in.toml")
        assert "ansatz.spin_flip = -1: no quantum number at magnetization = 2" in message
    assert not Path("runs").exists()
    write("spin_flip = -1")
    assert main(["validate", "in.toml"]) == 0
    write("momentum = 3", sampler=", magnetization = 2")
    assert main(["validate", "in.toml"]) == 0


def test_spin_flip_of_a_factor_is_refused_by_its_own_key(capsys: pytest.CaptureFixture[str]) -> None:
    Path("in.toml").write_text(
        PROJECTED.format(length=6, numbers="spin_flip = 1", sampler=", magnetization = 2").replace(
            "ansatz = {", 'ansatz = { kind = "product", factors = [{ kind = "jastrow" }, {'
        ).replace('symmetry = "none" } }', 'symmetry = "none" } }] }')
    )  # fmt: skip
    assert "ansatz.factors[1].spin_flip = 1: no quantum number" in refused(capsys, 2, "validate", "in.toml")


@pytest.mark.parametrize("sampler", ["", ', start = "neel"'])
def test_an_empty_sector_ends_a_run_before_it_starts(capsys: pytest.CaptureFixture[str], sampler: str) -> None:
    """Four sites at zero magnetisation: translations take every configuration to its mirror image."""
    write("momentum = 0, parity = -1", length=4, sampler=sampler)
    assert "the wave function is zero on all walkers" in refused(capsys, 3, "run", "in.toml", "--output", "out")
    assert "the sector is empty" in refused(capsys, 2, "exact", "in.toml")


def test_walkers_that_all_start_on_nodes_are_no_empty_sector() -> None:
    """A spin-flip-odd state of momentum zero vanishes on both Neel states, and nowhere near everywhere."""
    write("momentum = 0, spin_flip = -1", length=8, sampler=', start = "neel"')
    assert main(["run", "in.toml", "--output", "out"]) == 0


def test_exact_prints_the_energy_of_the_sector_as_run_does(capsys: pytest.CaptureFixture[str]) -> None:
    energies = {}
    for momentum in (0, 1, 3):
        write(f"momentum = {momentum}")
        assert main(["exact", "in.toml"]) == 0
        energies[momentum] = next(
            line.split()[2] for line in capsys.readouterr().out.splitlines() if line.startswith("E/N")
        )
        assert main(["run", "in.toml", "--output", f"out{momentum}"]) == 0
        assert f"exact E/N = {float(energies[momentum]):.10g}" in capsys.readouterr().out
    # The ground state of the ring of six, -(2 + sqrt(13))/2, has momentum pi: N/2 is odd.
    assert float(energies[3]) == pytest.approx(-(2 + 13**0.5) / 2 / 6, abs=1e-9)
    assert len(set(energies.values())) == 3


# Fits beside runs -----------------------------------------------------------------------------------------------------


def test_status_of_a_fit_and_plots_of_fits_beside_runs(capsys: pytest.CaptureFixture[str]) -> None:
    write("momentum = 3")
    assert main(["fit", "in.toml", "--output", "fit"]) == 0
    assert main(["run", "in.toml", "--output", "run"]) == 0
    capsys.readouterr()
    for path in ("fit", "fit/fit.h5"):
        assert main(["status", path]) == 0
        text = capsys.readouterr().out
        assert "3/3 (100 %)" in text and "infidelity" in text
    message = refused(capsys, 2, "plot", "fit", "run")
    assert "runs and fits do not go into one figure: plot them apart; fits are fit" in message
    assert not list(Path().glob("*.png")) + list(Path("fit").glob("*.png"))


# Memory ---------------------------------------------------------------------------------------------------------------

RBM, TEMPERED = 'kind = "rbm", alpha = 2', "replicas = 8, smallest_beta = 0.1"
AMPLITUDE_PHASE = 'kind = "feedforward", widths = [6], symmetry = "none", weights = "amplitude_phase"'
PROJECTED_RBM = 'kind = "projected", spin_flip = 1, inner = { kind = "rbm", alpha = 1, symmetry = "none" }'
LARGER_RBM = RBM.replace("2", "20")
MEMORY = {
    "metropolis": (LARGER_RBM, "walkers = 256, samples = 1024"),
    "tempering": (RBM, f"walkers = 1024, samples = 1024, discard = 0, burn_in = 0, tempering = {{ {TEMPERED} }}"),
    "power": (LARGER_RBM, "walkers = 256, samples = 4096, power = 1.0"),
    "exact": (LARGER_RBM, 'kind = "exact", block_width = 256'),
    "projected": (PROJECTED_RBM, "walkers = 256, samples = 1024"),
}


def job_of(ansatz: str, sampler: str) -> Job:
    ring = 'lattice = { kind = "chain", length = 10 }\nhamiltonian = { model = "ising" }'
    return job_of_text(f"{ring}\nansatz = {{ {ansatz} }}\nsampler = {{ {sampler} }}")


def measured(job: Job) -> int:
    """Most bytes of numpy's arrays at once in an iteration (what compiled kernels hold for a block is not seen)."""
    comm = SerialCommunicator()
    for attempt in ("compiled, imported", "measured"):
        state = initial_state(job, comm)
        if attempt == "measured":
            tracemalloc.start()
        next(iter(iterate(state, job.ansatz, job.operator, job.sampler, job.solver, comm)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("case", MEMORY)
def test_memory_is_predicted(case: str) -> None:
    job = job_of(*MEMORY[case])
    memory = memory_per_rank(job, 1)
    predicted = memory.total - memory.states  # kept by the run, not by its iterations
    assert 0.8 < measured(job) / predicted < 1.1


def test_deeper_nets_need_up_to_twice_as_much() -> None:
    """The work of a block's ratios, which runs layers anew for every flip, is not in the prediction."""
    job = job_of(AMPLITUDE_PHASE, "walkers = 256, samples = 1024")
    memory = memory_per_rank(job, 1)
    assert 1.0 < measured(job) / (memory.total - memory.states) < 2.0


def test_states_to_go_back_to_count() -> None:
    """25 of 1024 walkers of 10 spins, 8 replicas each, and of 22 complex parameters."""
    job = job_of(RBM, f"walkers = 1024, samples = 1024, tempering = {{ {TEMPERED} }}")
    assert memory_per_rank(job, 1).states == 25 * (1024 * 8 * 10 + 22 * 16)
    assert memory_per_rank(job_of(RBM, 'kind = "exact"'), 1).states == 25 * 22 * 16


def test_replicas_count() -> None:
    """Their walkers, before and after, are N bytes each."""
    plain, tempered = (
        memory_per_rank(job_of(RBM, f"walkers = 1024, samples = 1024 {more}"), 1).samples
        for more in ("", f", tempering = {{ {TEMPERED} }}")
    )
    assert tempered > plain and tempered > 2 * 8 * 1024 * 10
