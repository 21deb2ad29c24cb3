#!/bin/sh
# NetKet 3.23.0: basis states come in the opposite order once total_sz is given.
#
# One would guess: the states of Spin(0.5, N, total_sz) are those of Spin(0.5, N) with this sum, in the same order, so that
# matrices and vectors of the sector are blocks of the full ones.
# Seen: their order is reversed.
set -eu
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
${PYTHON:-python3} -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'netket==3.23.0' 'jax==0.10.2' 'jaxlib==0.10.2' 'flax==0.12.8'
cd "$folder"
JAX_PLATFORMS=cpu "$folder/venv/bin/python" -W ignore - <<'END'
import netket as nk

print("NetKet", nk.__version__)
for n, total in ((2, 0), (4, 1), (5, 0.5), (6, 0)):
    everything, sector = nk.hilbert.Spin(0.5, n).all_states(), nk.hilbert.Spin(0.5, n, total_sz=total).all_states()
    chosen = everything[everything.sum(axis=1) == 2 * total]
    print(f"{n} sites, total_sz = {total}: starts with {sector[0].astype(int)}; of all states first {chosen[0].astype(int)}")
    assert (sector == chosen[::-1]).all() and (sector != chosen).any(), "no longer so"
END
