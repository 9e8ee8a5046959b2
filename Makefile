# make demo | test | test-all | test-graphs | lint | bench | clean; each sets up what it needs first.
VENV ?= .venv
PYTHON := $(VENV)/bin/python

.PHONY: demo test test-all test-graphs lint bench clean setup

demo: setup
	$(PYTHON) -m vadgen build --board qemu_m7

test: setup
	$(PYTHON) -m pytest -m "not slow"

test-all: setup
	$(PYTHON) -m pytest

# make test-graphs FIRST=1000 COUNT=5000 CORE=qemu_m7; without CORE on this computer.
FIRST ?= 1000
COUNT ?= 1000
test-graphs: setup
	$(PYTHON) tools/draw_graphs.py $(FIRST) $(COUNT) $(if $(CORE),--core $(CORE))

lint: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	cd python && ../$(PYTHON) -m mypy -p vadgen

bench: setup
	$(PYTHON) tools/bench_kernels.py

clean: setup
	$(PYTHON) -m vadgen clean

setup:
	@VENV=$(VENV) sh tools/setup.sh
