#!/bin/sh
# numba 0.68.1: @njit(cache=True) goes on running old code of a function in another file.
#
# One would guess: a cached function is compiled anew when what it calls has changed, as within one file.
# Seen: only the file of the cached function itself counts.  After an edit of a module that it calls, a new process runs the
# old callee inside the cached caller and the new one when called directly: two versions of one function in one program.
set -eu
unset PYTHONPATH
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
${PYTHON:-python3} -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'numba==0.68.1' 'numpy==2.4.6'
cd "$folder"
cat > callee.py <<'END'
from numba import njit

@njit
def factor(x):
    return 2.0 * x
END
cat > caller.py <<'END'
from numba import njit
from callee import factor

@njit(cache=True)
def twice(x):
    return factor(x)
END
run() { PYTHONDONTWRITEBYTECODE=1 "$folder/venv/bin/python" -c \
    'import numba, caller, callee; print("numba", numba.__version__, "by the caller:", caller.twice(1.0), "directly:", callee.factor(1.0))'; }
first=$(run)
sed -i 's/2.0 \* x/3.0 * x + 0.0/' callee.py
second=$(run)
echo "first:           $first"
echo "after the edit:  $second"
[ "$first" = "numba 0.68.1 by the caller: 2.0 directly: 2.0" ]
[ "$second" = "numba 0.68.1 by the caller: 2.0 directly: 3.0" ] || { echo "no longer so"; exit 1; }
