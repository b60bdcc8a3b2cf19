"""Processes that report, and headroom that only declared counting keeps"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0027"
down_revision = "0025"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)

# Without a condition on headroom_micros: another transaction may be about to renew it without this spend. The enforced
# holds go too: a version that does not keep them may release or hold the brand's campaigns next.
FORGET = """
CREATE FUNCTION forget_unkept_headroom() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE brands SET headroom_micros = NULL, enforced_budget_holds = NULL WHERE id = NEW.brand_id;
    RETURN NULL;
END $$
"""

TRIGGER = """
CREATE TRIGGER forget_unkept_headroom AFTER INSERT OR UPDATE ON brand_days FOR EACH ROW
WHEN (current_setting('spendgate.keeps_headroom', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION forget_unkept_headroom()
"""


def upgrade() -> None:
    op.execute(FORGET)
    op.execute(TRIGGER)
    op.create_table(
        "processes",
        sa.Column("id", postgresql.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("clock_offset", sa.Interval(), nullable=True),
        sa.Column("started_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('worker', 'web')", name=op.f("ck_processes_kind_known")),
        sa.CheckConstraint("seen_at >= started_at", name=op.f("ck_processes_seen_after_start")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_processes")),
    )


def downgrade() -> None:
    op.drop_table("processes")
    op.execute("DROP TRIGGER forget_unkept_headroom ON brand_days")
    op.execute("DROP FUNCTION forget_unkept_headroom()")
