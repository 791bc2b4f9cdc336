# Two commands matter: `make demo` and `make test`. Everything is installed into .venv from constraints.txt.
#
#   make demo                                   segment a generated abdominal CT, open demo-output/index.html
#   make demo SCAN=scan.nii.gz TASK=openkbp     the same on a scan of your own (TRUTH=labels.nii.gz adds Dice)
#   make test                                   all tests (REP3D_DATA=folder adds those on real scans)
#   make lint                                   ruff
#   make bench                                  all benchmarks, beside the results that are stored (BENCH_ARGS=--quick)
#   make release                                what would be published, in dist/, and the checks of the index
#   make clean                                  remove .venv, caches and demo-output

PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
STAMP := $(VENV)/.installed

SCAN ?=
TASK ?=
WEIGHTS ?=
TRUTH ?=
OUT ?= demo-output
PYTEST_ARGS ?=
BENCH_ARGS ?=

.PHONY: demo test lint bench release clean setup
.DEFAULT_GOAL := demo

setup: $(STAMP)

# Made again when what is to be installed changes; a half-made one has no stamp and is completed.
$(STAMP): constraints.txt backend/pyproject.toml
	@echo "Setting up $(VENV) with $$($(PYTHON) --version): 4 GB on disk, a few minutes the first time."
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "Rep3D needs Python 3.10 or newer")'
	$(PYTHON) -m venv $(VENV)
	# torch first and by itself: an unpinned dependency must not pull a build for GPUs.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable "backend[dev,slicer]"
	@$(PYTHON) -c 'import pathlib; pathlib.Path("$(STAMP)").touch()'
	@echo "Set up. The command line is $(BIN)/rep3d."

demo: $(STAMP)
	$(BIN)/rep3d demo --output "$(OUT)" $(if $(SCAN),--scan "$(SCAN)") $(if $(TASK),--task "$(TASK)") $(if $(WEIGHTS),--weights "$(WEIGHTS)") $(if $(TRUTH),--truth "$(TRUTH)")

test: $(STAMP)
	$(BIN)/python Testing/run.py $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(STAMP)
	$(BIN)/python benchmarks/run_all.py $(BENCH_ARGS)

release: $(STAMP)
	$(BIN)/python scripts/release.py

clean:
	rm -rf $(VENV) dist .pytest_cache .ruff_cache .hypothesis demo-output backend/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
