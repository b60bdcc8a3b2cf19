"""An edit that gives a campaign no new external id takes none of its days for an earlier owner of that id"""

from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

# A default account may be any account, so what others counted under the same id before stays theirs in this one too.
# But not on days that are settled: by an earlier owner in this account, or by this campaign where it had the id before.
# A campaign that brings its id from another account brings what is settled there, and heeds nothing else.
HEED_RELEASED_EXTERNAL_IDS = """
CREATE OR REPLACE FUNCTION heed_released_external_ids() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    had_in bigint;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.platform_account_id, NEW.external_id)
            IS NOT DISTINCT FROM (OLD.platform_account_id, OLD.external_id)
        THEN
            RETURN NULL;
        END IF;
        IF (NEW.platform, NEW.external_id) = (OLD.platform, OLD.external_id) THEN
            had_in := OLD.platform_account_id;
        END IF;
    END IF;
    INSERT INTO released_external_ids (platform_account_id, external_id, until_day, platform, brand_id, campaign_id)
    SELECT ours.id, released.external_id, until_day, released.platform, released.brand_id, released.campaign_id
    FROM released_external_ids AS released
    JOIN platform_accounts AS theirs ON theirs.id = released.platform_account_id
    JOIN platform_accounts AS ours ON ours.id = NEW.platform_account_id
    WHERE released.platform = NEW.platform AND released.external_id = NEW.external_id AND theirs.id <> ours.id
        AND (theirs.account_id IS NULL OR ours.account_id IS NULL) AND (had_in IS NULL OR theirs.id = had_in)
        AND NOT EXISTS (
            SELECT FROM released_external_ids AS settled
            WHERE settled.platform = NEW.platform AND settled.external_id = NEW.external_id
                AND settled.until_day >= released.until_day AND (
                    settled.platform_account_id = ours.id
                    OR settled.campaign_id = NEW.id AND settled.platform_account_id <> theirs.id
                )
        )
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""

# As in 0011.
HEED_AT_EACH_EDIT = """
CREATE OR REPLACE FUNCTION heed_released_external_ids() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO released_external_ids (platform_account_id, external_id, until_day, platform, brand_id, campaign_id)
    SELECT ours.id, released.external_id, until_day, released.platform, released.brand_id, released.campaign_id
    FROM released_external_ids AS released
    JOIN platform_accounts AS theirs ON theirs.id = released.platform_account_id
    JOIN platform_accounts AS ours ON ours.id = NEW.platform_account_id
    WHERE released.platform = NEW.platform AND released.external_id = NEW.external_id
        AND released.campaign_id <> NEW.id AND theirs.id <> ours.id
        AND (theirs.account_id IS NULL OR ours.account_id IS NULL)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.execute(HEED_RELEASED_EXTERNAL_IDS)


def downgrade() -> None:
    op.execute(HEED_AT_EACH_EDIT)
