"""The tables of platform accounts: whose campaigns they hold, and under which external ids."""

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

    `account_id` is the platform's; null for the account of a brand's campaigns of which nobody has named one.
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
    """A brand whose campaigns a platform account may hold."""

    __tablename__ = "platform_account_brands"
    __table_args__ = (Index("ix_platform_account_brands_platform_account_id", "platform_account_id"),)

    brand_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("brands.id"), primary_key=True, autoincrement=False)
    platform_account_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("platform_accounts.id"), primary_key=True, autoincrement=False
    )


class ReleasedExternalId(Base):
    """A campaign that held a platform's id within an account until `until_day`, a brand-local day, excluded.

    Spend of the days before is still the campaign's, whoever holds the id now. Written by triggers on `campaigns`.
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
