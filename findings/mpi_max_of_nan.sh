#!/bin/sh
# MPICH 5.0.2: whether MPI_MAX sees a NaN depends on the rank that holds it.
#
# One would guess: NaN, as numpy.maximum gives it, or the largest number, as numpy.fmax; the same wherever the NaN is.
# Seen: with two ranks the NaN of one of them is lost and the other's is kept (the standard leaves it open), so that
# "the largest error of all ranks" may look fine.
set -eu
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
${PYTHON:-python3} -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'mpi4py==4.1.2' 'mpich==5.0.2' 'numpy==2.4.6'
cd "$folder"
cat > largest.py <<'END'
import numpy as np
from mpi4py import MPI

comm = MPI.COMM_WORLD
found = []
for bad in range(2):
    found.append(comm.allreduce(0))  # in step
    local, result = np.array([np.nan if comm.rank == bad else 1.0]), np.empty(1)
    comm.Allreduce(local, result, op=MPI.MAX)
    found[-1] = float(result[0])
if comm.rank == 0:
    print(MPI.Get_library_version().splitlines()[0].strip())
    print("NaN on rank 0: %g, NaN on rank 1: %g" % tuple(found))
    assert np.isnan(found).sum() == 1, "no longer so"
END
"$folder/venv/bin/mpiexec" -n 2 "$folder/venv/bin/python" largest.py
