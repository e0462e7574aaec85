# Each command makes a virtual environment in .venv and installs the package there on its first use.
PYTHON ?= python3
VENV := .venv

.PHONY: demo docs fuzz kills lint test test-gpu test-long wheel-test

demo: $(VENV)/ready
	$(VENV)/bin/python samples/demo.py

test: $(VENV)/ready
	$(VENV)/bin/python -m pytest

test-long: $(VENV)/ready
	FSVAE_TCJA_LONG=1 $(VENV)/bin/python -m pytest

test-gpu: $(VENV)/ready
	FSVAE_TCJA_GPU_TESTS=long $(VENV)/bin/python -m pytest -n 0 -rs tests/gpu tests/core/test_triton.py tests/vae/test_replay.py tests/vae/test_philox.py

kills: $(VENV)/ready
	$(VENV)/bin/python -m tests.reliability.kills

fuzz: $(VENV)/ready
	FSVAE_TCJA_BACKEND=reference $(VENV)/bin/python -m tests.fuzz

lint: $(VENV)/ready
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

docs: $(VENV)/docs
	$(VENV)/bin/python -m mkdocs build --strict

wheel-test: $(VENV)/ready
	$(VENV)/bin/python tests/wheel.py

$(VENV)/ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable '.[dev]'
	touch $@

$(VENV)/docs: $(VENV)/ready
	$(VENV)/bin/python -m pip install --quiet --editable '.[docs]'
	touch $@
