"""Figures of runs, measurements, fits and lattices.  Alone imports matplotlib."""
