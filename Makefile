# Everything is one of these commands; plain make and python3 (3.11 or newer) are all they need.

# The system's own where it will do: a distribution builds its Python with profile and link-time optimisation,
# which a version manager's own build mostly lacks (decision 20: 22 % of a call's processor time).
SYSTEM_PYTHON := /usr/bin/python3
CAN_MAKE_VENV := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell $(SYSTEM_PYTHON) -c '$(CAN_MAKE_VENV)' 2>/dev/null && echo $(SYSTEM_PYTHON) || echo python3)
JOBS ?= 2# pytest workers: CI has two cores, and two local models fit in its memory
ARGS ?=# handed on to the command: make serve ARGS="--port 9000", make test ARGS="tests/store -x"

BIN := .venv/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev serve test check snapshots format bench soak reliability docs lock debian-packages client-programs clean
.DELETE_ON_ERROR:
# Make would look for a way to make each source file: 65 ms before every command.
.SUFFIXES:

help: ## list these commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/setup.stamp .venv/bytecode.stamp ## create .venv with modelway and exactly the locked packages

serve: setup ## start on 127.0.0.1:8080 with the local model; MODELWAY_… variables reach it
	@exec $(BIN)/modelway serve $(ARGS)

test: setup-dev debian-packages client-programs ## run every test (as root it installs the Debian packages they need)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

check: setup-dev ## lint, format, types, floors and sizes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py tests/test_size.py tests/test_packaging.py
	$(BIN)/python -m scripts.docs --check

snapshots: setup-dev ## write tests/golden/snapshots anew; read the diff before it is committed
	$(BIN)/python -m tests.golden.taking

format: setup-dev ## put the code into the one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup debian-packages ## measure against nginx and llama.cpp, write bench/RESULTS.md (ARGS=--quick)
	$(BIN)/python -m bench.run $(ARGS)

soak: setup-dev ## ten minutes of streams, hang-ups and a drain (ARGS="--minutes 60"); then 300 kills per database
	$(BIN)/python -m bench.soak $(ARGS)
	$(BIN)/python -m bench.reliability --only kills --kills 300

reliability: setup-dev ## crowds, kills, power cuts, hang-ups against the ledger: bench/RELIABILITY.md (ARGS="--kills 300")
	$(BIN)/python -m bench.reliability $(ARGS)

docs: setup ## rewrite the generated tables of docs/ and check every link
	$(BIN)/python -m scripts.docs

lock: setup-dev ## resolve pyproject.toml into the lock files (ARGS=--upgrade for the newest)
	$(BIN)/python scripts/lock.py $(ARGS)

clean: ## remove the environments and caches, never data
	rm -rf .venv .venv-sdk-previous .mypy_cache .ruff_cache .pytest_cache .hypothesis build src/*.egg-info

setup-dev: .venv/dev.stamp .venv/sdk-previous.stamp .venv/bytecode.stamp

# The stamps make a second run cost nothing: each is newer than all it was made from.
.venv/setup.stamp: requirements.lock pyproject.toml
	@sh scripts/create_venv.sh $(PYTHON) .venv
	@echo "installing the packages of requirements.lock"
	@$(BIN)/python $(PIP_INSTALL) -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev.stamp: .venv/setup.stamp requirements-dev.lock
	@echo "installing the packages of requirements-dev.lock"
	@$(BIN)/python $(PIP_INSTALL) -r requirements-dev.lock
	@touch $@

# Python writes it at the first start, but not where PYTHONDONTWRITEBYTECODE is set, as in many containers:
# there each start would compile the source anew, 0.3 s of processor time. Who may not write it, or has a file
# that cannot be compiled yet, goes on without. Names with a dot or a space are no modules.
.venv/bytecode.stamp: .venv/setup.stamp $(shell find src -type f -name '[!.]*.py' ! -name '* *')
	@{ [ -w src/modelway ] && $(BIN)/python -m compileall -qq src/modelway && touch $@; } 2>/dev/null || true

# The official SDKs' previous majors cannot share an environment with the newest ones.
.venv/sdk-previous.stamp: .venv/setup.stamp requirements-sdk-previous.lock
	@sh scripts/create_venv.sh $(PYTHON) .venv-sdk-previous
	@echo "installing the packages of requirements-sdk-previous.lock"
	@.venv-sdk-previous/bin/python $(PIP_INSTALL) -r requirements-sdk-previous.lock
	@touch $@

debian-packages:
	@sh scripts/debian_packages.sh

# Other people's programs, which tests/programs runs against the gateway: coding agents, SDKs, frameworks.
client-programs: setup-dev
	@sh scripts/npm_packages.sh build/npm
	@sh scripts/frameworks.sh $(PYTHON) build/frameworks
