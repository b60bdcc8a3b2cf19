"""Brands, their campaigns and budgets, and the schedules of campaigns."""

from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    PrimaryKeyConstraint,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import (
    BY_ID,
    NOW,
    Base,
    Moment,
)

STATUSES = "configured_status IN ('enabled', 'paused', 'archived')"
PERIODS = "period IN ('daily', 'weekly', 'monthly', 'yearly', 'lifetime')"


class Brand(Base):
    """The client that owns campaigns and budgets.

    db/repository/enforcement/headroom.py explains the columns `headroom_*`, db/repository/enforcement/passes.py the
    column `enforced_budget_holds`.
    """

    __tablename__ = "brands"
    __table_args__ = (
        CheckConstraint(STATUSES, name="configured_status_known"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_is_iso_4217"),
        CheckConstraint("timezone(time_zone, '2000-01-01 00:00+00'::timestamptz) IS NOT NULL", name="time_zone_known"),
        CheckConstraint("name <> ''", name="name_not_empty"),
        Index("ix_brands_time_zone", "time_zone"),
        {"postgresql_with": {"fillfactor": "50"}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    time_zone: Mapped[str] = mapped_column(Text, server_default="UTC")
    currency: Mapped[str] = mapped_column(Text, server_default="USD")
    configured_status: Mapped[str] = mapped_column(Text, server_default="enabled")
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    headroom_micros: Mapped[int | None] = mapped_column(BigInteger)
    headroom_on: Mapped[date | None] = mapped_column(Date)
    has_campaign_budgets: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    enforced_budget_holds: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    spend_received_at: Mapped[datetime | None] = mapped_column(Moment)


class Campaign(Base):
    """An ad campaign of one brand. `enforced_at` is null until enforcement first decides its holds."""

    __tablename__ = "campaigns"
    __table_args__ = (
        CheckConstraint(STATUSES, name="configured_status_known"),
        CheckConstraint("effective_status IN ('active', 'inactive')", name="effective_status_known"),
        CheckConstraint("(effective_status = 'active') = (holds = '{}')", name="active_has_no_holds"),
        CheckConstraint("starts_on <= ends_on", name="flight_in_order"),
        CheckConstraint("starts_on BETWEEN '1990-01-01' AND '2199-12-31'", name="starts_within_calendar"),
        CheckConstraint("ends_on BETWEEN '1990-01-01' AND '2199-12-31'", name="ends_within_calendar"),
        CheckConstraint("name <> ''", name="name_not_empty"),
        UniqueConstraint("brand_id", "id"),
        CheckConstraint("(platform IS NULL) = (platform_account_id IS NULL)", name="account_of_platform"),
        UniqueConstraint("platform_account_id", "external_id"),
        ForeignKeyConstraint(
            ["platform_account_id", "platform"],
            ["platform_accounts.id", "platform_accounts.platform"],
            name="fk_campaigns_platform_accounts",
        ),
        ForeignKeyConstraint(
            ["brand_id", "platform_account_id"],
            ["platform_account_brands.brand_id", "platform_account_brands.platform_account_id"],
            name="fk_campaigns_platform_account_brands",
        ),
        Index("ix_campaigns_platform_external_id", "platform", "external_id"),
        Index("ix_campaigns_next_change_at", "next_change_at"),
        Index("ix_campaigns_never_enforced", "brand_id", postgresql_where=text("enforced_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    brand_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("brands.id"))
    name: Mapped[str] = mapped_column(Text)
    platform: Mapped[str | None] = mapped_column(Text)
    external_id: Mapped[str | None] = mapped_column(Text)
    starts_on: Mapped[date | None] = mapped_column(Date)
    ends_on: Mapped[date | None] = mapped_column(Date)
    configured_status: Mapped[str] = mapped_column(Text, server_default="enabled")
    effective_status: Mapped[str] = mapped_column(Text, server_default="active")
    set_holds: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    holds: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    next_change_at: Mapped[datetime | None] = mapped_column(Moment)
    enforced_at: Mapped[datetime | None] = mapped_column(Moment)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    platform_account_id: Mapped[int | None] = mapped_column(BigInteger)


class Budget(Base):
    """The spend limit, in micros, of a brand (null `campaign_id`) or of one campaign for one period."""

    __tablename__ = "budgets"
    __table_args__ = (
        CheckConstraint(PERIODS, name="period_known"),
        CheckConstraint("limit_micros >= 0", name="limit_not_negative"),
        UniqueConstraint(
            "brand_id", "campaign_id", "period", name="uq_budgets_one_a_period", postgresql_nulls_not_distinct=True
        ),
        ForeignKeyConstraint(
            ["brand_id", "campaign_id"], ["campaigns.brand_id", "campaigns.id"], name="fk_budgets_campaigns"
        ),
        Index("ix_budgets_changed_at", "changed_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    brand_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("brands.id"))
    campaign_id: Mapped[int | None] = mapped_column(BigInteger)
    period: Mapped[str] = mapped_column(Text)
    limit_micros: Mapped[int] = mapped_column(BigInteger)
    changed_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)


class BudgetLimit(Base):
    """One change of a budget's limit. `limit_micros`: the new limit; null if the budget was removed.

    A trigger on `budgets` writes these rows; on Citus db/repository/spread/written_by_edits.py writes them.
    """

    __tablename__ = "budget_limits"
    __table_args__ = (
        PrimaryKeyConstraint("brand_id", "id"),
        Index("ix_budget_limits_brand_id_campaign_id", "brand_id", "campaign_id", "period"),
        Index("ix_budget_limits_brand_id_changed_at", "brand_id", "changed_at"),
    )
    __mapper_args__ = BY_ID

    id: Mapped[int] = mapped_column(BigInteger, Identity())
    brand_id: Mapped[int] = mapped_column(BigInteger)
    campaign_id: Mapped[int | None] = mapped_column(BigInteger)
    period: Mapped[str] = mapped_column(Text)
    limit_micros: Mapped[int | None] = mapped_column(BigInteger)
    changed_at: Mapped[datetime] = mapped_column(Moment)


class Daypart(Base):
    """An open part of one weekday (1 = Monday), in minutes after midnight in the brand's time zone, end excluded.

    A trigger gives `brand_id` to rows inserted without it; on Citus each insert must name it.
    """

    __tablename__ = "dayparts"
    __table_args__ = (
        CheckConstraint("weekday BETWEEN 1 AND 7", name="weekday_known"),
        CheckConstraint(
            "starts_minute >= 0 AND starts_minute < ends_minute AND ends_minute <= 1440", name="minutes_in_order"
        ),
        ForeignKeyConstraint(
            ["brand_id", "campaign_id"], ["campaigns.brand_id", "campaigns.id"], name="fk_dayparts_campaigns"
        ),
    )

    campaign_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    weekday: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    starts_minute: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    ends_minute: Mapped[int] = mapped_column(SmallInteger)
    brand_id: Mapped[int] = mapped_column(BigInteger)
