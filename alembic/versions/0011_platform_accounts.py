"""Platform accounts and their brands, released external ids, corrections of a brand's zone and currency"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# The account of a brand's campaigns on a platform where nobody names one; made at first need. The insert waits for
# another transaction that makes the same one, and the next statement then sees it.
DEFAULT_PLATFORM_ACCOUNT = """
CREATE FUNCTION default_platform_account(of_brand_id bigint, of_platform text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    found bigint;
BEGIN
    SELECT id INTO found FROM platform_accounts WHERE platform = of_platform AND default_of_brand_id = of_brand_id;
    IF found IS NULL THEN
        INSERT INTO platform_accounts (platform, default_of_brand_id) VALUES (of_platform, of_brand_id)
        ON CONFLICT (platform, default_of_brand_id) DO NOTHING;
        SELECT id INTO found FROM platform_accounts WHERE platform = of_platform AND default_of_brand_id = of_brand_id;
    END IF;
    INSERT INTO platform_account_brands (brand_id, platform_account_id) VALUES (of_brand_id, found)
    ON CONFLICT DO NOTHING;
    RETURN found;
END $$
"""

GIVE_PLATFORM_ACCOUNT = """
CREATE FUNCTION give_platform_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.platform IS NULL THEN
        NEW.platform_account_id := NULL;
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.platform, NEW.brand_id) IS DISTINCT FROM (OLD.platform, OLD.brand_id)
            AND NEW.platform_account_id IS NOT DISTINCT FROM OLD.platform_account_id
        THEN
            NEW.platform_account_id := NULL;
        END IF;
    END IF;
    NEW.platform_account_id := COALESCE(
        NEW.platform_account_id, default_platform_account(NEW.brand_id, NEW.platform)
    );
    RETURN NEW;
END $$
"""

# A released id stays the campaign's for the days on which it counted spend, and for those before the release.
KEEP_RELEASED_EXTERNAL_ID = """
CREATE FUNCTION keep_released_external_id() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    zone text;
    last_day date;
    until date := NULLIF(current_setting('spendgate.released_on', true), '')::date;
BEGIN
    -- Whoever counts the campaign's spend holds this lock until the commit, so the next statement sees all its days.
    SELECT time_zone INTO zone FROM brands WHERE id = OLD.brand_id FOR NO KEY UPDATE;
    SELECT max(day) INTO last_day FROM campaign_days WHERE brand_id = OLD.brand_id AND campaign_id = OLD.id;
    IF until IS NULL AND last_day IS NOT NULL THEN
        -- An edit says when it is made; of one by hand in SQL only the days that were counted are known.
        until := greatest(last_day + 1, (
            NULLIF(current_setting('spendgate.edited_at', true), '')::timestamptz AT TIME ZONE zone
        )::date);
    END IF;
    IF until IS NOT NULL AND NOT EXISTS (
        SELECT FROM released_external_ids
        WHERE platform_account_id = OLD.platform_account_id AND external_id = OLD.external_id AND until_day >= until
    ) THEN
        INSERT INTO released_external_ids
            (platform_account_id, external_id, until_day, platform, brand_id, campaign_id)
        VALUES (OLD.platform_account_id, OLD.external_id, until, OLD.platform, OLD.brand_id, OLD.id);
    END IF;
    RETURN NULL;
END $$
"""

# A default account may be any account, so what others counted under the same id before stays theirs in this one too.
HEED_RELEASED_EXTERNAL_IDS = """
CREATE FUNCTION heed_released_external_ids() RETURNS trigger LANGUAGE plpgsql AS $$
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

TRIGGERS = (
    (
        "CREATE TRIGGER give_platform_account BEFORE INSERT OR UPDATE OF brand_id, platform, platform_account_id "
        "ON campaigns FOR EACH ROW EXECUTE FUNCTION give_platform_account()"
    ),
    (
        "CREATE TRIGGER keep_released_external_id "
        "AFTER UPDATE OF brand_id, platform, platform_account_id, external_id ON campaigns FOR EACH ROW "
        "WHEN (OLD.external_id IS NOT NULL AND OLD.platform_account_id IS NOT NULL AND "
        "(NEW.platform_account_id, NEW.external_id) IS DISTINCT FROM (OLD.platform_account_id, OLD.external_id)) "
        "EXECUTE FUNCTION keep_released_external_id()"
    ),
    (
        "CREATE TRIGGER heed_released_external_ids "
        "AFTER INSERT OR UPDATE OF brand_id, platform, platform_account_id, external_id ON campaigns FOR EACH ROW "
        "WHEN (NEW.external_id IS NOT NULL AND NEW.platform_account_id IS NOT NULL) "
        "EXECUTE FUNCTION heed_released_external_ids()"
    ),
)

FUNCTIONS = (
    "heed_released_external_ids()",
    "keep_released_external_id()",
    "give_platform_account()",
    "default_platform_account(bigint, text)",
)

GIVE_DEFAULT_ACCOUNTS = (
    """
    INSERT INTO platform_accounts (platform, default_of_brand_id)
    SELECT DISTINCT platform, brand_id FROM campaigns WHERE platform IS NOT NULL ORDER BY brand_id, platform
    """,
    """
    INSERT INTO platform_account_brands (brand_id, platform_account_id)
    SELECT default_of_brand_id, id FROM platform_accounts
    """,
    """
    UPDATE campaigns SET platform_account_id = platform_accounts.id FROM platform_accounts
    WHERE platform_accounts.platform = campaigns.platform AND default_of_brand_id = campaigns.brand_id
    """,
)

