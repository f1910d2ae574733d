# `make` alone lists the targets. Every target sets up .venv first where that is needed.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

#: PYTHON       the Python that .venv is made with (3.11 or newer)
PYTHON ?= $(firstword $(foreach name,python3.11 python3,$(shell \
	$(name) -c 'import sys; print(sys.version_info >= (3, 11) and sys.executable or "")' 2>/dev/null)))
#: FRAMEWORK    pytorch or tensorflow, for train, export and verify
FRAMEWORK ?= pytorch
#: RECIPE       what train trains
RECIPE ?= recipes/anomaly.yaml
#: RUN          the run folder, or module:attribute, that export exports (default: the newest run)
RUN ?= $(patsubst %/,%,$(dir $(firstword $(shell ls -t runs/*/run.json runs/*/*/run.json 2>/dev/null))))
#: LIST         a YAML list of sources that export exports instead, see docs/exporting.md
LIST ?=
#: REPOSITORY   where export publishes and serve looks
REPOSITORY ?= models
#: MODEL        what verify checks
MODEL ?= $(REPOSITORY)/anomaly-$(FRAMEWORK)
#: PORT         where serve listens, on loopback (0: any free port)
PORT ?= 8000
#: TESTS        what test runs
TESTS ?= tests
#: JOBS         how many processes test runs in: auto is one for each CPU, at most four
JOBS ?= auto

venv := .venv
bin := $(venv)/bin
ready := $(venv)/.onnxpress-setup
demo_versions := models/anomaly-pytorch/1/manifest.json models/anomaly-tensorflow/1/manifest.json

.PHONY: help setup demo train export verify serve bench gpu-check test test-slow coverage docs check fix wheel-smoke clean

help:  ## show this list
	@echo "Targets"
	@sed -n 's/^\([a-z-]*\):[^#]*## */\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "  %-13s%s\n", $$1, $$2 }'
	@echo
	@echo "Variables (make train FRAMEWORK=tensorflow)"
	@sed -n 's/^#: /  /p' $(MAKEFILE_LIST)

setup: $(ready)  ## make .venv with everything for development

$(ready): pyproject.toml constraints.txt scripts/setup.sh
	@scripts/setup.sh "$(PYTHON)" $(venv)
	@touch $@

demo: $(ready)  ## train, export, measure, serve and ask, in both frameworks
	@$(bin)/python scripts/demo.py

train: $(ready)  ## train RECIPE in FRAMEWORK; prints the run folder
	@$(bin)/onnxpress train "$(RECIPE)" --framework "$(FRAMEWORK)" --output runs

export: $(ready)  ## export RUN, or all of LIST; measure and publish in REPOSITORY
ifneq ($(LIST),)
	@$(bin)/onnxpress export --list "$(LIST)" --repository "$(REPOSITORY)"
else
	@[ -n "$(RUN)" ] || { echo "export: no finished run in runs/; make train, or name one: make export RUN=..." >&2; exit 2; }
	@$(bin)/onnxpress export "$(RUN)" --repository "$(REPOSITORY)"
endif

verify: $(ready)  ## check the published version MODEL: its files, and its golden samples replayed
	@$(bin)/onnxpress verify "$(MODEL)"

serve: $(ready)  ## serve REPOSITORY on PORT
	@$(bin)/onnxpress serve "$(REPOSITORY)" --port "$(PORT)"

bench: $(ready)  ## measure start-up, imports and in-process runs side by side; writes records/
	@$(bin)/python -m benchmarks

gpu-check: $(ready)  ## on a machine with an NVIDIA GPU: tests, answers and rates into build/gpu; see docs/cuda.md
	@$(bin)/python -m benchmarks.gpu build/gpu

test: $(ready)  ## run the tests (TESTS=tests/core for some of them)
	@$(bin)/python -m pytest -n $(JOBS) --maxprocesses 4 --dist loadfile $(TESTS)

test-slow: $(ready)  ## run the tests that take over a minute each
	@$(bin)/python -m pytest -m slow $(TESTS)

coverage: $(ready)  ## run the tests and hold their branch coverage: core and serving 95 %, all 90 %
	@$(bin)/python scripts/coverage.py $(TESTS)

docs: $(ready)  ## build the site into build/site, and run every block of README and docs
	@$(bin)/python scripts/build_site.py
	@$(bin)/python -m pytest -m "slow or not slow" tests/docs

check: $(ready)  ## lint, formatting, types, import contracts, changelog, reference pages
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy
	@$(bin)/lint-imports
	@$(bin)/python scripts/check_version.py
	@$(bin)/python scripts/write_references.py --check

fix: $(ready)  ## mend what ruff can mend, write the reference pages anew
	@$(bin)/python scripts/write_references.py
	@$(bin)/ruff check --fix .
	@$(bin)/ruff format .

wheel-smoke: $(ready) $(demo_versions)  ## build the wheel, serve the demo's versions where no framework is installed
	@$(bin)/python scripts/wheel_smoke.py --repository models

models/anomaly-%/1/manifest.json: | $(ready)
	@run=$$($(bin)/onnxpress train recipes/anomaly.yaml --framework $* --output runs) \
	  && $(bin)/onnxpress export "$$run" --name anomaly-$* --repository models

clean:  ## remove build products and caches; .venv, runs and models stay
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .cache
	@find . -path ./$(venv) -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +
