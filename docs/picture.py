"""The picture of ARCHITECTURE.md, docs/layers.svg: the way of the data, and the layers of packages.

Both are read from its text, the code block at its top and that of the section "Layers", so that the picture follows it.
``python docs/generate.py`` writes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

WIDTH, MARGIN = 860, 20
"""Of the picture, and of the space around what is drawn, in pixels."""

HEIGHT, GAP = 34, 26
"""Of a box, and the space between two rows."""

HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"
     font-family="sans-serif" font-size="14" text-anchor="middle">
<title>How pvmc is laid out</title>
<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0,0 L8,4 L0,8 z" fill="#555"/></marker></defs>
<rect width="{width}" height="{height}" fill="white"/>
"""


def layers(text: str) -> list[list[str]]:
    """The packages of each layer, lowest first, from the section "Layers": ``a < b, c (remark) < d``."""
    section = re.split(r"^## ", text.split("## Layers", 1)[1], flags=re.MULTILINE)[0]
    order = re.sub(r"\([^)]*\)", "", " ".join(re.findall(r"^    (.*)$", section, flags=re.MULTILINE)))
    return [[name.strip() for name in layer.split(",")] for layer in order.split("<")]


def stations(text: str) -> list[str]:
    """What the data pass, from the block at the top: one line to the file of results, one line back from it."""
    forth, back = re.findall(r"^    (.*)$", text.split("\n## ", 1)[0], flags=re.MULTILINE)[:2]
    return [one.strip(" '") for one in [*forth.split("->"), *reversed(back.split("<-")[:-1])]]


def purposes(text: str) -> dict[str, str]:
    """Package -> the words on it in the table of the section "Layers"; of several in a row, each has its own part."""
    rows = re.findall(r"^\| (`.*?`) \| (.*) \|$", text.split("## Layers", 1)[1], flags=re.MULTILINE)
    return {
        name: part.strip()
        for names, said in rows
        for name, part in zip(re.findall(r"`(.*?)`", names), said.split(";"), strict=False)
    }


def picture(text: str) -> str:
    """The picture as SVG, from the text of ARCHITECTURE.md."""
    way = list(_places(stations(text), MARGIN + 30))
    top = way[-1].y + HEIGHT + GAP
    rows, said = layers(text)[::-1], purposes(text)
    height = top + 34 + len(rows) * (HEIGHT + 10) + MARGIN
    parts = [HEAD.format(width=WIDTH, height=height), _heading("The way of the data", MARGIN + 14), *_way(way)]
    parts.append(_heading("Layers: a package imports only from those below it", top + 18))
    for number, names in enumerate(rows):
        parts += _layer(names, said, top + 34 + number * (HEIGHT + 10), number / len(rows))
    return "\n".join([*parts, "</svg>", ""])


class Box(NamedTuple):
    """A box and its place: the left upper corner, the width, the text."""

    x: float
    y: float
    width: float
    name: str

    def draw(self, fill: str, said: str = "") -> str:
        """As SVG, with what is said of the name behind it."""
        frame = f'<rect x="{self.x:.0f}" y="{self.y:.0f}" width="{self.width:.0f}" height="{HEIGHT}" rx="5"'
        more = f'<tspan font-size="12" fill="#333">: {escape(said)}</tspan>' if said else ""
        x, y = self.x + self.width / 2, self.y + HEIGHT / 2 + 5
        text = f'<text x="{x:.0f}" y="{y:.0f}">{escape(self.name)}{more}</text>'
        return f'{frame} fill="{fill}" stroke="#555"/>{text}'


def _heading(text: str, y: float) -> str:
    return f'<text x="{MARGIN}" y="{y:.0f}" text-anchor="start" font-weight="bold">{escape(text)}</text>'


def _places(names: Sequence[str], y: float) -> Iterator[Box]:
    """Boxes in rows, to the right and to the left by turns."""
    x, forward = float(MARGIN), True
    last = Box(x, y, 0.0, "")
    for name in names:
        width = 24 + 7.6 * len(name)
        if (x + width > WIDTH - MARGIN) if forward else (x - width < MARGIN):
            x, y, forward = (last.x + last.width if forward else last.x), y + HEIGHT + GAP, not forward
        last = Box(x if forward else x - width, y, width, name)
        yield last
        x = last.x + width + GAP if forward else last.x - GAP


def _way(boxes: Sequence[Box]) -> Iterator[str]:
    """The boxes, an arrow from each to the next, and one back from the update to the wave function."""
    for box in boxes:
        yield box.draw("#e8f0fb")
    for one, other in pairwise(boxes):
        if one.y != other.y:
            x = other.x + other.width / 2
            yield _arrow(x, one.y + HEIGHT, x, other.y)
        else:
            there = other.x if other.x > one.x else other.x + other.width
            yield _arrow(one.x + one.width if other.x > one.x else one.x, one.y + HEIGHT / 2, there, one.y + HEIGHT / 2)
    places = {box.name: box for box in boxes}
    if places.keys() >= {"update", "wave function"}:
        update, psi = places["update"], places["wave function"]
        start, end = update.x + update.width / 2, psi.x + psi.width / 2
        yield _arrow(start, update.y, end, psi.y + HEIGHT, 'stroke-dasharray="4 3"')
        yield f'<text x="{end + 6:.0f}" y="{update.y - 4:.0f}" font-size="11" text-anchor="end">next iteration</text>'


def _arrow(x0: float, y0: float, x1: float, y1: float, style: str = "") -> str:
    return f'<path d="M{x0:.0f},{y0:.0f} L{x1:.0f},{y1:.0f}" stroke="#555" {style} marker-end="url(#tip)"/>'


def _layer(names: Sequence[str], said: Mapping[str, str], y: float, depth: float) -> Iterator[str]:
    """A band with a box for each package, the darker the lower it is; with its purpose where there is room."""
    width = (WIDTH - 2 * MARGIN - 10 * (len(names) - 1)) / len(names)
    fill = "#" + "".join(f"{round(250 - depth * drop):02x}" for drop in (55, 35, 12))
    words = [_shortened(said.get(name, ""), int((width - 16 - 8 * len(name)) / 6.4)) for name in names]
    for place, name in enumerate(names):
        box = Box(MARGIN + place * (width + 10), y, width, name)
        yield box.draw(fill, words[place] if all(words) else "")


def _shortened(words: str, most: int) -> str:
    """The first part of words, up to a sign between parts of a sentence, that is no longer than ``most``."""
    ends = [found.start() for found in re.finditer(r"[:;,(]|$", words) if found.start() <= most]
    return words[: ends[-1]].strip() if ends and ends[-1] else ""
