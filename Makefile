# Two commands do all their own set-up: `make reproduce` and `make test`.
# `make help` lists the rest. Python, profile, seeds and a part may be given:
#     make reproduce PYTHON=python3.12 PROFILE=smoke SEEDS="0 1 2" ONLY=table3
# SPICE=0 leaves out what SPICE needs: 0.4 GB of other licences.

PYTHON ?= python3
PROFILE ?= demo
SEEDS ?= 0
ONLY ?=
SPICE ?= 1
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.setup-done
TORCH := torch==2.13.0
# a module is compiled when it is first used, and most never are; then it is kept, also
# where the environment says otherwise: else each process compiles all it imports
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --no-compile
IN_VENV := PATH="$(CURDIR)/$(BIN):$$PATH"

PYTEST := $(BIN)/python -m pytest --numprocesses $(CORES) --maxprocesses 8 \
    --dist loadfile --no-loadscope-reorder
MEMORY ?= $(shell $(BIN)/python -c "from drcap.doctor import memory_facts; \
    print(int(1024 * memory_facts()['available_gib']))" 2>/dev/null || echo 8000)

.DEFAULT_GOAL := help
.PHONY: help setup reproduce test test-graph test-all lint notebooks site bench clean
.DELETE_ON_ERROR:

help:  ## list what can be made
	@awk -F ':.*  ## ' '/^[a-z-]*:.*  ## / {printf "%-12s%s\n", $$1, $$2}' Makefile

setup: $(READY)  ## make .venv, install the package, fetch weights and data
	$(BIN)/drcap assets fetch

$(READY): pyproject.toml constraints.txt requirements-no-deps.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	"Python 3.11 or later is needed, this is " + sys.version.split()[0] + \
	": name another one with make PYTHON=...")'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(INSTALL) $(TORCH)
	$(INSTALL) -c constraints.txt -e ".[dev]"
	$(INSTALL) --no-deps -r requirements-no-deps.txt
	@touch $@

reproduce: setup  ## run what is stale of the run graph; fills reports/$(PROFILE)
	@for group in $(if $(filter 0,$(SPICE)),,spice) judge; do \
	    $(BIN)/drcap assets fetch $$group || echo "It goes on without $$group."; done
	# No lock: a killed run would leave it behind, and every file is placed whole.
	$(IN_VENV) snakemake --cores $(CORES) --resources gpu=1 mem_mb=$(MEMORY) \
	    --config profile=$(PROFILE) seeds='"$(SEEDS)"' only='"$(ONLY)"' \
	    --rerun-incomplete --nolock --quiet host reason

test: setup lint  ## lint, then run every test but the whole smoke graph
	$(PYTEST) -m "not graph"

test-graph: setup  ## kill the whole smoke graph on its way, and run it to its end
	$(PYTEST) -m graph

test-all: test test-graph  ## both

lint: $(READY)  ## check style and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

notebooks: reproduce  ## keep the outputs of that run in notebooks/
	$(BIN)/python -m workflow publish reports/$(PROFILE)/notebooks

site: setup  ## render notebooks, docs and reports as a site in build/site
	$(BIN)/python site/build.py --profile $(PROFILE)

bench: setup  ## measure speed and memory beside plain references
	set -e; for benchmark in $(filter-out %/scale.py,$(wildcard benchmarks/*.py)); do \
	    $(BIN)/python "$$benchmark"; done
	$(BIN)/python benchmarks/scale.py --captions 10000 50000 --output logs/scale

clean:  ## remove the environment, logs and caches; reports and DRCAP_HOME stay
	rm -rf $(VENV) logs build *.egg-info .snakemake .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
