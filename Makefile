# Stretto's commands. `make help` lists them. It needs GNU make and Python 3.11 or newer, nothing else.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# For `make run`: the question, and the folder of documents that answers it.
Q ?= What happens when a supervisor dies?
DOCS ?= docs
STRETTO_DATA_DIR ?= $(CURDIR)/.stretto

# Fails, with what to do, unless PYTHON can make the environment. Debian packs ensurepip, which venv needs, apart from Python.
define check_python
@command -v $(PYTHON) >/dev/null || { \
	echo "There is no $(PYTHON) here: install Python 3.11 or newer, or name yours: make PYTHON=python3.12 ..." >&2; exit 1; }
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "$(PYTHON) is $$($(PYTHON) --version 2>&1); Stretto needs 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	echo "$(PYTHON) cannot make environments: add its venv module (Debian, Ubuntu: apt install python3-venv)." >&2; exit 1; }
endef

export PIP_DISABLE_PIP_VERSION_CHECK := 1
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

.PHONY: help
help: ## list the commands
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do printf 'make %-12s %s\n' "$$name" "$$text"; done

.PHONY: setup
setup: $(READY) ## set up .venv with everything that the other commands need (they do it by themselves)

# The question and the folder reach the shell as variables, untouched: whatever they hold, they are never code.
.PHONY: run
run: export MAKE_RUN_Q = $(value Q)
run: export MAKE_RUN_DOCS = $(value DOCS)
run: export STRETTO_DATA_DIR := $(STRETTO_DATA_DIR)
run: $(READY) ## answer a question about a folder of documents: make run Q="..." DOCS=folder
	@$(BIN)/stretto ask --docs "$$MAKE_RUN_DOCS" -- "$$MAKE_RUN_Q"

.PHONY: test
test: $(READY) ## run the tests
	$(BIN)/pytest -m "not slow" -n logical --dist worksteal

.PHONY: test-slow
test-slow: $(READY) ## run the tests that take minutes
	$(BIN)/pytest -m slow

.PHONY: chaos
chaos: $(READY) ## kill, freeze and cut off real processes for ten minutes; STRETTO_CHAOS_SEED=... chooses the same again
	$(BIN)/pytest -m chaos tests/chaos

MINUTES ?= 60
.PHONY: soak
soak: $(READY) ## the same, one fault after the other: make soak MINUTES=60
	STRETTO_CHAOS_MINUTES=$(MINUTES) $(BIN)/pytest -s -m chaos tests/chaos/test_soak.py

.PHONY: check
check: $(READY) ## what CI runs: format, lint, types, imports, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/pytest -m "not slow" -n logical --dist worksteal

.PHONY: format
format: $(READY) ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(READY) ## measure
	$(BIN)/python -m benchmarks

.PHONY: docs
docs: $(READY) ## write docs/protocol.md and docs/protocol.schema.json anew
	$(BIN)/python -m tools.protocol_doc

.PHONY: constraints
constraints: ## write constraints.txt anew, with the newest versions that pyproject.toml allows
	$(check_python)
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/pip install ".[all,dev]"
	{ sed -n '/^#/p' constraints.txt; build/constraints/bin/pip freeze --exclude stretto; } > build/constraints.txt
	mv build/constraints.txt constraints.txt
	rm -rf build/constraints

.PHONY: clean
clean: ## remove what these commands have made, .venv and the sample's data included
	rm -rf $(VENV) .stretto build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	$(check_python)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[all,dev]"
	@touch $@
