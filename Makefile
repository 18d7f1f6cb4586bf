# Two commands set everything up: `make demo` and `make test`.
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := $(VENV)/.demo
READY := $(VENV)/.ready
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

.PHONY: help demo test test-slow test-all check format bench bench-full docs clean

help:
	@echo "make demo       set up $(VENV), then run the main job on real data"
	@echo "make test       the tests (under 10 minutes); test-slow: the slow ones; test-all: both"
	@echo "make check      formatting, lint, types, floors, dependencies"
	@echo "make bench      the benchmarks, short form (bench-full: hours)"
	@echo "make docs       the documentation, into site/"

# torch first and pinned: whatever pip finds at hand, a CPU build too, is then kept by the rest.
$(DEMO): pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[hf,pretrained-images]'
	touch $(DEMO)

# What the tests and the tools need beside it, in the same environment.
$(READY): $(DEMO)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(DEMO)
	$(BIN)/bequest demo --out demo

test: $(READY)
	$(PYTEST)

test-slow: $(READY)
	$(PYTEST) -m slow

test-all: $(READY)
	$(PYTEST) -m 'slow or not slow'

check: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pip check

format: $(READY)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(READY)
	$(BIN)/python -m benchmarks --quick

bench-full: $(READY)
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.tables

docs: $(READY)
	$(BIN)/zensical build --clean --strict

clean:
	rm -rf demo site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
