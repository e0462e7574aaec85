# Both commands make a virtual environment in .venv and install the package there on their first use.
PYTHON ?= python3
VENV := .venv

.PHONY: demo test

demo: $(VENV)/ready
	$(VENV)/bin/python samples/demo.py

test: $(VENV)/ready
	$(VENV)/bin/python -m pytest

$(VENV)/ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable '.[dev]'
	touch $@
