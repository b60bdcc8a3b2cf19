"""Tables of alerts: the alerts, their channels, routes, mutes and messages, and the hours of spend."""

from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Moment

KINDS: Final = (
    "kind IN ('unconfirmed_pause', 'held_but_spending', 'campaign_overridden', 'overspend', 'endpoint_failing', "
    "'account_failing', 'stale_feed', 'spend_stopped', 'budget_threshold', 'failed_import', 'rejected_events')"
)
ENDINGS: Final = "resolved_because IN ('below', 'cleared', 'superseded', 'window_ended', 'gone')"


class Alert(Base):
    """One alert: raised once, and open while its condition is true. domain/alerts/kinds.py has the kinds.

    `subject`: the row it is about, such as `budget:12` or `campaign:17`. `episode`: one occurrence of its condition,
    such as the first day of the budget's window; a subject has one alert for each episode and threshold. `threshold`:
    percent of the limit; 0 for kinds without thresholds. `window_first_day`: the first day of the budget's window; null
    for a lifetime budget and for alerts about no budget. `figures`: JSON values for the alert's sentence.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        CheckConstraint(KINDS, name="kind_known"),
        CheckConstraint("state IN ('open', 'resolved')", name="state_known"),
        CheckConstraint(ENDINGS, name="resolved_because_known"),
        CheckConstraint("(state = 'resolved') = (resolved_at IS NOT NULL)", name="resolved_at_with_state"),
        CheckConstraint("(resolved_at IS NULL) = (resolved_because IS NULL)", name="resolved_with_reason"),
        CheckConstraint("(acknowledged_at IS NULL) = (acknowledged_by IS NULL)", name="acknowledged_by_someone"),
        CheckConstraint("threshold >= 0", name="threshold_not_negative"),
        CheckConstraint("campaign_id IS NULL OR brand_id IS NOT NULL", name="campaign_of_brand"),
        ForeignKeyConstraint(
            ["brand_id", "campaign_id"],
            ["campaigns.brand_id", "campaigns.id"],
            name="fk_alerts_campaigns",
            ondelete="CASCADE",
        ),
        UniqueConstraint("kind", "subject", "episode", "threshold", name="uq_alerts_kind_subject"),
        Index("uq_alerts_open", "kind", "subject", unique=True, postgresql_where=text("state = 'open'")),
        Index("ix_alerts_brand_id_id", "brand_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    brand_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("brands.id", ondelete="CASCADE"))
    campaign_id: Mapped[int | None] = mapped_column(BigInteger)
    budget_id: Mapped[int | None] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(Text)
    threshold: Mapped[int] = mapped_column(Integer, server_default="0")
    subject: Mapped[str] = mapped_column(Text)
    episode: Mapped[str] = mapped_column(Text)
    window_first_day: Mapped[date | None] = mapped_column(Date)
    state: Mapped[str] = mapped_column(Text, server_default="open")
    raised_at: Mapped[datetime] = mapped_column(Moment)
    resolved_at: Mapped[datetime | None] = mapped_column(Moment)
    resolved_because: Mapped[str | None] = mapped_column(Text)
    acknowledged_at: Mapped[datetime | None] = mapped_column(Moment)
    acknowledged_by: Mapped[str | None] = mapped_column(Text)
    figures: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")


class AlertSettings(Base):
    """The thresholds of a brand's budgets, in percent of the limit; a brand without a row has DEFAULT_THRESHOLDS."""

    __tablename__ = "alert_settings"
    __table_args__ = (
        CheckConstraint(
            "cardinality(thresholds) <= 10 AND 1 <= ALL (thresholds) AND 1000 >= ALL (thresholds)",
            name="thresholds_in_percent",
        ),
    )

    brand_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("brands.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    thresholds: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    changed_at: Mapped[datetime] = mapped_column(Moment)


class AlertChannel(Base):
    """An address for messages to people, such as a mail address or a Slack channel.

    `encrypted_url`: apprise's URL with its secrets. `claimed_until`: the end of the sending worker's claim.
    `failing_since`: the first failed attempt after the last delivery.
    """

    __tablename__ = "alert_channels"
    __table_args__ = (CheckConstraint("name <> ''", name="name_not_empty"), UniqueConstraint("name"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    scheme: Mapped[str] = mapped_column(Text)
    encrypted_url: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Moment)
    created_by: Mapped[str] = mapped_column(Text)
    claimed_until: Mapped[datetime | None] = mapped_column(Moment)
    failing_since: Mapped[datetime | None] = mapped_column(Moment)


class AlertRoute(Base):
    """A rule by which a channel gets the alerts of a brand (null: of all) and of a kind (null: of all), and when.

    If several routes of a channel match an alert, the one that names the brand applies, else the one that names the
    kind.
    """

    __tablename__ = "alert_routes"
    __table_args__ = (
        CheckConstraint(KINDS, name="kind_known"),
        CheckConstraint("timing IN ('default', 'now', 'digest', 'never')", name="timing_known"),
        UniqueConstraint("channel_id", "brand_id", "kind", postgresql_nulls_not_distinct=True),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    channel_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("alert_channels.id", ondelete="CASCADE"))
    brand_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("brands.id", ondelete="CASCADE"))
    kind: Mapped[str | None] = mapped_column(Text)
    timing: Mapped[str] = mapped_column(Text, server_default="default")


class AlertMute(Base):
    """Alerts that match `brand_id`, `kind`, `alert_id` and `channel_id` are not sent before `until`.

    Null in one of these columns matches every alert.
    """

    __tablename__ = "alert_mutes"
    __table_args__ = (
        CheckConstraint(KINDS, name="kind_known"),
        CheckConstraint("until > muted_at", name="until_later"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    brand_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("brands.id", ondelete="CASCADE"))
    kind: Mapped[str | None] = mapped_column(Text)
    alert_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("alerts.id", ondelete="CASCADE"))
    channel_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("alert_channels.id", ondelete="CASCADE"))
    until: Mapped[datetime] = mapped_column(Moment)
    muted_at: Mapped[datetime] = mapped_column(Moment)
    muted_by: Mapped[str] = mapped_column(Text)


