"""An index of the history of limits by time, which reads of connected accounts search each minute"""

from alembic import op

revision = "0043"
down_revision = "0040"
branch_labels = None
depends_on = None

NAME = "ix_budget_limits_brand_id_changed_at"
TABLE = "budget_limits"


def upgrade() -> None:
    op.create_index(NAME, TABLE, ["brand_id", "changed_at"], unique=False)


def downgrade() -> None:
    op.drop_index(NAME, table_name=TABLE)
