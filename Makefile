# layerdisk: `make help` lists what there is.
SHELL := /bin/bash
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
export CARGO_TERM_COLOR ?= never

.PHONY: help system dev build test lint docs golden fuzz mutants bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

system: ## install what the tests use from Debian (as root)
	tests/install-system.sh

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

dev: $(BIN)/python ## install the package (release build of the Rust core) and the development tools
	$(BIN)/python -m pip install --quiet --group dev
	$(BIN)/maturin develop --release --quiet
	$(BIN)/python -m compileall -q python/layerdisk

build: $(BIN)/python ## build the wheels (platform and pure Python) and the sdist into dist/
	$(BIN)/python -m pip install --quiet maturin hatchling ziglang auditwheel
	packaging/build.sh $(BIN)/python dist

test: ## run all tests
	cargo test --workspace --locked --quiet
	$(BIN)/python -m pytest -n 2

lint: ## check formatting, types and style
	cargo fmt --all --check
	cargo fmt --check --manifest-path rust/fuzz/Cargo.toml
	cargo clippy --workspace --all-targets --locked -- -D warnings
	$(BIN)/ruff format --check python tests benches packaging rust/fuzz
	$(BIN)/ruff check python tests benches packaging rust/fuzz
	$(BIN)/mypy
	$(BIN)/mypy tests
	$(BIN)/stubtest layerdisk._rust --ignore-missing-stub

docs: $(BIN)/python ## build the guide and the API reference into target/docs/
	$(BIN)/python -m pip install --quiet --group docs
	$(BIN)/sphinx-build --quiet --fail-on-warning --fresh-env docs target/docs

golden: ## write the golden dumps anew, to be read before they are committed
	$(BIN)/python tests/golden/make.py

fuzz: ## hunt for failing inputs (FUZZ_EXAMPLES layers through both cores, FUZZ_SECONDS for each target of rust/fuzz)
	LAYERDISK_TEST_PROFILE=fuzz LAYERDISK_FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-20000} \
	    $(BIN)/python -m pytest -n 2 -m fuzz tests/differential tests/oracle
	rust/fuzz/run.sh $${FUZZ_SECONDS:-30}

mutants: ## list changes of the pure core that no layer notices (MUTANTS of each module, MODULES below _pure)
	PYTHONPATH=tests $(BIN)/python tests/mutants.py --most $${MUTANTS:-50} $(MODULES)

bench: ## measure against the peer, the pure core and the limit of the hardware
	$(BIN)/python -m benches.run

clean: ## remove what was built
	rm -rf target dist $(VENV) .cache
