# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet -c constraints.txt
# One BLAS thread per process: loops over small matrices run 50 times slower otherwise.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export MPLBACKEND ?= Agg

.PHONY: demo test test-all lint snippets tutorials bench docs clean

$(VENV)/pyvenv.cfg:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	$(PIP) -e .
	@touch $@

$(VENV)/.test: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	$(PIP) -e ".[test]"
	@touch $@ $(VENV)/.run

$(VENV)/.docs: $(VENV)/.test
	$(PIP) -e ".[test,docs]"
	@touch $@

$(VENV)/.bench: $(VENV)/.test
	$(PIP) -e ".[test,bench]"
# A peer whose model needs none of what its package asks for.
	$(BIN)/python -m pip install --quiet --no-deps neuralrnn==0.4.0
	@touch $@

demo: $(VENV)/.run
	$(BIN)/neurornn demo --out demo

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow and not network and not notebook"

test-all: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not network"

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell neurornn tests docs datasets tutorials/*.md README.md

# What the pages print, on a processor that may round otherwise; PAGES="README.md ..." for some of them.
snippets: $(VENV)/.test
	$(BIN)/python docs/check_snippets.py --near $(PAGES)

# The notebooks, with what they print and their pictures, are made from the .md files; edit those.
tutorials: $(VENV)/.test
	$(BIN)/python docs/make_notebooks.py $(PAGES)

bench: $(VENV)/.bench
	$(BIN)/python -m tests.benchmarks --out docs/benchmarks.md

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W -b html docs docs/_build/html

clean:
	rm -rf demo docs/_build .pytest_cache .ruff_cache .mypy_cache
