# Two commands matter: `make run` and `make test`. Both set up what they need.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CONFIG ?=
# Processes that run tests: they wait more than they compute.
JOBS   ?= 2

.PHONY: run test lint clients cluster test-cluster bench bench-quick docs lock dist image clean

run: $(VENV)/.ready
	$(BIN)/regproxy serve $(if $(CONFIG),--config $(CONFIG))

PYTEST = $(BIN)/pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

# Decisions are covered whole, by the tests of their own folders; all of it to a floor, by the tests that start no program (tests/conftest.py):
# raise the floor when the total has risen.
test: lint
	$(PYTEST) tests/oci tests/policy --cov=regproxy.oci --cov=regproxy.policy --cov-fail-under=100 --cov-report=term-missing:skip-covered
	$(PYTEST) --ignore=tests/oci --ignore=tests/policy --cov --cov-append --cov-report=term --cov-fail-under=78

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Clients and registries that the tests use and Debian does not have, built once (12 minutes) into ~/.cache/regproxy-clients.
clients: $(VENV)/.ready-dev
	$(BIN)/pip install --quiet --require-hashes --requirement requirements/clients.txt
	$(BIN)/python -m tests.clients.go_programs

# The documentation site, into build/site. A broken link or any other warning is an error.
docs: $(VENV)/.ready-dev
	$(BIN)/python -m docs.configuration
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going --conf-dir docs . build/site

# Kubernetes, in which the tests install the chart and run Pods: built from source into ~/.cache/regproxy-clients (minutes of CPU), once.
cluster: $(VENV)/.ready-dev
	$(BIN)/pip install --quiet --require-hashes --requirement requirements/clients.txt
	$(BIN)/python -m tests.kubernetes.programs

test-cluster: cluster
	$(BIN)/python -m tests.kubernetes

bench: $(VENV)/.ready-dev
	$(BIN)/pip install --quiet --group bench
	$(BIN)/python -m bench

# What is here against BEFORE, in pairs, in under three minutes: which rows have moved beyond noise.
BEFORE ?= HEAD^
bench-quick: $(VENV)/.ready-dev
	$(BIN)/pip install --quiet --group bench
	$(BIN)/python -m bench.pairs --before $(BEFORE) --pairs 9 --seconds 1

# Everything that is installed is pinned in requirements/ with its hashes; make lock writes the pins anew.
$(VENV)/.ready: pyproject.toml requirements/build.txt requirements/run.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/build.txt
	$(BIN)/pip install --quiet --require-hashes --requirement requirements/run.txt
	PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .  # setuptools warns of editable installations as such
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready requirements/dev.txt
	$(BIN)/pip install --quiet --require-hashes --requirement requirements/dev.txt
	touch $@

# Keeps the versions that are pinned; LOCK_OPTIONS=--upgrade takes the newest that pyproject.toml allows. For every Python from 3.11 on.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" $(LOCK_OPTIONS)

lock: $(VENV)/.ready
	$(BIN)/pip install --quiet --group lock
	$(LOCK) pyproject.toml --extra otel --extra sigstore --output-file requirements/run.txt
	$(LOCK) pyproject.toml --extra otel --extra sigstore --group dev --group docs --constraints requirements/run.txt --output-file requirements/dev.txt
	$(LOCK) --group build --constraints requirements/dev.txt --output-file requirements/build.txt
	$(LOCK) --group clients --output-file requirements/clients.txt

# A release, in dist/: wheel, sdist, chart package, bill of materials and checksums, for the version that pyproject.toml has.
dist: $(VENV)/.ready-dev
	$(BIN)/python -m docs.commands
	$(BIN)/python -m release

# The container image, for amd64 and arm64 where Docker has buildx, beside the rest in dist/. Other options of the build: IMAGE_OPTIONS.
image: $(VENV)/.ready-dev
	$(BIN)/python -m release.image dist $(IMAGE_OPTIONS)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
