"""Numbers for all layers: compiled kernels, special functions, vectors in registers, exact sums, random streams."""
