#!/bin/sh
# TeNPy 1.1.1: XXZChain with bc_x = "periodic" is the open chain.
#
# One would guess: a ring, as for its other models (SpinModel), or an error, as for SpinChain.
# Seen: the energy of the open chain, to the last bit, and a warning of an unused option.
set -eu
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
${PYTHON:-python3} -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'physics-tenpy==1.1.1'
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'END'
import tenpy
from tenpy.algorithms.exact_diag import ExactDiag
from tenpy.models.spins import SpinModel
from tenpy.models.xxz_chain import XXZChain

print("TeNPy", tenpy.__version__)


def lowest(model, **options):
    exact = ExactDiag(model({"L": 6, "bc_MPS": "finite", **options}))
    exact.build_full_H_from_mpo()
    exact.full_diagonalization()
    return float(min(exact.E))


couplings = {"Jx": 1.0, "Jy": 1.0, "Jz": 1.0, "S": 0.5, "lattice": "Chain"}
energies = {}
for bc in ("open", "periodic"):
    energies[bc] = lowest(XXZChain, Jxx=1.0, Jz=1.0, hz=0.0, sort_charge=True, bc_x=bc), lowest(SpinModel, bc_x=bc, **couplings)
    print(f"6 sites, bc_x = {bc:8}: XXZChain {energies[bc][0]:.6f}, SpinModel {energies[bc][1]:.6f}")
assert abs(energies["open"][1] + 2.493577) < 1e-6 and abs(energies["periodic"][1] + 2.802776) < 1e-6
assert energies["periodic"][0] == energies["open"][0], "no longer so"
END
