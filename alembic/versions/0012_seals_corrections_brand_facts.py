"""Seals over the histories, corrections of repair, zones and currencies that brands had, claims of rejected events"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

KEEP_BRAND_FACTS = """
CREATE FUNCTION keep_brand_facts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO brand_facts (brand_id, time_zone, currency, changed_at)
    VALUES (NEW.id, NEW.time_zone, NEW.currency, clock_timestamp());
    RETURN NULL;
END $$
"""

TRIGGERS = (
    "CREATE TRIGGER keep_first_facts AFTER INSERT ON brands FOR EACH ROW EXECUTE FUNCTION keep_brand_facts()",
    (
        "CREATE TRIGGER keep_facts AFTER UPDATE OF time_zone, currency ON brands FOR EACH ROW "
        "WHEN (NEW.time_zone <> OLD.time_zone OR NEW.currency <> OLD.currency) EXECUTE FUNCTION keep_brand_facts()"
    ),
)

APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}
FOR EACH ROW EXECUTE FUNCTION refuse_edit_of_history()
"""

FACTS_SO_FAR = """
INSERT INTO brand_facts (brand_id, time_zone, currency, changed_at)
SELECT id, time_zone, currency, clock_timestamp() FROM brands ORDER BY id
"""


def upgrade() -> None:
    # In the order in which whoever counts takes them, so that neither waits for the other in a ring.
    op.execute("LOCK TABLE rejected_events IN ACCESS EXCLUSIVE MODE")
    op.execute("LOCK TABLE brands IN SHARE ROW EXCLUSIVE MODE")
    op.execute("LOCK TABLE hold_changes IN ACCESS EXCLUSIVE MODE")
    op.create_table(
        "brand_facts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("brand_id", "id", name=op.f("pk_brand_facts")),
    )
    op.execute(KEEP_BRAND_FACTS)
    op.execute(FACTS_SO_FAR)
    for statement in TRIGGERS:
        op.execute(statement)
    op.create_table(
        "corrections",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=True),
        sa.Column("corrected_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("corrected_by", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("old", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("new", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_corrections")),
    )
    op.create_index("ix_corrections_kind", "corrections", ["kind"], unique=False)
    op.create_table(
        "history_seals",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("history", sa.Text(), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=True),
        sa.Column("after_id", sa.BigInteger(), nullable=False),
        sa.Column("up_to_id", sa.BigInteger(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("format", sa.SmallInteger(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("chain_hash", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_history_seals")),
    )
    op.create_index("ix_history_seals_history", "history_seals", ["history", "up_to_id"], unique=False)
    op.add_column("monthly_reports", sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False))
    op.add_column("hold_changes", sa.Column("from_status", sa.Text(), nullable=True))
    op.add_column("rejected_events", sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True))
    for table in ("brand_facts", "corrections", "history_seals", "monthly_reports"):
        op.execute(APPEND_ONLY.format(table=table))


def downgrade() -> None:
    op.execute("DROP TRIGGER keep_facts ON brands")
    op.execute("DROP TRIGGER keep_first_facts ON brands")
    op.execute("DROP FUNCTION keep_brand_facts()")
    op.execute("DROP TRIGGER append_only ON monthly_reports")
    op.drop_column("rejected_events", "claimed_until")
    op.drop_column("hold_changes", "from_status")
    op.drop_column("monthly_reports", "id")
    for table in ("history_seals", "corrections", "brand_facts"):
        op.drop_table(table)
