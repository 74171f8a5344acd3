# `make help` lists the commands. Packages are installed when setup.cfg has changed.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
FUZZ_SECONDS ?= 60
# The versions of weave that are tested beside the one in setup.cfg.
OLDER_WEAVES = 0.53.12 0.52.43
NPM_WEAVE = 0.11.1
INPUTS = setup.cfg pyproject.toml Makefile
# pip shows its progress, because the first install takes minutes on a slow network.
PIP = $(BIN)/python -m pip install --disable-pip-version-check
# The tests of a module share services, so they run in one process. Many wait for services and disks,
# so four processes are of use to two processors too.
PARALLEL = --numprocesses=4 --dist=loadfile
COMPILE = $(BIN)/uv pip compile --quiet setup.cfg --universal --python-version 3.11 \
	--generate-hashes --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help run test coverage test-browser test-interop test-faults test-attack test-minimal test-newest
.PHONY: test-simulation fuzz lock check bench clean

help:  ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

run: $(VENV)/.serving  ## Serve on 127.0.0.1:8000, with the store in var/scoreline.db.
	@exec $(BIN)/scoreline serve

test: $(VENV)/.testing  ## Run every test that this machine can run.
	@$(BIN)/python -m pytest $(PARALLEL)

coverage: $(VENV)/.testing  ## Run the tests, and show the lines that none of them runs.
	@$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term:skip-covered

test-interop: $(VENV)/.interop  ## Test the service with versions of the weave package.
	@$(BIN)/python -m pytest tests/interop

test-browser: $(VENV)/.browser  ## Test /docs and CORS in a real browser (the chromium on PATH).
	@$(BIN)/python -m pytest tests/browser

test-faults: $(VENV)/.interop  ## Kill, fill and damage a service under load; count lost scores.
	@$(BIN)/python -m pytest -m faults -s tests/faults

test-attack: $(VENV)/.attacking  ## Attack a running service (SCORELINE_TEST_CASES=10000 for longer).
	@$(BIN)/python -m pytest -m attack -s tests/attack

test-simulation: $(VENV)/.testing  ## Simulate coverage, size and power (SCORELINE_TEST_SAMPLES=20000 for longer).
	@$(BIN)/python -m pytest -m simulation --numprocesses=4 tests/analysis/statistics

test-minimal: $(VENV)-minimal/.minimal  ## Run the tests on the oldest releases that setup.cfg allows.
	@$(VENV)-minimal/bin/python -m pytest $(PARALLEL) $(TESTS)

test-newest:  ## Run the tests on the newest releases that setup.cfg allows, freshly installed.
	@rm -rf $(VENV)-newest
	@$(MAKE) --no-print-directory VENV=$(VENV)-newest $(VENV)-newest/.testing
	@$(VENV)-newest/bin/python -m pytest $(PARALLEL) $(TESTS)

fuzz: $(VENV)/.fuzzing  ## Fuzz the JSON parser, for FUZZ_SECONDS=60.
	@$(BIN)/python -m tests.attack.fuzz_json -max_len=2000 -max_total_time=$(FUZZ_SECONDS)

lock: $(VENV)/.locking  ## Write requirements.lock and tests/minimal.lock from setup.cfg.
	@$(COMPILE) --upgrade --output-file requirements.lock
	@$(COMPILE) --upgrade --resolution lowest-direct --extra parquet \
		--output-file tests/minimal.lock

check: $(VENV)/.testing  ## Lint, and check formatting, types and layers.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: $(VENV)/.benching  ## Compare the speed with other services and raw SQLite (needs wrk; BENCH=--quick).
	@$(BIN)/python -m benchmarks.run $(BENCH)

clean:  ## Remove the virtual environments and caches; var/ with the store stays.
	rm -rf $(VENV) $(VENV)-minimal $(VENV)-newest $(VENV)-weave-* *.egg-info .coverage
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Scoreline needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 2; }
	@echo "Creating a virtual environment in $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.serving: $(INPUTS) | $(BIN)/python
	@echo "Installing Scoreline and its dependencies" >&2
	@$(PIP) --editable .
	@touch $@

$(VENV)/.testing: $(VENV)/.serving
	@echo "Installing the dependencies of the tests" >&2
	@$(PIP) --editable '.[test,otel]'
	@$(PIP) --editable '.[secantus]' \
		|| echo "SecantusDB cannot be installed here: tests of MongoDB need another server" >&2
	@touch $@

$(VENV)/.interop: $(VENV)/.testing
	@echo "Installing the weave package, two older ones beside it, and that of npm" >&2
	@$(PIP) --editable '.[interop]'
	@for version in $(OLDER_WEAVES); do \
		$(PYTHON) -m venv $(VENV)-weave-$$version \
		&& $(PIP:$(BIN)/%=$(VENV)-weave-$$version/bin/%) weave==$$version || exit 1; \
	done
	@npm install --prefix $(VENV)-weave-npm --no-save --no-package-lock --no-audit --no-fund \
		--ignore-scripts --loglevel=error weave@$(NPM_WEAVE) \
		|| echo "The npm package cannot be installed here: its tests are skipped" >&2
	@touch $@

$(VENV)/.attacking: $(VENV)/.testing
	@echo "Installing the dependencies of the attacks" >&2
	@$(PIP) --editable '.[attack]'
	@touch $@

$(VENV)/.fuzzing: $(VENV)/.testing
	@echo "Installing the fuzzer" >&2
	@$(PIP) --editable '.[fuzz]'
	@touch $@

$(VENV)/.locking: $(VENV)/.serving
	@echo "Installing the tool that pins the dependencies" >&2
	@$(PIP) --editable '.[lock]'
	@touch $@

$(VENV)-minimal/.minimal: $(INPUTS) tests/minimal.lock
	@$(MAKE) --no-print-directory VENV=$(VENV)-minimal $(VENV)-minimal/.testing
	@echo "Installing the oldest allowed releases" >&2
	@$(PIP:$(VENV)/%=$(VENV)-minimal/%) --require-hashes --requirement tests/minimal.lock
	@touch $@

$(VENV)/.browser: $(VENV)/.testing
	@echo "Installing the tool that drives the browser" >&2
	@$(PIP) --editable '.[browser]'
	@touch $@

$(VENV)/.benching: $(VENV)/.testing
	@echo "Installing the dependencies of the benchmarks" >&2
	@$(PIP) --editable '.[bench]'
	@touch $@
