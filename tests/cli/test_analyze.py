"""``pvmc analyze``, ``pvmc plot --kind`` and ``pvmc report`` on small runs: numbers, files, whole pages."""

from __future__ import annotations

import base64
import csv
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest

from pvmc.cli import main
from pvmc.figures.features import centred, sorted_filters
from pvmc.figures.kinds import FIGURES
from pvmc.io.reader import open_run
from pvmc.results.digits import plain, with_error
from pvmc.results.plateau import plateau_of
from pvmc.statistics import mean
from pvmc.tasks.spectrum import spectrum
from pvmc.vmc.job import load_job
from pvmc.wavefunctions import RBM
from tests.helpers import configurations, enumerated_moments, full_tensor
from tests.jobs import ring_text
from tests.measured_runs import with_measurement

INPUT = ring_text("iterations = 80", numbers="64, 16, 512")
SQUARE = INPUT.replace('"chain"\nlength = 8', '"rectangle"\nsize = [3, 4]').replace("alpha = 1", "alpha = 2")
SQUARE = SQUARE.replace('"heisenberg"', '"heisenberg"\nmarshall = false')

CORRELATIONS = (-0.608515568156, 0.261037205348, -0.251937094986, 0.198830915588)
"""<sigma^z_0 sigma^z_r> of the Heisenberg ring of 8 spins, r = 1 to 4, by full diagonalisation."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with runs a1, a2 (alpha = 1, 2), sq (3 x 4 sites), and measured ones, a1m and sqm."""
    directory = tmp_path_factory.mktemp("analyze")
    (directory / "chain.toml").write_text(INPUT)
    (directory / "square.toml").write_text(SQUARE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PVMC_NO_MPI", "1")
        for name, file, *more in (("a1", "chain"), ("a2", "chain", "--set", "ansatz.alpha=2"), ("sq", "square")):
            assert main(["run", str(directory / f"{file}.toml"), "--output", str(directory / name), *more]) == 0
    for name in ("a1", "sq"):
        with_measurement(directory / name, directory / f"{name}m")
    return directory


def output_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err


def columns(path: str) -> dict[str, list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    return {name: [row[i] for row in rows] for i, name in enumerate(head)}


def test_analyze_gives_what_the_series_hold(capsys: pytest.CaptureFixture[str], runs: Path) -> None:
    values = json.loads(output_of(capsys, "analyze", runs / "a1", runs / "a2", "--format", "json"))
    assert [run["n_parameters"] for run in values["runs"]] == [9, 18]
    for run, name in zip(values["runs"], ("a1", "a2"), strict=True):
        data = open_run(runs / name)
        last = mean(data.energy_per_site[-run["averaged"] :])
        assert (run["energy_per_site"], run["energy_per_site_error"]) == (last.mean, last.error)
        assert run["exact_energy_per_site"] == pytest.approx(-0.4563866761171468, rel=1e-12)
        assert run["total_samples"] == 80 * 512
        assert (run["system"]["lattice.length"], run["system"]["hamiltonian.model"]) == (8, "heisenberg")
    table = output_of(capsys, "analyze", runs / "a1", runs / "a2").splitlines()
    assert [line.split()[0] for line in table[1:3]] == ["a1", "a2"]
    assert output_of(capsys, "analyze", runs / "a1", "--format", "csv").count("\n") == 2
    assert r"\toprule" in output_of(capsys, "analyze", runs / "a1", "--format", "latex")


def test_every_command_shows_one_energy(capsys: pytest.CaptureFixture[str], runs: Path) -> None:
    """Energy, error and first averaged iteration of one run: status, analyze, plot and report, in text and in JSON."""
    run = runs / "a1"
    end = plateau_of(open_run(run))
    assert end.rule.startswith("last 1/") and end.first is not None and end.first >= 40
    plain_text = f"{plain(end.value, end.error)} +- {end.error:.1e} J"
    over = f"last {end.n} iterations, from {end.first} on"

    status = output_of(capsys, "status", run)
    assert plain_text in status and over in status
    (one,) = json.loads(output_of(capsys, "analyze", run, "--format", "json"))["runs"]
    for found in (json.loads(output_of(capsys, "status", run, "--json")), one):
        assert (found["energy_per_site"], found["energy_per_site_error"]) == (end.value, end.error)
        assert (found["averaged"], found["averaged_from"]) == (end.n, end.first)
    assert with_error(end.value, end.error) in output_of(capsys, "analyze", run)

    output_of(capsys, "plot", run, "--output", "curve", "--format", "svg")
    drawn = columns("curve.csv")
    assert {float(value) for value in drawn["mean energy per site"]} == {end.value}
    assert {float(value) for value in drawn["error of the mean"]} == {end.error}
    assert [row for row, counts in enumerate(drawn["averaged"]) if counts == "1"] == end.rows.tolist()

    output_of(capsys, "report", run, "--output", "page.html")
    page = Path("page.html").read_text(encoding="utf-8")
    assert with_error(end.value, end.error) in page and over in page
    row = output_of(capsys, "analyze", "--varbench", run).splitlines()[-1]
    energy, error = (float(cell) for cell in row.split("|")[1:3])
    assert energy == pytest.approx(4 * 8 * end.value, abs=4 * 8 * end.error / 10)
    assert error == pytest.approx(4 * 8 * end.error, rel=0.05)


def test_extrapolation_prints_and_draws(capsys: pytest.CaptureFixture[str], runs: Path) -> None:
    both = (runs / "a1", runs / "a2")
    text = output_of(capsys, "analyze", *both, "--extrapolate", "--output", "line", "--format", "json")
    found = json.loads(text)["extrapolation"]
    assert {Path(f"line.{ending}").exists() for ending in ("png", "pdf", "csv")} == {True}
    drawn = columns("line.csv")
    assert drawn["run"] == ["a1", "a2", "zero variance"]
    assert float(drawn["energy per site [J (S.S)]"][2]) == found["energy_per_site"]
    assert "one system" in refused(capsys, "analyze", runs / "a1", runs / "sq", "--extrapolate")
    assert "--extrapolate" in refused(capsys, "analyze", runs / "a1", "--output", "line")


def test_varbench_takes_the_measurement_where_there_is_one(capsys: pytest.CaptureFixture[str], runs: Path) -> None:
    rows = output_of(capsys, "analyze", "--varbench", runs / "a1", runs / "a1m").splitlines()
    assert len(rows) == 4
    cells = [cell.strip() for cell in rows[3].split("|")[1:-1]]
    assert [float(cell) for cell in cells[:3]] == pytest.approx([4 * -7.0, 4 * 0.001, 16 * 0.01])
    assert float(rows[2].split("|")[1]) == pytest.approx(-14.6, abs=0.3)
    assert "give it alone" in refused(capsys, "analyze", "--varbench", runs / "a1", "--format", "csv")


@pytest.mark.slow
def test_every_kind_of_figure_writes_its_files_and_data(capsys: pytest.CaptureFixture[str], runs: Path) -> None:
    chosen = {"features": ["sq"], "correlations": ["a1m", "sqm"], "structure-factor": ["sqm", "sqm"]}
    chosen["entanglement"] = ["a1m", "sqm"]
    for kind in FIGURES:
        given = [runs / name for name in chosen.get(kind, ["a1", "a2"])]
        text = output_of(capsys, "plot", *given, "--kind", kind, "--output", kind, "--format", "png,svg")
        assert text.split() == ["wrote", f"{kind}.png", "wrote", f"{kind}.svg", "wrote", f"{kind}.csv"]
        assert Path(f"{kind}.png").read_bytes().startswith(b"\x89PNG")
        assert ElementTree.parse(f"{kind}.svg").getroot().tag.endswith("svg")
        data = columns(f"{kind}.csv")
        assert len({len(column) for column in data.values()}) == 1
        assert len(next(iter(data.values()))) > 1
    output_of(capsys, "plot", runs / "a1", runs / "a2", "--kind", "timing", "--output", "y", "--format", "svg")
    assert Path("y.svg").read_bytes() == Path("timing.svg").read_bytes(), "the same each time"


@pytest.mark.slow
def test_correlations_and_structure_factors_are_those_measured(capsys: pytest.CaptureFixture[str], runs: Path) -> None:
    """The drawn data against full diagonalisation, and S(q) = sum_r exp(-i q r) C(r) at the drawn momenta."""
    output_of(capsys, "plot", runs / "a1m", "--kind", "correlations", "--output", "c")
    data = columns("c.csv")
    for r, value in zip(map(float, data["distance"]), map(float, data["correlation"]), strict=True):
        assert value == pytest.approx(CORRELATIONS[round(r) - 1], abs=1e-9)
    assert len(data["distance"]) == 7
    output_of(capsys, "plot", runs / "a1m", "--kind", "structure-factor", "--output", "s")
    data = columns("s.csv")
    for q, value in zip(map(float, data["momentum"]), map(float, data["structure factor"]), strict=True):
        pairs = enumerate(zip((2, 2, 2, 1), CORRELATIONS, strict=True), start=1)
        expected = 1 + sum(times * c * np.cos(q * r) for r, (times, c) in pairs)
        assert value == pytest.approx(expected, abs=1e-8)


def test_entropies_are_those_measured(capsys: pytest.CaptureFixture[str], runs: Path) -> None:
    """S_2 of n sites of a pure state is that of the other N - n; a single site of a singlet has ln 2."""
    output_of(capsys, "plot", runs / "a1m", "--kind", "entanglement", "--output", "e", "--format", "png")
    data = columns("e.csv")
    entropy = np.array(data["Renyi-2 entropy [nats]"], dtype=float)
    assert list(map(int, data["sites in region"])) == list(range(1, 8))
    assert entropy[0] == pytest.approx(np.log(2), abs=1e-9)
    np.testing.assert_allclose(entropy, entropy[::-1], rtol=0, atol=1e-9)
    assert set(map(float, data["its standard error [nats]"])) == {1e-3}


def test_shifted_and_sorted_filters_are_the_same_wave_function(runs: Path) -> None:
    job = load_job(runs / "square.toml")
    assert isinstance(job.ansatz, RBM)
    run = open_run(runs / "sq")
    theta = run.parameters()
    spins = configurations(12)
    filters = job.ansatz.block(theta, "features")
    shown = sorted_filters(run)
    order = np.argsort(-np.linalg.norm(filters, axis=1), kind="stable")
    moved = theta.copy()
    moved[job.ansatz.parameter_blocks["features"][0]] = shown.reshape(-1)
    moved[job.ansatz.parameter_blocks["hidden_bias"][0]] = job.ansatz.block(theta, "hidden_bias")[order]
    expected, found = (job.ansatz.at(parameters).log_psi(spins) for parameters in (theta, moved))
    np.testing.assert_allclose(np.exp(found - expected), 1.0, rtol=0, atol=1e-10)
    middle = [int(np.argmax(np.abs(weights))) for weights in shown]
    assert len(set(middle)) == 1, "the largest weight of each filter is on the same site"


def test_a_filter_without_a_symmetry_stays_where_it_is() -> None:
    weights = np.array([3.0, 1.0, 2.0])
    np.testing.assert_array_equal(centred(weights, np.arange(3)[np.newaxis], 1), weights)


def test_spectrum_is_that_of_the_exact_metric(tmp_path: Path, runs: Path) -> None:
    """With an enumerated sampler S is exact: against S that is summed configuration by configuration."""
    (tmp_path / "exact.toml").write_text(re.sub(r"\[sampler\][^\[]*", '[sampler]\nkind = "exact"\n', INPUT))
    assert main(["run", "exact.toml", "--output", "e", "--set", "run.iterations=5"]) == 0
    run, job = open_run("e"), load_job(Path("exact.toml"))
    assert isinstance(job.ansatz, RBM)
    moments = enumerated_moments(job.ansatz, run.parameters(), job.operator, configurations(8, 0))
    expected = np.linalg.eigvalsh(full_tensor(moments.tensor))[::-1]
    found = spectrum(run)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * expected[0])
    assert found[0] > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plot", "{}/a1", "{}/a2", "--kind", "features"], "one run"),
        (["plot", "{}/a1", "--kind", "correlations"], "holds no measured correlation: pvmc measure makes one"),
        (["plot", "{}/a1m", "{}/a1", "--kind", "entanglement"], "a1/run.h5 holds no measured entropy of regions"),
        (["plot", "{}/a1m", "{}/sqm", "--kind", "structure-factor"], "as many periodic directions"),
        (["plot", "{}/a1", "--kind", "variance"], "at least two runs"),
        (["plot", "{}/a1", "--kind", "waves"], "invalid choice: 'waves'"),
        (["plot", "{}/a1", "--format", "gif"], "must be some of png, pdf, svg"),
        (["analyze", "{}/nowhere"], "does not exist"),
        (["report", "{}/nowhere"], "does not exist"),
    ],
)
def test_what_cannot_be_drawn(
    capsys: pytest.CaptureFixture[str], runs: Path, arguments: list[str], message: str
) -> None:
    text = refused(capsys, *[argument.format(runs) for argument in arguments])
    assert message in text
    assert len(text.strip().splitlines()) == 1
    assert not list(Path().iterdir())


