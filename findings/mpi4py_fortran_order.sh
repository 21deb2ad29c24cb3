#!/bin/sh
# mpi4py 4.1.2: an array in Fortran order travels as it lies in memory, also into one in C order, without an error.
#
# One would guess: elements arrive where they were, or an array that is not in C order is refused, as a strided one is.
# Seen: a Fortran-ordered (2, 3) array arrives with its elements in other places; a strided view is refused.
set -eu
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
${PYTHON:-python3} -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'mpi4py==4.1.2' 'mpich==5.0.2' 'numpy==2.4.6'
cd "$folder"
cat > order.py <<'END'
import mpi4py, numpy as np
from mpi4py import MPI

comm = MPI.COMM_WORLD
values = np.arange(6.0).reshape(2, 3)
received = np.zeros((2, 3))
array = np.asfortranarray(values) if comm.rank == 0 else received
comm.Bcast(array, root=0)
if comm.rank == 1:
    print("mpi4py", mpi4py.__version__, "sent", values.tolist(), "received", received.tolist())
    assert received.tolist() == [[0.0, 3.0, 1.0], [4.0, 2.0, 5.0]], "no longer so"
try:
    comm.Bcast(np.zeros((2, 6))[:, ::2], root=0)
    raise SystemExit("no longer so")
except BufferError as error:
    if comm.rank == 1:
        print("strided:", error)
END
"$folder/venv/bin/mpiexec" -n 2 "$folder/venv/bin/python" order.py
