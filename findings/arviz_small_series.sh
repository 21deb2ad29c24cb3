#!/bin/sh
# arviz 0.23.4 (1.3.0 with arviz-stats 1.3.3 too): the effective sample size of a series depends on its units.
#
# One would guess: ess(c x) = ess(x), since autocorrelations have no units, and rhat(c x) = rhat(x).
# Seen: where max - min is below 1e-15, ess(method="mean") takes the series for a constant one and gives the number of all
# draws, while rhat and the rank-based ess(method="bulk") of the same numbers say that the chains have not mixed at all.
set -eu
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
${PYTHON:-python3} -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'arviz==0.23.4'
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'END'
import arviz, numpy as np

print("arviz", arviz.__version__)
walks = np.cumsum(np.random.default_rng(0).normal(size=(4, 1000)), axis=1)  # four random walks, far from mixed
results = []
for exponent in (0, -50, -60):
    series = walks * 2.0**exponent  # exact
    results.append([float(arviz.ess(series, method=name)) for name in ("mean", "bulk")] + [float(arviz.rhat(series))])
    print("scale 2^%-4d ess(mean) = %-8.6g ess(bulk) = %-8.6g rhat = %.6g" % (exponent, *results[-1]))
assert results[0] == results[1] and results[2][1:] == results[0][1:]
assert results[0][0] < 10 and results[2][0] == 4000, "no longer so"
END
