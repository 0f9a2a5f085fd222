# `make up` runs Parley; `make help` lists the rest.

PYTHON ?= python3
UV ?= uv
TEST_PROCESSES ?= 2
# more than cores: most of the time is spent waiting for leases and slow answers
CHAOS_PROCESSES ?= 5
VENV := .venv/bin/python
LOCK := --universal --generate-hashes --no-emit-index-url --no-emit-find-links --python-version 3.11 --no-header --quiet

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help up down status manage shell test chaos contract check bench load format screenshots schemas lock venv venv-dev system clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

up: venv ## run Parley here; Ctrl-C stops it (PORT=8000, DATA_DIR=.data)
	@$(PYTHON) -I config/local/setup_system.py bubblewrap tesseract-ocr
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
	@$(PYTHON) -I config/local/setup_system.py bubblewrap chromium tesseract-ocr
	@$(VENV) -m pytest -n $(TEST_PROCESSES) --dist loadfile -m "not chaos" $(ARGS)

chaos: venv-dev ## break processes, servers and networks under running turns, twenty times at each point (CHAOS_TIMES=3)
	@$(PYTHON) -I config/local/setup_system.py bubblewrap chromium
	@$(VENV) -m pytest -m chaos tests/chaos -n $(CHAOS_PROCESSES) --dist worksteal $(ARGS)

contract: venv ## ask a live server what it can do (BASE_URL=... MODEL=..., the key from API_KEY; ARGS="--save NAME")
	@if [ -z "$(BASE_URL)" ] || [ -z "$(MODEL)" ]; then \
		echo "make contract BASE_URL=http://127.0.0.1:11434/v1 MODEL=qwen3, with the key in API_KEY"; exit 2; fi
	@if $(VENV) -m config.local env >/dev/null 2>&1; then \
		exec $(VENV) -m config.local manage probe_endpoint --base-url "$(BASE_URL)" --model "$(MODEL)" $(ARGS); \
	else \
		echo "Parley is not running here, so nothing will be stored."; \
		exec $(VENV) -m chat.providers.openai.probing --base-url "$(BASE_URL)" --model "$(MODEL)" $(ARGS); \
	fi

check: venv-dev ## style, types, import contracts, templates, scripts, deployment, migrations
	@.ci/check

bench: venv-dev ## measure how answers stream, what is sent, how files are read (ARGS="--users 1,10,50,200 --json figures.json")
	@$(VENV) -m benchmarks.provider
	@$(VENV) -m benchmarks.context.run --turns 40
	@$(VENV) -m benchmarks.ingestion.run
	@$(VENV) -m benchmarks.streaming.run --users 1,50,200 --searching 10 $(ARGS)

load: venv-dev ## upload 2,000 files, every tenth broken, and watch the workers' memory (ARGS="--files 500" is shorter)
	@$(VENV) -m benchmarks.ingestion.many $(ARGS)

format: venv-dev ## put the code into its form
	@$(VENV) -m ruff check --fix-only --quiet .
	@$(VENV) -m ruff format .

screenshots: venv-dev ## take the pictures in docs/screenshots again, from the pages as they are
	@$(PYTHON) -I config/local/setup_system.py bubblewrap chromium
	@$(VENV) -m pytest -q tests/screenshots.py

schemas: venv-dev ## write docs/schemas, the frames of the WebSocket, from the code
	@$(VENV) -m pytest -q tests/schemas.py

lock: ## compile requirements*.in into the lock files (needs uv; ARGS=--upgrade takes newer versions)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: $(PYTHON) -m pip install uv"; exit 1; }
	$(UV) pip compile $(LOCK) $(ARGS) requirements.in -o requirements.lock
	$(UV) pip compile $(LOCK) $(ARGS) requirements-dev.in -o requirements-dev.lock

venv: ## make .venv with what Parley runs on
	@$(PYTHON) -I config/local/setup_venv.py requirements.lock

venv-dev: ## make .venv with what the checks and the tests need too
	@$(PYTHON) -I config/local/setup_venv.py requirements-dev.lock

system: ## install system packages (needs root or sudo)
	@$(PYTHON) -I config/local/setup_system.py --again bubblewrap chromium tesseract-ocr

clean: ## remove caches; data and .venv stay
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path "./.venv/*" -prune -exec rm -rf {} +
