"""The tables. Constraints are named and refuse impossible states; columns beyond the contract have defaults."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Computed,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Mapped, mapped_column

from db import account_models  # noqa: F401 - a campaign's row refers to one of its tables
from db.base import BY_ID, NOW, Base, Moment

STATUSES = "configured_status IN ('enabled', 'paused', 'archived')"

PERIODS = "period IN ('daily', 'weekly', 'monthly', 'yearly', 'lifetime')"


class Brand(Base):
    """The client that owns campaigns and budgets.

    Of its headroom, see db/repository/headroom.py; of `enforced_budget_holds`, db/repository/passes.py.
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


class PendingEnforcement(Base):
    """A brand some of whose campaigns are not enforced yet, and how far that has come: see domain/passes.py."""

    __tablename__ = "pending_enforcements"

    brand_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("brands.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    after_campaign_id: Mapped[int] = mapped_column(BigInteger, server_default="0")
    stop_campaign_id: Mapped[int] = mapped_column(BigInteger, server_default="0")
    wrapped: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    cause: Mapped[str] = mapped_column(Text)
    requested_at: Mapped[datetime] = mapped_column(Moment)
    done: Mapped[int] = mapped_column(BigInteger, server_default="0")
    total: Mapped[int | None] = mapped_column(BigInteger)
    paused: Mapped[int] = mapped_column(BigInteger, server_default="0")
    activated: Mapped[int] = mapped_column(BigInteger, server_default="0")


class Campaign(Base):
    """What serves or does not. `enforced_at` is null until enforcement first sees the row."""

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
    holds: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    next_change_at: Mapped[datetime | None] = mapped_column(Moment)
    enforced_at: Mapped[datetime | None] = mapped_column(Moment)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    platform_account_id: Mapped[int | None] = mapped_column(BigInteger)


class Budget(Base):
    """A limit for one period, of a brand (campaign_id null) or of one campaign."""

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
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    brand_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("brands.id"))
    campaign_id: Mapped[int | None] = mapped_column(BigInteger)
    period: Mapped[str] = mapped_column(Text)
    limit_micros: Mapped[int] = mapped_column(BigInteger)
    changed_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)


class BudgetLimit(Base):
    """The history of limits, written by a trigger on `budgets`. A null limit: the budget was removed."""

    __tablename__ = "budget_limits"
    __table_args__ = (
        PrimaryKeyConstraint("brand_id", "id"),
        Index("ix_budget_limits_brand_id_campaign_id", "brand_id", "campaign_id", "period"),
    )
    __mapper_args__ = BY_ID

    id: Mapped[int] = mapped_column(BigInteger, Identity())
    brand_id: Mapped[int] = mapped_column(BigInteger)
    campaign_id: Mapped[int | None] = mapped_column(BigInteger)
    period: Mapped[str] = mapped_column(Text)
    limit_micros: Mapped[int | None] = mapped_column(BigInteger)
    changed_at: Mapped[datetime] = mapped_column(Moment)


class Daypart(Base):
    """One open stretch of one weekday (1 = Monday), in minutes of the brand's wall clock, end excluded."""

    __tablename__ = "dayparts"
    __table_args__ = (
        CheckConstraint("weekday BETWEEN 1 AND 7", name="weekday_known"),
        CheckConstraint(
            "starts_minute >= 0 AND starts_minute < ends_minute AND ends_minute <= 1440", name="minutes_in_order"
        ),
    )

    campaign_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("campaigns.id"), primary_key=True)
    weekday: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    starts_minute: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    ends_minute: Mapped[int] = mapped_column(SmallInteger)


class SpendEvent(Base):
    """The ledger, partitioned by the UTC month of occurred_at. The key stands on each partition: see the migration."""

    __tablename__ = "spend_events"
    __table_args__ = (
        Index("ix_spend_events_received_at", "received_at", postgresql_using="brin"),
        {"postgresql_partition_by": "RANGE (occurred_at)"},
    )
    __mapper_args__ = {"primary_key": ["brand_id", "event_id"]}  # noqa: RUF012 - SQLAlchemy's own form

    event_id: Mapped[UUID] = mapped_column(PG_UUID)
    brand_id: Mapped[int] = mapped_column(BigInteger)
    campaign_id: Mapped[int] = mapped_column(BigInteger)
    occurred_at: Mapped[datetime] = mapped_column(Moment)
    amount_micros: Mapped[int] = mapped_column(BigInteger)
    source: Mapped[str] = mapped_column(Text, server_default="")
    received_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)


