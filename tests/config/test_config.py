"""Sections, overrides and messages of the input, on sections of the tests' own."""

# ruff: noqa: E501  (the messages stand here as they are printed, on one line)

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field

from pvmc.config import (
    LARGEST_SHOWN,
    KeyProblem,
    KeyProblems,
    Problems,
    RawInput,
    Section,
    allowed_values,
    check_all,
    inside_key,
    read_input,
    section_classes,
    sections_of,
    shown,
    to_toml,
    validate,
)
from pvmc.errors import InputError


class Ramp(Section):
    """A number, or a table."""

    shorthand: ClassVar[str | None] = "initial"

    initial: float = Field(ge=0)
    """value at the start"""
    slope: float = 0.0
    """growth"""


class Circle(Section):
    """A circle."""

    kind: Literal["circle"]
    """the circle"""
    radius: float = Field(gt=0, le=10)
    """its radius"""


class Box(Section):
    """A box."""

    kind: Literal["box"]
    """the box"""
    size: Annotated[tuple[int, int], Field(strict=False)]
    """width and height"""
    closed: bool | None = None
    """with a lid; default: as it fits"""


class Extra(Section):
    """Further things."""

    count: int = Field(default=1, ge=1)
    """how many"""
    mode: Literal["fast", "slow"] | float = "fast"
    """how"""
    ramp: Ramp = Ramp(initial=2)
    """how quickly"""


class Whole(Section):
    """All of it."""

    shape: Annotated[Circle | Box, Field(discriminator="kind")]
    """what it is"""
    extra: Extra = Extra()
    """further things"""


CIRCLE = {"kind": "circle", "radius": 1}


def message(**tables: object) -> str:
    with pytest.raises(InputError) as caught:
        validate(Whole, RawInput({"shape": CIRCLE, **tables}, "in.toml"))
    return str(caught.value)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "in.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_sections_are_frozen_and_complete() -> None:
    whole = validate(Whole, RawInput({"shape": CIRCLE}, "in.toml"))
    assert isinstance(whole.shape, Circle)
    assert (whole.shape.radius, whole.extra.count, whole.extra.ramp.initial) == (1.0, 1, 2.0)
    with pytest.raises(ValueError, match="frozen"):
        whole.extra.count = 2  # type: ignore[misc]


def test_a_number_stands_for_a_table_with_a_shorthand() -> None:
    whole = validate(Whole, RawInput({"shape": CIRCLE, "extra": {"ramp": 3}}, "in.toml"))
    assert whole.extra.ramp == Ramp(initial=3.0)
    assert message(extra={"ramp": True}) == (
        "in.toml: extra.ramp = true: must be a number or a table with initial, slope"
    )
    assert message(extra={"ramp": -1}) == "in.toml: extra.ramp = -1: must be a number >= 0"
    assert message(extra={"ramp": {"initial": -1}}) == "in.toml: extra.ramp.initial = -1: must be a number >= 0"


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ({"extra": {"cuont": 2}}, "extra.cuont = 2: unknown key, did you mean 'extra.count'?; allowed: count, mode, ramp"),
        ({"extra": {"radius": 2}}, "extra.radius = 2: unknown key, did you mean 'shape.radius'?"),
        ({"extra": {"zzz": 2}}, "extra.zzz = 2: unknown key; allowed: count, mode, ramp"),
        ({"extar": {}}, "[extar]: unknown section, did you mean 'extra'?; allowed: shape, extra"),
        ({"shape": {"kind": "circle"}}, "shape.radius: missing; must be a number > 0 and <= 10 (its radius)"),
        ({"shape": {"radius": 1}}, 'shape.kind: missing; must be "circle" or "box"'),
        ({"shape": {"kind": "bax"}}, 'shape.kind = "bax": must be "circle" or "box", did you mean "box"?'),
        ({"shape": {"kind": ["box"]}}, 'shape.kind = ["box"]: must be "circle" or "box"'),
        ({"shape": 1}, 'shape = 1: must be a table with kind = "circle" or "box"'),
        ({"shape": {"kind": "circle", "radius": float("inf")}}, "shape.radius = inf: must be finite, a number > 0 and <= 10"),
        ({"shape": {"kind": "box", "size": [1, 2.5]}}, "shape.size = [1, 2.5]: must be a list of 2 values, each an integer"),
        ({"extra": {"mode": "fsat"}}, 'extra.mode = "fsat": must be "fast" or "slow", or a number, did you mean "fast"?'),
        ({"extra": {"count": 2**70}}, f"extra.count = {2**70}: must be an integer of at most 64 bits"),
        ({"extra": {"count": 0, "mode": "x"}}, 'extra.count = 0: must be an integer >= 1\nin.toml: extra.mode = "x": must be "fast" or "slow", or a number'),
        ({"extra": {"a\nb": 1}}, r'extra."a\nb" = 1: unknown key'),
    ],
)  # fmt: skip
def test_messages(tables: dict[str, object], expected: str) -> None:
    text = message(**tables)
    assert text.startswith(f"in.toml: {expected}")
    assert text.count("\n") == expected.count("\n")


