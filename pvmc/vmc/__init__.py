"""A variational run: the loop, what surrounds it, how it starts, stops and goes on."""
