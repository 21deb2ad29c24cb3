"""Pieces of an HTML page that is complete in itself: tables, lists, figures as data URIs, and its style sheet."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from pvmc.figures.drawing import Drawing

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


def figure(drawing: Drawing, caption: str) -> str:
    """A figure as SVG in a data URI, on white in any colour scheme; the caption is text."""
    address = "data:image/svg+xml;base64," + base64.b64encode(drawing.svg()).decode("ascii")
    kind = ' class="wide"' if drawing.width >= _WIDE else ""
    image = f'<img{kind} src="{address}" alt="{escape(caption)}" style="width: {96 * 1.15 * drawing.width:.0f}px">'
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


CSS = """\
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1b1f24; --soft: #57606a; --line: #d5dae0; --tint: #f5f7f9; --link: #0b57a4;
  --warn-ink: #6b3d00; --warn-tint: #fff4dd; --warn-line: #e0a030;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b; --ink: #e4e7eb; --soft: #a0a9b4; --line: #363c45; --tint: #1d2228; --link: #7fb8f0;
    --warn-ink: #ffd991; --warn-tint: #33270f; --warn-line: #a87620;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; max-width: 72rem; padding: 1.5rem clamp(1rem, 4vw, 2.5rem) 4rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
}
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0.5rem 0 0.25rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 0.75rem; padding-bottom: 0.3rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.75rem 0 0.5rem; }
p { margin: 0.5rem 0; max-width: 46rem; }
a { color: var(--link); }
.soft { color: var(--soft); font-size: 0.9rem; }
.scroll { overflow-x: auto; margin: 0.75rem 0; }
.scroll:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.35rem 1rem 0.35rem 0; text-align: right; white-space: nowrap; vertical-align: top; }
th { color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--line); }
tr + tr td { border-top: 1px solid var(--line); }
th.text, td.text { text-align: left; }
table.facts td { white-space: normal; overflow-wrap: anywhere; }
table.facts td:first-child { color: var(--soft); white-space: nowrap; }
ul.warnings {
  list-style: none; margin: 1rem 0; padding: 0.6rem 1rem; background: var(--warn-tint); color: var(--warn-ink);
  border-left: 4px solid var(--warn-line); border-radius: 4px;
}
ul.warnings li { margin: 0.3rem 0; }
figure { margin: 1.25rem 0 1.75rem; }
figure .scroll { background: #ffffff; border: 1px solid var(--line); border-radius: 6px; padding: 0.75rem; }
figure img { display: block; margin: 0 auto; max-width: 100%; height: auto; }
@media (max-width: 40rem) { figure img.wide { max-width: none; width: 40rem; } }
figcaption { color: var(--soft); font-size: 0.9rem; max-width: 46rem; }
details { margin: 0.75rem 0; }
summary { cursor: pointer; color: var(--link); }
pre {
  background: var(--tint); border: 1px solid var(--line); border-radius: 6px; padding: 0.75rem 1rem; overflow-x: auto;
  font: 0.82rem/1.45 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
}
@media print { details > * { display: block; } body { max-width: none; padding: 0; } figure { break-inside: avoid; } }
"""
"""Style sheet of a page, without any address of another file."""
