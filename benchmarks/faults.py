"""Inputs that were once answered wrongly, and what pvmc answers now: a table of command, exit code and answer.

    python benchmarks/faults.py                      # all cases, some minutes
    python benchmarks/faults.py sector message       # those whose names begin so
    PYTHONPATH=OTHER python benchmarks/faults.py     # another checkout's pvmc

Right values are by exact diagonalisation over all 2^N configurations, or by hand where the state is a product.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 300
"""After which a command is given up."""


def toml(lattice: str, hamiltonian: str, ansatz: str = 'kind = "rbm"\nalpha = 1', **more: str) -> str:
    """An input file from its sections."""
    tables = {"lattice": lattice, "hamiltonian": hamiltonian, "ansatz": ansatz, **more}
    return "".join(f"[{name}]\n{text}\n\n" for name, text in tables.items())


def chain(length: int, hamiltonian: str, ansatz: str = 'kind = "rbm"\nalpha = 1', more: str = "", **rest: str) -> str:
    """An input on a chain."""
    return toml(f'kind = "chain"\nlength = {length}\n{more}', hamiltonian, ansatz, **rest)


@dataclass(frozen=True)
class Case:
    """One input and what is done with it.

    Attributes:
        name: kind and number.
        right: the right answer, and how it is known.
        commands: arguments of pvmc, one after the other in a directory of their own; a leading "!" is a shell line.
        files: text of files there.
        show: what to show of the last command's output: lines that match; all, where empty.
    """

    name: str
    right: str
    commands: tuple[str, ...]
    files: dict[str, str] = field(default_factory=dict)
    show: str = ""


SHORT = "walkers = 128\nsamples = 1024"
B = chain(
    8,
    'model = "heisenberg"',
    'kind = "rbm"\nalpha = 2\nsymmetry = "none"',
    sampler="walkers = 256\nsamples = 1024",
    run="iterations = 60",
)
HIDDEN = toml(
    'kind = "chain"\nlength = 6\nperiodic = false',
    'model = "terms"\nterms = [\n'
    + "".join(f'["0.5+0.3j", "S+{i} S-{i + 1}"], ["0.5-0.3j", "S-{i} S+{i + 1}"],\n' for i in range(5))
    + '[-0.4, "Z0 Z1"], [0.25, "X2 Y3 Z4"]]',
    'kind = "rbm"\nalpha = 4\nsymmetry = "none"',
    sampler=f"{SHORT}\nmoves = {{ flip = 0.5, hamiltonian = 0.5 }}",
    run="iterations = 400",
)
WARNINGS = "E/N|relative|warning|V-score|leak"


def sector(number: str, right: str, text: str) -> Case:
    """A ground state outside of the sector of zero magnetisation."""
    return Case(f"sector {number}", f"E = {right}", ("exact in.toml",), {"in.toml": text})


def refused(name: str, right: str, text: str, command: str = "validate in.toml") -> Case:
    """An input to be refused; nothing may be written."""
    return Case(f"message {name}", right, (command, "!ls"), {"in.toml": text})


CASES = (
    Case(
        "health hidden region",
        "E/N = -0.3175999, or a warning; the true variance is far above the sampled one",
        ("run in.toml --output r", "status r"),
        {"in.toml": HIDDEN},
        WARNINGS,
    ),
    Case(
        "health hidden region, smeared",
        "E/N = -0.3175999 within 1e-3",
        ("run in.toml --set sampler.smear=0.2 --set sr.learning_rate=0.3 --output r", "status r"),
        {"in.toml": HIDDEN},
        WARNINGS,
    ),
    Case(
        "health j1j2 4 x 4",
        "a warning: the state is 1.8e-2 off",
        ("run in.toml --set run.iterations=200 --output r", "status r"),
        {"in.toml": toml('kind = "rectangle"\nsize = [4, 4]', 'model = "j1j2"\nj2 = 0.5\nmarshall = true')},
        WARNINGS,
    ),
    Case(
        "health triangular 12",
        "a warning: the state is 5.2e-2 off",
        ("run in.toml --set run.iterations=200 --output r", "status r"),
        {"in.toml": toml('kind = "triangular"\nsize = [4, 3]', 'model = "heisenberg"\nmarshall = false')},
        WARNINGS,
    ),
    Case(
        "health momentum pi",
        "ring of 6: E/N = -0.467129 at momentum pi",
        ("run in.toml --output r", "status r"),
        {"in.toml": chain(6, 'model = "heisenberg"\nmarshall = false', sampler=SHORT, run="iterations = 200")},
        WARNINGS,
    ),
    Case(
        "health ring of 5",
        "E/N = -0.37361 at another momentum",
        ("run in.toml --output r", "status r"),
        {
            "in.toml": chain(
                5,
                'model = "heisenberg"\nmarshall = false',
                'kind = "rbm"\nalpha = 1\nsymmetry = "translation"',
                sampler=f"{SHORT}\nmagnetization = 1",
                run="iterations = 200",
            )
        },
        WARNINGS,
    ),
    Case(
        "health energy of zero",
        "no relative error of 1e14",
        ("run in.toml --output r", "status r"),
        {
            "in.toml": chain(
                4,
                'model = "terms"\nterms = [[2.0, ""],'
                + ",".join(f'[0.25, "{p}{i} {p}{(i + 1) % 4}"]' for i in range(4) for p in "XYZ")
                .replace('[0.25, "X', '[-0.25, "X')
                .replace('[0.25, "Y', '[-0.25, "Y')
                + "]",
                sampler=SHORT,
                run="iterations = 150",
            ).replace('[2.0, ""]', '[2.0, "I"]')
        },
        WARNINGS,
    ),
    Case(
        "health small variance, another level",
        "Rydberg 5 x 5: -0.65245942 by exact diagonalisation",
        ("validate in.toml",),
        {
            "in.toml": toml(
                'kind = "rectangle"\nsize = [5, 5]\nperiodic = false',
                'model = "rydberg"\nrabi = 1.0\ndetuning = 1.1',
            )
        },
        "sector|exact|E/N",
    ),
    sector("1", "-4 (all alike)", chain(4, 'model = "ising"\nfield = 0.0')),
    sector("2", "-10 (all alike)", chain(10, 'model = "ising"\nfield = 0.0')),
    sector("3", "-6.6 (all up)", chain(6, 'model = "ising"\nfield = 0.0\nlongitudinal = 0.1')),
    sector("4", "-18 (polarised)", chain(8, 'model = "heisenberg"\nfield = 5.0')),
    sector("5", "-57 (polarised)", chain(12, 'model = "heisenberg"\nfield = 10.0')),
    sector("6", "-6.8611 (all alike)", chain(6, 'model = "long_range_ising"\nfield = 0.0')),
    sector("7", "-113.902 (all excited)", chain(6, 'model = "rydberg"\nrabi = 0.0\ndetuning = 20.0')),
    sector("8", "0 (none excited)", chain(6, 'model = "rydberg"\nrabi = 0.0\ndetuning = -1.0')),
    sector("9", "-3.0 (ferromagnet)", chain(8, 'model = "xxz"\nanisotropy = -1.5')),
    sector("10", "-1.5 (ferromagnet)", chain(6, 'model = "xyz"\ncouplings = [0.0, 0.0, -1.0]')),
    sector("odd N", "-1.86803 (ring of 5)", chain(5, 'model = "heisenberg"\nmarshall = false')),
    refused("magnetization", "Ising does not keep it", chain(4, 'model = "ising"', sampler="magnetization = 4")),
    refused("several", "all at once", chain(4, 'model = "isign"\nfeild = 2', sr="lr = 0.1", run="iterations = 0")),
    refused("lr", "learning_rate", chain(4, 'model = "ising"', sr="lr = 0.1")),
    refused("square", "rectangle", toml('kind = "square"\nsize = [4, 4]', 'model = "ising"')),
    refused("tfim", "ising", chain(4, 'model = "tfim"')),
    refused("True", "true", chain(4, 'model = "ising"', more="periodic = True")),
    refused(
        "symmetry",
        'names ansatz.symmetry = "none"',
        toml('kind = "graph"\nedges = [[0, 1], [1, 2], [2, 3]]', 'model = "ising"'),
    ),
    refused("alpha 0.3", "a whole number of hidden units", chain(4, 'model = "ising"', 'kind = "rbm"\nalpha = 0.3')),
    refused("alpha 1e9", "refused with the memory", chain(8, 'model = "ising"', 'kind = "rbm"\nalpha = 1e9')),
    refused(
        "start_from, validate",
        "the file is missing",
        chain(8, 'model = "ising"', 'kind = "rbm"\nalpha = 1\nstart_from = "nowhere"'),
    ),
    refused(
        "start_from, run",
        "the file is missing, nothing is written",
        chain(8, 'model = "ising"', 'kind = "rbm"\nalpha = 1\nstart_from = "nowhere"'),
        "run in.toml --output r",
    ),
    refused("denormal", "refused", chain(4, 'model = "ising"\ncoupling = 1e-320')),
    refused("overflow", "refused", chain(4, 'model = "ising"\ncoupling = 1e308'), "exact in.toml"),
    refused("subcommand", "did you mean validate", "", "validat in.toml"),
    refused("submit --time 1h", "accepted", chain(8, 'model = "ising"'), "submit in.toml --ntasks 1 --time 1h"),
    refused(
        "exact sampler over metropolis keys",
        "the way to do it",
        chain(8, 'model = "ising"', sampler=SHORT),
        "run in.toml --set sampler.kind=exact --set run.iterations=2 --output r",
    ),
    Case("message run DIR", "--resume", ("run in.toml --output runs/x", "run runs/x"), {"in.toml": B}),
    Case("message status x", "runs/x", ("run in.toml --output runs/x", "status x"), {"in.toml": B}),
    Case(
        "message fewer iterations",
        "a clear line, no 120 %",
        ("run in.toml --output r", "run --resume r --set run.iterations=50", "status r"),
        {"in.toml": B},
        "iteration",
    ),
    Case(
        "number small units",
        "-2.80277563773e-12",
        ("exact in.toml",),
        {"in.toml": chain(6, 'model = "heisenberg"\ncoupling = 1e-12')},
    ),
    Case(
        "number smaller units",
        "-2.80277563773e-30",
        ("exact in.toml",),
        {"in.toml": chain(6, 'model = "heisenberg"\ncoupling = 1e-30')},
    ),
    Case("number zero", "0", ("exact in.toml",), {"in.toml": chain(12, 'model = "heisenberg"\ncoupling = 0.0')}),
    Case(
        "size block width 1",
        "a run",
        ("run in.toml --output r", "status r"),
        {
            "in.toml": chain(
                4, 'model = "ising"', sampler="walkers = 2\nsamples = 4\nblock_width = 1", run="iterations = 3"
            )
        },
        "E/N|state|error",
    ),
    Case(
        "images",
        "-9.74184 (sum over images of the nearest one)",
        ("exact in.toml",),
        {"in.toml": chain(6, 'model = "long_range_ising"\nexponent = 2.0\nimages = 2\nfield = 0.7')},
    ),
    Case(
        "graph without edges",
        "E = -2 (two spins in a field)",
        ("exact in.toml",),
        {
            "in.toml": toml(
                'kind = "graph"\nsites = 2\nedges = []',
                'model = "terms"\nterms = [[-1.0, "X0"], [-1.0, "X1"]]',
                'kind = "rbm"\nalpha = 1\nsymmetry = "none"',
            )
        },
    ),
    Case("new kitaev", "an input", ("new k.toml --model kitaev", "validate k.toml"), show="hamiltonian|error|model"),
    Case(
        "signs h < 0",
        "as with h = 1: -1.2879",
        ("run in.toml --output r", "status r"),
        {"in.toml": chain(6, 'model = "ising"\nfield = -1.0', sampler=SHORT, run="iterations = 200")},
        WARNINGS,
    ),
    Case(
        "moves two components",
        "refused, or a warning",
        ("validate in.toml",),
        {
            "in.toml": toml(
                'kind = "graph"\nedges = [[0, 1], [1, 2], [3, 4], [4, 5]]',
                'model = "heisenberg"',
                'kind = "rbm"\nalpha = 1\nsymmetry = "none"',
                sampler="moves = { exchange = 1.0 }",
            )
        },
        "moves|warning|reach",
    ),
    Case(
        "moves field on one site",
        "refused, or a warning",
        ("validate in.toml",),
        {
            "in.toml": chain(
                6,
                'model = "ising"\nfield = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]',
                'kind = "rbm"\nalpha = 1\nsymmetry = "none"',
                more="periodic = false",
                sampler="moves = { hamiltonian = 1.0 }",
            )
        },
        "moves|warning|reach",
    ),
    Case(
        "graph counted from 1",
        "a warning: site 0 has no bond",
        ("validate in.toml",),
        {
            "in.toml": toml(
                'kind = "graph"\nedges = [[1, 2], [2, 3], [3, 4], [4, 1]]',
                'model = "heisenberg"',
                'kind = "rbm"\nalpha = 1\nsymmetry = "none"',
            )
        },
        "edges|warning|magnetization",
    ),
    Case(
        "pipe",
        "60/60 iterations, code 0",
        ("!pvmc run in.toml --output r | head -2", "status r"),
        {"in.toml": B},
        "state|iteration|Error",
    ),
    Case(
        "extrapolation of different systems",
        "refused, or kept apart",
        (
            "run in.toml --output a",
            "run in.toml --set lattice.periodic=false --output b",
            "run in.toml --set lattice.periodic=false --set ansatz.alpha=1 --output c",
            "analyze a b c --extrapolate",
        ),
        {"in.toml": B},
        "xtrapol|error",
    ),
)


def answers(case: Case) -> Iterator[tuple[str, int, str]]:
    """Each command of a case with its exit code and output (stdout and stderr)."""
    with tempfile.TemporaryDirectory() as directory:
        for name, text in case.files.items():
            (Path(directory) / name).write_text(text)
        for command in case.commands:
            pvmc = f"{sys.executable} -m pvmc"
            line = command[1:].replace("pvmc ", f"{pvmc} ", 1) if command.startswith("!") else f"{pvmc} {command}"
            try:
                done = subprocess.run(
                    line, shell=True, cwd=directory, capture_output=True, text=True, timeout=SECONDS, check=False
                )
                yield command, done.returncode, done.stdout + done.stderr
            except subprocess.TimeoutExpired:
                yield command, -1, f"given up after {SECONDS} s"


def shown(output: str, pattern: str, n_lines: int) -> str:
    """The lines of an output that match, the last few of all where none is asked for."""
    lines = [re.sub(r"\s+", " ", line.strip()) for line in output.splitlines() if line.strip()]
    chosen = [line for line in lines if re.search(pattern, line)] if pattern else lines
    return "\n    ".join(line[:400] for line in chosen[-n_lines:])


def main() -> None:
    """Print every case that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of names")
    parser.add_argument("--lines", type=int, default=12, help="lines to show of each output")
    options = parser.parse_args()
    for case in CASES:
        if options.names and not case.name.startswith(tuple(options.names)):
            continue
        print(f"{case.name}: right is {case.right}")
        for command, code, output in answers(case):
            print(f"  {command} -> {code}\n    {shown(output, case.show, options.lines)}", flush=True)


if __name__ == "__main__":
    main()
