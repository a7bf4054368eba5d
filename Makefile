# Two commands for a fresh machine with Python 3.11+, pip and make: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= dev
PYTEST ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: demo test slow lint types docs clean

demo: $(STAMP)  # one thread: networks this small would only wait for a second one
	OMP_NUM_THREADS=1 $(BIN)/ppl-mm train mvae digits --out runs/demo --overwrite

test: $(STAMP)  # a process each core, each with one thread
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile $(PYTEST)

slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)  # on a copy, where models/, guides/ and experiments/ are in place
	rm -rf build
	mkdir -p build/types
	cp -r ppl_mm build/types
	cp -r models guides experiments build/types/ppl_mm
	cd build/types && $(abspath $(BIN))/mypy --config-file ../../pyproject.toml

docs: $(STAMP)  # the site, in docs/_build/html; tutorials run, and what ran before is kept
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e ".[$(EXTRAS)]"
	$(BIN)/python -W ignore -m compileall -qq -j 0 $(VENV)/lib || true  # pip would compile on one core
	touch $(STAMP)

clean:
	rm -rf $(VENV) runs build dist *.egg-info
