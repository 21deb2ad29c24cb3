"""`pvmc submit` without a SLURM: the text of scripts, words that a shell would take apart, bad requests, sbatch."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from pvmc.cli import main
from pvmc.errors import InputError
from pvmc.mpi import note_exit_code
from pvmc.tasks.submission import LAUNCHERS
from pvmc.tasks.submission.request import seconds_of, slurm_time
from pvmc.tasks.submission.script import alphas, seeds
from tests.jobs import ring_text

ROOT = Path(__file__).resolve().parents[2]
TASKS = ("--ntasks", "2", "--time", "01:00:00")


@pytest.fixture(autouse=True)
def input_file(directory: Path) -> None:
    Path("chain.toml").write_text(ring_text())


def written(*options: str, config: str = "chain.toml", file: str = "chain.sbatch") -> str:
    """The script that is written."""
    assert main(["submit", config, *TASKS, *options]) == 0
    return Path(file).read_text()


def directives(text: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]


def test_what_is_asked_for_stands_in_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    text = written("--nodes", "2", "--partition", "long", "--account", "p1", "--mem-per-cpu", "900M", "--name", "ring")
    expected = "job-name=ring output=ring-%j.log open-mode=append nodes=2 ntasks=2 cpus-per-task=1 mem-per-cpu=900M "
    expected += "time=01:00:00 partition=long account=p1 requeue signal=B:USR1@120"
    assert directives(text) == [f"--{words}" for words in expected.split()]
    assert capsys.readouterr().out == "wrote chain.sbatch\nnext: sbatch chain.sbatch\n"


def test_what_is_not_asked_for_stays_out_or_follows_from_the_input() -> None:
    text = written("--set", "run.threads_per_rank=3")
    left_out = ("--nodes", "--partition", "--account", "--array")
    assert not [line for line in directives(text) if line.startswith(left_out)]
    assert "##SBATCH --partition=standard" in text
    assert {"--cpus-per-task=3", "--mem-per-cpu=2G", "--job-name=chain"} <= set(directives(text))
    assert "\noutput=runs/chain\n" in text


def test_much_memory_is_asked_for_where_it_is_needed() -> None:
    large = (
        "lattice.length=60",
        "ansatz.alpha=2",
        "ansatz.symmetry=none",
        "ansatz.weights=complex",
        'sr.solver="dense"',
    )
    text = written(*(word for key in large for word in ("--set", key)))
    (memory,) = (line for line in directives(text) if line.startswith("--mem-per-cpu"))
    assert int(memory.removeprefix("--mem-per-cpu=").removesuffix("G")) > 2, "2.5 complex matrices of 7200^2 and more"


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_one_launcher_holds_and_the_others_are_comments(launcher: str) -> None:
    lines = written("--launcher", launcher).splitlines()
    assert [line for line in lines if line.startswith("launch=")] == [f"launch=({LAUNCHERS[launcher]})"]
    assert sum(line.startswith("# launch=(") for line in lines) == len(LAUNCHERS) - 1


def test_arrays() -> None:
    for option, array, name, key in (
        ("--array-alpha", "1,2,4", "alpha", "ansatz.alpha"),
        ("--array-seeds", "3-8", "seed", "run.seed"),
        ("--array-seeds", "3", "seed", "run.seed"),
    ):
        text = written(option, array, "--overwrite")
        assert {f"--array={array}", f"--output=chain-%A-{name}%a.log"} <= set(directives(text))
        assert f'--set "{key}=$SLURM_ARRAY_TASK_ID"' in text
        assert f'output=runs/chain"-{name}$SLURM_ARRAY_TASK_ID"' in text
    assert (list(seeds("3-5").values), list(alphas("4,1").values)) == ([3, 4, 5], [4, 1])


# Shell text -----------------------------------------------------------------------------------------------------------

NASTY = """it's "$HOME" `id` \\ $(touch broken) *;&#"""


def scripts() -> list[Path]:
    written("--write", "one.sbatch", file="one.sbatch")
    written("--write", "array.sbatch", "--array-alpha", "1,2", "--launcher", "srun-pmix", file="array.sbatch")
    shutil.copy("chain.toml", f"{NASTY}.toml")
    override = """hamiltonian.model='heisenberg'"""
    nasty = ("--write", f"{NASTY}.sbatch", "--output", NASTY, "--set", override)
    written(*nasty, config=f"{NASTY}.toml", file=f"{NASTY}.sbatch")
    return [*Path().glob("*.sbatch"), *(ROOT / "jobs").glob("*.sbatch")]


