# Everything runs in .venv, made from the lock files by the first command that needs it.
PYTHON ?= python3
BIN := .venv/bin
LOCK := --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# The lock names every package, so pip resolves nothing: older pips ignore the lock of `name` when they meet `name[extra]`.
INSTALL := $(BIN)/python .ci/install.py

RABBITMQ_TESTS := $(addprefix tests/,$(addprefix delivery/,test_broker.py rabbitmq/test_broker.py rabbitmq/test_delays.py rabbitmq/test_liveness.py test_producer.py test_suspects.py test_ticks.py) \
	$(addprefix app/ingest/test_replay_rejected.py::test_,kept_message_is_sent_again_without_its_failure_options \
	message_of_an_unknown_actor_or_shape_stays_kept message_too_large_to_be_sent_stays_kept) \
	app/ingest/test_locked_brands.py $(addprefix workers/test_,processes.py master.py) cli/service/test_waiting.py \
	workers/test_state_metrics.py)

.PHONY: help run demo test coverage test-redis test-rabbitmq faults check audit docs pictures bench bench-steps bench-machines bench-log bench-citus bench-replica bench-pages bench-platforms bench-serving bench-notices lock clean
.DEFAULT_GOAL := help

help:  ## List these commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: .venv/run  ## Run the whole service on this machine with demo brands and simulated spend; Ctrl-C stops it
	@$(BIN)/spendgate up --demo

demo: .venv/run  ## Run the demo in time-lapse: three days in ninety seconds, with midnights and a clock change
	@SPENDGATE_HOME=.spendgate/demo SPENDGATE_CLOCK_START=2026-10-30T12:00:00Z SPENDGATE_CLOCK_SPEED=2880 \
		$(BIN)/spendgate up --demo --fresh --seconds 90

test-redis: .venv/dev  ## Run the process tests on the redis-server that SPENDGATE_TEST_REDIS names
	@$(BIN)/python -m pytest -q -n 2 tests/delivery/test_broker.py tests/workers/test_processes.py

test-rabbitmq: .venv/dev  ## Run the delivery tests on RabbitMQ: the installed rabbitmq-server, or SPENDGATE_TEST_RABBITMQ
	@server=$${SPENDGATE_TEST_RABBITMQ:-$$(ls /usr/lib/rabbitmq/bin/rabbitmq-server 2>/dev/null || command -v rabbitmq-server)}; \
		test -n "$$server" || { echo "rabbitmq-server is not installed: run apt install rabbitmq-server, or set SPENDGATE_TEST_RABBITMQ to its path"; exit 1; }; \
		SPENDGATE_TEST_RABBITMQ=$$server $(BIN)/python -m pytest -q -n 2 $(or $(ARGS),$(RABBITMQ_TESTS))

test: .venv/dev  ## Run all tests (or ARGS=…) against real Postgres, Redis, Dramatiq and periodiq
	@$(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS)

coverage: .venv/dev  ## Run all tests and list the lines they never run; fails below 90 % coverage
	@$(BIN)/python -m pytest -n 4 --cov --cov-report=term:skip-covered --cov-fail-under=90 $(ARGS)

faults: .venv/dev  ## Run every fault test in its long form (or ARGS=…), one by one, and print a table of the results
	@$(BIN)/python -m tests.faults.table $(ARGS)

check: .venv/dev  ## Check lint, format, types, import rules and that the lock is complete
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(PIP) check

audit: .venv/dev  ## Look up known vulnerabilities of the locked dependencies; ARGS=--strict fails if no service answers
	@$(BIN)/python .ci/audit.py $(ARGS) requirements.txt requirements-dev.txt
	@$(BIN)/python .ci/audit_vendored.py $(ARGS)

docs: .venv/dev  ## Write docs/reference from the code; fails if something new lacks a description
	@$(BIN)/python -m docs.reference.make

pictures: .venv/dev  ## Take the README's pictures again, from the running service in Chromium
	@$(BIN)/python -m docs.pictures.make

bench: .venv/dev  ## Measure speed, each figure beside a simple reference (or ARGS=…, see benchmarks/__main__.py)
	@$(BIN)/python -m benchmarks $(ARGS)

bench-steps: .venv/dev  ## Measure the time of each step from Redis to the commit, per event
	@$(BIN)/python -m benchmarks.steps

bench-machines: .venv/dev  ## Compare one worker machine with two, each in a network namespace (needs root)
	@$(BIN)/python -m benchmarks.machines

bench-log: .venv/dev  ## Measure the bytes that an event adds to the log of transactions, with checkpoints
	@$(BIN)/python -m benchmarks.log

bench-citus: .venv/dev  ## Measure what an event takes of each server of the cluster SPENDGATE_TEST_CITUS names
	@$(BIN)/python -m benchmarks.cluster

bench-replica: .venv/dev  ## Measure how much load a read replica takes off Postgres while people read pages
	@$(BIN)/python -m benchmarks.replica

bench-pages: .venv/run  ## Measure how long pages take with 1,000 brands and 100,000 campaigns
	@$(BIN)/python -m benchmarks.pages

bench-platforms: .venv/dev  ## Simulate 1,000 accounts within 15,000 operations a day: how soon a reached limit is found
	@$(BIN)/python -m benchmarks.platforms $(ARGS)

bench-serving: .venv/dev  ## Measure the serving feed: 100,000 campaigns, 1,000 followers, pauses while spend is counted
	@$(BIN)/python -m benchmarks.serving $(ARGS)

bench-notices: .venv/dev  ## Measure webhooks and alerts: a dead endpoint among 100, and counting with 100 endpoints
	@$(BIN)/python -m benchmarks.notices $(ARGS)

lock:  ## Write new lock files from pyproject.toml (needs uv)
	@uv pip compile $(LOCK) --extra build -o requirements.txt pyproject.toml
	@uv pip compile $(LOCK) --extra build --extra google --extra tracing --extra dev -c requirements.txt -o requirements-dev.txt pyproject.toml

clean:  ## Delete the environment and the embedded servers' data
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
