"""Tables of platform accounts: the brands bound to them, and external ids that campaigns had earlier."""

from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import NOW, Base, Moment


class PlatformAccount(Base):
    """An advertiser's account on one platform.

    `account_id` is the platform's id. It is null for a brand's default account, which has the campaigns without a named
    account.
    """

    __tablename__ = "platform_accounts"
    __table_args__ = (
        CheckConstraint("(account_id IS NULL) = (default_of_brand_id IS NOT NULL)", name="id_or_default"),
        CheckConstraint("account_id <> ''", name="account_id_not_empty"),
        UniqueConstraint("id", "platform"),
        UniqueConstraint("platform", "account_id"),
        UniqueConstraint("platform", "default_of_brand_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    platform: Mapped[str] = mapped_column(Text)
    account_id: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text, server_default="")
    default_of_brand_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("brands.id"))
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)


class PlatformAccountBrand(Base):
    """A brand bound to a platform account: its campaigns may be in that account."""

    __tablename__ = "platform_account_brands"
    __table_args__ = (Index("ix_platform_account_brands_platform_account_id", "platform_account_id"),)

    brand_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("brands.id"), primary_key=True, autoincrement=False)
    platform_account_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("platform_accounts.id"), primary_key=True, autoincrement=False
    )


class ReleasedExternalId(Base):
    """A campaign that lost an external id: it owns the id within the account on the days before `until_day`.

    Spend on those days, local to the brand, counts for this campaign, whichever campaign has the id now. Triggers on
    `campaigns` write these rows; on Citus db/repository/spread/written_by_edits.py writes them.
    """

    __tablename__ = "released_external_ids"
    __table_args__ = (
        ForeignKeyConstraint(
            ["platform_account_id", "platform"],
            ["platform_accounts.id", "platform_accounts.platform"],
            name="fk_released_external_ids_platform_accounts",
        ),
        ForeignKeyConstraint(
            ["brand_id", "campaign_id"],
            ["campaigns.brand_id", "campaigns.id"],
            name="fk_released_external_ids_campaigns",
            ondelete="CASCADE",
        ),
        Index("ix_released_external_ids_platform_external_id", "platform", "external_id"),
        Index("ix_released_external_ids_campaign_id", "campaign_id"),
    )

    platform_account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    external_id: Mapped[str] = mapped_column(Text, primary_key=True)
    until_day: Mapped[date] = mapped_column(Date, primary_key=True)
    platform: Mapped[str] = mapped_column(Text)
    brand_id: Mapped[int] = mapped_column(BigInteger)
    campaign_id: Mapped[int] = mapped_column(BigInteger)
