"""The function that sets the hold of a platform names the campaign's brand, so that it works on several servers"""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

# As in 0018, but for `{by_brand}`. Rows of several servers can be locked only by the brand that they belong to.
SET_PLATFORM_HOLD = """
CREATE OR REPLACE FUNCTION set_platform_hold(of_campaign bigint, is_held boolean, said_by text, said_at timestamptz)
RETURNS boolean LANGUAGE plpgsql {definer} AS $$
DECLARE
    old campaigns;
    new_holds text[];
    of_brand bigint;
BEGIN
    SELECT brand_id INTO STRICT of_brand FROM campaigns WHERE id = of_campaign;
    SELECT * INTO STRICT old FROM campaigns WHERE {by_brand} id = of_campaign FOR NO KEY UPDATE;
    IF COALESCE(said_by, '') = '' OR NOT EXISTS (
        SELECT FROM platform_statuses WHERE brand_id = old.brand_id AND campaign_id = of_campaign
    ) THEN
        RAISE EXCEPTION 'campaign % is not reconciled with a platform', of_campaign USING ERRCODE = '22023';
    END IF;
    IF ('platform_paused' = ANY(old.set_holds)) = is_held THEN
        RETURN false;
    END IF;
    new_holds := array_remove(old.set_holds, 'platform_paused');
    IF is_held THEN
        new_holds := array_append(new_holds, 'platform_paused');
    END IF;
    UPDATE campaigns SET set_holds = new_holds WHERE {by_brand} id = of_campaign;
    INSERT INTO audit_entries (changed_at, changed_by, action, subject, subject_id, brand_id, old, new) VALUES (
        said_at, said_by, 'edit', 'campaign', of_campaign, old.brand_id,
        jsonb_build_object('set_holds', old.set_holds), jsonb_build_object('set_holds', new_holds)
    );
    RETURN true;
END $$
"""


def as_owner() -> str:
    """Runs as the function's owner, with the schema that we migrate as the only place of names."""
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    return f"SECURITY DEFINER SET search_path = {schema}, pg_temp"


def upgrade() -> None:
    op.execute(SET_PLATFORM_HOLD.format(definer=as_owner(), by_brand="brand_id = of_brand AND"))


def downgrade() -> None:
    op.execute(SET_PLATFORM_HOLD.format(definer=as_owner(), by_brand=""))
