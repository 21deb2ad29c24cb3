"""Malformed input: one line that names file, key, value and what is allowed; exit code 2; nothing is written."""

# ruff: noqa: E501  (the messages stand here as they are printed, on one line)

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pvmc.cli import main
from pvmc.sr.spec import _OF_RECONFIGURATION

GOOD = {
    "lattice": 'kind = "chain"\nlength = 8\n',
    "hamiltonian": 'model = "heisenberg"\n',
    "ansatz": 'kind = "rbm"\nalpha = 1\n',
}
SECTIONS = "allowed: lattice, hamiltonian, ansatz, sampler, sr, run, fit"
MODELS = (
    '"ising", "heisenberg", "xxz", "xyz", "j1j2", "dzyaloshinskii_moriya", "kitaev", "compass", "haldane_shastry", '
    '"long_range_ising", "long_range_xxz", "cluster_ising", "rydberg" or "terms"'
)
KINDS = '"chain", "ladder", "rectangle", "triangular", "honeycomb", "kagome", "cubic" or "graph"'
SIZE = "must be a list of 2 values, each an integer >= 1"


def toml(top: str = "", **sections: str | None) -> str:
    """A good input with some sections replaced, added, or (None) left out."""
    tables = {**GOOD, **sections}
    return top + "".join(f"[{name}]\n{text}\n" for name, text in tables.items() if text is not None)


def chain(length: object, more: str = "") -> str:
    return toml(lattice=f'kind = "chain"\nlength = {length}\n{more}')


def rectangle(text: str) -> str:
    return toml(lattice=f'kind = "rectangle"\n{text}')


def rbm(text: str) -> str:
    return toml(ansatz=f'kind = "rbm"\n{text}')


