# Everything runs in a virtual environment of the project's own; the first target that needs it makes it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
CHARTS := playback.chart:PLAYBACK playback.bargein:BARGE_IN

.PHONY: demo say test lint bench bench-full charts mutants integrations site clean

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[demo]" --group dev
	# An interpreter of statecharts in another language, which some tests compare with; without it they are skipped.
	if command -v npm >/dev/null; then npm install --silent --no-save --no-package-lock --prefix $(VENV)/node xstate@5 \
		|| echo "npm could not install xstate: the tests that need it are skipped"; fi
	touch $@

demo: $(READY)  ## a web page on which to hear, see and talk over an agent
	$(BIN)/playback demo

say: $(READY)  ## a session of ten seconds in the terminal, with its sound and its picture in demo-output
	mkdir -p demo-output
	$(BIN)/playback say --out demo-output/session.wav --plot demo-output/session.svg --record demo-output/sent.flac

test: $(READY) lint  ## all tests
	$(BIN)/python -m pytest $(foreach chart,$(CHARTS),--chart-coverage $(chart)) --chart-coverage-floor 100

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m benchmarks.report --check
	$(BIN)/cog --check --check-fail-msg "renew it with: make charts" README.md playback/subscribing.py
	$(foreach chart,$(CHARTS),$(BIN)/python -m statecharts $(chart) --check docs/charts \
		|| { echo "renew them with: make charts"; exit 1; };)

bench: $(READY)  ## what playback and calls cost, as multiples of a floor measured in the same run
	$(BIN)/python -m benchmarks.micro
	$(BIN)/python -m benchmarks.calls --short

bench-full: $(READY)  ## all figures of the docs, in an hour or more, on a machine that has nothing else to do
	$(BIN)/python -m benchmarks.micro
	$(BIN)/python -m benchmarks.micro.codecs --json docs/performance/codecs.json
	$(BIN)/python -m benchmarks.calls --json docs/performance/calls.json
	$(BIN)/python -m benchmarks.soak --json docs/performance/soak.json
	if command -v chromium >/dev/null; then $(BIN)/python -m benchmarks.browser --json docs/performance/heard.json; \
		else echo "there is no chromium: the figures of what is heard stay as they are"; fi
	$(BIN)/python -m benchmarks.report

charts: $(READY)  ## renew every picture, table and file that is made from a chart; needs Graphviz
	$(BIN)/cog -r README.md playback/subscribing.py
	$(foreach chart,$(CHARTS),$(BIN)/python -m statecharts $(chart) --write docs/charts;)
	cp docs/charts/playback-overview.svg playback/demo/page/chart-overview.svg
	cp docs/charts/playback-detail.svg playback/demo/page/chart-detail.svg
	cp docs/charts/barge_in-detail.svg playback/demo/page/barge-in.svg

mutants: $(READY)  ## see that the tests notice every wrong cell of the chart
	$(BIN)/python -m mutants

integrations: $(READY)  ## our adapters inside the current releases of the agent frameworks, each in an environment of its own
	$(BIN)/nox

site: $(READY)  ## the documentation, in build/site
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) .nox build dist demo-output .hypothesis .mypy_cache .pytest_cache .ruff_cache
