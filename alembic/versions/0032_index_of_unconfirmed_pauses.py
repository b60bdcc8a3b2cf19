"""An index of pauses that no platform confirmed, which alerts read each minute"""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0030"
branch_labels = None
depends_on = None

NAME = "ix_platform_statuses_unconfirmed"
TABLE = "platform_statuses"


def upgrade() -> None:
    unconfirmed = sa.text("desired = 'inactive' AND confirmed NOT IN ('paused', 'removed')")
    op.create_index(NAME, TABLE, ["platform_account_id"], unique=False, postgresql_where=unconfirmed)


def downgrade() -> None:
    op.drop_index(NAME, table_name=TABLE)
