"""How the pages of ``pvmc report`` look, as CSS: light and dark, wide and narrow."""

from __future__ import annotations

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