# The words of each kind of problem are those of tests/config/test_config.py, the values that each key takes those of
# docs/config.md; here is what sections say together. Each message stands in full, or up to "..." where the rest lists keys that other sections may gain.
CASES: dict[str, tuple[str | bytes, str]] = {
    # unknown keys and sections
    "unknown key": (rbm("alpha = 1\nalpa = 2"), "ansatz.alpa = 2: unknown key, did you mean 'ansatz.alpha'?; allowed: kind, alpha, ..."),
    "unknown key in a schedule": (toml(sr="shift = { initial = 1, decai = 0.9 }"), "sr.shift.decai = 0.9: unknown key, did you mean 'sr.shift.decay'?; allowed: initial, decay, minimum"),
    "key of the other kind": (rectangle("size = [4, 4]\nlength = 4"), "lattice.length = 4: unknown key, did you mean 'lattice.size'?; allowed: kind, size, supercell, periodic"),
    "key outside of sections": ("seed = 3\n" + toml(), f"seed = 3: unknown key, did you mean 'run.seed'?; {SECTIONS}"),
    "misspelt required section": (toml(lattice=None, lattise=GOOD["lattice"]), f"[lattise]: unknown section, did you mean 'lattice'?; {SECTIONS}"),
    # missing
    "missing section": (toml(lattice=None), f'[lattice]: section missing; must be a table with kind = {KINDS}'),
    "empty file": ("", f'[lattice]: section missing; must be a table with kind = {KINDS}\n[hamiltonian]: section missing; ...\n[ansatz]: section missing; ...'),
    "missing key": (rbm("").replace('"rbm"', '"feedforward"'), "ansatz.widths: missing; must be ..."),
    "missing key of a schedule": (toml(sr="shift = { decay = 0.9 }"), "sr.shift.initial: missing; must be a number >= 0 (..."),
    # wrong words
    "misspelt kind": (toml(lattice='kind = "chian"\nlength = 8'), f'lattice.kind = "chian": must be {KINDS}, did you mean "chain"?'),
    "kind is a number": (toml(lattice="kind = 3"), f'lattice.kind = 3: must be {KINDS}'),
    "misspelt reference": (toml(run='reference = "atuo"'), 'run.reference = "atuo": must be "auto" or "none", or a number, did you mean "auto"?'),
    # wrong types
    "string for integer": (chain('"8"'), 'lattice.length = "8": must be an integer >= 2, without quotes: 8'),
    "float for integer": (chain("8.0"), "lattice.length = 8.0: must be an integer >= 2, such as 8"),
    "bool for integer": (chain("true"), "lattice.length = true: must be an integer >= 2"),
    "date for integer": (toml(run="seed = 1979-05-27"), "run.seed = 1979-05-27: must be an integer >= 0"),
    "string for number": (rbm('alpha = "1"'), 'ansatz.alpha = "1": must be a number > 0, without quotes: 1'),
    "bool for number": (toml(hamiltonian='model = "ising"\nfield = true'), "hamiltonian.field = true: must be a number, or a list, each entry a number, or a table with seed, width, mean"),
    "integer for bool": (chain(8, "periodic = 1"), "lattice.periodic = 1: must be true or false"),
    "string for bool": (toml(hamiltonian='model = "xxz"\nmarshall = "no"'), 'hamiltonian.marshall = "no": must be "auto", true, false or a list of the sites to turn'),
    "size of three numbers": (rectangle("size = [4, 4, 4]"), f"lattice.size = [4, 4, 4]: {SIZE}"),
    "one boundary": (rectangle("size = [4, 4]\nperiodic = [true]"), "lattice.periodic = [true]: must be true or false, or a list of 2 values, each true or false"),
    "value for section": ("sampler = 3\n" + toml(), "sampler = 3: must be a table with kind = \"metropolis\" or \"exact\""),
    "array of tables for section": ("[[run]]\nseed = 1\n" + toml(), "run = [{seed = 1}]: must be a table with seed, ..."),
    "word for a schedule": (toml(sr='learning_rate = "fast"'), 'sr.learning_rate = "fast": must be ... table with initial, decay, minimum'),
    "coupling is nan": (toml(hamiltonian='model = "ising"\ncoupling = nan'), "hamiltonian.coupling = nan: must be finite, a number"),
    # what does not fit together
    "ring of two": (chain(2), "lattice.length = 2: too short to close on itself: a bond would run both ways round; ..."),
    "too long a chain": (chain(100_000), "lattice.length = 100000: a lattice needs 2 to 4096 sites, not 100000"),
    "rectangle of one site": (rectangle("size = [1, 1]\nperiodic = false"), "lattice.size = [1, 1]: a lattice needs 2 to 4096 sites, not 1"),
    "periodic length two": (rectangle("size = [4, 2]"), "lattice.size = [4, 2]: too short to close on itself: a bond would run both ways round; ..."),
    "alpha N not an integer": (rbm("alpha = 0.3"), "ansatz.alpha = 0.3: must be a positive multiple of 1, such as 1: hidden units come in sets of 8, ..."),
    "alpha N not an integer, no symmetry": (rbm('alpha = 0.3\nsymmetry = "none"'), "ansatz.alpha = 0.3: must be a positive multiple of 0.125, such as 0.25 or 0.375: ..."),
    "odd N at zero magnetisation": (chain(7, "periodic = false") + "[sampler]\nmagnetization = 0\n", "sampler.magnetization = 0: 7 spins +-1 sum to an odd number between -7 and 7; left out, pvmc chooses one"),
    "even N at odd magnetisation": (toml(sampler="magnetization = 1"), "sampler.magnetization = 1: 8 spins +-1 sum to an even number between -8 and 8; left out, pvmc chooses one"),
    "magnetisation beyond N": (toml(sampler="magnetization = -10"), "sampler.magnetization = -10: 8 spins +-1 sum to an even number between -8 and 8; left out, pvmc chooses one"),
    "Marshall rotation on an odd ring": (toml(lattice='kind = "chain"\nlength = 7', hamiltonian='model = "heisenberg"\nmarshall = true', sampler="magnetization = 1"), "hamiltonian.marshall = true: needs a bipartite lattice: 7 sites with a loop of odd length have no two sublattices"),
    "exchanges alone on the Ising model": (toml(hamiltonian='model = "ising"', sampler="moves = { exchange = 1 }"), "sampler.moves = ...: this Hamiltonian changes the magnetisation, which exchanges keep; give flip a weight"),
    "no moves": (toml(sampler="moves = { flip = 0, exchange = 0 }"), "sampler.moves = ...: at least one move needs a positive weight"),
    "samples not a multiple of walkers": (toml(sampler="samples = 1500"), "sampler.samples = 1500: must be a multiple of walkers = 1024"),
    "walkers not a multiple of block_width": (toml(sampler="walkers = 100"), "sampler.walkers = 100: must be a multiple of block_width = 64"),
    "Neel order at another magnetisation": (toml(sampler='start = "neel"\nmagnetization = 2'), 'sampler.start = "neel": Neel order ...'),
    "Neel order on an odd ring": (chain(7).replace('"heisenberg"', '"ising"') + '[sampler]\nstart = "neel"\n', 'sampler.start = "neel": needs a bipartite lattice: ...'),
    "eigenvalues beside conjugate gradients": (toml(sr='solver = "krylov"\nfactorisation = "eigen"'), 'sr.factorisation = "eigen": needs sr.solver = "dense", not "krylov"'),
    "running mean without one": (toml(sr="mean_decay = 0.5"), 'sr.mean_decay = 0.5: goes with sr.method = "momentum" or "adam", and only with these'),
    "cutoff of no eigenvalues": (toml(sr="cutoff = 1e-6"), 'sr.cutoff = 1e-06: needs sr.factorisation = "eigen"'),
    "tolerance of no step of heun": (toml(sr="tolerance = 0.1"), 'sr.tolerance = 0.1: needs sr.integrator = "heun"'),
    "filter of noise without eigenvalues": (toml(sr="snr = 2"), 'sr.snr = 2.0: needs sr.factorisation = "eigen"'),
    "factor of a shift of zero": (toml(sr='adapt_shift = true\nshift = 0.0'), 'sr.adapt_shift = true: has no meaning for sr.shift = 0, which no factor changes'),
    "factor of a shift that eigenvalues do without": (toml(sr='factorisation = "eigen"\nadapt_shift = true'), 'sr.adapt_shift = true: has no meaning for sr.factorisation = "eigen", whose cut-off takes the place of the shift'),
    "MARCH beside eigenvalues": (toml(sr='factorisation = "eigen"\nmomentum = { march = 0.9 }'), 'sr.momentum.march = 0.9: has no meaning for sr.factorisation = "eigen", whose cut-off takes the place of the shift'),
    "line search beside heun": (toml(sr='integrator = "heun"\nline_search = true'), 'sr.line_search = true: not beside sr.integrator = "heun": both adapt gamma'),
    # no TOML
    "bare word": ("[lattice]\nkind = chain\n", 'line 2, column 8: not valid TOML: Invalid value: "kind = chain"; text stands in quotes: "chain"'),
    "binary": (bytes(range(128, 256)), "line 1: must be UTF-8 text (byte 0 is not)"),
}  # fmt: skip


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in directory.rglob("*")}


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a refused command says, a line for every problem; nothing in the directory has changed."""
    before = contents(Path())
    code = main(arguments)
    output = capsys.readouterr()
    assert code == 2
    assert contents(Path()) == before
    assert output.out == ""
    assert output.err.endswith("\n")
    lines = output.err.splitlines()
    assert all(line.startswith("pvmc: error: ") for line in lines)
    assert len(lines) == len(set(lines))
    return "\n".join(line.removeprefix("pvmc: error: ") for line in lines)


def assert_matches(text: str, pattern: str) -> None:
    """The text is the pattern, line by line, in which "..." stands for anything."""
    assert text.count("\n") == pattern.count("\n"), f"{text}\nis not\n{pattern}"
    for line, expected in zip(text.splitlines(), pattern.splitlines(), strict=True):
        assert_line_matches(line, expected)


def assert_line_matches(text: str, pattern: str) -> None:
    position = 0
    parts = pattern.split("...")
    assert text.startswith(parts[0]), f"{text}\nis not\n{pattern}"
    for part in parts:
        found = text.find(part, position)
        assert found >= 0, f"{text}\nis not\n{pattern}"
        position = found + len(part)
    assert text.endswith(parts[-1]), f"{text}\nis not\n{pattern}"


@pytest.mark.parametrize("case", CASES)
def test_malformed_files(capsys: pytest.CaptureFixture[str], case: str) -> None:
    content, expected = CASES[case]
    Path("chain.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert_matches(
        refusal(capsys, "run", "chain.toml"), "\n".join(f"chain.toml: {line}" for line in expected.split("\n"))
    )


NEED_S = {
    "solver": ('"dense"', '"dense"'),
    "shift": ("0.1", "0.1"),
    "floor": ("1e-3", "0.001"),
    "offset": ("{ initial = 0.1, decay = 0.9 }", "{initial = 0.1, decay = 0.9, minimum = 0.0}"),
    "cutoff": ("1e-6", "1e-06"),
    "krylov": ("{ tolerance = 1e-8 }", '{method = "cg", tolerance = 1e-08, iterations = 1000}'),
    "tolerance": ("0.1", "0.1"),
    "momentum": ("{ mu = 0.5 }", "{mu = 0.5...}"),
    "factorisation": ('"eigen"', '"eigen"'),
    "largest_condition": ("1e6", "1000000.0"),
    "adapt_shift": ("true", "true"),
    "line_search": ("true", "true"),
    "integrator": ('"heun"', '"heun"'),
    "largest_angle": ("0.1", "0.1"),
}
"""Keys of [sr] that need S, a value, and how it is shown."""


@pytest.mark.parametrize("method", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("key", NEED_S)
def test_what_needs_s_is_refused_without_it(capsys: pytest.CaptureFixture[str], key: str, method: str) -> None:
    value, shown = NEED_S[key]
    Path("chain.toml").write_text(toml(sr=f'method = "{method}"\n{key} = {value}'))
    expected = (
        f'chain.toml: sr.{key} = {shown}: has no meaning for sr.method = "{method}", which does without S; allowed: ...'
    )
    assert_matches(refusal(capsys, "run", "chain.toml"), expected)


def test_what_pvmc_writes_is_taken_without_s(capsys: pytest.CaptureFixture[str]) -> None:
    """An input with every default spelt out, and the resolved one, which names what the solver is without S."""
    assert main(["new", "chain.toml"]) == 0
    capsys.readouterr()
    assert main(["validate", "chain.toml", "--set", "sr.method=adam"]) == 0
    Path("resolved.toml").write_text(capsys.readouterr().out)
    assert 'solver = "krylov"' in Path("resolved.toml").read_text()
    assert main(["exact", "resolved.toml"]) == 0


def test_keys_that_need_s_are_all_tried() -> None:
    assert {*NEED_S, "snr"} == set(_OF_RECONFIGURATION), "snr is refused before, without eigenvalues"


def test_the_input_that_the_cases_spoil_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    Path("chain.toml").write_text(toml())
    assert main(["exact", "chain.toml"]) == 0
    assert "Bethe ansatz" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["run", "validate", "exact"])
def test_every_command_that_reads_an_input_refuses_it_alike(capsys: pytest.CaptureFixture[str], command: str) -> None:
    Path("chain.toml").write_text(rbm("alpha = 0"))
    assert refusal(capsys, command, "chain.toml") == "chain.toml: ansatz.alpha = 0: must be a number > 0"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("missing.toml", "missing.toml: cannot be read: No such file or directory"),
        ("directory", "directory: is a directory; must be a TOML file"),
        ("chain.toml/inside", "chain.toml/inside: cannot be read: Not a directory"),
    ],
)
def test_files_that_cannot_be_read(capsys: pytest.CaptureFixture[str], name: str, expected: str) -> None:
    Path("directory").mkdir()
    Path("chain.toml").write_text(toml())
    assert refusal(capsys, "run", name) == expected


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("ansatz.alpha", '--set "ansatz.alpha": must be KEY=VALUE, such as ansatz.alpha=2'),
        ("alpha=2", f"--set: alpha = 2: unknown key, did you mean 'ansatz.alpha'?; {SECTIONS}"),
        ("lattice.periodic=True", '--set: lattice.periodic = "True": must be true or false, did you mean true?'),
        ("lattice=8", f'--set: lattice = 8: must be a table with kind = {KINDS}'),
        ("hamiltonian.model=isin", f'--set: hamiltonian.model = "isin": must be {MODELS}, did you mean "ising"?'),
        ("sampler.moves={flipp=1}", "--set: sampler.moves.flipp = 1: unknown key, did you mean 'sampler.moves.flip'?; ..."),
        ("sampler.walkers=100", "--set: sampler.walkers = 100: must be a multiple of block_width = 64"),
    ],
)  # fmt: skip
def test_overrides(capsys: pytest.CaptureFixture[str], override: str, expected: str) -> None:
    Path("chain.toml").write_text(toml())
    assert_matches(refusal(capsys, "run", "chain.toml", "--set", override), expected)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "...COMMAND (see 'pvmc --help')"),
        (["rnu"], "...'rnu'...'info'), did you mean 'run'? (see 'pvmc --help')"),
        (["benchmark", "a.toml"], "...'benchmark'..., did you mean 'bench'? (see 'pvmc --help')"),
        (["run"], "...CONFIG (see 'pvmc run --help')"),
        (["run", "a.toml", "--sett", "b=1"], "unrecognized arguments: --sett b=1, did you mean --set? (see ..."),
        (["run", "a.toml", "--overw"], "unrecognized arguments: --overw, did you mean --overwrite? (see ..."),
        (["new", "a.toml", "--model", "hubbard"], "...'hubbard'...heisenberg... (see 'pvmc new --help')"),
        (["validate", "a.toml", "--ranks", "0"], "argument --ranks: must be an integer >= 1, not '0' (see ..."),
    ],
)
def test_command_lines(capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str) -> None:
    assert_matches(refusal(capsys, *arguments), expected)


def test_what_is_in_the_way_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Path("chain.toml").write_text(toml())
    Path("full").mkdir()
    Path("full/thesis.txt").write_text("all of it")
    assert_matches(
        refusal(capsys, "run", "chain.toml", "--output", "full"), "full exists and is not a pvmc run; ...--overwrite"
    )
    assert_matches(
        refusal(capsys, "run", "chain.toml", "--output", "chain.toml"), "chain.toml cannot hold a run: ...--output"
    )
    assert_matches(refusal(capsys, "new", "chain.toml"), "chain.toml: exists; ...")


@pytest.mark.parametrize("command", ["status", "plot"])
def test_what_is_no_run(capsys: pytest.CaptureFixture[str], command: str) -> None:
    Path("chain.toml").write_text(toml())
    assert_matches(refusal(capsys, command, "nowhere"), "nowhere does not exist")
    assert_matches(refusal(capsys, command, "chain.toml"), "chain.toml is not a results file of pvmc")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "chain.toml"], "chain.toml: ansatz.alpha = 0: must be a number > 0"),
        (["run", "chain.toml", "--set", "ansatz.alpha=0.3"], "--set: ansatz.alpha = 0.3: must be a positive multiple of 1, such as 1: "),
        (["run", "nothing.toml"], "nothing.toml: cannot be read: No such file or directory"),
        (["fly"], "argument COMMAND: "),
    ],
)  # fmt: skip
def test_as_a_process(arguments: list[str], expected: str) -> None:
    Path("chain.toml").write_text(rbm("alpha = 0"))
    done = subprocess.run([sys.executable, "-m", "pvmc", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"pvmc: error: {expected}")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["chain.toml"]
