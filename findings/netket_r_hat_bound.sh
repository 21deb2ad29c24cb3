#!/bin/sh
# NetKet 3.23.0: R-hat of chains that never meet is 1.41, and cannot be larger than sqrt(2).
#
# One would guess: the split R-hat of Gelman et al., to which its documentation refers: thousands for chains that stay at
# different values, so that a limit such as 2 or 10 tells bad sampling from hopeless sampling.
# Seen: the variance of all samples stands where that within the chains belongs; it holds the variance between them, so that
# R-hat^2 <= 1 + (N - 1)/N.  (The source says that this approximation "seems to hold well enough".)
set -eu
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
${PYTHON:-python3} -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'netket==3.23.0' 'jax==0.10.2' 'jaxlib==0.10.2' 'flax==0.12.8'
cd "$folder"
JAX_PLATFORMS=cpu "$folder/venv/bin/python" -W ignore - <<'END'
import netket as nk, numpy as np

print("NetKet", nk.__version__)
noise = np.random.default_rng(0).normal(size=(16, 1000))
for distance in (0.0, 1.0, 1e3, 1e6):
    chains = noise + distance * np.arange(16)[:, None]
    halves = chains.reshape(32, 500)
    gelman = np.sqrt(499 / 500 + halves.mean(axis=1).var(ddof=1) / halves.var(axis=1, ddof=1).mean())
    found = float(nk.stats.statistics(chains).R_hat)
    print("means %-8g apart: NetKet %.6f, split R-hat of Gelman et al. %.6g" % (distance, found, gelman))
    assert found < 2**0.5, "no longer so"
assert found > 1.41 and gelman > 1e6
END
