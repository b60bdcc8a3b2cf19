"""A connected account knows since when its requests fail, and since when its spend cannot be read"""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

SINCE = ("failing_since", "problem_since")


def upgrade() -> None:
    for name in SINCE:
        op.add_column("platform_connections", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE platform_connections SET failing_since = failed_at WHERE failures > 0")
    op.execute("UPDATE platform_connections SET problem_since = failed_at WHERE failures = 0")


def downgrade() -> None:
    for name in SINCE:
        op.drop_column("platform_connections", name)
