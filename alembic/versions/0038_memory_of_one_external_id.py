"""The memory of a campaign on its platform ends with its external id, and an account's has an epoch"""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

# Roles that edit campaigns may not delete the memory of workers about platforms: the function has its owner's rights.
FORGET_PLATFORM_STATUS = """
CREATE FUNCTION forget_platform_status() RETURNS trigger LANGUAGE plpgsql {definer} AS $$
BEGIN
    DELETE FROM platform_statuses WHERE brand_id = OLD.brand_id AND campaign_id = OLD.id;
    RETURN NULL;
END $$
"""

TRIGGER = """
CREATE TRIGGER forget_platform_status
AFTER UPDATE OF brand_id, platform, platform_account_id, external_id ON campaigns FOR EACH ROW
WHEN ((NEW.platform_account_id, NEW.external_id) IS DISTINCT FROM (OLD.platform_account_id, OLD.external_id))
EXECUTE FUNCTION forget_platform_status()
"""

FORGET_ORPHANS = """
DELETE FROM platform_statuses AS status USING campaigns
WHERE campaigns.brand_id = status.brand_id AND campaigns.id = status.campaign_id
    AND (external_id IS NULL OR campaigns.platform_account_id IS DISTINCT FROM status.platform_account_id)
"""


def as_owner() -> str:
    """Runs as the function's owner, with the schema that we migrate as the only place of names."""
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    return f"SECURITY DEFINER SET search_path = {schema}, pg_temp"


def upgrade() -> None:
    op.add_column("platform_connections", sa.Column("statuses_epoch", sa.Text(), nullable=True))
    op.execute(FORGET_PLATFORM_STATUS.format(definer=as_owner()))
    op.execute("REVOKE EXECUTE ON FUNCTION forget_platform_status() FROM PUBLIC")
    op.execute(TRIGGER)
    op.execute(FORGET_ORPHANS)


def downgrade() -> None:
    op.execute("DROP TRIGGER forget_platform_status ON campaigns")
    op.execute("DROP FUNCTION forget_platform_status()")
    op.drop_column("platform_connections", "statuses_epoch")