def test_a_misspelt_key_stands_for_the_missing_key_that_it_caused() -> None:
    text = message(shape={"kind": "circle", "raduis": 1})
    assert text == "in.toml: shape.raduis = 1: unknown key, did you mean 'shape.radius'?; allowed: kind, radius"


def test_all_problems_are_told_in_the_order_of_the_input() -> None:
    tables = {
        "extra": {"mode": "x", "ramp": {"initial": 1, "slope": "y"}, "cuont": 1},
        "shape": {"kind": "circle"},
        "more": 2,
    }
    with pytest.raises(InputError) as caught:
        validate(Whole, RawInput(tables, "in.toml", overridden=frozenset(["extra.mode"])))
    assert str(caught.value).splitlines() == [
        '--set: extra.mode = "x": must be "fast" or "slow", or a number',
        'in.toml: extra.ramp.slope = "y": must be a number',
        "in.toml: extra.cuont = 1: unknown key, did you mean 'extra.count'?; allowed: count, mode, ramp",
        "in.toml with --set: shape.radius: missing; must be a number > 0 and <= 10 (its radius)",
        "in.toml: more = 2: unknown key; allowed: shape, extra",
    ]


def test_sections_without_problems_are_given_beside_the_problems() -> None:
    raw = RawInput({"shape": {"kind": "circle", "radius": -1}, "extra": {"count": 3}}, "in.toml")
    problems = Problems(raw)
    assert sections_of(Whole, raw, problems) == {"extra": Extra(count=3)}
    assert problems.found == [("shape.radius", "shape.radius = -1: must be a number > 0 and <= 10")]


def test_checks_that_do_not_depend_on_each_other_are_all_made() -> None:
    def bad(key: str) -> None:
        raise KeyProblem(key, 1, "no")

    with pytest.raises(KeyProblems) as caught:
        check_all(lambda: bad("a.x"), lambda: None, lambda: check_all(lambda: bad("a.y"), lambda: bad("b")))
    assert [problem.key for problem in caught.value.problems] == ["a.x", "a.y", "b"]
    with pytest.raises(KeyProblem, match=r"^a\.x = 1: no$"):
        check_all(lambda: bad("a.x"))
    with pytest.raises(KeyProblems) as caught, inside_key("a", "c"):
        check_all(lambda: bad("a.x"), lambda: bad("b"))
    assert [problem.key for problem in caught.value.problems] == ["c.x", "b"]


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("x = True", "; TOML writes true"),
        ("x = FALSE  # no", "; TOML writes false"),
        ("x = None", "; a key without a value is left out"),
        ("x = .5", "; TOML writes 0.5, with digits on both sides of the point"),
        ("x = -3.e-2", "; TOML writes -3.0e-2, with digits on both sides of the point"),
        ("x: 5", "; TOML writes x = 5"),
        ("x = runs/a", '; text stands in quotes: "runs/a"'),
        ("x = [1, 2", ""),
    ],
)
def test_what_is_no_toml_is_written_for_the_user(tmp_path: Path, line: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        read_input(written(tmp_path, f"{line}\ny = 1\n"))
    assert str(caught.value).endswith(f'"{line}"{hint}' if hint else ': not valid TOML: Unclosed array: "y = 1"')


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (1.5, "1.5"),
        ("a\nb", r'"a\nb"'),
        ([1, [True, "x"]], '[1, [true, "x"]]'),
        ({"a": 1, "b": [2]}, "{a = 1, b = [2]}"),
        (Ramp(initial=1), "1.0"),
        (Ramp(initial=1, slope=0.5), "{initial = 1.0, slope = 0.5}"),
    ],
)
def test_values_are_shown_as_toml(value: object, text: str) -> None:
    assert shown(value) == text


def test_long_values_are_shortened() -> None:
    assert len(shown("x" * 1000)) == LARGEST_SHOWN


@pytest.mark.parametrize(
    ("section", "key", "words"),
    [
        (Extra, "count", "an integer >= 1"),
        (Extra, "mode", '"fast" or "slow", or a number'),
        (Extra, "ramp", "a number or a table with initial, slope"),
        (Box, "closed", "true or false"),
        (Box, "size", "a list of 2 values, each an integer"),
        (Whole, "shape", 'a table with kind = "circle" or "box"'),
    ],
)
def test_allowed_values_in_words(section: type[Section], key: str, words: str) -> None:
    assert allowed_values(section.model_fields[key]) == words


def test_section_classes_are_found_through_unions() -> None:
    assert section_classes(Whole.model_fields["shape"].annotation) == [Circle, Box]
    assert section_classes(int | None) == []


