# Words of this project: setup run stop test check bench conformance docs. `make test` needs nothing but
# Python 3.11, make and, for the programs it tests with, a Debian or Ubuntu where it may install packages.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
RUN_STAMP := $(VENV)/.installed
PROGRAMS := dig nslookup busybox nft curl kubectl chromium

.PHONY: setup run stop test check bench conformance docs programs clean

setup: $(STAMP)

$(RUN_STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) tools/make_venv.py $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(STAMP): $(RUN_STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

run: $(RUN_STAMP)
	@sh tools/tour.sh $(BIN)/kubemu

stop:
	@$(BIN)/kubemu down

programs:
	@sh tools/install_programs.sh $(PROGRAMS)

# Each process of tests has a network of its own: see tools/isolated_python.py. They wait more than they compute.
WORKERS ?= 3
test: $(STAMP) programs
	$(BIN)/python -m pytest -q -d --dist worksteal --tx "$(WORKERS)*popen//python=$(CURDIR)/$(BIN)/python $(CURDIR)/tools/isolated_python.py"

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_purity.py
	$(BIN)/codespell emulator tests docs configs benchmarks README.md CHANGELOG.md

# CASES=FILE runs any file of recorded cases: DNS, variables, Ingress routing or API scenarios.
conformance: $(STAMP)
	@test -n "$(CASES)" || { echo "make conformance CASES=FILE: name a file of recorded cases"; exit 2; }
	$(BIN)/python -m tests.conformance.run $(CASES)

bench: $(STAMP)
	@sh tools/install_programs.sh dnsmasq dnsperf haproxy curl nginx
	@sh benchmarks/all.sh $(BIN)/python

docs: $(STAMP)
	$(BIN)/python -m pytest -q tests/integration/test_docs.py

clean:
	rm -rf $(VENV) dist build
