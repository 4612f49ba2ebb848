# Everything runs from .venv, which is made on first use and renewed when the lock or pyproject.toml changes.

VENV := .venv
BIN := $(VENV)/bin

# The first Python that will do; `make PYTHON=/path/to/python` overrules.
USABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(USABLE)' 2>/dev/null && echo $$python && break; done)

.DELETE_ON_ERROR:
.PHONY: help install demo test lint bench bench-quick dashboards soak fuzz sbom audit lock clean

help:  ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 12

install: $(VENV)/installed  ## Install everything into .venv.

demo: install  ## Watch the pipeline work, on simulated traffic and an embedded broker.
	$(BIN)/penjaga demo

test: lint  ## Check style and types, then run all tests.
	$(BIN)/pytest

lint: install  ## Check style, format and types.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: install  ## Measure beside other clients and frameworks, on Apache Kafka; compare with the baseline.
	$(BIN)/python -m tests.bench $(ARGS)

bench-quick: install  ## Measure the pure computing in half a minute; compare with the baseline.
	$(BIN)/python -m tests.bench --quick $(ARGS)

dashboards: install  ## Write Grafana's dashboards from deploy/grafana/pages.py.
	$(BIN)/python deploy/grafana

soak: install  ## Work at half speed while faults happen, MINUTES=60 of it; needs Kafka's jars: build/soak.
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),60)

fuzz: install  ## Try hostile input for long; EXAMPLES=100000 for longer.
	PENJAGA_FUZZ_EXAMPLES=$(or $(EXAMPLES),5000) $(BIN)/pytest tests/test_fuzz.py

sbom: install  ## List what the image is made of, with versions and hashes: build/sbom.json (CycloneDX).
	@mkdir -p build
	$(BIN)/cyclonedx-py requirements deploy/requirements.lock --pyproject pyproject.toml \
		--output-reproducible --output-file build/sbom.json

audit: install  ## Ask PyPI which packages of the image have known vulnerabilities; needs its advisory service.
	$(BIN)/pip-audit --strict --disable-pip --require-hashes -r deploy/requirements.lock

# Without local folders of packages, whose hashes nobody else could find.
lock: install  ## Renew requirements.lock, and the image's, within the bounds of pyproject.toml.
	env -u UV_FIND_LINKS $(BIN)/uv pip compile pyproject.toml --all-extras \
		--universal --python-version 3.11 --upgrade --generate-hashes --no-emit-index-url \
		--no-annotate --custom-compile-command 'make lock' --quiet --output-file requirements.lock
	env -u UV_FIND_LINKS $(BIN)/uv pip compile pyproject.toml --extra build --extra tracing --constraint requirements.lock \
		--universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --custom-compile-command 'make lock' --quiet --output-file deploy/requirements.lock

clean:  ## Remove .venv and everything else that was made.
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/created:
	@$(or $(PYTHON),false) -c '$(USABLE)' || { \
		echo 'Penjaga needs Python 3.11 or newer with its venv module, and found none.' >&2; \
		echo 'On Debian and Ubuntu: apt-get install python3 python3-venv' >&2; \
		exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# uv, as the lock has it, takes a third of pip's time; pip does it where only pip is told how to reach an index.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
UV := $(BIN)/uv pip install --quiet --python $(VENV) --link-mode copy \
	$(if $(PIP_INDEX_URL),--default-index $(PIP_INDEX_URL))

$(VENV)/locked: requirements.lock $(VENV)/created
	@sed -n '/^uv==/,/[^\]$$/p' requirements.lock > $(VENV)/uv.txt
	$(PIP) --require-hashes -r $(VENV)/uv.txt
	$(UV) --compile-bytecode --require-hashes -r requirements.lock || $(PIP) --require-hashes -r requirements.lock
	@touch $@

# The lock has decided the versions, and holds the build backend.
$(VENV)/installed: pyproject.toml $(VENV)/locked
	$(UV) --no-deps --no-build-isolation --editable .
	@touch $@
