"""Wakes of claimed platform accounts, the pace of reads, and usage as platforms report it"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0018"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
CONNECTIONS = "platform_connections"
OPERATIONS = "platform_operations"

# The names that the models give these constraints.
USAGE_AT_A_MOMENT = "ck_platform_connections_usage_at_a_moment"
USAGE_NOT_NEGATIVE = "ck_platform_connections_usage_not_negative"
READS_ARE_OPERATIONS = "ck_platform_operations_reads_are_operations"


def upgrade() -> None:
    for name in ("woken_at", "limit_at", "usage_at"):
        op.add_column(CONNECTIONS, sa.Column(name, MOMENT, nullable=True))
    op.add_column(CONNECTIONS, sa.Column("usage_percent", sa.Integer(), nullable=True))
    op.create_check_constraint(op.f(USAGE_AT_A_MOMENT), CONNECTIONS, "(usage_percent IS NULL) = (usage_at IS NULL)")
    op.create_check_constraint(op.f(USAGE_NOT_NEGATIVE), CONNECTIONS, "usage_percent >= 0")
    op.add_column(OPERATIONS, sa.Column("reads", sa.Integer(), server_default="0", nullable=False))
    op.create_check_constraint(op.f(READS_ARE_OPERATIONS), OPERATIONS, "reads BETWEEN 0 AND operations")


def downgrade() -> None:
    op.drop_column(OPERATIONS, "reads")
    for name in ("usage_percent", "usage_at", "limit_at", "woken_at"):
        op.drop_column(CONNECTIONS, name)
