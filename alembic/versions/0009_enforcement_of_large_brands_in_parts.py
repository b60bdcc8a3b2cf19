"""Enforcement of a large brand goes in parts: how far it has come, and the holds its campaigns were brought to"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Null: unknown, so that whoever counts next looks at the campaigns.
    op.add_column("brands", sa.Column("enforced_budget_holds", postgresql.ARRAY(sa.Text()), nullable=True))
    op.create_table(
        "pending_enforcements",
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("after_campaign_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("stop_campaign_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("wrapped", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("paused", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("activated", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["brand_id"], ["brands.id"], name=op.f("fk_pending_enforcements_brands"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("brand_id", name=op.f("pk_pending_enforcements")),
    )


def downgrade() -> None:
    op.drop_table("pending_enforcements")
    op.drop_column("brands", "enforced_budget_holds")
