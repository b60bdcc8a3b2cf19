"""Creates the directory: the coordinator's tables of brands and campaigns, by which inputs find a campaign's brand."""

from typing import Final

from sqlalchemy import Connection, text

UNIQUE: Final = "uq_directory_campaigns_platform_account_id_external_id"

CREATE: Final = (
    """CREATE TABLE directory_brands (
        id bigint CONSTRAINT pk_directory_brands PRIMARY KEY, time_zone text NOT NULL, currency text NOT NULL
    )""",
    f"""CREATE TABLE directory_campaigns (
        id bigint CONSTRAINT pk_directory_campaigns PRIMARY KEY, brand_id bigint NOT NULL, platform text,
        platform_account_id bigint, external_id text,
        CONSTRAINT {UNIQUE} UNIQUE (platform_account_id, external_id)
    )""",
    "CREATE INDEX ix_directory_campaigns_external_id ON directory_campaigns (platform, external_id)",
    "CREATE INDEX ix_directory_campaigns_brand_id ON directory_campaigns (brand_id)",
    "INSERT INTO directory_brands SELECT id, time_zone, currency FROM brands",
    """INSERT INTO directory_campaigns
       SELECT id, brand_id, platform, platform_account_id, external_id FROM campaigns""",
)

EXISTS = text("SELECT to_regclass('directory_campaigns') IS NOT NULL")


def create(connection: Connection) -> None:
    """Creates `directory_brands` and `directory_campaigns` and fills them; does nothing if they exist."""
    if not connection.scalar(EXISTS):
        for statement in CREATE:
            connection.exec_driver_sql(statement)
