"""The glossary has the words that commands print, and troubleshooting has every warning with commands that work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pvmc.cli import _parser
from pvmc.results import result_table, status
from pvmc.vmc.job import load_job

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
TROUBLE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "pvmc").rglob("*.py")))
COMMANDS = [
    shlex.split(line, comments=True) for line in re.findall(r"^    (?:mpirun -n \d+ )?pvmc (.*)$", TROUBLE, flags=re.M)
]


def test_columns_and_labels_are_in_the_glossary() -> None:
    labels = re.findall(r'yield "(.+?)", ', Path(str(status.__file__)).read_text(encoding="utf-8"))
    assert "variance/N" in labels
    words = {*result_table.HEAD, *status.HEAD, *labels}
    assert sorted(word for word in words if f"`{word}`" not in GLOSSARY) == []


def test_every_warning_is_in_troubleshooting() -> None:
    names = set(re.findall(r'Symptom\(\s*"([^"]+)"', SOURCE)) | {"excited", "sector"}
    assert len(names) > 15
    assert sorted(name for name in names if f"(`{name}`" not in TROUBLE) == []


def test_the_commands_of_troubleshooting_are_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is parsed, and the overrides of runs make a job."""
    monkeypatch.chdir(tmp_path)
    tables = ("[lattice]", 'kind = "chain"', "length = 8", "[hamiltonian]", 'model = "heisenberg"', "[ansatz]")
    Path("chain.toml").write_text("\n".join([*tables, 'kind = "rbm"', "alpha = 1", ""]))
    changed = set()
    for words in COMMANDS:
        options = _parser().parse_args(words)
        if words[:2] == ["run", "chain.toml"]:
            changed.add(tuple(options.set))
    assert len(COMMANDS) > 30
    assert len(changed) > 12
    for overrides in sorted(changed):
        load_job(Path("chain.toml"), overrides)
