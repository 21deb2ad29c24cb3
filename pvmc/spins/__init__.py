"""Spin configurations: enumerated bases, sets of flipped sites, files."""
