# Everything a newcomer types. `make install` makes .venv with the `tidegauge` command; the others install first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Compiled kernels are kept in the environment, so that they go when it goes.
export NUMBA_CACHE_DIR := $(CURDIR)/$(VENV)/numba-cache
# Compiled modules are kept too, whatever the shell says: without them each of hundreds of processes compiles all anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test check check-code check-kernels check-below check-above bench bench-quick chaos fuzz simulate lock format clean

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || \
		{ echo "Python 3.11 to 3.14 is needed: make PYTHON=/path/to/python3.11 install" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install
	$(BIN)/tidegauge demo $(ARGS)

test: install
	$(BIN)/python -m tests $(ARGS)

# Before each commit: form, lint, types, import rules and the quick tests, on both cores.
check: install
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target check-code check-below check-above

check-code: install
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m mypy --no-error-summary

# Tests of the rooms below, and all others: two runs of about the same length.
BELOW := $(addprefix tests/,$(addsuffix /,streams schemas policies standing twins golden engine examples explaining contracts sources))
ABOVE := $(filter-out $(BELOW) tests/__pycache__/,$(wildcard tests/*/ tests/test_*.py))
QUICK := -q -m "not integration and not slow"

# On a fresh checkout they take a minute and more to compile: once, beside the types, and not in both runs of tests.
check-kernels: install
	@$(BIN)/python -m tests.kernels

check-below: check-kernels
	@$(BIN)/python -m pytest $(QUICK) $(BELOW) $(ARGS)

check-above: check-kernels
	@$(BIN)/python -m pytest $(QUICK) $(ABOVE) $(ARGS)

bench: install
	$(BIN)/python -m bench $(ARGS)

bench-quick: install
	$(BIN)/python -m bench --quick $(ARGS)

chaos: install
	$(BIN)/python -m tests.chaos $(ARGS)

# Five minutes on a core; ARGS="--seconds 3600" for longer, "--seed 7" for the same again.
fuzz: install
	$(BIN)/python -m tests.fuzz $(ARGS)

simulate: install
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),200)) $(ARGS)

# Packs drawn from the grammar: each is checked, replayed and switched live.
packs: install
	DRAWN_PACKS=$(or $(PACKS),2000) $(BIN)/python -m pytest -q -s tests/standing/test_good_packs.py $(ARGS)

# Needs uv. No download hosts in the locks: they must work with any index. Versions stay as far as pyproject.toml lets
# them; `make lock ARGS=--upgrade` takes the newest. requirements-core.lock is the part without the extras, for production.
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --only-binary :all: --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --group build

lock:
	$(COMPILE) --extra dev $(ARGS) -o requirements.lock pyproject.toml
	$(COMPILE) --constraint requirements.lock $(ARGS) -o requirements-core.lock pyproject.toml
	$(BIN)/python -m deploy.embedded.jars
	$(BIN)/python -m deploy.embedded.postgres
	$(BIN)/python -m bench.peers.jvm
	$(BIN)/python -m bench.peers.environment

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .data build dist *.egg-info
