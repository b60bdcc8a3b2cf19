"""Earlier dayparts and reported totals get their brand, which is then required"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

KEYS = {"dayparts": ("campaign_id", "weekday", "starts_minute"), "reported_totals": ("source", "campaign_id", "day")}
"""The columns of the primary key of each table, in the order in which those who count lock its rows."""

BATCH = 5_000
"""Rows filled in one transaction: they are locked for less than a second."""

# The next rows without a brand, by the primary key. Their order keeps this from a deadlock with those who count.
NEXT = "SELECT {key} FROM {table} WHERE brand_id IS NULL {after} ORDER BY {key} LIMIT {batch} FOR NO KEY UPDATE"

FILL = """
    WITH next AS ({next}), filled AS (
        UPDATE {table} AS own SET brand_id = campaigns.brand_id FROM next, campaigns
        WHERE ({own_key}) = ({next_key}) AND campaigns.id = own.campaign_id
    )
    SELECT {key} FROM next ORDER BY {descending} LIMIT 1
"""


def upgrade() -> None:
    """Fills and checks the rows while those who count go on; only the last steps, which read no row, stop them."""
    with _committed_at_once():
        for table, key in KEYS.items():
            _fill(table, key)
            for constraint in (f"ck_{table}_brand_known", f"fk_{table}_campaigns_of_brand"):
                op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}")
    for table in KEYS:
        # The check proves it, so that the rows are not read again.
        op.alter_column(table, "brand_id", nullable=False)
        op.drop_constraint(op.f(f"ck_{table}_brand_known"), table, type_="check")
        op.drop_constraint(op.f(f"fk_{table}_campaigns"), table, type_="foreignkey")
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT fk_{table}_campaigns_of_brand TO fk_{table}_campaigns")


def _committed_at_once() -> AbstractContextManager[Any]:
    """Commits each statement by itself, unless the caller of the migration has a transaction of its own."""
    context = op.get_context()
    is_alone = context.config is not None and context.config.attributes.get("transaction_per_revision", False)
    return context.autocommit_block() if is_alone else nullcontext()


def _fill(table: str, key: Sequence[str]) -> None:
    names = ", ".join(key)
    last: dict[str, Any] | None = None
    while True:
        after = f"AND ({names}) > ({', '.join(f':{column}' for column in key)})" if last else ""
        statement = FILL.format(
            next=NEXT.format(key=names, table=table, after=after, batch=BATCH),
            table=table,
            own_key=", ".join(f"own.{column}" for column in key),
            next_key=", ".join(f"next.{column}" for column in key),
            key=names,
            descending=", ".join(f"{column} DESC" for column in key),
        )
        row = op.get_bind().execute(sa.text(statement), last or {}).mappings().first()
        if row is None:
            return
        last = dict(row)


def downgrade() -> None:
    for table in KEYS:
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT fk_{table}_campaigns TO fk_{table}_campaigns_of_brand")
        op.create_foreign_key(op.f(f"fk_{table}_campaigns"), table, "campaigns", ["campaign_id"], ["id"])
        op.create_check_constraint(
            op.f(f"ck_{table}_brand_known"), table, "brand_id IS NOT NULL", postgresql_not_valid=True
        )
        op.alter_column(table, "brand_id", nullable=True)