class AlertMessage(Base):
    """A message to send by one channel: that an alert was raised, or that it was resolved (`event`).

    The transaction that raises or resolves the alert writes the row. `due_at`: when to send it: at once, with the next
    digest, after a mute, or at the next try. `dropped_at`: when it was given up, because of a mute or because every try
    failed; null if it was not.
    """

    __tablename__ = "alert_messages"
    __table_args__ = (
        CheckConstraint("event IN ('raised', 'resolved')", name="event_known"),
        CheckConstraint("attempts >= 0", name="attempts_not_negative"),
        CheckConstraint("sent_at IS NULL OR dropped_at IS NULL", name="sent_or_dropped"),
        UniqueConstraint("channel_id", "alert_id", "event"),
        Index(
            "ix_alert_messages_waiting",
            "channel_id",
            "due_at",
            postgresql_where=text("sent_at IS NULL AND dropped_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    channel_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("alert_channels.id", ondelete="CASCADE"))
    alert_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("alerts.id", ondelete="CASCADE"))
    event: Mapped[str] = mapped_column(Text)
    is_digest: Mapped[bool] = mapped_column(Boolean)
    due_at: Mapped[datetime] = mapped_column(Moment)
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    sent_at: Mapped[datetime | None] = mapped_column(Moment)
    dropped_at: Mapped[datetime | None] = mapped_column(Moment)


class AlertAttempt(Base):
    """One attempt to send a text by a channel. `alerts`: how many alerts the text was about; 0 for a test.

    `detail`: why the attempt failed, without secrets.
    """

    __tablename__ = "alert_attempts"
    __table_args__ = (
        CheckConstraint("purpose IN ('alerts', 'digest', 'test')", name="purpose_known"),
        Index("ix_alert_attempts_channel_id_id", "channel_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    channel_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("alert_channels.id", ondelete="CASCADE"))
    purpose: Mapped[str] = mapped_column(Text)
    attempted_at: Mapped[datetime] = mapped_column(Moment)
    duration_ms: Mapped[int] = mapped_column(Integer)
    alerts: Mapped[int] = mapped_column(Integer)
    is_delivered: Mapped[bool] = mapped_column(Boolean)
    detail: Mapped[str] = mapped_column(Text, server_default="")


class SpendHours(Base):
    """The hours in which Spendgate received spend of one campaign (`source` is empty), or of one source.

    `campaign_id`: 0 in the row of a source. `hours`: these hours of two weeks, each counted from 1970 (UTC), ascending;
    `last_hour`: the last of them.
    """

    __tablename__ = "spend_hours"
    __table_args__ = (
        CheckConstraint("campaign_id >= 0 AND (campaign_id = 0 OR source = '')", name="of_one"),
        CheckConstraint("hours <> '{}'", name="hours_not_empty"),
        Index("ix_spend_hours_last_hour", "last_hour"),
    )

    brand_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("brands.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    campaign_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    source: Mapped[str] = mapped_column(Text, primary_key=True)
    hours: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    last_hour: Mapped[int] = mapped_column(Integer)
