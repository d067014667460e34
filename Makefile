# Two commands do everything: `make serve` (data, training, registry, bento, server) and `make test`.
# Settings: PYTHON, FRAUD_HOME (what the product writes), HOST, PORT, ROWS, SEED.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3.11
# Other machines are let in with keys only: docs/access.md.
HOST ?= 127.0.0.1
PORT ?= 3000
ROWS ?= 10000
SEED ?= 0
MINUTES ?= 10
# Which of the tests on a cluster: marks of pytest.
CLUSTER ?= cluster
export FRAUD_HOME ?= $(CURDIR)/var
export BENTOML_HOME ?= $(FRAUD_HOME)/bentoml
# Neither of them may call out.
export BENTOML_DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true

comma := ,
VENV := .venv
BIN := $(VENV)/bin
DATA := $(FRAUD_HOME)/data
INSTALL := $(BIN)/pip install --quiet --constraint constraints.txt
FEAST := .venv-feast
INSTALL_FEAST := $(FEAST)/bin/pip install --quiet --constraint constraints-feast.txt

.PHONY: help demo serve dashboard train bento images test test-cluster test-fast feast lint audit format bench chaos handbook lock clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

serve: bento ## install, make data, train, register, build a bento, serve it on port 3000
	$(BIN)/bentoml serve fraud_detector:latest --host $(HOST) --port $(PORT)

demo: $(VENV)/.installed-dashboard bento ## all of it alive: server, challenger in the shadow, dashboard, synthetic traffic (DEMO=--help)
	$(BIN)/python scripts/demo.py --rows $(ROWS) --seed $(SEED) --port $(PORT) $(DEMO)

dashboard: $(VENV)/.installed-dashboard ## pages for people on port 8501, over the server on port 3000
	FRAUD_DASHBOARD_SERVICE_URL=$${FRAUD_DASHBOARD_SERVICE_URL:-http://127.0.0.1:$(PORT)} \
	  $(BIN)/streamlit run dashboard/app.py --server.address $(HOST)

train: $(FRAUD_HOME)/champion/artifact/manifest.json ## train forest and network on synthetic data, register, promote

bento: $(FRAUD_HOME)/bento.tag ## build the bento of the champion

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

KERNEL := $(wildcard bentos/core/explain/_tree_kernel*.[ch] bentos/core/features/_*.[ch])

# torch goes first, alone: what needs it then finds this version.
define install
	scripts/install_system_packages.sh build
	$(INSTALL) pip setuptools wheel
	$(INSTALL) torch==2.13.0
	$(INSTALL) --editable '.[$(1)]'
endef

$(VENV)/.installed-run: pyproject.toml constraints.txt $(KERNEL) | $(VENV)/bin/python
	$(call install,serve$(comma)train)
	touch $@

$(VENV)/.installed-dashboard: pyproject.toml constraints.txt $(KERNEL) | $(VENV)/bin/python
	$(call install,serve$(comma)train$(comma)client$(comma)dashboard)
	touch $@ $(VENV)/.installed-run

$(VENV)/.installed-dev: pyproject.toml constraints.txt $(KERNEL) | $(VENV)/bin/python
	$(call install,serve$(comma)client$(comma)train$(comma)dashboard$(comma)k8s$(comma)dev)
	touch $@ $(VENV)/.installed-run $(VENV)/.installed-dashboard

$(DATA)/transactions.parquet: | $(VENV)/.installed-run
	$(BIN)/python -m training generate --rows $(ROWS) --seed $(SEED) --output $@

$(DATA)/features.parquet: $(DATA)/transactions.parquet
	$(BIN)/python -m training features $< --output $@

$(FRAUD_HOME)/champion/artifact/manifest.json: $(DATA)/features.parquet | $(VENV)/.installed-run
	$(BIN)/python -m training run $(DATA)/transactions.parquet --features $(DATA)/features.parquet --seed $(SEED)

$(FRAUD_HOME)/bento.tag: $(FRAUD_HOME)/champion/artifact/manifest.json $(shell find bentos -name '*.py' -o -name '*.[ch]') bentofile.yaml constraints.txt
	$(BIN)/bentoml build --output tag | tail -n 1 > $@

test: $(VENV)/.installed-dev lint ## everything that CI checks: lint, types, layers, all tests with coverage
	scripts/install_system_packages.sh test
	scripts/run_tests.sh -n 2 --dist worksteal --cov --cov-report=term

test-fast: $(VENV)/.installed-dev lint ## the same without the slow tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow'

images: $(VENV)/.installed-dev $(FRAUD_HOME)/bento.tag ## container images of scoring, workers and dashboard (IMAGES=--help says what can be chosen)
	scripts/images.sh $(IMAGES)

test-cluster: $(VENV)/.installed-dev ## what needs images and a real cluster (docs/images.md; CLUSTER='not long' for the shorter ones)
	scripts/install_system_packages.sh test
	FRAUD_E2E_CLUSTER=1 scripts/run_tests.sh tests/e2e/cluster -m 'cluster and ($(CLUSTER))' --durations=10

# Feast holds pandas and others back, so it has an environment of its own; nothing there trains.
$(FEAST)/.installed: pyproject.toml constraints-feast.txt $(KERNEL)
	$(PYTHON) -m venv $(FEAST)
	scripts/install_system_packages.sh build
	$(INSTALL_FEAST) pip setuptools wheel
	$(INSTALL_FEAST) --editable '.[serve,client,feast,feast-test]'
	touch $@

feast: $(FEAST)/.installed ## the feature store in Feast: its environment (.venv-feast) and its tests
	scripts/install_system_packages.sh test
	$(FEAST)/bin/python -m pytest tests/feast tests/contracts/test_feature_store*.py tests/contracts/test_stores_agree.py tests/fraud/store

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: $(VENV)/.installed-dev ## known vulnerabilities of pinned packages, secrets in files
	$(BIN)/python scripts/audit_packages.py
	$(BIN)/python scripts/audit_packages.py constraints-feast.txt
	$(BIN)/python scripts/scan_secrets.py

format: $(VENV)/.installed-dev ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev ## measure everything; serving under load beside its peers last, about an hour (LOAD_OPTIONS=--quick)
	scripts/install_system_packages.sh bench
	$(BIN)/python -m tests.benchmarks.features
	$(BIN)/python -m tests.benchmarks.treeshap
	$(BIN)/python -m tests.benchmarks.store
	$(BIN)/python -m tests.benchmarks.store_load
	$(BIN)/python -m tests.benchmarks.access
	$(BIN)/python -m tests.benchmarks.batch
	$(BIN)/python -m tests.benchmarks.serving_footprint
	$(BIN)/python -m tests.benchmarks.synthetic
	$(BIN)/python -m tests.benchmarks.load $(LOAD_OPTIONS)

chaos: $(VENV)/.installed-dev ## ten minutes of kill -9 under load, embedded and production; nothing may be lost (MINUTES=10)
	scripts/install_system_packages.sh test
	$(BIN)/python -m tests.e2e.chaos --minutes $(MINUTES)

handbook: $(VENV)/.installed-dev ## reproduce the Fraud Detection Handbook's table (needs its data, see FRAUD_SHARED_DATA)
	$(BIN)/python -m tests.benchmarks.handbook

lock: ## renew constraints.txt and constraints-feast.txt from the newest versions that fit
	scripts/lock.sh $(PYTHON)

clean: ## remove the virtual environment and everything the product wrote here
	rm -rf $(VENV) $(FEAST) $(FRAUD_HOME) build ./*.egg-info
