"""Failures of platform accounts in a row, and when their statuses are read and changed again"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0027"
branch_labels = None
depends_on = None

CONNECTIONS = "platform_connections"


def upgrade() -> None:
    op.add_column(CONNECTIONS, sa.Column("failures", sa.Integer(), server_default="0", nullable=False))
    op.add_column(CONNECTIONS, sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(op.f("ck_platform_connections_failures_not_negative"), CONNECTIONS, "failures >= 0")


def downgrade() -> None:
    op.drop_column(CONNECTIONS, "retry_at")
    op.drop_column(CONNECTIONS, "failures")
