# Two commands matter: `make run` and `make test`. Both set up what they need.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CONFIG ?=

.PHONY: run test lint clients cluster test-cluster bench docs clean

run: $(VENV)/.ready
	$(BIN)/regproxy serve $(if $(CONFIG),--config $(CONFIG))

test: lint
	$(BIN)/pytest

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Clients and registries that the tests use and Debian does not have, built once (10 minutes) into ~/.cache/regproxy-clients.
clients: $(VENV)/.ready-dev
	$(BIN)/pip install --quiet --group clients
	$(BIN)/python -m tests.clients.go_programs

# The documentation site, into build/site. A broken link or any other warning is an error.
docs: $(VENV)/.ready-dev
	$(BIN)/python -m docs.configuration
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going --conf-dir docs . build/site

# Kubernetes, of which the tests of the chart use the API server: built from source into ~/.cache/regproxy-clients (minutes of CPU), once.
cluster: $(VENV)/.ready-dev
	$(BIN)/pip install --quiet --group clients
	$(BIN)/python -m tests.kubernetes.programs

test-cluster: cluster
	CLUSTER_TESTS=1 $(BIN)/pytest tests/kubernetes

bench: $(VENV)/.ready
	$(BIN)/pip install --quiet --group bench
	$(BIN)/python -m bench

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --editable .  # setuptools warns of editable installations as such
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(BIN)/pip install --quiet --group dev --group docs
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
