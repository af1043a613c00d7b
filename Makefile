# Every target sets up what it needs: an environment in .venv from requirements.lock, with Python 3.10-3.12.
#   make demo [DICOM=folder REPORT=file]   make test   make serve STUDIES=folder   make lint   make bench
# A lean CPU install where your network has one: make setup TORCH=cpu

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUTPUT ?= demo-output
STUDIES ?= $(OUTPUT)/studies

export UV_COMPILE_BYTECODE := 1
export UV_HTTP_TIMEOUT ?= 300
# Two test workers on two cores: more threads each only get in one another's way.
test slow coverage: export OMP_NUM_THREADS := 1

.PHONY: demo test slow serve lint format bench coverage setup lock clean

demo: $(READY)
	$(BIN)/radfind demo --output "$(OUTPUT)" $(if $(DICOM),--dicom "$(DICOM)") $(if $(REPORT),--report "$(REPORT)")

# Slicer's libraries and torch crash in one process, so the Slicer tests run by themselves.
FAST := not slow and not gpu
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile
WITH_SLICER := tests/slicer_module tests/exports tests/imaging tests/measure

test: $(READY)
	$(PYTEST) -m "$(FAST) and not slicer" --ignore=tests/slicer_module
	$(PYTEST) -m "$(FAST) and slicer" $(WITH_SLICER)

slow: $(READY)
	$(BIN)/python -m pytest -m "slow and not gpu"

coverage: $(READY)
	$(PYTEST) -m "$(FAST) and not slicer" --ignore=tests/slicer_module --cov
	$(PYTEST) -m "$(FAST) and slicer" $(WITH_SLICER) \
		--cov --cov-append --cov-report=term-missing:skip-covered --cov-fail-under=90

serve: $(READY)
	$(BIN)/radfind serve --studies "$(STUDIES)"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	for script in tests/bench/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

setup: $(READY)

# Writes pinned versions only: no download addresses.
lock: $(BIN)/uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.10 \
		--no-annotate --no-header --no-emit-index-url --output-file requirements.lock

$(READY): requirements.lock pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --python $(BIN)/python --no-deps $(if $(TORCH),--torch-backend $(TORCH)) -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --no-deps -e .
	touch $@

$(BIN)/uv:
	@python=$$(for name in "$(PYTHON)" python3.12 python3.11 python3.10 python3; do \
		"$$name" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null \
		&& { echo "$$name"; break; }; done); \
	if [ -z "$$python" ]; then echo "RadFind needs Python 3.10, 3.11 or 3.12 with venv (on Debian: apt install python3-venv)." \
		"Name one with: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 2; fi; \
	"$$python" -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv

clean:
	rm -rf $(VENV) $(OUTPUT) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
