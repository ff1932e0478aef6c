# Everything a user or a contributor types. `make help` lists it.
SHELL := /bin/bash
PYTHON ?= python3
UV ?= $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
BIN := .venv/bin
ARGS ?=
RECIPE ?= minilm-256
# What is installed beside what the shipped recipes need: any of pyproject's extras, and DEV, its group for working on
# the project. deploy/Dockerfile leaves that out.
EXTRAS ?=
DEV ?= dev
TEST_EXTRAS := onnx postgres ray s3

# One home for stored stages, recipes, releases and Dagster's history. Without DAGSTER_HOME, Dagster would
# forget each run when its process ends.
export DISTILL_HOME ?= $(CURDIR)/.distill
export DAGSTER_HOME ?= $(DISTILL_HOME)/dagster

.DEFAULT_GOAL := help
.PHONY: help setup run run-main dev test test-team test-ui test-runtimes screenshots lint bench docs lock clean

# $(call with,NAMES): the mark of an environment that holds these extras or the group.
empty :=
with = .venv/.installed-$(subst $(empty) $(empty),+,$(sort dictionary embedded $(EXTRAS) $(1)))

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

setup: $(call with,$(DEV))  ## Install the locked environment into .venv; EXTRAS="ray s3" adds some of pyproject's extras

run: $(call with)  ## Distil the embedded teacher (RECIPE=minilm-256) and release it into $DISTILL_HOME/releases
	@$(BIN)/distill-pipeline run $(RECIPE) $(ARGS)

run-main: $(call with)  ## Distil any teacher: ARGS="--base_model_name MODERNBERT_BASE --pca_dims 256 ..."
	@$(BIN)/distill-pipeline distill $(ARGS)

dev: $(call with)  ## Open the Dagster UI on port 3000
	@$(BIN)/distill-pipeline init
	$(BIN)/dagster dev -w workspace.yaml $(ARGS)

test: $(call with,dev $(TEST_EXTRAS))  ## Run the tests
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-team: $(call with,dev $(TEST_EXTRAS))  ## Run the team's deployment for real: PostgreSQL, the queue, daemons that are killed, a bucket
	$(BIN)/pytest -m team distill_pipeline_tests/team $(ARGS)

test-ui: $(call with,dev $(TEST_EXTRAS))  ## Drive the UI in Debian's chromium; pictures of the screen go to $DISTILL_HOME/screenshots
	SCREENSHOTS=$(DISTILL_HOME)/screenshots $(BIN)/pytest -m ui distill_pipeline_tests/ui $(ARGS)

test-runtimes: $(call with,dev $(TEST_EXTRAS)) | $(UV)  ## Run the card's snippets, each in a new environment (PyPI, npm)
	UV=$(UV) $(BIN)/pytest -m runtimes distill_pipeline_tests/runtimes $(ARGS)

screenshots: export UI_RECIPE = minilm-256
screenshots: test-ui  ## Make the README's pictures of the UI
	cp $(addprefix $(DISTILL_HOME)/screenshots/ui-,$(addsuffix .png,graph similarities)) docs/images/

lint: setup  ## Check style, types and that Dagster can load the code location
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/distill-pipeline init
	$(BIN)/dg check defs

bench: setup  ## Measure against model2vec; JSON in benchmarks/results. Hours; ARGS go to the first, --rows 2048 makes it short
	$(BIN)/python -m benchmarks.encode $(ARGS)
	$(BIN)/python -m benchmarks.reduce
	$(BIN)/python -m benchmarks.fit
	$(BIN)/python -m benchmarks.pipeline
	$(BIN)/python -m benchmarks.serving $(DISTILL_HOME)/releases/$(RECIPE)

docs: setup  ## Make docs/recipes.md from the recipe's fields
	$(BIN)/python -m distill_pipeline.cli.reference

lock: $(UV)  ## Resolve the dependencies; the lock names no package index (see CONTRIBUTING)
	$(UV) lock
	sed -i -E -e 's#registry = "[^"]*"#registry = "index"#' -e 's#url = "[^"]*/([^"/]+)"#path = "\1"#' uv.lock

clean:  ## Remove the environment and caches; stored stages and releases in $DISTILL_HOME stay
	rm -rf .venv .tools .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What was installed once stays: `make run` takes nothing away that `make setup EXTRAS=ray` brought. `make clean` does.
.venv/.installed-%: pyproject.toml uv.lock | $(UV)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Set PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(UV) venv --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv
	$(UV) export --quiet --frozen --no-emit-project --no-default-groups --output-file .venv/requirements.txt \
		$$({ echo $*; ls -A .venv | sed -n 's/^\.installed-//p'; } | tr + '\n' | sort -u | sed -e 's/^/--extra /' -e 's/--extra dev$$/--group dev/')
	VIRTUAL_ENV=.venv $(UV) pip sync --compile-bytecode --require-hashes .venv/requirements.txt
	VIRTUAL_ENV=.venv $(UV) pip install --no-deps -e .
	@touch $@

.tools/bin/uv:
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet 'uv>=0.9'
