# Each target sets up what it needs: Python 3.11 or later, pip and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
N ?= 5

.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Run the demo: an embedded server, two workers, a live table (15 s)
	$(BIN)/callboard demo

test: $(VENV)/.dev ## Run the tests
	$(BIN)/python -m pytest

check: $(VENV)/.dev ## Lint, format, strict types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## Measure against bare dramatiq, side by side (BENCH="--short" for a quick look)
	$(BIN)/python -m tests.benchmarks $(BENCH)

chaos: $(VENV)/.dev ## Kill workers and servers under load, N rounds (N=5)
	$(BIN)/python -m tests.chaos --rounds $(N)

rolling: $(VENV)/.dev ## Restart pools one after another under load, N times (N=5)
	$(BIN)/python -m tests.chaos.rolling --restarts $(N)

boards: $(VENV)/.dev ## Make the dashboards and alerts in deploy/ anew
	$(BIN)/python -m deploy.boards

picture: $(VENV)/.dev ## Draw docs/info.svg anew: the demo, as `callboard info --watch` shows it
	$(BIN)/python -m docs.picture

webhooks: $(VENV)/.demo ## Run the webhooks example: 208 real payloads, each delivered three times
	$(BIN)/python -m examples.webhooks

newcomer: ## Follow the README word for word in an empty home (PYTHON=python3.12)
	$(PYTHON) -B -m tests.newcomer

clean: ## Remove the virtual environment and what was built
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@echo "Making a virtual environment in $(VENV) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Callboard needs Python 3.11 or later: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing Callboard with its embedded server and command line ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing Callboard and the tools that check it ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.demo

.PHONY: help demo test check format bench chaos rolling boards picture webhooks newcomer clean
