"""When a platform last reported a campaign as enabled before Spendgate paused it there"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

STATUSES = "platform_statuses"


def upgrade() -> None:
    op.add_column(STATUSES, sa.Column("enabled_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(op.f("ck_platform_statuses_enabled_before_sent"), STATUSES, "enabled_at <= sent_at")


def downgrade() -> None:
    op.drop_column(STATUSES, "enabled_at")
