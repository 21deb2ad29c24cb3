"""Costs of an iteration before it runs: sizes, memory, rates, network."""
