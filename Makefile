# Every target does its own set-up: on a fresh machine `make demo` or `make test` is all that is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= out/demo

# Three workers for two cores take whole files; threads that wait do not spin.
PYTEST := OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n $(or $(WORKERS),3) --dist loadfile --no-loadscope-reorder

.PHONY: help setup setup-dev run demo test test-rest test-all check house format mutants bench example pictures train clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.ready  ## Build .venv with what the engine needs

setup-dev: $(VENV)/.ready-dev  ## ... and what tests and checks need

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.ready-dev: requirements-dev.txt $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

$(VENV)/.ready-browser: tests/browser/install.py $(VENV)/.ready-dev
	$(BIN)/python -m tests.browser.install
	touch $@

run: setup  ## Start the studio; then open the address that it prints
	$(BIN)/python app.py

demo: setup  ## Compare the baseline, a two-stage and a U-shaped schedule of one prompt; then open out/demo/index.html
	$(BIN)/python -m engine compare --model emoji-wan --prompt "$(or $(PROMPT),a red apple bouncing over blue stripes)" \
	  --seed $(or $(SEED),1) --schedule two-stage-0.5 --schedule u-0.75 --out $(OUT)

test: check $(VENV)/.ready-browser  ## Checks and the tests of everything that a change can break: ten minutes
	$(PYTEST) -m "not slow"

test-rest: $(VENV)/.ready-browser  ## What takes longer: thousands of strangers' requests, kills, frame rates; see docs/tests.md
	RESOLUTE_FUZZ=$(or $(FUZZ),3000) RESOLUTE_KILLS=$(or $(KILLS),50) $(PYTEST) -m "slow or deep"

test-all: test test-rest  ## All of it

check: setup-dev  ## Style, types, and the measures of the house
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	find ui -name '*.pyi' -delete  # Gradio writes them beside its subclasses; types are checked in the sources
	$(BIN)/mypy
	$(BIN)/python -m tests.repository.house

house: setup-dev  ## The measures of files, functions and classes, and what is over them
	$(BIN)/python -m tests.repository.house

format: setup-dev  ## Put the code into style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

mutants: setup-dev  ## Is every small change to the mathematics noticed by a test? Minutes, resumes; see docs/mutants.md
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE nice -n 10 $(BIN)/python -m benchmarks.mutants

bench: setup-dev  ## Speed and fidelity of the shipped model; see docs/measurements.md
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m training.judge --from weights/emoji-wan
	$(BIN)/python -m benchmarks.fidelity --processes 2 --minutes 35

example: setup  ## Make the stored example of the first page again with the shipped model
	$(BIN)/python -m benchmarks.example

pictures: $(VENV)/.ready-browser  ## Take the screenshots of docs/images again
	$(BIN)/python -m benchmarks.screenshots

train: setup-dev  ## Train the shipped model's nano recipe on this CPU (two hours, resumes); see docs/training.md
	$(BIN)/python -m training.data
	$(BIN)/python -m training.train_vae
	$(BIN)/python -m training.bank
	$(BIN)/python -m training.train_dit
	$(BIN)/python -m training.judge
	$(BIN)/python -m training.export
	$(BIN)/python -m training.evaluate

clean:  ## Remove what was built, but not trained checkpoints
	rm -rf $(VENV) out .mypy_cache .ruff_cache .pytest_cache
