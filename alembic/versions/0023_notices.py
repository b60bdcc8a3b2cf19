"""Notices: one-off things that are told to people and programs"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

KINDS = "'alert.raised', 'alert.resolved', 'platform.unconfirmed', 'report.ready', 'import.failed', 'endpoint.failing'"
LOCK = "INSERT INTO locks (name) VALUES ('notices')"


def upgrade() -> None:
    op.create_table(
        "notices",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=True),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(f"kind IN ({KINDS})", name=op.f("ck_notices_kind_known")),
        sa.CheckConstraint("jsonb_typeof(body) = 'object'", name=op.f("ck_notices_body_is_an_object")),
        sa.ForeignKeyConstraint(["brand_id"], ["brands.id"], name=op.f("fk_notices_brands")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sa.UniqueConstraint("kind", "key", name=op.f("uq_notices_kind_key")),
    )
    op.create_index("ix_notices_created_at", "notices", ["created_at"])
    op.execute(LOCK)


def downgrade() -> None:
    op.execute("ALTER TABLE locks DISABLE TRIGGER keep_locks")
    op.execute("DELETE FROM locks WHERE name = 'notices'")
    op.execute("ALTER TABLE locks ENABLE TRIGGER keep_locks")
    op.drop_table("notices")
