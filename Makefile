# Scoreline's commands; `make help` lists them. Set-up happens only when its inputs changed.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INPUTS = setup.cfg pyproject.toml Makefile
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test test-interop test-faults test-attack check bench clean

help:  ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

run: $(VENV)/.serving  ## Serve on 127.0.0.1:8000, the store at var/scoreline.db.
	@exec $(BIN)/scoreline serve

test: $(VENV)/.testing  ## Run every test that this machine can run.
	@$(BIN)/python -m pytest

test-interop: $(VENV)/.interop  ## Run the official client, the weave package, against the service.
	@$(BIN)/python -m pytest --no-cov tests/interop

test-faults: $(VENV)/.interop  ## Kill, fill and damage under load; count what is lost.
	@$(BIN)/python -m pytest --no-cov -m faults -s tests/faults

test-attack: $(VENV)/.attacking  ## Attack a running service (SCORELINE_TEST_CASES=10000 for longer).
	@$(BIN)/python -m pytest --no-cov -m attack -s tests/attack

check: $(VENV)/.testing  ## Lint, types, layers, sizes.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m tests.sizes

bench: $(VENV)/.benching  ## Measure beside other services and raw SQLite (needs wrk; BENCH=--quick).
	@$(BIN)/python -m benchmarks.run $(BENCH)

clean:  ## Remove the virtual environment and caches; var/ with the store stays.
	rm -rf $(VENV) *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Scoreline needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 2; }
	@echo "Making a virtual environment in $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.serving: $(INPUTS) | $(BIN)/python
	@echo "Installing what serving needs" >&2
	@$(PIP) --editable .
	@touch $@

$(VENV)/.testing: $(VENV)/.serving
	@echo "Installing what the tests need" >&2
	@$(PIP) --editable '.[test]'
	@$(PIP) --editable '.[secantus]' \
		|| echo "SecantusDB cannot be installed here: tests of MongoDB need another server" >&2
	@touch $@

$(VENV)/.interop: $(VENV)/.testing
	@echo "Installing the official client" >&2
	@$(PIP) --editable '.[interop]'
	@touch $@

$(VENV)/.attacking: $(VENV)/.testing
	@echo "Installing what attacks the service" >&2
	@$(PIP) --editable '.[attack]'
	@touch $@

$(VENV)/.benching: $(VENV)/.testing
	@echo "Installing what the benchmarks need" >&2
	@$(PIP) --editable '.[bench]'
	@touch $@
