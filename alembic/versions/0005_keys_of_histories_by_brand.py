"""The keys of histories carry the brand, so that they can be spread over servers with the ledger and the counters"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

HISTORIES = ("status_changes", "hold_changes", "budget_limits")


def upgrade() -> None:
    for table in HISTORIES:
        _set_key(table, ["brand_id", "id"])
    op.create_index("ix_status_changes_id", "status_changes", ["id"], unique=False)
    op.drop_index("ix_status_changes_brand_id_id", table_name="status_changes")


def downgrade() -> None:
    op.create_index("ix_status_changes_brand_id_id", "status_changes", ["brand_id", "id"], unique=False)
    op.drop_index("ix_status_changes_id", table_name="status_changes")
    for table in HISTORIES:
        _set_key(table, ["id"])


def _set_key(table: str, columns: list[str]) -> None:
    op.drop_constraint(f"pk_{table}", table, type_="primary")
    op.create_primary_key(f"pk_{table}", table, columns)
