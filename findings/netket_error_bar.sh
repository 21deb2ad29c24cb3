#!/bin/sh
# NetKet 3.23.0: with default sizes the error of a mean ignores autocorrelation, and tau_corr is 0.
#
# One would guess: the error is that of Markov chains, as tau_corr stands beside it.
# Seen: with fewer than 32 chains it comes from blocks of 1/32 of a chain.  The defaults of MCState are 16 chains of 63
# samples, so that a block is one sample and the error is std/sqrt(n).  The error of slow chains is 5 times too small; with
# 32 chains the same series have the right one.
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
state = nk.vqs.MCState(nk.sampler.MetropolisLocal(nk.hilbert.Spin(0.5, 4)), nk.models.RBM())
sizes = state.sampler.n_chains, state.chain_length
print("default: %d chains of %d samples" % sizes)
rng = np.random.default_rng(1)


def pulls(n_chains, length, rho):
    """Mean over its claimed error, in 200 sets of stationary AR(1) chains of mean 0; the last tau_corr."""
    values = []
    for _ in range(200):
        chains = np.empty((n_chains, length))
        chains[:, 0] = rng.normal(size=n_chains)
        for t in range(1, length):
            chains[:, t] = rho * chains[:, t - 1] + np.sqrt(1 - rho**2) * rng.normal(size=n_chains)
        found = nk.stats.statistics(chains)
        values.append(float(found.mean) / float(found.error_of_mean))
    return np.std(values), float(found.tau_corr)


for n_chains, rho in ((16, 0.0), (16, 0.95), (32, 0.95)):
    spread, tau = pulls(n_chains, 63, rho)
    print("%d chains of 63, rho = %.2f: std of mean / error = %.2f (should be 1), tau_corr = %.1f" % (n_chains, rho, spread, tau))
    assert (4 < spread < 7 and tau == 0) if (n_chains, rho) == (16, 0.95) else 0.8 < spread < 1.25, "no longer so"
assert sizes == (16, 63), "other defaults"
END