# Allows the one transaction that recounts the brand's days with the change.
FIX_ZONE_AND_CURRENCY = """
CREATE OR REPLACE FUNCTION fix_zone_and_currency() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {unless}IF EXISTS (SELECT FROM brand_days WHERE brand_id = OLD.id) THEN
        RAISE EXCEPTION 'the time zone and currency of brand % are fixed: it has spend', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'ck_brands_fixed_once_spent';
    END IF;
    RETURN NEW;
END $$
"""

UNLESS_CORRECTED = """IF current_setting('spendgate.corrects_brand', true) = OLD.id::text THEN
        RETURN NEW;
    END IF;
    """


def upgrade() -> None:
    # Both at once and brands first, as all who count and edit lock them: what waits here holds no row of either.
    op.execute("LOCK TABLE brands, campaigns IN ACCESS EXCLUSIVE MODE")
    op.execute(FIX_ZONE_AND_CURRENCY.format(unless=UNLESS_CORRECTED))
    op.create_table(
        "platform_accounts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("default_of_brand_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(account_id IS NULL) = (default_of_brand_id IS NOT NULL)", name=op.f("ck_platform_accounts_id_or_default")
        ),
        sa.CheckConstraint("account_id <> ''", name=op.f("ck_platform_accounts_account_id_not_empty")),
        sa.ForeignKeyConstraint(["default_of_brand_id"], ["brands.id"], name=op.f("fk_platform_accounts_brands")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platform_accounts")),
        sa.UniqueConstraint("id", "platform", name=op.f("uq_platform_accounts_id_platform")),
        sa.UniqueConstraint("platform", "account_id", name=op.f("uq_platform_accounts_platform_account_id")),
        sa.UniqueConstraint(
            "platform", "default_of_brand_id", name=op.f("uq_platform_accounts_platform_default_of_brand_id")
        ),
    )
    op.create_table(
        "platform_account_brands",
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("platform_account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["brand_id"], ["brands.id"], name=op.f("fk_platform_account_brands_brands")),
        sa.ForeignKeyConstraint(
            ["platform_account_id"],
            ["platform_accounts.id"],
            name=op.f("fk_platform_account_brands_platform_accounts"),
        ),
        sa.PrimaryKeyConstraint("brand_id", "platform_account_id", name=op.f("pk_platform_account_brands")),
    )
    op.create_index(
        "ix_platform_account_brands_platform_account_id", "platform_account_brands", ["platform_account_id"]
    )
    op.create_table(
        "released_external_ids",
        sa.Column("platform_account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("until_day", sa.Date(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["platform_account_id", "platform"],
            ["platform_accounts.id", "platform_accounts.platform"],
            name="fk_released_external_ids_platform_accounts",
        ),
        sa.ForeignKeyConstraint(
            ["brand_id", "campaign_id"],
            ["campaigns.brand_id", "campaigns.id"],
            name="fk_released_external_ids_campaigns",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "platform_account_id", "external_id", "until_day", name=op.f("pk_released_external_ids")
        ),
    )
    op.create_index(
        "ix_released_external_ids_platform_external_id", "released_external_ids", ["platform", "external_id"]
    )
    op.create_index("ix_released_external_ids_campaign_id", "released_external_ids", ["campaign_id"])
    op.add_column("campaigns", sa.Column("platform_account_id", sa.BigInteger(), nullable=True))
    for statement in GIVE_DEFAULT_ACCOUNTS:
        op.execute(statement)
    op.drop_constraint("uq_campaigns_platform_external_id", "campaigns", type_="unique")
    op.create_unique_constraint(
        op.f("uq_campaigns_platform_account_id_external_id"), "campaigns", ["platform_account_id", "external_id"]
    )
    op.create_index("ix_campaigns_platform_external_id", "campaigns", ["platform", "external_id"])
    op.create_check_constraint(
        op.f("ck_campaigns_account_of_platform"),
        "campaigns",
        "(platform IS NULL) = (platform_account_id IS NULL)",
    )
    op.create_foreign_key(
        "fk_campaigns_platform_accounts",
        "campaigns",
        "platform_accounts",
        ["platform_account_id", "platform"],
        ["id", "platform"],
    )
    op.create_foreign_key(
        "fk_campaigns_platform_account_brands",
        "campaigns",
        "platform_account_brands",
        ["brand_id", "platform_account_id"],
        ["brand_id", "platform_account_id"],
    )
    for function in (
        DEFAULT_PLATFORM_ACCOUNT,
        GIVE_PLATFORM_ACCOUNT,
        KEEP_RELEASED_EXTERNAL_ID,
        HEED_RELEASED_EXTERNAL_IDS,
    ):
        op.execute(function)
    for trigger in TRIGGERS:
        op.execute(trigger)


def downgrade() -> None:
    """Fails where two campaigns have one external id in different accounts: no key of before can hold both."""
    op.execute("LOCK TABLE brands, campaigns IN ACCESS EXCLUSIVE MODE")
    for name in ("heed_released_external_ids", "keep_released_external_id", "give_platform_account"):
        op.execute(f"DROP TRIGGER {name} ON campaigns")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.drop_constraint("fk_campaigns_platform_account_brands", "campaigns", type_="foreignkey")
    op.drop_constraint("fk_campaigns_platform_accounts", "campaigns", type_="foreignkey")
    op.drop_index("ix_campaigns_platform_external_id", table_name="campaigns")
    op.create_unique_constraint(op.f("uq_campaigns_platform_external_id"), "campaigns", ["platform", "external_id"])
    op.drop_column("campaigns", "platform_account_id")
    for table in ("released_external_ids", "platform_account_brands", "platform_accounts"):
        op.drop_table(table)
    op.execute(FIX_ZONE_AND_CURRENCY.format(unless=""))
