# Everything a user or a contributor types. `make help` lists it.
SHELL := /bin/bash
PYTHON ?= python3
UV ?= $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
BIN := .venv/bin
ARGS ?=
# EXPORT=--no-dev installs without what tests and linters alone need, as deploy/Dockerfile does.
EXPORT ?=
RECIPE ?= minilm-256

# One home for stored stages, recipes, releases and Dagster's history. Without DAGSTER_HOME, Dagster would
# forget each run when its process ends.
export DISTILL_HOME ?= $(CURDIR)/.distill
export DAGSTER_HOME ?= $(DISTILL_HOME)/dagster

.DEFAULT_GOAL := help
.PHONY: help setup run run-main dev test test-team test-ui screenshots lint bench docs lock clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

setup: .venv/.installed  ## Install the locked environment into .venv

run: setup  ## Distil the embedded teacher (RECIPE=minilm-256) and release it into $DISTILL_HOME/releases
	@$(BIN)/distill-pipeline run $(RECIPE) $(ARGS)

run-main: setup  ## Distil any teacher: ARGS="--base_model_name MODERNBERT_BASE --pca_dims 256 ..."
	@$(BIN)/distill-pipeline distill $(ARGS)

dev: setup  ## Open the Dagster UI on port 3000
	@$(BIN)/distill-pipeline init
	$(BIN)/dagster dev -w workspace.yaml $(ARGS)

test: setup  ## Run the tests
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-team: setup  ## Run the team's deployment for real: PostgreSQL, the queue, daemons that are killed, a bucket
	$(BIN)/pytest -m team distill_pipeline_tests/team $(ARGS)

test-ui: setup  ## Drive the UI in Debian's chromium; pictures of the screen go to $DISTILL_HOME/screenshots
	SCREENSHOTS=$(DISTILL_HOME)/screenshots $(BIN)/pytest -m ui distill_pipeline_tests/ui $(ARGS)

screenshots: export UI_RECIPE = minilm-256
screenshots: test-ui  ## Make the README's pictures of the UI anew
	cp $(addprefix $(DISTILL_HOME)/screenshots/ui-,$(addsuffix .png,graph similarities checks)) docs/images/

lint: setup  ## Check style, types and that Dagster can load the code location
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(BIN)/distill-pipeline init
	$(BIN)/dagster definitions validate -m distill_pipeline.definitions

bench: setup  ## Measure against model2vec; JSON in benchmarks/results. Hours; ARGS go to the first, --rows 2048 makes it short
	$(BIN)/python -m benchmarks.encode $(ARGS)
	$(BIN)/python -m benchmarks.reduce
	$(BIN)/python -m benchmarks.pipeline

docs: setup  ## Make docs/recipes.md from the recipe's fields
	$(BIN)/python -m distill_pipeline.recipe_reference

lock: $(UV)  ## Resolve the dependencies anew; the lock names no package index (see CONTRIBUTING)
	$(UV) lock
	sed -i -E -e 's#registry = "[^"]*"#registry = "index"#' -e 's#url = "[^"]*/([^"/]+)"#path = "\1"#' uv.lock

clean:  ## Remove the environment and caches; stored stages and releases in $DISTILL_HOME stay
	rm -rf .venv .tools .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.installed: pyproject.toml uv.lock | $(UV)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Set PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(UV) venv --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv
	$(UV) export --quiet --frozen --no-emit-project --extra embedded --extra onnx --extra ray --extra s3 --extra postgres $(EXPORT) --output-file .venv/requirements.txt
	VIRTUAL_ENV=.venv $(UV) pip sync --compile-bytecode --require-hashes .venv/requirements.txt
	VIRTUAL_ENV=.venv $(UV) pip install --no-deps -e .
	@touch $@

.tools/bin/uv:
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet 'uv>=0.9'