class Page(HTMLParser):
    """What a page refers to, what it says, and whether every element that is opened is closed."""

    VOID = ("meta", "img", "br", "hr")

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.images: list[dict[str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.addresses += [values[name] for name in ("src", "href", "srcset", "action", "data") if name in values]
        if tag == "img":
            self.images.append(values)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def page(capsys: pytest.CaptureFixture[str], runs: Path) -> Iterator[Page]:
    assert output_of(capsys, "report", runs / "a1m", runs / "a2", "--output", "r.html") == "wrote r.html\n"
    yield Page(Path("r.html").read_text(encoding="utf-8"))


def test_report_is_complete_in_itself(page: Page) -> None:
    assert page.open == []
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    raw = Path("r.html").read_text(encoding="utf-8")
    outside = re.sub(r"data:[^\"]*", "", raw)
    assert "http" not in outside
    assert not re.search(r"@import|url\(|<script|<link", outside)
    assert "prefers-color-scheme: dark" in outside
    assert 'name="viewport"' in outside
    for image in page.images:
        assert image["alt"]
        kind, _, content = image["src"].partition(";base64,")
        assert kind == "data:image/svg+xml"
        assert ElementTree.fromstring(base64.b64decode(content)).tag.endswith("svg")


def test_report_says_what_was_run_and_what_came_out(page: Page, runs: Path) -> None:
    for name in ("a1m", "a2"):
        run = open_run(runs / name)
        assert " ".join(run.config_text.split()) in page.text
        for attribute in ("pvmc_version", "numpy_version", "host"):
            assert str(run.attributes[attribute]) in page.text
    assert "Measurement 1" in page.text
    assert "-7.0000(10)" in page.text
    assert "correlation_zz" in page.text
    # All runs: convergence, error against alpha, variance, diagnostics, timing; each run: filters; the measured one:
    # correlations, structure factor and entropies.
    assert len(page.images) == 5 + 2 + 3


def test_report_warns(capsys: pytest.CaptureFixture[str], runs: Path, tmp_path: Path) -> None:
    """A run whose chains do not agree, with text in its input that could be taken for markup."""
    with_measurement(runs / "a2", tmp_path / "bad")
    with h5py.File("bad/run.h5", "r+") as file:
        file["series/r_hat"][:] = 1.2
        file.attrs["command_line"] = "pvmc run <b>&amp;"
    output_of(capsys, "report", "bad")
    found = Page(Path("bad/report.html").read_text(encoding="utf-8"))
    assert found.open == []
    assert "R-hat 1.200" in found.text
    assert "pvmc run <b>&amp;" in found.text
    assert "No warnings" not in found.text
