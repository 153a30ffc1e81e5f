# What people type. The first command makes .venv from the lock; it needs make and
# Python 3.11 or newer with venv, and nothing else.
#
#   make demo    the demonstration            make demo ARGS="--exit-after 60"
#   make test    every test                   make test ARGS="tests/unit -k journal"
#   make check   linter, types, import rules
#   make bench   figures of latency and bus   make bench ARGS="--quick"
#   make soak    longer runs                  make soak ARGS="--only charges --charges 500"

PYTHON ?= python3
ARGS ?=

VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
ROOMS := gateway drivers simulators api tests
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
UV_VERSION := 0.13.9

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types imports bench soak fmt lock clean

help:
	@sed -n 's/^#   //p' Makefile

demo: $(READY)
	@$(RUN) -m gateway demo $(ARGS)

test: $(READY)
	@$(RUN) -m pytest $(ARGS)

check: lint types imports

lint: $(READY)
	@echo "lint: ruff"
	@$(RUN) -m ruff check --quiet $(ROOMS)
	@$(RUN) -m ruff format --quiet --check $(ROOMS) || { echo "not formatted: run make fmt"; exit 1; }

types: $(READY)
	@echo "types: mypy --strict"
	@$(RUN) -m mypy --no-error-summary

imports: $(READY)
	@echo "imports: import-linter"
	@$(VENV)/bin/lint-imports --no-cache --no-logo

bench: $(READY)
	@$(RUN) -m tests.bench $(ARGS)

soak: $(READY)
	@$(RUN) -m tests.soak $(ARGS)

fmt: $(READY)
	@$(RUN) -m ruff check --fix --exit-zero --quiet $(ROOMS)
	@$(RUN) -m ruff format $(ROOMS)

# The lock names every package with the hashes of all its files, for every platform at once,
# and no index: pip takes the one it is set up for.
lock:
	@$(PYTHON) -m venv --clear .cache/lock
	@.cache/lock/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@.cache/lock/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --upgrade --quiet \
		--output-file requirements.lock $(ARGS)

clean:
	rm -rf $(VENV) .bench .cache .demo .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache build dist *.egg-info
	find $(ROOMS) -name __pycache__ -type d -prune -exec rm -rf {} +

# pip checks every file against the lock. The project itself is then linked in without asking
# an index for anything; its build backend is in the lock as well.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c '$(NEW_ENOUGH)' 2>/dev/null || { \
		echo "pilegate needs Python 3.11 or newer, and '$(PYTHON)' is not: install it, or name it: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' can't make a virtual environment: install its venv (Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "Setting up $(VENV) from requirements.lock (once; a minute or two)"
	@$(RUN) -c '$(NEW_ENOUGH)' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@$(RUN) -m pip install -qq --disable-pip-version-check --no-input --require-hashes --requirement requirements.lock
	@$(RUN) -m pip install -qq --disable-pip-version-check --no-input --no-index --no-deps --no-build-isolation --editable .
	@touch $@
