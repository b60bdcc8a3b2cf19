"""Messages that processes died with, sequence numbers that arrived"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "suspect_messages",
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("deaths", sa.Integer(), server_default="0", nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("deaths >= 0", name=op.f("ck_suspect_messages_deaths_counted")),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_suspect_messages")),
    )
    op.create_table(
        "sequence_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("first <= last", name=op.f("ck_sequence_runs_runs_forward")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sequence_runs")),
    )
    op.create_index("ix_sequence_runs_source", "sequence_runs", ["source", "first"])


def downgrade() -> None:
    op.drop_table("sequence_runs")
    op.drop_table("suspect_messages")
