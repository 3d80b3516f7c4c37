# `make help` lists the targets. Paths may hold blanks: everything is run from this folder.

# The interpreter that the virtual environment is made with: 3.11 or later.
PYTHON = python3
# `make demo`: your own images and the number of clusters; without them, scikit-learn's digits.
IMAGES =
K = 10
OUT = demo_output/clusters

ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo venv test lint format docs gallery clean
export IMAGES K OUT PYTHON

help:  ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F '|' '{printf "%-14s %s\n", $$1, $$2}'
	@echo
	@echo '  make demo IMAGES=path/to/folder K=10     your own folder (or zip) of images'
	@echo '  make demo PYTHON=python3.12 OUT=sorted   another interpreter, another results folder'

demo: .venv/installed  ## Sort images into classes: the digits of scikit-learn, or IMAGES
	@if [ -n "$$IMAGES" ]; then \
	    "$(BIN)/python" -m skscan cluster "$$IMAGES" -k "$$K" -o "$$OUT"; \
	else \
	    "$(BIN)/python" -m skscan.demo -k "$$K" -o "$$OUT"; \
	fi

venv: .venv/installed  ## Make .venv and install the project into it

test: .venv/installed-test  ## Install what the tests need, and run them
	OMP_NUM_THREADS=1 "$(BIN)/python" -m pytest -n 2 --dist loadfile
	OMP_NUM_THREADS=1 "$(BIN)/python" -m pytest -n 2 --dist loadfile --doctest-modules skscan

lint: .venv/installed-lint  ## Check style and types
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/mypy"

format: .venv/installed-lint  ## Bring the code into its style
	"$(BIN)/ruff" check --fix .
	"$(BIN)/ruff" format .

docs: .venv/installed-docs  ## Build the documentation into docs/_build/html; examples are not run
	rm -rf docs/api/generated
	"$(BIN)/python" -m sphinx -W --keep-going -q docs docs/_build/html
	@echo 'docs/_build/html/index.html'

gallery: .venv/installed-docs  ## The same with all examples run, which takes some minutes
	rm -rf docs/api/generated
	"$(BIN)/python" -m sphinx -W --keep-going -q -D plot_gallery=1 docs docs/_build/html
	@echo 'docs/_build/html/index.html'

clean:  ## Remove the environment, caches and what the demo has written
	rm -rf .venv build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage
	rm -rf demo_output docs/_build docs/api/generated docs/api/backreferences docs/commands
	rm -rf docs/examples docs/sg_execution_times.rst
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/made:
	@"$$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Python 3.11 or later is needed; name one with: make PYTHON=python3.11" >&2; exit 1; }
	@"$$PYTHON" -m venv .venv || { \
	    rm -rf .venv; \
	    echo "No virtual environment could be made; on Debian: apt install python3-venv" >&2; \
	    exit 1; }
	@touch $@

# Each is made anew only when the list of dependencies has changed. The project is installed in
# place, so that a change in the code needs no new installation.
.venv/installed: .venv/made pyproject.toml
	"$(BIN)/python" -m pip install --editable .
	@touch $@

.venv/installed-test: .venv/installed
	"$(BIN)/python" -m pip install --quiet --editable '.[test]'
	@touch $@

.venv/installed-lint: .venv/installed
	"$(BIN)/python" -m pip install --quiet --editable '.[lint]'
	@touch $@

.venv/installed-docs: .venv/installed
	"$(BIN)/python" -m pip install --quiet --editable '.[docs]'
	@touch $@
