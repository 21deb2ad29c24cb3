"""Tables of results: numbers with errors, and formats that other programs read back."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from pvmc.results.digits import plain, short, with_error
from pvmc.results.result import ZeroVariance
from pvmc.results.result_table import as_csv, as_json, as_latex, latex_number, latex_text, table
from tests.results.test_extrapolation import result

LINE = ZeroVariance(-0.45, 0.001, 0.0005, 0.001, 0.3, 3)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (-0.4436623, 0.00000311, "-0.4436623(31)"),
        (-0.44366231, 0.000031, "-0.443662(31)"),
        (1.0, 0.00999, "1.000(10)"),
        (1.0, 0.0996, "1.00(10)"),
        (123.4, 17.0, "123(17)"),
        (1234.0, 250.0, "1234(250)"),
        (-3.5, 0.0, "-3.5"),
        (-3.5, float("nan"), "-3.5"),
        (-0.45638667611714806, 1.3e-16, "-0.456386676117148(1)"),  # not beyond double precision
        (123456.789, 1e-12, "123456.789000000(1)"),
        (1e-30, 1e-33, "1.0000(10)e-30"),
        (-4.2e30, 2.3e27, "-4.2000(23)e+30"),
        (0.0, 1.2e-35, "0.0(12)e-35"),
    ],
)
def test_values_with_errors(value: float, error: float, text: str) -> None:
    assert with_error(value, error) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (-0.44366231, 3.1e-5, "-0.44366231"),
        (-1.0, 3.1e-12, "-1.0000000000000"),
        (-0.45638667611714806, 1.3e-16, "-0.456386676117148"),
        (-4.2e-13, 1e-17, "-4.2000000e-13"),
        (0.0, 1e-9, "0"),
        (float("nan"), 0.1, "nan"),
    ],
)
def test_values_beside_their_errors(value: float, error: float, text: str) -> None:
    assert plain(value, error) == text


def test_numbers_that_are_not_known() -> None:
    assert (short(None), short(float("nan")), short(0.00012345)) == ("-", "-", "0.000123")
    assert (latex_number(None), latex_number(2.5e-5)) == ("--", r"$2.5 \times 10^{-5}$")


def test_csv_and_json_hold_the_numbers_in_full() -> None:
    results = [result(-0.1 - 1 / 3, 0.1, name="a, b", warnings=("x", "y")), result(-0.4, None)]
    rows = list(csv.DictReader(io.StringIO(as_csv(results, LINE))))
    assert [row["name"] for row in rows] == ["a, b", "a", "zero variance"]
    assert float(rows[0]["energy_per_site"]) == -0.1 - 1 / 3
    assert (rows[0]["warnings"], rows[1]["variance_per_site"]) == ("x; y", "")
    assert (float(rows[2]["energy_per_site"]), float(rows[2]["energy_per_site_error"])) == (-0.45, 0.001)
    values = json.loads(as_json(results, LINE))
    assert values["runs"][0]["energy_per_site"] == -0.1 - 1 / 3
    assert values["runs"][1]["variance_per_site"] is None
    assert values["extrapolation"]["energy_per_site"] == -0.45
    assert json.loads(as_json([result(float("nan"), 0.1)], None))["runs"][0]["energy_per_site"] is None


def test_latex_has_as_many_cells_in_every_row() -> None:
    text = as_latex([result(-0.4, 0.1, name="a_b & c"), result(-0.41, 0.05)], LINE)
    columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", text)
    assert columns is not None
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 4
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(columns[1]) - 1}
    assert r"a\_b \& c" in text and "settled" not in text
    assert latex_text("50 % of $x_1$") == r"50 \% of \$x\_1\$"


def test_the_table_tells_what_has_not_settled() -> None:
    text = table([result(-0.4, 0.1, settled=False, warnings=("chains disagree",)), result(-0.41, 0.05)], LINE)
    assert "-0.4000(10) *" in text
    assert "* not settled: the error is a lower bound" in text
    latex = as_latex([result(-0.4, 0.1, settled=False), result(-0.41, 0.05)], None).splitlines()
    assert "$-0.4000(10)^*$" in latex[4] and "^*" not in latex[5]
    assert latex[-2] == r"\multicolumn{11}{l}{${}^*$ not settled: the error is a lower bound} \\"
    assert "warning: a: chains disagree" in text
    assert "zero variance: E/N = -0.4500(10) (3 runs; errors: jackknife 1.0e-03, statistical 5.0e-04)" in text
