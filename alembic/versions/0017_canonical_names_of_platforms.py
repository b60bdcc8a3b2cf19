"""Platforms are stored under their canonical names, also where a row is inserted by SQL"""

from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op

from domain.errors import InvalidValue
from domain.platforms import bare_spellings, canonical_or_lower

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

SHOWN = 20
"""Colliding external ids that the refusal names."""

TABLES = ("campaigns", "platform_accounts", "released_external_ids", "imports")

KEEP_RENAMED = """
    CREATE TEMPORARY TABLE renamed ON COMMIT DROP AS
    SELECT * FROM unnest(CAST(:spellings AS text[]), CAST(:names AS text[])) AS renamed(spelling, name)
"""

# External ids that two campaigns have, or had, under different spellings of one platform, in what may be one account.
# A default account, whose id nobody knows, may be any account.
COLLISIONS = """
    WITH holders AS (
        SELECT platform AS spelling, platform_account_id, external_id, id AS campaign_id FROM campaigns
        WHERE external_id IS NOT NULL
        UNION ALL
        SELECT platform, platform_account_id, external_id, campaign_id FROM released_external_ids
    ), named AS (
        SELECT COALESCE(renamed.name, holders.spelling) AS name, holders.spelling, external_id, campaign_id, account_id
        FROM holders JOIN platform_accounts ON platform_accounts.id = platform_account_id
        LEFT JOIN renamed ON renamed.spelling = holders.spelling
    )
    SELECT DISTINCT name, external_id, one.spelling, one.campaign_id, other.spelling, other.campaign_id
    FROM named AS one JOIN named AS other USING (name, external_id)
    WHERE one.spelling < other.spelling AND one.campaign_id <> other.campaign_id
        AND (one.account_id IS NULL OR other.account_id IS NULL OR one.account_id = other.account_id)
    ORDER BY name, external_id, one.campaign_id, other.campaign_id
"""

# Accounts that become one, with the account that stays: one of the canonical spelling, else the oldest.
KEEP_MERGED = """
    CREATE TEMPORARY TABLE merged ON COMMIT DROP AS
    SELECT id, first_value(id) OVER same AS into_id FROM platform_accounts LEFT JOIN renamed ON spelling = platform
    WINDOW same AS (
        PARTITION BY COALESCE(renamed.name, platform), account_id, default_of_brand_id
        ORDER BY spelling IS NULL DESC, id
    )
"""

MERGE = (
    "DELETE FROM merged WHERE id = into_id",
    """
    INSERT INTO platform_account_brands (brand_id, platform_account_id)
    SELECT brand_id, into_id FROM platform_account_brands JOIN merged ON merged.id = platform_account_id
    ON CONFLICT DO NOTHING
    """,
    """
    UPDATE campaigns SET platform = COALESCE(renamed.name, own.platform),
        platform_account_id = COALESCE(into_id, own.platform_account_id)
    FROM campaigns AS own
    LEFT JOIN renamed ON renamed.spelling = own.platform
    LEFT JOIN merged ON merged.id = own.platform_account_id
    WHERE own.id = campaigns.id AND (renamed.name IS NOT NULL OR into_id IS NOT NULL)
    """,
    """
    DELETE FROM released_external_ids AS one USING merged
    WHERE merged.id = one.platform_account_id AND EXISTS (
        SELECT FROM released_external_ids AS other LEFT JOIN merged AS theirs ON theirs.id = other.platform_account_id
        WHERE other.external_id = one.external_id AND other.until_day = one.until_day
            AND COALESCE(theirs.into_id, other.platform_account_id) = merged.into_id
            AND other.platform_account_id <> one.platform_account_id
            AND (theirs.id IS NULL OR theirs.id < one.platform_account_id)
    )
    """,
    """
    UPDATE released_external_ids SET platform = COALESCE(renamed.name, own.platform),
        platform_account_id = COALESCE(into_id, own.platform_account_id)
    FROM released_external_ids AS own
    LEFT JOIN renamed ON renamed.spelling = own.platform
    LEFT JOIN merged ON merged.id = own.platform_account_id
    WHERE (own.platform_account_id, own.external_id, own.until_day)
        = (released_external_ids.platform_account_id, released_external_ids.external_id,
           released_external_ids.until_day)
        AND (renamed.name IS NOT NULL OR into_id IS NOT NULL)
    """,
    "DELETE FROM platform_account_brands USING merged WHERE merged.id = platform_account_id",
    "DELETE FROM platform_accounts USING merged WHERE merged.id = platform_accounts.id",
    "UPDATE platform_accounts SET platform = renamed.name FROM renamed WHERE spelling = platform",
    "UPDATE imports SET platform = renamed.name FROM renamed WHERE spelling = platform",
)

