"""pvmc: parallel variational Monte Carlo with neural quantum states."""

__version__ = "0.1.0"
