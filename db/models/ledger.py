"""Tables of spend: the ledger of events, its counters, rejected inputs, and reported totals."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import (
    NOW,
    Base,
    Moment,
)


class SpendEvent(Base):
    """An accepted spend event. The table is partitioned by the UTC month, or day, of `occurred_at`.

    Each partition has the primary key (brand_id, event_id), created by the function `ensure_ledger_partition`.
    """

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
    """A counter: the spend of one campaign on one brand-local day."""

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
    """A counter: the spend of one brand on one brand-local day."""

    __tablename__ = "brand_days"
    __table_args__ = ({"postgresql_with": {"fillfactor": "70"}},)

    brand_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("brands.id"), primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    spent_micros: Mapped[int] = mapped_column(BigInteger, server_default="0")


class BrandHour(Base):
    """The spend of one brand in one local hour, rolled up from the ledger, for charts only."""

    __tablename__ = "brand_hours"
    __table_args__ = (
        CheckConstraint("hour BETWEEN 0 AND 23", name="hour_of_day"),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    brand_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("brands.id"), primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    hour: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    spent_micros: Mapped[int] = mapped_column(BigInteger, server_default="0")


class RejectedEvent(Base):
    """A rejected input with its reason. `times`: how often it was received and rejected for this reason.

    `only_brand_id`: the only brand that the sender may see, also on replay; null: all brands. `receipt`: the name under
    which the sender of a whole message waits for its outcome; null: the sender does not wait. `replayed_at`: null while
    the input waits to be replayed. `claimed_until`: a replay has claimed the input until then; null: none has.
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
    """The last cumulative figure of one source for one campaign and day. `as_of`: when the platform computed it.

    `previous_micros`, `previous_as_of`: the figure before and its `as_of`; 0 and null if there was none. A trigger
    gives `brand_id` to rows inserted without it; on Citus each insert must name it.
    """

    __tablename__ = "reported_totals"
    __table_args__ = (
        ForeignKeyConstraint(
            ["brand_id", "campaign_id"], ["campaigns.brand_id", "campaigns.id"], name="fk_reported_totals_campaigns"
        ),
    )

    source: Mapped[str] = mapped_column(Text, primary_key=True)
    campaign_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    total_micros: Mapped[int] = mapped_column(BigInteger)
    as_of: Mapped[datetime] = mapped_column(Moment)
    previous_micros: Mapped[int] = mapped_column(BigInteger, server_default="0")
    previous_as_of: Mapped[datetime | None] = mapped_column(Moment)
    brand_id: Mapped[int] = mapped_column(BigInteger)