FOREIGN_KEYS = (
    ("campaigns", "fk_campaigns_platform_accounts"),
    ("released_external_ids", "fk_released_external_ids_platform_accounts"),
)

CANONICAL_PLATFORM = """
CREATE FUNCTION canonical_platform() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    known text := (
        SELECT name FROM (VALUES {names}) AS spellings(spelling, name)
        WHERE spelling = regexp_replace(lower(NEW.platform), '[[:space:][:punct:]]+', '', 'g')
    );
BEGIN
    NEW.platform := COALESCE(known, NULLIF(lower(btrim(NEW.platform)), ''), NEW.platform);
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    connection = op.get_bind()
    op.execute("LOCK TABLE brands, campaigns IN ACCESS EXCLUSIVE MODE")
    spellings = {
        spelling: name
        for table in TABLES
        for spelling in connection.scalars(sa.text(f"SELECT DISTINCT platform FROM {table}"))  # noqa: S608 - ours
        if spelling is not None and (name := canonical_or_lower(spelling)) not in {spelling, ""}
    }
    if spellings:
        _rename(connection, spellings)
    known = ", ".join(f"('{spelling}', '{name}')" for spelling, name in bare_spellings().items())
    op.execute(sa.text(CANONICAL_PLATFORM.format(names=known)).execution_options(no_parameters=True))
    for table in ("campaigns", "platform_accounts"):
        # Its name is before the one of the trigger that finds the account, so that it comes first.
        op.execute(
            f"CREATE TRIGGER canonical_platform BEFORE INSERT OR UPDATE OF platform ON {table} FOR EACH ROW "
            "WHEN (NEW.platform IS NOT NULL) EXECUTE FUNCTION canonical_platform()"
        )


def _rename(connection: sa.Connection, spellings: dict[str, str]) -> None:
    renamed = {"spellings": list(spellings), "names": list(spellings.values())}
    connection.execute(sa.text(KEEP_RENAMED), renamed)
    collisions = connection.execute(sa.text(COLLISIONS)).all()
    if collisions:
        raise InvalidValue("platforms", _refusal(collisions))
    connection.execute(sa.text(KEEP_MERGED))
    op.execute("ALTER TABLE campaigns DISABLE TRIGGER USER")
    for table, key in FOREIGN_KEYS:
        op.drop_constraint(key, table, type_="foreignkey")
    for statement in MERGE:
        connection.execute(sa.text(statement))
    for table, key in FOREIGN_KEYS:
        columns = ["platform_account_id", "platform"]
        op.create_foreign_key(key, table, "platform_accounts", columns, ["id", "platform"])
    op.execute("ALTER TABLE campaigns ENABLE TRIGGER USER")


def _refusal(collisions: Iterable[sa.Row[tuple[str, str, str, int, str, int]]]) -> str:
    rows = list(collisions)
    told = "; ".join(
        f"{name} {external_id} is campaign {one} as {spelling!r} and campaign {other} as {other_spelling!r}"
        for name, external_id, spelling, one, other_spelling, other in rows[:SHOWN]
    )
    more = f"; and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return (
        f"spellings of one platform name different campaigns: {told}{more}. Leave the external id to one campaign of "
        'each: PATCH the others\' "external_id" to null and delete their rows of released_external_ids, by '
        "campaign_id, then migrate again. Their spend stays theirs. Nothing was changed"
    )


def downgrade() -> None:
    """Keeps the canonical names: the spellings of before are not known any more, and work the same."""
    for table in ("campaigns", "platform_accounts"):
        op.execute(f"DROP TRIGGER canonical_platform ON {table}")
    op.execute("DROP FUNCTION canonical_platform()")
