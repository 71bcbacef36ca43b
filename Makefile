# Everything runs in a virtual environment of the project's own; the first target that needs it makes it. Each Python has
# one: `make test PYTHON=python3.13` has it in .venv-python3.13.
#
# The default Python is the first that runs and is new enough: pyenv leaves files on the path that do not run.
CANDIDATES := python3.11 python3.12 python3.13 python3.14 python3 python
IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
ifeq ($(origin PYTHON),command line)
VENV ?= .venv-$(notdir $(PYTHON))
endif
VENV ?= .venv
ifndef PYTHON
PYTHON := $(shell for python in $(CANDIDATES); do \
	if $$python -c "$(IS_NEW_ENOUGH)" >/dev/null 2>&1; then command -v $$python; break; fi; done)
endif
BIN := $(VENV)/bin
READY := $(VENV)/ready
FIGURES ?= docs/performance
CHARTS := playback.chart:PLAYBACK playback.bargein:BARGE_IN

.PHONY: demo say test lint bench bench-full conversation nightly pythons charts mutants native integrations serving compare site dist programs clean

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or later is on the path: install one, or name it with PYTHON=" >&2; exit 1; }
	@$(PYTHON) -c "$(IS_NEW_ENOUGH)" || { echo "$(PYTHON) is not a Python 3.11 or later that runs" >&2; exit 1; }
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

test: $(READY) lint  ## all tests but the slow ones, which `make nightly` runs
	$(BIN)/python -m slipcover --dont-wrap-pytest -m tests -m "not slow" \
		$(foreach chart,$(CHARTS),--chart-coverage $(chart)) --chart-coverage-floor 100 || { code=$$?; \
		test $$code -ne 2 || echo "interrupted, or fewer lines and branches executed than fail-under in pyproject.toml" >&2; \
		exit $$code; }

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tests.docs.words
	$(BIN)/python -m benchmarks.report --check
	$(BIN)/cog --check --check-fail-msg "renew it with: make charts" docs/chart.md playback/subscribing.py playback/bargein/subscribing.py
	$(foreach chart,$(CHARTS),$(BIN)/python -m statecharts $(chart) --check docs/charts \
		|| { echo "renew them with: make charts"; exit 1; };)

bench: $(READY)  ## what playback and calls cost, as multiples of a baseline measured in the same run
	$(BIN)/python -m benchmarks.micro
	$(BIN)/python -m benchmarks.calls --short

bench-full: $(READY)  ## all figures of the docs, in an hour or more, on a machine that has nothing else to do
	mkdir -p $(FIGURES)
	$(BIN)/python -m benchmarks.micro
	$(BIN)/python -m benchmarks.micro.codecs --json $(FIGURES)/codecs.json
	$(BIN)/python -m benchmarks.calls --json $(FIGURES)/calls.json
	$(BIN)/python -m benchmarks.soak --json $(FIGURES)/soak.json
	$(BIN)/python -m benchmarks.short_words
	if command -v flite >/dev/null; then $(BIN)/python -m benchmarks.words --json $(FIGURES)/words.json; \
		else echo "there is no flite: the figures of what was heard stay as they are"; fi
	$(BIN)/python -m benchmarks.aligned_calls
	$(BIN)/python -m benchmarks.conversation
	if command -v chromium >/dev/null; then $(BIN)/python -m benchmarks.browser --json $(FIGURES)/heard.json; \
		else echo "there is no chromium: the figures of what is heard stay as they are"; fi
	$(BIN)/python -m benchmarks.report

conversation: $(READY)  ## whole conversations with an agent, measured from the audio by voicebench, in half a minute
	$(BIN)/python -m benchmarks.conversation

nightly: $(READY)  ## what is too slow for each change: every test on every Python, long fuzzing, lowest versions, soaks, figures
	$(BIN)/python -m pytest -m slow --timeout 1200
	FUZZ_TIMES=40 $(BIN)/python -m pytest -m fuzz --timeout 7200
	$(BIN)/python -m mutants
	$(BIN)/nox -t nightly
	FUZZ_TIMES=40 $(BIN)/nox -s native
	SERVING_CALLS=100 $(BIN)/nox -s serving
	$(BIN)/python -m benchmarks.soak.churn
	$(MAKE) bench-full FIGURES=build/nightly

charts: $(READY)  ## renew every picture, table and file that is made from a chart; needs Graphviz
	$(BIN)/cog -r docs/chart.md playback/subscribing.py playback/bargein/subscribing.py
	$(foreach chart,$(CHARTS),$(BIN)/python -m statecharts $(chart) --write docs/charts;)
	cp docs/charts/playback-overview.svg playback/demo/page/chart-overview.svg
	cp docs/charts/playback-detail.svg playback/demo/page/chart-detail.svg
	cp docs/charts/barge_in-detail.svg playback/demo/page/barge-in.svg

# A sixth of the cells, which sixth depends on the commit: all of them take 7 minutes, and `make nightly` has them.
MUTANTS ?= --part $$(( 0x$$(git rev-parse --short=4 HEAD 2>/dev/null || echo 0) % 6 ))/6

mutants: $(READY)  ## see that the tests notice wrong cells of both charts; MUTANTS= makes all cells wrong
	$(BIN)/python -m mutants $(MUTANTS)

pythons: $(READY)  ## the portable tests on each other Python that is found, and with the lowest versions that are allowed
	$(BIN)/nox -s pythons

native: $(READY)  ## native calls, in an environment of their own with the newest Python that is found, in two minutes
	$(BIN)/nox -s native

integrations: $(READY)  ## our adapters inside the current releases of the agent frameworks, each in an environment of its own
	$(BIN)/nox -s integrations

serving: $(READY)  ## calls on Ray Serve, in an environment of its own, in two minutes
	$(BIN)/nox -s serving

compare: $(READY)  ## our adapters beside the frameworks' own outputs: measures, and writes the tables of docs/frameworks
	$(BIN)/nox -- compare

site: $(READY)  ## the documentation, in build/site
	$(BIN)/mkdocs build --strict

dist: $(READY)  ## wheel and source distribution, built, installed and imported; TAG=v1.2.3 compares the version with a tag
	.ci/dist $(BIN) $(PYTHON) $(TAG)

programs:  ## with apt, the programs that some tests need: Graphviz, Chromium, flite, FFmpeg, Node.js
	.ci/programs

clean:
	rm -rf .venv .venv-* .nox build dist demo-output .hypothesis .mypy_cache .pytest_cache .ruff_cache
