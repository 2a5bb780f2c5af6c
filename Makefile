# Two commands do everything on a fresh machine with Python 3.11 or later: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test interop bench check format lock clean

demo: $(VENV)/.ready
	$(BIN)/edgelift demo

test: $(VENV)/.ready
	$(BIN)/python -m pytest

# With the programs of others, on the PATH or in ~/go/bin; each test that lacks one fails and says how to install it.
interop: $(VENV)/.ready
	EDGELIFT_INTEROP=1 $(BIN)/python -m pytest tests/interop

# Options after ARGS=, for example: make bench ARGS="--scale 0.1 --rounds 2"
bench: $(VENV)/.ready
	$(BIN)/python -m bench $(ARGS)

check: $(VENV)/.ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.ready
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "edgelift needs Python 3.11 or later; name one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

lock:
	$(PYTHON) -m venv $(VENV) && $(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --all-extras \
		--no-emit-index-url --no-header pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) output .mypy_cache .ruff_cache .pytest_cache
