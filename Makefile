# Each target does everything it needs from a bare clone: `make demo` and `make test` first make .venv and install into it.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test test-all lint bench clean

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,lint]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/neuro demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -q

test-all: $(INSTALLED)
	$(BIN)/python -m pytest -q -m "slow or not slow"

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/python benchmarks/engine.py

clean:
	rm -rf .venv build *.egg-info
