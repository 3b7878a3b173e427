# Each target does everything it needs from a bare clone: the first one makes .venv and installs into it, nothing else is touched.
# PYTHON chooses the interpreter (3.11 or newer): `make demo PYTHON=python3.12`.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test test-all coverage mutants fuzz fuzz-networks fuzz-onnx lint bench docs site clean

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11; choose another: make PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv .venv
	@echo "installing into .venv (the first time takes a few minutes: torch is large)"
	@$(PIP) --editable '.[test,lint]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/neuro demo

# Files of tests side by side, one process and one thread for each processor.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist loadfile

test: $(INSTALLED)
	$(PYTEST)

test-all: $(INSTALLED)
	$(PYTEST) -m "slow or not slow"

# Lines and branches that the tests reach, kernels included.
coverage: $(INSTALLED)
	$(BIN)/python tests/coverage_run.py

# Small changes of the code that the tests must notice; half an hour.
mutants: $(INSTALLED)
	$(BIN)/python tests/mutants.py

# Damaged files for every reader, ten minutes.
fuzz: $(INSTALLED)
	$(BIN)/python tests/fuzz.py --minutes 10

# Random networks in every code against what conversion promises; an hour. COUNT, MINUTES and SEED choose otherwise.
COUNT ?= 5000
MINUTES ?= 60
SEED ?= 0
fuzz-networks: $(INSTALLED)
	$(BIN)/python tests/fuzz_networks.py --count $(COUNT) --minutes $(MINUTES) --seed $(SEED)

# Random ONNX graphs, read by us and run by onnxruntime: 2,000 of each kind, ten minutes.
fuzz-onnx: $(INSTALLED)
	$(BIN)/python -m tests.fuzz_onnx --graphs 2000

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/python benchmarks/engine.py

# The documents and a gallery of live reports (a quarter of an hour) as HTML pages in site/, and the lessons as notebooks in notebooks/; no network is needed.
site: $(INSTALLED)
	$(BIN)/python -m docs.site site --gallery
	$(BIN)/python -m docs.notebooks notebooks

docs: $(INSTALLED)
	$(BIN)/python -m docs.refresh

clean:
	rm -rf .venv build *.egg-info