def test_bash_and_shellcheck_read_the_scripts() -> None:
    paths = scripts()
    assert len(paths) >= 6
    for path in paths:
        done = subprocess.run(["bash", "-n", "--", path], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    if checker := shutil.which("shellcheck"):
        done = subprocess.run([checker, "-S", "warning", "--", *paths], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


PRETENDED = """\
#!/bin/bash
# a launcher: writes down the directory, the program and its arguments, and leaves with the code that it is told
if [ "$1" = -n ]; then shift 2; fi
{ pwd; printf '%s\\n' "$@"; } >> "$RECORD"
exit "${CODE:-0}"
"""


def run_script(file: str, directory: Path, **environment: str) -> tuple[int, list[str], str]:
    """Run a job script with a pretended mpiexec and scontrol: its exit code, what they were called with, its output."""
    (directory / "bin").mkdir(exist_ok=True)
    for name in ("mpiexec", "scontrol"):
        (directory / "bin" / name).write_text(PRETENDED)
        (directory / "bin" / name).chmod(0o755)
    record = directory / "record"
    record.unlink(missing_ok=True)
    variables = {"SLURM_NTASKS": "2", "SLURM_CPUS_PER_TASK": "1", "SLURM_JOB_ID": "17", "RECORD": str(record)}
    text = Path(file).read_text().replace('PATH"\n', f'PATH" PATH={shlex.quote(str(directory / "bin"))}:"$PATH"\n', 1)
    (directory / "copy.sbatch").write_text(text)
    done = subprocess.run(
        ["bash", str(directory / "copy.sbatch")],
        env=os.environ | variables | environment,
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, record.read_text().splitlines(), done.stdout


def test_words_arrive_as_they_were_given(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = directory / NASTY
    place.mkdir()
    monkeypatch.chdir(place)
    shutil.copy("../chain.toml", f"{NASTY}.toml")
    Path(NASTY[3:]).write_text("1 -1 1 -1 1 -1 1 -1\n")
    override = f"sampler.start_file='''{NASTY[3:]}'''"
    sets = ["--set", override, "--set", 'sampler.start="file"']
    written(*sets, "--output", f"out {NASTY}", config=f"{NASTY}.toml", file=f"{NASTY}.sbatch")
    code, called, _ = run_script(f"{NASTY}.sbatch", tmp_path)
    assert code == 0
    assert called == [str(place), "pvmc", "run", f"{NASTY}.toml", *sets, "--output", f"out {NASTY}"]
    assert not list(tmp_path.rglob("broken"))


def test_a_run_that_is_there_goes_on(tmp_path: Path) -> None:
    written("--output", "out")
    assert run_script("chain.sbatch", tmp_path)[1][-2:] == ["--output", "out"]
    Path("out").mkdir()
    Path("out/run.h5").touch()
    assert run_script("chain.sbatch", tmp_path)[1][-3:] == ["--output", "out", "--resume"]


def test_only_75_goes_back_into_the_queue(tmp_path: Path) -> None:
    written()
    for code in (0, 1, 2, 3, 4, 9, 137):
        left, called, printed = run_script("chain.sbatch", tmp_path, CODE=str(code))
        assert (left, "requeue" in called) == (code, False)
        assert f"exit code {code}" in printed
    code, called, printed = run_script("chain.sbatch", tmp_path, CODE="75")
    assert called[-2:] == ["requeue", "17"]
    assert "this site does not let jobs start again" in printed, "the pretended scontrol failed, too"
    _, called, _ = run_script(
        "chain.sbatch", tmp_path, CODE="75", SLURM_ARRAY_JOB_ID="17", SLURM_ARRAY_TASK_ID="4", SLURM_RESTART_COUNT="99"
    )
    assert called[-1] == "17_4"
    _, called, printed = run_script("chain.sbatch", tmp_path, CODE="75", SLURM_RESTART_COUNT="100")
    assert "requeue" not in called
    assert "restarted 100 times: enough" in printed


# Files and sbatch -----------------------------------------------------------------------------------------------------


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """The one line of a request that cannot be carried out."""
    capsys.readouterr()
    assert main(["submit", *arguments]) == code
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("pvmc: error: ") and output.err.count("\n") == 1
    return output.err.removeprefix("pvmc: error: ").rstrip("\n")


def test_another_script_is_not_replaced_by_accident(capsys: pytest.CaptureFixture[str]) -> None:
    first = written("--name", "a")
    assert written("--name", "a").replace("\n", "") == first.replace("\n", ""), "the same one is no obstacle"
    assert complaint(capsys, "chain.toml", *TASKS, "--name", "b") == (
        "chain.sbatch: exists and differs: --overwrite replaces it, --write FILE writes another"
    )
    assert Path("chain.sbatch").read_text() == first
    assert "--job-name=b" in written("--name", "b", "--overwrite")


def test_files_that_cannot_be_read_or_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no.toml" in complaint(capsys, "no.toml", *TASKS)
    message = complaint(capsys, "chain.toml", *TASKS, "--write", "no/such/file", code=4)
    assert message == "no/such/file: cannot be written: No such file or directory"


def test_without_sbatch_nothing_is_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert complaint(capsys, "chain.toml", *TASKS, "--go").startswith("--go: there is no sbatch on PATH; ")
    assert not Path("chain.sbatch").exists()


def pretend_sbatch(monkeypatch: pytest.MonkeyPatch, directory: Path, text: str) -> None:
    program = directory / "sbatch"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")


def test_go_submits(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend_sbatch(monkeypatch, tmp_path, 'echo "$@" > arguments; echo "4711;cluster"')
    assert main(["submit", "chain.toml", *TASKS, "--go"]) == 0
    assert capsys.readouterr().out == "wrote chain.sbatch\nsubmitted as job 4711\n"
    assert Path("arguments").read_text() == "--parsable chain.sbatch\n"


def test_sbatch_refuses(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend_sbatch(monkeypatch, tmp_path, 'echo "sbatch: error: Batch job submission failed: no" >&2; exit 1')
    assert main(["submit", "chain.toml", *TASKS, "--go"]) == 2
    output = capsys.readouterr()
    assert output.out == "wrote chain.sbatch\n"
    assert output.err == "pvmc: error: sbatch did not take chain.sbatch: Batch job submission failed: no\n"


# Bad requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "ansatz.alpa=2"], "unknown key, did you mean 'ansatz.alpha'?"),
        (["--array-alpha", "1,0"], "--set: ansatz.alpha = 0: must be"),
        (["--array-alpha", "1,"], "--array-alpha 1,: must be whole numbers"),
        (["--array-alpha", "1,1"], "--array-alpha 1,1: each number may be there once only"),
        (["--array-seeds", "8-1"], "--array-seeds 8-1: must be FIRST-LAST, such as 1-8"),
        (["--array-alpha", "1", "--array-seeds", "1"], "--array-seeds: not allowed with argument --array-alpha"),
        (["--ntasks", "5"], "--ntasks 5: this job has 4 blocks of walkers"),
        (["--nodes", "3"], "--nodes 3: more nodes than the 2 tasks"),
        (["--time", "soon"], '--time "soon": must be a length of time'),
        (["--time", "04:59"], "--time 04:59: must be at least 5 minutes"),
        (["--mem-per-cpu", "much"], "--mem-per-cpu much: must be a whole number and K, M, G or T"),
        (["--partition", "a b"], "--partition a b: must be letters, digits"),
        (["--account", "$(id)"], "--account $(id): must be letters, digits"),
        (["--name", "a/b"], "--name a/b: must be letters, digits"),
        (["--output", "a\nb"], "'a\\nb': a job script takes names and values of one line"),
        (["--launcher", "aprun"], "argument --launcher: invalid choice: 'aprun'"),
    ],
)
def test_bad_requests(capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    assert message in complaint(capsys, "chain.toml", *TASKS, *options)
    assert not Path("chain.sbatch").exists()


def test_time_limits_as_slurm_reads_and_writes_them() -> None:
    texts = ("90", "10:30", "02:00:01", "2-00", "1-2:03", "1-02:03:04", "1h30m", "2H")
    assert [seconds_of(text) for text in texts] == [5400, 630, 7201, 172800, 93780, 93784, 5400, 7200]
    assert [slurm_time(text) for text in ("90", "1h", "1d2h3m4s")] == ["90", "01:00:00", "26:03:04"]
    for text in ("", "x", "1:2:3:4", "-5", "1-", "1.5", "2-00:00:00:00", "UNLIMITED"):
        with pytest.raises(InputError, match="must be (HOURS:MINUTES:SECONDS|a length of time)"):
            seconds_of(text)


def test_exit_code_of_the_first_rank_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "code"
    monkeypatch.setenv("PVMC_EXIT_FILE", str(path))
    monkeypatch.setenv("PMI_RANK", "1")
    assert (note_exit_code(3), path.exists()) == (3, False)
    monkeypatch.setenv("PMI_RANK", "0")
    assert (note_exit_code(75), path.read_text()) == (75, "75\n")
    monkeypatch.setenv("PVMC_EXIT_FILE", str(tmp_path / "no" / "such"))
    assert note_exit_code(0) == 0


@pytest.mark.parametrize("page", ["README.md", "docs/cluster.md"])
def test_the_submissions_of_the_documents_fit_the_input_that_pvmc_new_writes(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = [line.split("#")[0] for line in re.findall(r"pvmc (submit chain.toml --ntasks [^`\n]*)", text)]
    assert len(lines) >= 2
    Path("chain.toml").unlink()
    assert main(["new", "chain.toml"]) == 0
    for line in lines:
        words = [word for word in line.split() if word != "--go"]
        assert main([*words, "--overwrite"]) == 0, line
