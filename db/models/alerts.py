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
    """One alert: raised once, sent once, and open while its condition is true. See domain/alerts/kinds.py.

    `subject`: the row it is about, such as `budget:12` or `campaign:17`. `episode`: one occurrence of its condition,
    such as the first day of the budget's window; a subject has one alert for each episode and threshold. `threshold`:
    percent of the limit; 0 for other kinds. `window_first_day`: of a budget's window; null for a lifetime and for other
    kinds.
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
    """The thresholds of a brand's budgets, in percent of the limit; a brand without a row has the default ones."""

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
    """A rule by which a channel gets alerts: of a brand (null: all brands) and kind (null: all kinds), and when.

    Of several routes of a channel that match an alert, the one that names the brand wins, then the one that names the
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
    """Alerts that are not sent before `until`: of a brand, a kind, one alert, by one channel. Null: any."""

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
    """An alert to send by one channel, as raised or as resolved. Written when the alert is, in the same transaction.

    `due_at`: when it was written, the next digest, the end of a mute, or the next try. `dropped_at`: when it was given
    up, because of a mute or because every try failed.
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
    """One attempt to send a text by a channel. `alerts`: how many it was about; 0 for a test. `detail`: no secrets."""

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
    """The hours of the last two weeks in which spend of a campaign (`source` empty) or of a source (campaign 0) came.

    `hours`: whole hours since 1970 (UTC), ascending; `last_hour`: the last of them.
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
