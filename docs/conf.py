"""Settings of Sphinx for the site of the documentation: ``make site`` builds it into build/site.

The pages are the Markdown files of docs/, which a git host shows as well.  Three things are added for the site:
the menu, made of the lists of links in index.md; ARCHITECTURE.md and CHANGELOG.md with their links adapted; and the
reference of the public names, one page a package (:mod:`reference`).
"""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(DOCS)]

import reference  # noqa: E402

import pvmc  # noqa: E402

project = "pvmc"
release = pvmc.__version__
author = "the authors of pvmc"
copyright = "the authors of pvmc"  # noqa: A001  (the name that Sphinx asks for)

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
]
exclude_patterns = ["lattices"]
root_doc = "index"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
myst_fence_as_directive = ["math"]

html_theme = "furo"
html_title = f"pvmc {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_theme_options = {"sidebar_hide_name": False}

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_type_aliases = {name: name for name in ("Spins", "Floats", "Numbers", "Booleans", "Integers")}
python_maximum_signature_line_length = 88
autodoc_inherit_docstrings = False
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_ivar = True
default_role = "code"
suppress_warnings = ["ref.python"]  # fields of one name in several sections of the input file

GENERATED = "generated"
"""Folder of the pages that are made when the site is built; git ignores it."""

COPIED = {"ARCHITECTURE.md": "architecture.md", "CHANGELOG.md": "changelog.md"}
"""Files beside docs/ that are pages of the site."""


MANY = 4
"""Columns up to which the cells of a table may be broken into lines."""


def copied(text: str) -> str:
    """The text of a file of the root directory as a page of the folder :data:`GENERATED`."""
    text = re.sub(r"\]\((?![a-z]+:|#)", "](../../", text)
    for name, page in COPIED.items():
        text = text.replace(f"](../../{name}", f"]({page}")
    return text.replace("](../../docs/", "](../")


def write_pages(_app: Sphinx) -> None:
    """Write the pages of the folder :data:`GENERATED`."""
    folder = DOCS / GENERATED
    folder.mkdir(exist_ok=True)
    pages = {page: copied((ROOT / name).read_text(encoding="utf-8")) for name, page in COPIED.items()}
    for name, text in (pages | reference.pages()).items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in set(folder.glob("*.md")) - {folder / name for name in pages | reference.pages()}:
        path.unlink()


def linked(_app: Sphinx, page: str, source: list[str]) -> None:
    """Point links to the files of :data:`COPIED` at their pages, and give index.md its menu.

    A link whose text is the name of a page gets the title of the page.
    """
    above = "../" * page.count("/")
    for name, copy in COPIED.items():
        source[0] = source[0].replace(f"]({above}../{name}", f"]({above}{GENERATED}/{copy}")
    source[0] = re.sub(rf"\[([^\]]*)\]\(({above}\.\./[^)]*)\)", partial(kept, DOCS / page), source[0])
    source[0] = re.sub(r"\[[\w/]+\.md\](?=\()", "[]", source[0])
    if page == root_doc:
        source[0] += menu(source[0])


def mark_wide_tables(_app: Sphinx, doctree: nodes.document) -> None:
    """Give tables of many columns a class: their cells hold numbers, which are not to be broken."""
    for table in doctree.findall(nodes.tgroup):
        if table["cols"] > MANY:
            table.parent["classes"].append("numbers")


def kept(page: Path, link: re.Match[str]) -> str:
    """A link from a page to a file beside docs/: a source file can be had from the site, of others the text stays."""
    return link[0] if link[2].endswith(".py") and (page.parent / link[2]).is_file() else link[1]


def menu(text: str) -> str:
    """A hidden table of contents: under each heading of the text the pages that its list links to."""
    parts = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, rest = section.partition("\n")
        pages = [f"{name} <{page}>" for name, page in re.findall(r"^- \[(.*?)\]\((.*?)\)", rest, flags=re.MULTILINE)]
        if title == reference.SECTION:
            pages.append(f"{reference.TITLE} <{GENERATED}/{reference.INDEX}>")
        if pages:
            parts.append("\n".join(["", "```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```", ""]))
    return "\n".join(parts)


def setup(app: Sphinx) -> None:
    """Connect the functions above to the steps of a build; attributes of classes are called so."""
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.connect("builder-inited", write_pages)
    app.connect("source-read", linked)
    app.connect("doctree-read", mark_wide_tables)
    app.connect("autodoc-skip-member", reference.is_left_out)
    app.connect("autodoc-process-docstring", reference.plain)
