# `make demo` and `make test` set up what they need in .venv; nothing is installed outside it.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin

.PHONY: demo test lint types fast slow clean

# rebuilt only when the dependencies change
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@echo "Installing the dependencies (PyTorch is large; a few minutes) ..."
	$(RUN)/python -m pip install --quiet --editable . --group dev
	touch $@

demo: $(VENV)/installed
	$(RUN)/harvester demo --out demo-harvest

test: $(VENV)/installed lint types fast slow

lint: $(VENV)/installed
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .

types: $(VENV)/installed
	$(RUN)/mypy

fast: $(VENV)/installed
	$(RUN)/python -m pytest -m "not slow and not benchmark" -n 2 --dist loadfile

slow: $(VENV)/installed
	$(RUN)/python -m pytest -m slow -n 2 --dist loadfile

clean:
	rm -rf $(VENV) demo-harvest build *.egg-info
