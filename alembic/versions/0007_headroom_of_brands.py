"""How much more a brand can spend before one of its own budgets runs out"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Locks the brand as every edit and every batch of its spend does: whoever counts next looks at the budgets themselves.
FORGET_HEADROOM = """
CREATE FUNCTION forget_headroom() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE brands
    SET headroom_micros = NULL, has_campaign_budgets = EXISTS (
        SELECT FROM budgets WHERE budgets.brand_id = brands.id AND campaign_id IS NOT NULL
    )
    WHERE (TG_OP <> 'DELETE' AND id = NEW.brand_id) OR (TG_OP <> 'INSERT' AND id = OLD.brand_id);
    RETURN NULL;
END $$
"""

TRIGGER = (
    "CREATE TRIGGER forget_headroom AFTER INSERT OR UPDATE OR DELETE ON budgets "
    "FOR EACH ROW EXECUTE FUNCTION forget_headroom()"
)


HAVE_CAMPAIGN_BUDGETS = """
UPDATE brands SET has_campaign_budgets = true
WHERE id IN (SELECT brand_id FROM budgets WHERE campaign_id IS NOT NULL)
"""


def upgrade() -> None:
    op.add_column("brands", sa.Column("headroom_micros", sa.BigInteger(), nullable=True))
    op.add_column("brands", sa.Column("headroom_on", sa.Date(), nullable=True))
    has_budgets = sa.Column("has_campaign_budgets", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    op.add_column("brands", has_budgets)
    op.execute("ALTER TABLE brands SET (fillfactor = 50)")
    op.execute(FORGET_HEADROOM)
    op.execute(TRIGGER)
    op.execute(HAVE_CAMPAIGN_BUDGETS)


def downgrade() -> None:
    op.execute("DROP TRIGGER forget_headroom ON budgets")
    op.execute("DROP FUNCTION forget_headroom()")
    op.execute("ALTER TABLE brands RESET (fillfactor)")
    for column in ("has_campaign_budgets", "headroom_on", "headroom_micros"):
        op.drop_column("brands", column)
