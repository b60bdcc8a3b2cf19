"""Dayparts and reported totals name their brand, so that they can be spread over servers with its other rows"""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

TABLES = ("dayparts", "reported_totals")

# For rows that are inserted without their brand: by SQL, and by workers of an earlier version.
GIVE_BRAND = """
CREATE FUNCTION give_brand_of_campaign() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT brand_id INTO NEW.brand_id FROM campaigns WHERE id = NEW.campaign_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no campaign %', NEW.campaign_id
            USING ERRCODE = '23503', TABLE = TG_TABLE_NAME, CONSTRAINT = format('fk_%s_campaigns', TG_TABLE_NAME);
    END IF;
    RETURN NEW;
END $$
"""

TRIGGER = """
CREATE TRIGGER give_brand BEFORE INSERT ON {table} FOR EACH ROW WHEN (NEW.brand_id IS NULL)
EXECUTE FUNCTION give_brand_of_campaign()
"""


def upgrade() -> None:
    """Reads no row: the rows of before get their brand in the next revision, and new rows have it from now on."""
    op.execute(GIVE_BRAND)
    for table in TABLES:
        op.add_column(table, sa.Column("brand_id", sa.BigInteger(), nullable=True))
        op.execute(TRIGGER.format(table=table))
        op.create_foreign_key(
            f"fk_{table}_campaigns_of_brand",
            table,
            "campaigns",
            ["brand_id", "campaign_id"],
            ["brand_id", "id"],
            postgresql_not_valid=True,
        )
        op.create_check_constraint(
            op.f(f"ck_{table}_brand_known"), table, "brand_id IS NOT NULL", postgresql_not_valid=True
        )


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"DROP TRIGGER give_brand ON {table}")
        op.drop_column(table, "brand_id")
    op.execute("DROP FUNCTION give_brand_of_campaign()")
