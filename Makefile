# `make up` runs Parley; `make help` lists the rest.

PYTHON ?= python3
UV ?= uv
TEST_PROCESSES ?= 2
VENV := .venv/bin/python
LOCK := --universal --generate-hashes --no-emit-index-url --no-emit-find-links --python-version 3.11 --no-header --quiet

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help up down status manage shell test chaos check bench format screenshots lock venv venv-dev system clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

up: venv ## run Parley here; Ctrl-C stops it (PORT=8000, DATA_DIR=.data)
	@$(PYTHON) -I config/local/setup_system.py bubblewrap
	@exec $(VENV) -m config.local up

down: venv ## stop what `make up` runs in another terminal
	@exec $(VENV) -m config.local down

status: venv ## what is running
	@exec $(VENV) -m config.local status

manage: venv ## a Django command against the running servers: make manage ARGS="help"
	@exec $(VENV) -m config.local manage $(ARGS)

shell: venv ## Django's shell against the running servers
	@exec $(VENV) -m config.local manage shell

test: venv-dev ## the whole suite, with servers of its own (ARGS="tests/unit -k name")
	@$(PYTHON) -I config/local/setup_system.py bubblewrap chromium
	@$(VENV) -m pytest -n $(TEST_PROCESSES) --dist loadfile -m "not chaos" $(ARGS)

chaos: venv-dev ## kill processes and servers under running turns (CHAOS_TIMES=3)
	@$(VENV) -m pytest -m chaos tests/chaos $(ARGS)

check: venv-dev ## style, types, import contracts, templates, scripts, deployment, migrations
	@.ci/check

bench: venv-dev ## measure how answers stream (ARGS="--users 1,10,50,200 --json figures.json")
	@$(VENV) -m benchmarks.streaming.run --users 1,50,200 --searching 10 $(ARGS)

format: venv-dev ## put the code into its form
	@$(VENV) -m ruff check --fix-only --quiet .
	@$(VENV) -m ruff format .

screenshots: venv-dev ## take the pictures in docs/screenshots again, from the pages as they are
	@$(PYTHON) -I config/local/setup_system.py bubblewrap chromium
	@$(VENV) -m pytest -q tests/screenshots.py

lock: ## compile requirements*.in into the lock files (needs uv; ARGS=--upgrade takes newer versions)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: $(PYTHON) -m pip install uv"; exit 1; }
	$(UV) pip compile $(LOCK) $(ARGS) requirements.in -o requirements.lock
	$(UV) pip compile $(LOCK) $(ARGS) requirements-dev.in -o requirements-dev.lock

venv: ## make .venv with what Parley runs on
	@$(PYTHON) -I config/local/setup_venv.py requirements.lock

venv-dev: ## make .venv with what the checks and the tests need too
	@$(PYTHON) -I config/local/setup_venv.py requirements-dev.lock

system: ## install system packages (needs root or sudo)
	@$(PYTHON) -I config/local/setup_system.py --again bubblewrap chromium

clean: ## remove caches; data and .venv stay
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path "./.venv/*" -prune -exec rm -rf {} +
