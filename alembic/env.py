"""Runs migrations on a live system: one transaction a revision, which first waits shortly for those that count."""

from alembic import context
from sqlalchemy import Connection, event
from sqlalchemy.schema import SchemaItem

import db.models  # noqa: F401 - completes the metadata
from db.migrations import FIRST_LOCK_TIMEOUT_MS
from db.models.base import Base
from db.pool import unpooled_engine

STATEMENT_TIMEOUT = "15min"

# How often Postgres checks that the client lives: otherwise a killed migration keeps its locks until a statement ends.
CLIENT_CHECK_INTERVAL = "1s"

# In the order of locks. Everyone who counts or enforces takes one of these first, so none of them is in the middle of a
# transaction once both are locked. Reading goes on.
LOCKED_FIRST = (("spend_events", "SHARE ROW EXCLUSIVE"), ("brands", "EXCLUSIVE"))


def owned_by_models(_item: SchemaItem, name: str | None, kind: str, reflected: bool, _compared: object) -> bool:
    """Leaves the ledger's partitions out of comparisons: the function `ensure_ledger_month` creates them."""
    return not (kind == "table" and reflected and name is not None and name.startswith("spend_events_"))


def prepare(connection: Connection) -> None:
    """Bounds the transaction of a revision, and locks what every transaction of spend and of enforcement writes.

    Does nothing in a revision's block of statements that each commit by themselves.
    """
    driver = connection.connection.driver_connection
    if driver is not None and driver.autocommit:
        return
    lock_timeout_ms = context.config.attributes.get("lock_timeout_ms", FIRST_LOCK_TIMEOUT_MS)
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(lock_timeout_ms)}")
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'")
    connection.exec_driver_sql(f"SET LOCAL client_connection_check_interval = '{CLIENT_CHECK_INTERVAL}'")
    for table, mode in LOCKED_FIRST:
        if connection.exec_driver_sql(f"SELECT to_regclass('{table}')").scalar_one() is not None:
            connection.exec_driver_sql(f"LOCK TABLE ONLY {table} IN {mode} MODE")


def run(connection: Connection) -> None:
    """Migrates: in a transaction for each revision, or in the one that the connection is in."""
    is_external = connection.in_transaction()
    context.config.attributes["transaction_per_revision"] = not is_external
    if is_external:
        prepare(connection)
    event.listen(connection, "begin", prepare)
    try:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            include_object=owned_by_models,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
        if not is_external:
            connection.rollback()  # of the transaction that read the revision, if there was nothing to do
    finally:
        event.remove(connection, "begin", prepare)


provided = context.config.attributes.get("connection")
if provided is not None:
    run(provided)
else:
    with unpooled_engine().connect() as connection:
        run(connection)
