"""Runs migrations on a live system, with a short lock timeout so that they never block the workers for long."""

from alembic import context
from sqlalchemy import Connection, create_engine, pool
from sqlalchemy.schema import SchemaItem

import db.models  # noqa: F401 - completes the metadata
from db.models.base import Base
from runtime.settings import settings

LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "15min"


def owned_by_models(_item: SchemaItem, name: str | None, kind: str, reflected: bool, _compared: object) -> bool:
    """Leaves the ledger's partitions out of comparisons: the function `ensure_ledger_month` creates them."""
    return not (kind == "table" and reflected and name is not None and name.startswith("spend_events_"))


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, include_object=owned_by_models)
    with context.begin_transaction():
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'")
        context.run_migrations()


provided = context.config.attributes.get("connection")
if provided is not None:
    run(provided)
else:
    with create_engine(settings().required_database_url(), poolclass=pool.NullPool).connect() as connection:
        run(connection)