class CampaignDay(Base):
    """What one campaign spent on one brand-local day."""

    __tablename__ = "campaign_days"
    __table_args__ = (
        ForeignKeyConstraint(
            ["brand_id", "campaign_id"], ["campaigns.brand_id", "campaigns.id"], name="fk_campaign_days_campaigns"
        ),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    brand_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    campaign_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    spent_micros: Mapped[int] = mapped_column(BigInteger, server_default="0")


class BrandDay(Base):
    """What one brand spent on one brand-local day."""

    __tablename__ = "brand_days"
    __table_args__ = ({"postgresql_with": {"fillfactor": "70"}},)

    brand_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("brands.id"), primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    spent_micros: Mapped[int] = mapped_column(BigInteger, server_default="0")


class StatusChange(Base):
    """One toggle of one campaign; append-only."""

    __tablename__ = "status_changes"
    __table_args__ = (
        PrimaryKeyConstraint("brand_id", "id"),
        CheckConstraint("from_status <> to_status", name="is_a_toggle"),
        CheckConstraint("(to_status = 'active') = (holds_after = '{}')", name="active_has_no_holds"),
        ForeignKeyConstraint(
            ["brand_id", "campaign_id"], ["campaigns.brand_id", "campaigns.id"], name="fk_status_changes_campaigns"
        ),
        Index("ix_status_changes_campaign_id_id", "campaign_id", "id"),
        Index("ix_status_changes_brand_id_changed_at", "brand_id", "changed_at"),
        Index("ix_status_changes_id", "id"),
    )
    __mapper_args__ = BY_ID

    id: Mapped[int] = mapped_column(BigInteger, Identity())
    brand_id: Mapped[int] = mapped_column(BigInteger)
    campaign_id: Mapped[int] = mapped_column(BigInteger)
    changed_at: Mapped[datetime] = mapped_column(Moment)
    from_status: Mapped[str] = mapped_column(Text)
    to_status: Mapped[str] = mapped_column(Text)
    holds_before: Mapped[list[str]] = mapped_column(ARRAY(Text))
    holds_after: Mapped[list[str]] = mapped_column(ARRAY(Text))
    cause: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")


class RejectedEvent(Base):
    """Bad input kept whole with its reason. The same input refused again for the same reason adds to `times`.

    `only_brand_id`: the sender knows that brand's campaigns alone, also when the input is replayed. `receipt`: under
    which name the sender of a whole message waits for its outcome. `claimed_until`: who replays it has it until then.
    """

    __tablename__ = "rejected_events"
    __table_args__ = (
        Index(
            "uq_rejected_events_waiting",
            "kind",
            "reason",
            "fingerprint",
            "only_brand_id",
            unique=True,
            postgresql_where=text("replayed_at IS NULL"),
            postgresql_nulls_not_distinct=True,
        ),
        Index("ix_rejected_events_received_at", "received_at"),
        Index("ix_rejected_events_receipt", "receipt", postgresql_where=text("receipt IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    received_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    source: Mapped[str] = mapped_column(Text, server_default="")
    reason: Mapped[str] = mapped_column(Text)
    payload: Mapped[Any] = mapped_column(JSON)
    kind: Mapped[str] = mapped_column(Text, server_default="spend_event")
    detail: Mapped[str] = mapped_column(Text, server_default="")
    times: Mapped[int] = mapped_column(Integer, server_default="1")
    replayed_at: Mapped[datetime | None] = mapped_column(Moment)
    only_brand_id: Mapped[int | None] = mapped_column(BigInteger)
    receipt: Mapped[str | None] = mapped_column(Text)
    claimed_until: Mapped[datetime | None] = mapped_column(Moment)
    fingerprint: Mapped[str] = mapped_column(Text, Computed("md5((payload)::text)", persisted=True))


class ReportedTotal(Base):
    """The last cumulative figure of one source for one campaign and day."""

    __tablename__ = "reported_totals"

    source: Mapped[str] = mapped_column(Text, primary_key=True)
    campaign_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("campaigns.id"), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    total_micros: Mapped[int] = mapped_column(BigInteger)
    as_of: Mapped[datetime] = mapped_column(Moment)
    previous_micros: Mapped[int] = mapped_column(BigInteger, server_default="0")


class Watermark(Base):
    """How far a scheduled job has come."""

    __tablename__ = "watermarks"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    reached_at: Mapped[datetime] = mapped_column(Moment)


class MonthlyReport(Base):
    """One brand's month as it was known when the report was made; a restated month gets another version."""

    __tablename__ = "monthly_reports"

    brand_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("brands.id"), primary_key=True, autoincrement=False)
    month: Mapped[date] = mapped_column(Date, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    generated_at: Mapped[datetime] = mapped_column(Moment)
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    id: Mapped[int] = mapped_column(BigInteger, Identity())


class AuditEntry(Base):
    """What a person changed: who, what, old, new; append-only."""

    __tablename__ = "audit_entries"
    __table_args__ = (Index("ix_audit_entries_subject_subject_id", "subject", "subject_id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    changed_at: Mapped[datetime] = mapped_column(Moment)
    changed_by: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    subject_id: Mapped[int] = mapped_column(BigInteger)
    brand_id: Mapped[int | None] = mapped_column(BigInteger)
    old: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    new: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class HoldChange(Base):
    """What held a campaign from a moment on, toggle or not; append-only. The first row is what enforcement met.

    `from_status`: the status that the campaign had before; null in rows that an earlier version wrote.
    """

    __tablename__ = "hold_changes"
    __table_args__ = (
        PrimaryKeyConstraint("brand_id", "id"),
        ForeignKeyConstraint(
            ["brand_id", "campaign_id"], ["campaigns.brand_id", "campaigns.id"], name="fk_hold_changes_campaigns"
        ),
        Index("ix_hold_changes_campaign_id_id", "campaign_id", "id"),
        Index("ix_hold_changes_brand_id_changed_at", "brand_id", "changed_at"),
    )
    __mapper_args__ = BY_ID

    id: Mapped[int] = mapped_column(BigInteger, Identity())
    brand_id: Mapped[int] = mapped_column(BigInteger)
    campaign_id: Mapped[int] = mapped_column(BigInteger)
    changed_at: Mapped[datetime] = mapped_column(Moment)
    holds: Mapped[list[str]] = mapped_column(ARRAY(Text))
    cause: Mapped[str] = mapped_column(Text)
    from_status: Mapped[str | None] = mapped_column(Text)


class BrandHour(Base):
    """A brand's spend by the hour that the wall clock showed, rolled up from the ledger: for plots, not decisions."""

    __tablename__ = "brand_hours"
    __table_args__ = (
        CheckConstraint("hour BETWEEN 0 AND 23", name="hour_of_day"),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    brand_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("brands.id"), primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    hour: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    spent_micros: Mapped[int] = mapped_column(BigInteger, server_default="0")
