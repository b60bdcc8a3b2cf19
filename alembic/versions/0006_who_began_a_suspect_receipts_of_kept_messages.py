"""Which process began a suspect message, and the receipt of a message that was kept as rejected"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("suspect_messages", sa.Column("begun_by", sa.Text(), server_default="", nullable=False))
    op.add_column("rejected_events", sa.Column("receipt", sa.Text(), nullable=True))
    op.create_index(
        "ix_rejected_events_receipt",
        "rejected_events",
        ["receipt"],
        unique=False,
        postgresql_where=sa.text("receipt IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_rejected_events_receipt", table_name="rejected_events", postgresql_where=sa.text("receipt IS NOT NULL")
    )
    op.drop_column("rejected_events", "receipt")
    op.drop_column("suspect_messages", "begun_by")
