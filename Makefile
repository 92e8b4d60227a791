# Everything a contributor runs. Needs make and Python 3.11 or newer, nothing else:
# `make test` on a fresh clone builds .venv first.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
PYTEST_ARGS ?=
# Test processes at once: most tests wait for a server or a timer, so more of them than CPUs pay off.
WORKERS ?= 4

VENV := .venv
BIN := $(VENV)/bin
MEMBERS := jobmaster-core jobmaster-testing jobmaster-sql jobmaster-sqlite jobmaster-postgres jobmaster-nats naturalcron

# Slow or flaky networks: both installers try again by themselves, waiting longer each time.
export PIP_RETRIES ?= 10
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1
export UV_HTTP_RETRIES ?= 10
export UV_HTTP_TIMEOUT ?= 120
# Trust the certificates that this machine trusts, as pip and git do.
export UV_SYSTEM_CERTS ?= 1

# The stamp's name holds the Python version, so that PYTHON=python3.12 builds the environment anew.
PYTHON_VERSION := $(shell $(PYTHON) -c 'import platform; print(platform.python_version())' 2>/dev/null)
STAMP := $(VENV)/.installed-$(PYTHON_VERSION)
AUDIT_STAMP := $(STAMP)-audit
MANIFESTS := constraints.txt pyproject.toml $(MEMBERS:%=%/pyproject.toml)

# Passwords of examples and tests: they say themselves that they are none.
MADE_UP := (?i)^(p%40|.*(secret|se[^a-z]+cret|s3cr|passw|hunter2|geheim).*)$$

# Test folders of the members that hold Python files (see [tool.mypy] in pyproject.toml).
TEST_FOLDERS := $(sort $(dir $(wildcard $(MEMBERS:%=%/tests/*.py))))

.PHONY: help
help:  ## show this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

.PHONY: environment
environment: $(STAMP)  ## create or update .venv with all packages and tools

$(STAMP): $(MANIFESTS)
	@[ -n "$(PYTHON_VERSION)" ] || { echo "make: '$(PYTHON)' was not found or does not run; name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: JobMaster needs Python 3.11 or newer, '$(PYTHON)' is $(PYTHON_VERSION); name another with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "make: '$(PYTHON)' has no venv module; install it (on Debian and Ubuntu: the package python3-venv)" >&2; exit 1; }
	@[ "$$($(BIN)/python -c 'import platform; print(platform.python_version())' 2>/dev/null)" = "$(PYTHON_VERSION)" ] || \
		$(PYTHON) -m venv --clear $(VENV)
	@rm -f $(VENV)/.installed-*
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python \
		--constraint constraints.txt --build-constraint constraints.txt \
		--group dev $(MEMBERS:%=--editable ./%)
	@touch $@

$(AUDIT_STAMP): $(STAMP)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --group audit
	@touch $@

.PHONY: demo
demo: environment  ## run the demonstration
	$(BIN)/jobmaster demo

.PHONY: test
test: environment  ## run the tests, several at once (PYTEST_ARGS="-k name" to choose, then one at a time)
ifeq ($(strip $(PYTEST_ARGS)),)
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m "not alone"
else
	$(BIN)/python -m pytest $(PYTEST_ARGS)
endif

.PHONY: e2e
e2e: environment  ## run the tests that kill processes and servers: one at a time, for a quarter of an hour
	$(BIN)/python -m pytest -q -m alone

.PHONY: check
check: environment  ## formatting, lint, types (mypy, and pyright on tests/typing) and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@for folder in $(TEST_FOLDERS); do echo "$(BIN)/mypy $$folder"; $(BIN)/mypy $$folder || exit 1; done
	$(BIN)/python tests/typing/check.py
	$(BIN)/lint-imports --no-logo

.PHONY: format
format: environment  ## format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: simulate
simulate: environment  ## play simulated clusters (ARGS="--seeds 1000", or "--seed 4711 --trace")
	$(BIN)/python -m jobmaster_testing.simulation $(ARGS)

.PHONY: bench
bench: environment  ## run the benchmarks (ARGS="--quick", see benchmarks/README.md)
	$(BIN)/python benchmarks/run.py $(ARGS)

.PHONY: chaos
chaos: environment  ## kill, freeze, restart and cut off a cluster (ARGS="--seed 7 --jobs 20000", or --massacre)
	$(BIN)/python -m tests.e2e.chaos_run $(ARGS)

.PHONY: package
package: environment  ## build a wheel and a source archive of every member into dist/
	$(BIN)/uv build --quiet --all-packages --python $(BIN)/python --build-constraint constraints.txt --out-dir dist

.PHONY: audit
audit: $(AUDIT_STAMP)  ## look for known vulnerabilities in all that constraints.txt names (needs the network)
	$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt $(ARGS)

.PHONY: secrets
secrets: $(AUDIT_STAMP)  ## look for passwords, keys and tokens in all files that git knows
	git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --cores 2 --exclude-secrets '$(MADE_UP)'

.PHONY: constraints
constraints: environment  ## resolve constraints.txt anew, to the newest versions
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-annotate \
		--custom-compile-command "make constraints" $(MEMBERS:%=--no-emit-package %) \
		--group dev --group audit $(MEMBERS:%=%/pyproject.toml) --output-file constraints.txt

.PHONY: clean
clean:  ## remove .venv, caches and build results
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -rf $(MEMBERS:%=%/dist) $(MEMBERS:%=%/build) dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
