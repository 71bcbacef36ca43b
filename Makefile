# Everything runs in a virtual environment of the project's own; the first target that needs it makes it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: demo test bench docs lint clean

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[demo]" --group dev
	touch $@

demo: $(READY)  ## a scripted session of real speech through a real peer connection
	$(BIN)/playback demo --out demo-output

test: $(READY) lint  ## all tests
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/cog --check --check-fail-msg "renew it with: make docs" README.md

bench: $(READY)  ## CPU and memory, as multiples of a floor measured in the same run
	$(BIN)/python -m benchmarks

docs: $(READY)  ## renew what is generated from the chart
	$(BIN)/cog -r README.md

clean:
	rm -rf $(VENV) build dist demo-output .hypothesis .mypy_cache .pytest_cache .ruff_cache
