# One command for each check; continuous integration and pre-commit call the same ones.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

BIN := .venv/bin
STAMP := .venv/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST := $(BIN)/python -m pytest
export PYTHON

.PHONY: help install packages run test lint types arch unit e2e fuzz bench constraints clean everything

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## Make .venv with Enforcer and all tools, in the versions of deploy/constraints.txt

$(STAMP): pyproject.toml deploy/constraints.txt .ci/python
	@if ! $(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then \
		python=$$(.ci/python); \
		echo "making .venv with $$("$$python" --version); the first time takes a minute or two"; \
		"$$python" -m venv --clear .venv; \
	fi
	@$(PIP) install --require-hashes -r deploy/constraints.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

run: install ## Start everything on loopback with the demo's lists and devices
	@$(BIN)/enforcer run --demo

packages: ## Install the Debian packages that the tests use (as root; otherwise say what is missing)
	@.ci/packages test

# Every check runs, whatever the ones before it said; pytest comes last, so that its summary ends the output.
test: packages install ## Everything: lint, types, then arch, unit, e2e and a short fuzz in one run of pytest
	@failed=; \
	for check in lint types everything; do $(MAKE) $$check || failed="$$failed $$check"; done; \
	if [ -n "$$failed" ]; then echo "make test: failed:$$failed" >&2; exit 1; fi

everything: install
	@$(PYTEST) -m "not bench"

lint: install ## Style and common mistakes (ruff)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: install ## Types (mypy --strict)
	@$(BIN)/mypy

arch: install ## Import contracts (import-linter), and that tests mirror modules
	@$(PYTEST) tests/test_architecture.py

unit: install ## Tests of one module each: no network, no sleeping
	@$(PYTEST) -m "not (e2e or fuzz or bench)" --ignore=tests/test_architecture.py

e2e: packages install ## The installed service and real clients, on loopback and in network namespaces
	@$(PYTEST) tests/e2e

fuzz: install ## Any bytes into every parser and a live listener, for a long time
	@$(PYTEST) tests/fuzz --hypothesis-profile=long --timeout=3600

bench: install ## Measure against the budgets and other servers; reports, asserts nothing
	@.ci/packages bench
	@$(BIN)/python tests/bench/run.py

constraints: install ## Lock the newest versions that pyproject.toml allows into deploy/constraints.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.12 --extra dev \
		--no-emit-index-url --annotation-style line --custom-compile-command "make constraints" \
		--output-file deploy/constraints.txt pyproject.toml >/dev/null

clean: ## Remove .venv and everything else that make has made
	@rm -rf .venv build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