class TestOverrides:
    def test_values_are_toml_and_bare_words_are_strings(self, tmp_path: Path) -> None:
        path = written(tmp_path, "[extra]\ncount = 1\n")
        raw = read_input(path, ["extra.count=5", "extra.mode=slow", "extra.ramp={initial=1}", "shape.size=[2, 3]"])
        assert raw.tables == {"extra": {"count": 5, "mode": "slow", "ramp": {"initial": 1}}, "shape": {"size": [2, 3]}}
        assert raw.text == "[extra]\ncount = 1\n", "the stored text is the file's own"

    def test_the_last_one_counts(self, tmp_path: Path) -> None:
        assert read_input(written(tmp_path, ""), ["a.b=1", "a.b=2"]).tables == {"a": {"b": 2}}

    @pytest.mark.parametrize("override", ["", "=", "a", "=1", ".=1", "a.=1", ".a=1", "a.b="])
    def test_malformed(self, tmp_path: Path, override: str) -> None:
        with pytest.raises(InputError) as caught:
            read_input(written(tmp_path, ""), [override])
        assert str(caught.value) == f'--set "{override}": must be KEY=VALUE, such as ansatz.alpha=2'

    def test_a_second_table_cannot_be_smuggled_in(self, tmp_path: Path) -> None:
        assert read_input(written(tmp_path, ""), ["a.b=1\n[c]\nd=2"]).tables == {"a": {"b": "1\n[c]\nd=2"}}

    def test_through_a_value(self, tmp_path: Path) -> None:
        with pytest.raises(InputError) as caught:
            read_input(written(tmp_path, "[a]\nb = 1\n"), ["a.b.c=2"])
        assert str(caught.value) == "--set a.b.c=2: a.b = 1 is a value, not a table; set a.b itself"

    def test_errors_name_where_a_value_came_from(self, tmp_path: Path) -> None:
        path = written(tmp_path, "[shape]\nkind = 'circle'\nradius = 1\n")
        raw = read_input(path, ["extra.count=2", "shape.radius=3"])
        for key in ("shape.radius", "extra", "extra.mode"):  # the override made the section
            assert str(raw.error(key, "text")) == "--set: text"
        assert str(raw.error("shape.kind", "text")) == f"{path}: text"
        assert str(raw.error("shape.other", "text")) == f"{path} with --set: text", "a default may clash with either"

    def test_an_override_of_the_tag_is_named(self, tmp_path: Path) -> None:
        raw = read_input(written(tmp_path, "[shape]\nkind = 'circle'\nradius = 1\n"), ["shape.kind=bix"])
        with pytest.raises(InputError) as caught:
            validate(Whole, raw)
        assert str(caught.value) == '--set: shape.kind = "bix": must be "circle" or "box", did you mean "box"?'


class TestFiles:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"[a\n", "line 1, column 3: not valid TOML: Expected ']' at the end of a table declaration: \"[a\""),
            (b"x = 1\ny = \n", 'line 2, column 5: not valid TOML: Invalid value: "y ="'),
            (b"x = 1\nx = 2\n", 'line 2, column 6: not valid TOML: this key stands twice: "x = 2"'),
            (b"[a]\n[a]\n", 'line 2, column 3: not valid TOML: this table stands twice: "[a]"'),
            (b"x = '", "not valid TOML: "),
            (b"x = " + b"[" * 9999, "not valid TOML: nested too deeply, or a number of thousands of digits"),
            (b"x = " + b"1" * 9999, "not valid TOML: nested too deeply, or a number of thousands of digits"),
            (b"a = 1\n\xff = 2\n", "line 2: must be UTF-8 text (byte 6 is not)"),
        ],
    )
    def test_not_toml(self, tmp_path: Path, content: bytes, expected: str) -> None:
        path = tmp_path / "in.toml"
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_input(path)
        assert str(caught.value).startswith(f"{path}: {expected}")

    def test_a_byte_order_mark_is_let_through(self, tmp_path: Path) -> None:
        path = tmp_path / "in.toml"
        path.write_bytes(b"\xef\xbb\xbfa = 1\r\n")
        assert read_input(path).tables == {"a": 1}


def test_written_toml_reads_back_the_same() -> None:
    whole = Whole(shape=Box(kind="box", size=(2, 3)), extra=Extra(count=2, mode=0.5, ramp=Ramp(initial=1e-7)))
    for commented in (False, True):
        text = to_toml(whole, commented=commented)
        assert validate(Whole, RawInput(tomllib.loads(text), "again")) == whole


def test_comments_say_what_a_key_is_and_may_be() -> None:
    text = to_toml(Whole(shape=Box(kind="box", size=(2, 3))), commented=True)
    assert "[shape]\n# what it is\n" in text
    assert "# how many (an integer >= 1)\ncount = 1\n" in text
    assert "# closed = ..." in text, "a key without a value is named too"
