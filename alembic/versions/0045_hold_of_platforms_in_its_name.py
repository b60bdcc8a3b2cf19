"""Workers write the audit entry of a platform's hold in a platform's name alone, at the moment of the database"""

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None

# As in 0037, but for `{is_unknown}` and `{at}`. `said_at` stays a parameter: workers of before still pass it.
SET_PLATFORM_HOLD = """
CREATE OR REPLACE FUNCTION set_platform_hold(of_campaign bigint, is_held boolean, said_by text, said_at timestamptz)
RETURNS boolean LANGUAGE plpgsql {definer} AS $$
DECLARE
    old campaigns;
    new_holds text[];
    of_brand bigint;
BEGIN
    SELECT brand_id INTO STRICT of_brand FROM campaigns WHERE id = of_campaign;
    SELECT * INTO STRICT old FROM campaigns WHERE brand_id = of_brand AND id = of_campaign FOR NO KEY UPDATE;
    IF {is_unknown} OR NOT EXISTS (
        SELECT FROM platform_statuses WHERE brand_id = old.brand_id AND campaign_id = of_campaign
    ) THEN
        RAISE EXCEPTION 'campaign % is not reconciled with a platform{or_by_whom}', of_campaign USING ERRCODE = '22023';
    END IF;
    IF ('platform_paused' = ANY(old.set_holds)) = is_held THEN
        RETURN false;
    END IF;
    new_holds := array_remove(old.set_holds, 'platform_paused');
    IF is_held THEN
        new_holds := array_append(new_holds, 'platform_paused');
    END IF;
    UPDATE campaigns SET set_holds = new_holds WHERE brand_id = of_brand AND id = of_campaign;
    INSERT INTO audit_entries (changed_at, changed_by, action, subject, subject_id, brand_id, old, new) VALUES (
        {at}, said_by, 'edit', 'campaign', of_campaign, old.brand_id,
        jsonb_build_object('set_holds', old.set_holds), jsonb_build_object('set_holds', new_holds)
    );
    RETURN true;
END $$
"""

# Only a database whose brands are on several servers has it: db/repository/spread/platform_holds.py creates it there.
NOTE = "note_platform_hold(bigint, bigint, boolean, text[], text, timestamptz)"
NOTE_PLATFORM_HOLD = """
CREATE OR REPLACE FUNCTION note_platform_hold(
    of_brand bigint, of_campaign bigint, is_held boolean, new_holds text[], said_by text, said_at timestamptz
) RETURNS void LANGUAGE plpgsql {definer} AS $$
DECLARE
    old_holds text[] := array_remove(new_holds, 'platform_paused');
BEGIN
    IF {is_unknown} THEN
        RAISE EXCEPTION 'the hold of a platform has no author' USING ERRCODE = '22023';
    END IF;
    IF NOT is_held THEN
        old_holds := array_append(old_holds, 'platform_paused');
    END IF;
    INSERT INTO audit_entries (changed_at, changed_by, action, subject, subject_id, brand_id, old, new) VALUES (
        {at}, said_by, 'edit', 'campaign', of_campaign, of_brand,
        jsonb_build_object('set_holds', old_holds), jsonb_build_object('set_holds', new_holds)
    );
END $$
"""

NO_PLATFORM = "COALESCE(said_by, '') !~ '^platform:.'"
NOBODY = "COALESCE(said_by, '') = ''"


def as_owner() -> str:
    """Runs as the function's owner, with the schema that we migrate as the only place of names."""
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    return f"SECURITY DEFINER SET search_path = {schema}, pg_temp"


def replace(is_unknown: str, at: str, or_by_whom: str) -> None:
    """Replaces both functions, the one for several servers only where it is; their rights stay."""
    words = {"definer": as_owner(), "is_unknown": is_unknown, "at": at, "or_by_whom": or_by_whom}
    op.execute(SET_PLATFORM_HOLD.format(**words))
    if op.get_bind().scalar(sa.text(f"SELECT to_regprocedure('{NOTE}')")) is not None:
        op.execute(NOTE_PLATFORM_HOLD.format(**words))


def upgrade() -> None:
    replace(NO_PLATFORM, "clock_timestamp()", ", or no platform says so")


def downgrade() -> None:
    replace(NOBODY, "said_at", "")
