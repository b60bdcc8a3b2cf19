# Everything runs in .venv, made from the lock files by the first command that needs it.
PYTHON ?= python3
BIN := .venv/bin
LOCK := --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# The lock names every package, so nothing is resolved: older pips do not hold `name[extra]` to what is locked for `name`.
INSTALL := $(BIN)/python .ci/install.py

RABBITMQ_TESTS := $(addprefix tests/,$(addprefix workers/test_,broker.py rabbit_broker.py processes.py producer.py replay.py \
	locked_brands.py master.py group_commit.py) cli/test_waiting.py web/test_metrics.py) -k "not bad_setting"

.PHONY: help run demo test coverage test-redis test-rabbitmq faults check audit docs pictures bench bench-steps bench-machines bench-replica bench-pages lock clean
.DEFAULT_GOAL := help

help:  ## Say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: .venv/run  ## Run everything here, with demo brands and live simulated spend; Ctrl-C stops it
	@$(BIN)/spendgate up --demo

demo: .venv/run  ## The same in time-lapse: three days in ninety seconds, midnights and a clock change included
	@SPENDGATE_HOME=.spendgate/demo SPENDGATE_CLOCK_START=2026-10-30T12:00:00Z SPENDGATE_CLOCK_SPEED=2880 \
		$(BIN)/spendgate up --demo --fresh --seconds 90

test-redis: .venv/dev  ## The process tests on the redis-server that SPENDGATE_TEST_REDIS names
	@$(BIN)/python -m pytest -q -n 3 tests/delivery/test_broker.py tests/workers/test_processes.py

test-rabbitmq: .venv/dev  ## The tests of delivery with RabbitMQ, by the rabbitmq-server found here or named by SPENDGATE_TEST_RABBITMQ
	@server=$${SPENDGATE_TEST_RABBITMQ:-$$(ls /usr/lib/rabbitmq/bin/rabbitmq-server 2>/dev/null || command -v rabbitmq-server)}; \
		test -n "$$server" || { echo "no rabbitmq-server here: apt install rabbitmq-server, or name one in SPENDGATE_TEST_RABBITMQ"; exit 1; }; \
		SPENDGATE_TEST_RABBITMQ=$$server $(BIN)/python -m pytest -q -n 3 $(or $(ARGS),$(RABBITMQ_TESTS))

test: .venv/dev  ## All tests (or ARGS=…), against real Postgres, Redis, Dramatiq and periodiq
	@$(BIN)/python -m pytest -n 4 $(ARGS)

coverage: .venv/dev  ## All tests, and which lines of ours they never run; more than one in ten fails
	@$(BIN)/python -m pytest -n 4 --cov --cov-report=term:skip-covered --cov-fail-under=90 $(ARGS)

faults: .venv/dev  ## Every fault in its long form (or ARGS=…), one after the other, and the table of what came of each
	@$(BIN)/python -m tests.faults.table $(ARGS)

check: .venv/dev  ## Lint, format, types, the import law, the completeness of the lock
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(PIP) check

audit: .venv/dev  ## Ask whether a locked dependency has a known weakness; ARGS=--strict fails where nobody can be asked
	@$(BIN)/python .ci/audit.py $(ARGS) requirements.txt requirements-dev.txt

docs: .venv/dev  ## Bring docs/reference up to the code; fails where something new has to be described
	@$(BIN)/python -m docs.reference.make

pictures: .venv/dev  ## Take the README's pictures anew, from the running service in Chromium
	@$(BIN)/python -m docs.pictures.make

bench: .venv/dev  ## What is fast and how fast, each beside a plain reference (or ARGS=…, see benchmarks/__main__.py)
	@$(BIN)/python -m benchmarks $(ARGS)

bench-steps: .venv/dev  ## Where the time goes, by step and event, on the way from Redis to the commit
	@$(BIN)/python -m benchmarks.steps

bench-machines: .venv/dev  ## How fast one worker machine is, and two, each in a network namespace (as root)
	@$(BIN)/python -m benchmarks.machines

bench-replica: .venv/dev  ## What a replica takes off Postgres while pages are looked at
	@$(BIN)/python -m benchmarks.replica

bench-pages: .venv/run  ## How long the pages take with 1,000 brands and 100,000 campaigns
	@$(BIN)/python -m benchmarks.pages

lock:  ## Lock the dependencies of pyproject.toml anew, with uv
	@uv pip compile $(LOCK) --extra build -o requirements.txt pyproject.toml
	@uv pip compile $(LOCK) --extra build --extra dev -c requirements.txt -o requirements-dev.txt pyproject.toml

clean:  ## Remove the environment and the embedded servers' data
	@rm -rf .venv .spendgate .mypy_cache .pytest_cache .ruff_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Spendgate needs Python 3.11 or later; set PYTHON=")'
	@echo "making .venv"
	@$(PYTHON) -m venv .venv

.venv/run: .venv/bin/python requirements.txt pyproject.toml
	@$(INSTALL) requirements.txt
	@touch $@

.venv/dev: .venv/bin/python requirements-dev.txt pyproject.toml
	@$(INSTALL) requirements-dev.txt
	@touch $@ .venv/run
