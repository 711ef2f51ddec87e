# Each target makes the environment that it needs. A fresh machine needs Python 3.11 or newer, make and the package
# registry; pip's own settings (files, or PIP_* variables) decide where packages come from.
# More options for pytest: make test ARGS="-k durable". Other workers: make test WORKERS=4.

VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
ARGS ?=
MODELS ?=

# -qq: errors only.
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -qq -c constraints.txt

# Real cases are read where they lie and never copied. Without this variable, the tests that need them are skipped.
ifneq ($(wildcard ../shared/data/real),)
export LIMBECK_REAL_DATA ?= $(CURDIR)/../shared/data/real
endif

.PHONY: demo test test-browser fuzz torture wheel lint bench methods docs real weights clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.runtime
	$(BIN)/limbeck demo --out demo

# One torch thread to a worker: two workers on two cores, and results that do not depend on the machine's cores. What
# needs a browser has a target of its own.
test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --ignore tests/browser $(ARGS)

# The report in a real browser. Debian's Chromium is installed if there is none and this may do so.
test-browser: $(VENV)/.dev
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq \
	    && apt-get install -qq -y --no-install-recommends chromium; } || { \
	  echo "make test-browser: found no Chromium and may not install one: install it, then run this again" >&2; exit 1; }
	LIMBECK_BROWSER=required OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser $(ARGS)

# Ten thousand mutated NIfTI files through every reader, thousands of spoilt models and files of settings, and more
# commands on such files than in the tests. A case's number makes it again: make fuzz ARGS="--first 4711 --files 1"
# MODELS="--models 0 --files 0", or the other way round.
# "--out FILE" in either writes the figures as JSON.
fuzz: $(VENV)/.dev
	$(BIN)/python tests/fuzz/long_run.py --workers $(WORKERS) $(ARGS)
	$(BIN)/python tests/fuzz/model_folders_run.py --workers $(WORKERS) $(MODELS)
	LIMBECK_FUZZ=long OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) tests/fuzz/test_fuzzed_commands.py

# The built wheel in clean environments. Others: make wheel ARGS="--python python3.12 python3.13 --resolution newest lowest".
wheel: $(VENV)/.dev
	$(BIN)/python tests/torture/installed_wheel.py $(ARGS)

# Hundreds of commands killed at random moments and given again, and commands without the space or the right to write.
# FIGURES=FOLDER writes kills.json and full_disk.json there. ARGS go to the first: make torture ARGS="--only import".
torture: $(VENV)/.dev
	$(BIN)/python tests/torture/kills.py --verbose $(if $(FIGURES),--out $(FIGURES)/kills.json) $(ARGS)
	$(BIN)/python tests/torture/full_disk.py --verbose $(if $(FIGURES),--out $(FIGURES)/full_disk.json)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/run.py $(ARGS)

# The weights in the box, from nothing; what is finished is kept.
weights: $(VENV)/.runtime
	$(BIN)/python benchmarks/weights.py --out weights $(ARGS)

# Every method under the common recipe, at a small budget.
methods: $(VENV)/.runtime
	$(BIN)/python benchmarks/methods.py --out methods $(ARGS)

# The page of methods, from what their files say.
docs: $(VENV)/.runtime
	$(BIN)/limbeck methods --markdown > docs/methods.md

real: $(VENV)/.runtime
	@test -d "$$LIMBECK_REAL_DATA" || { \
	  echo "make real: no folder of real cases (LIMBECK_REAL_DATA is '$$LIMBECK_REAL_DATA');" \
	    "set it to a folder with BraTS or MSD cases: make real LIMBECK_REAL_DATA=FOLDER" >&2; exit 2; }
	$(BIN)/python benchmarks/real_cases.py --out real $(ARGS)

# Outputs and caches; never runs/, weights/, methods/ nor benchmark/, which may hold days of training, nor the environment.
clean:
	rm -rf build dist demo real .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

# torch goes first, by its exact pin and alone, so that no later request can widen it.
$(VENV)/.runtime: pyproject.toml constraints.txt
	@rm -f $(VENV)/.dev
	@test -x $(BIN)/python || $(FIND_PYTHON) -m venv $(VENV)
	@echo "installing limbeck into $(VENV)"
	@$(PIP) torch setuptools
	@$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "installing the development tools into $(VENV)"
	@$(PIP) -e '.[dev]'
	@touch $@

# A candidate must start, be new enough, and have venv and ensurepip, which some systems package apart.
FIND_PYTHON = $$(for python in python3.11 python3 python3.12 python3.13 python3.14; do \
  if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
    echo "$$python"; exit; fi; done; \
  echo "limbeck needs Python 3.11 or newer with its venv module, and found none on PATH" >&2; echo false)
