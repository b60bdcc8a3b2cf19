"""Metrics of this process for Prometheus, without spend or names. Every label has a fixed list of values."""

import platform
from importlib import metadata
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

registry: Final = CollectorRegistry()
"""The metrics of this process; in a worker `runtime.metric_files` keeps them for the master."""

OTHER: Final = "other"

INPUTS: Final = Counter("spendgate_inputs", "Events and totals by outcome", ["kind", "outcome"], registry=registry)
COMMIT_SECONDS: Final = Histogram(
    "spendgate_commit_seconds",
    "Duration of transactions that count spend, in seconds",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
    registry=registry,
)
OCCURRED_TO_ENFORCED_SECONDS: Final = Histogram(
    "spendgate_occurred_to_enforced_seconds",
    "Seconds from the oldest new event of a batch until its budgets were enforced",
    buckets=(0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3_600, 86_400),
    registry=registry,
)
ENQUEUED_TO_COMMITTED_SECONDS: Final = Histogram(
    "spendgate_enqueued_to_committed_seconds",
    "Seconds from the enqueue of a spend message, or of the first of a bundle, until its commit",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 900),
    registry=registry,
)
MESSAGES: Final = Counter(
    "spendgate_messages", "Messages worked on, by actor and outcome", ["actor", "outcome"], registry=registry
)
ENQUEUED: Final = Counter("spendgate_enqueued_messages", "Messages enqueued, by actor", ["actor"], registry=registry)
UNTRACED: Final = Counter(
    "spendgate_untraced_messages",
    "Messages whose sender was sampled, and that were not traced because of SPENDGATE_TRACES_A_SECOND",
    registry=registry,
)
MESSAGE_RETRIES: Final = Counter(
    "spendgate_message_retries", "Failed messages that are tried again, by actor", ["actor"], registry=registry
)
JOB_DONE: Final = Gauge(
    "spendgate_job_done_at_seconds",
    "Unix time at which a scheduled job was last done by these processes",
    ["actor"],
    registry=registry,
    multiprocess_mode="max",
)
BUILD: Final = Gauge(
    "spendgate_build_info",
    "1, with the version of Spendgate and of Python",
    ["version", "python"],
    registry=registry,
    multiprocess_mode="max",
)
TRANSACTION_RETRIES: Final = Counter(
    "spendgate_transaction_retries", "Retries of transactions, by reason", ["reason"], registry=registry
)
TOGGLES: Final = Counter(
    "spendgate_toggles", "Campaigns toggled, by new effective status", ["effective_status"], registry=registry
)
LOCKED_BRANDS: Final = Gauge(
    "spendgate_locked_brands",
    "Brands whose spend waits because another transaction has locked them; the largest number of a process",
    registry=registry,
    multiprocess_mode="max",
)
CONNECTIONS_IN_USE: Final = Gauge(
    "spendgate_database_connections_in_use",
    "Connections to Postgres that transactions use now",
    registry=registry,
    multiprocess_mode="sum",
)
CONNECTIONS_ALLOWED: Final = Gauge(
    "spendgate_database_connections_allowed",
    "Connections to Postgres that the pool keeps open at most",
    registry=registry,
    multiprocess_mode="sum",
)
WORKER_PROCESSES: Final = Gauge(
    "spendgate_worker_processes", "Worker processes that run", registry=None, multiprocess_mode="sum"
)
WORKER_DEATHS: Final = Counter("spendgate_worker_deaths", "Worker processes that ended unexpectedly", registry=None)
# Only the master of the workers serves these two, from its files.


def reset_gauges() -> None:
    """Sets the gauges of locked brands and of connections to 0, and `spendgate_build_info` to 1.

    A process that died may have left other values in the metric files that this process takes over.
    """
    LOCKED_BRANDS.set(0)
    CONNECTIONS_IN_USE.set(0)
    CONNECTIONS_ALLOWED.set(0)
    tell_build()


def tell_build() -> None:
    """Sets the gauge `spendgate_build_info` to 1, with the versions of Spendgate and Python as labels."""
    BUILD.labels(metadata.version("spendgate"), platform.python_version()).set(1)
