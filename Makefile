# `make` lists what there is. Everything runs in .venv, which is made when it is missing or stale.

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name) 2>/dev/null)))
WORKERS ?= 3
UNIT_SECONDS ?= 2
CACHE_STEPS ?= 200000
BIN := .venv/bin
READY := .venv/.installed
PEERS := .venv-peers/.installed
BENCHMARKS := statements endpoints libraries scale redis_away
CLIENTS := tests/clients/node_modules/.package-lock.json

.DEFAULT_GOAL := help
.PHONY: help run test test-clients test-mutants test-faults bench bench-scale check lint format migrate clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(READY) ## serve on http://127.0.0.1:8000 (PORT), with PostgreSQL and Redis unless URLs are set
	@$(BIN)/python -m app.embedded -- $(BIN)/python -m app.development

test: $(READY) ## all tests with their coverage, on real PostgreSQL and Redis (ARGS for pytest)
	@$(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=term $(ARGS)

test-clients: $(READY) $(CLIENTS) ## the AI SDK's own client (Node 20) against two workers
	@folder=$$(mktemp -d) && $(BIN)/python -m app.embedded --data $$folder -- $(BIN)/python -m tests.clients; status=$$?; rm -rf $$folder; exit $$status

test-mutants: $(READY) ## builds that are wrong on purpose: each must turn its tests red (NAMES for some)
	@$(BIN)/python -m tests.mutants $(NAMES)

test-faults: $(READY) ## the long forms: pools, addresses, requests and texts in their thousands, killed workers, then test-mutants
	@POOLED_REQUESTS=50000 $(BIN)/python -m pytest -q -n $(WORKERS) tests/integration/test_pooled_owners.py tests/integration/test_pgbouncer.py
	@HYPOTHESIS_PROFILE=campaign $(BIN)/python -m pytest -q -n $(WORKERS) tests/unit/test_addresses.py
	@SCHEMATHESIS_EXAMPLES=200 $(BIN)/python -m pytest -q -rP tests/api/test_schemathesis.py
	@HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest -q -n $(WORKERS) tests/api/test_text.py tests/integration/cache tests/integration/test_search.py tests/unit/test_search_words.py tests/unit/test_search_query.py tests/unit/test_snippets.py tests/unit/test_recall.py tests/integration/repositories/test_cursors.py
	@CACHE_MODEL=large CACHE_STEPS=$(CACHE_STEPS) $(BIN)/python -m pytest -q -rP tests/integration/cache/test_model.py tests/integration/cache/test_machine.py
	@MODEL_FAULTS=200 $(BIN)/python -m pytest -q tests/api/test_model_faults.py
	@$(BIN)/python -m pytest -q -rP tests/faults/kills.py tests/faults/deaths.py tests/faults/reloads.py tests/faults/stores.py
	@$(MAKE) test-mutants

bench: $(READY) $(PEERS) ## each operation beside its limit, by hand and other libraries; writes benchmarks/results (NAMES for some)
	@folder=$$(mktemp -d) && $(BIN)/python -m app.embedded --data $$folder -- sh -ec 'for name in $(or $(NAMES),$(BENCHMARKS)); do $(BIN)/python -m benchmarks.$$name; done'; status=$$?; rm -rf $$folder; exit $$status
	@.venv-peers/bin/python -m benchmarks.report

bench-scale: ## growth to ten million messages; takes long
	@BENCH_MESSAGES=10000000 $(MAKE) bench NAMES=scale

check: lint ## lint, types, layers, and the unit tests within UNIT_SECONDS
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@UNIT_SECONDS=$(UNIT_SECONDS) $(BIN)/python -m pytest -q -p no:schemathesis -p no:xdist -p no:cov -p no:logging tests/unit

lint: $(READY) ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(READY) ## let ruff format and repair
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

migrate: $(READY) ## bring the database up to date
	@$(BIN)/python -m app.embedded -- $(BIN)/python -m flask --app wsgi db upgrade

clean: ## remove caches and reports; never .data
	@rm -rf .coverage .coverage.* htmlcov build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv*/*' -not -path './.data/*' -prune -exec rm -rf {} +

$(CLIENTS): tests/clients/package-lock.json
	@npm ci --prefix tests/clients --no-audit --no-fund --loglevel=error
	@touch $@

$(PEERS): benchmarks/peers/requirements.txt
	@test -x .venv-peers/bin/python || "$(PYTHON)" -m venv .venv-peers
	@.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(READY): requirements.txt requirements-dev.txt
	@"$(PYTHON)" -c 'import sys; sys.exit("make PYTHON=…: 3.11 or later is needed" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
