"""Draws every input of this directory: python docs/lattices/draw.py"""

from __future__ import annotations

from pathlib import Path

from pvmc.figures.lattice_plot import draw
from pvmc.vmc.job import load_lattice

for config in sorted(Path(__file__).parent.glob("*.toml")):
    print(*draw(load_lattice(config), config.with_suffix(""), formats=("png",)))
