"""Pieces of an HTML page that is complete in itself: tables, lists, figures as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import matplotlib
from matplotlib.figure import Figure

from pvmc.figures import style
from pvmc.report.page_style import CSS

_WIDE = 6.0
"""Inches from which on a figure is not made smaller on a narrow screen, but scrolled."""


def page(title: str, body: str) -> str:
    """A whole page; ``title`` is text, ``body`` is HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{CSS}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], texts: Sequence[int], label: str) -> str:
    """A table of text cells that can be scrolled where it is too wide.

    Args:
        head: names of the columns.
        rows: the cells.
        texts: columns that hold words, and stand to the left.
        label: what the table is, for those who do not see it.
    """
    kinds = [' class="text"' if column in texts else "" for column in range(len(head))]
    top = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for kind, name in zip(kinds, head, strict=True))
    lines = [
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    ]
    inside = f"<table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n" + "\n".join(lines) + "\n</tbody>\n</table>"
    return _scrolled(inside, label)


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Names and values, one pair to a row."""
    rows = [f'<tr><td class="text">{escape(k)}</td><td class="text">{escape(v)}</td></tr>' for k, v in pairs if v]
    return '<table class="facts">\n<tbody>\n' + "\n".join(rows) + "\n</tbody>\n</table>"


def figure(drawn: Figure, caption: str) -> str:
    """A figure as SVG in a data URI, on white in any colour scheme; the caption is text."""
    out = io.BytesIO()
    with matplotlib.rc_context(style.RC):
        drawn.savefig(out, format="svg", metadata={"Date": None}, bbox_inches="tight", pad_inches=0.03)
    address = "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode("ascii")
    width = drawn.get_figwidth()
    kind = ' class="wide"' if width >= _WIDE else ""
    image = f'<img{kind} src="{address}" alt="{escape(caption)}" style="width: {96 * 1.15 * width:.0f}px">'
    return f"<figure>\n{_scrolled(image, caption)}\n<figcaption>{escape(caption)}</figcaption>\n</figure>"


def hidden(summary: str, text: str) -> str:
    """Text set as it is, shown on a click."""
    return f'<details>\n<summary>{escape(summary)}</summary>\n<pre tabindex="0">{escape(text)}</pre>\n</details>'


def warnings(texts: Sequence[str]) -> str:
    """A list that catches the eye; nothing for none."""
    if not texts:
        return ""
    return '<ul class="warnings">\n' + "\n".join(f"<li>{escape(text)}</li>" for text in texts) + "\n</ul>"


def _scrolled(inside: str, label: str) -> str:
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">\n{inside}\n</div>'
