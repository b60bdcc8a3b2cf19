"""Tables of webhooks: endpoints, their deliveries, and each attempt of a delivery."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import NOW, Base, Moment
from db.models.notices import KINDS

TYPES: Final = f"'campaign.paused', 'campaign.activated', 'budget.exhausted', {KINDS}"
STATUSES: Final = "type IN ('campaign.paused', 'campaign.activated')"


class WebhookEndpoint(Base):
    """An address that gets webhooks of one brand, or of all (`brand_id` null). Its secrets are encrypted.

    `after_change_id`: the last status change that was read for its deliveries, within the feed's epoch `feed_epoch`;
    `after_notice_id`: the last notice that was read for them. `failures`: failed first attempts of deliveries, and
    failed probes while the circuit is open, since the last success. `wait_until`: the endpoint gets no request before.
    `told_failing_at`: when a notice reported that a pause could not be delivered to it; null if none is reported.
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        CheckConstraint(f"types <@ ARRAY[{TYPES}]::text[] AND types <> '{{}}'", name="types_known"),
        CheckConstraint("(previous_secret IS NULL) = (previous_secret_until IS NULL)", name="old_secret_ends"),
        CheckConstraint("(claimed_by IS NULL) = (claimed_until IS NULL)", name="claim_ends"),
        CheckConstraint("failures >= 0", name="failures_not_negative"),
        CheckConstraint("(failures = 0) = (failing_since IS NULL)", name="fails_since_a_moment"),
        CheckConstraint("enabled = (disabled_because IS NULL)", name="disabled_has_reason"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    brand_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("brands.id"))
    url: Mapped[str] = mapped_column(Text)
    types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    description: Mapped[str] = mapped_column(Text, server_default="")
    secret: Mapped[str] = mapped_column(Text)
    previous_secret: Mapped[str | None] = mapped_column(Text)
    previous_secret_until: Mapped[datetime | None] = mapped_column(Moment)
    enabled: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    disabled_because: Mapped[str | None] = mapped_column(Text)
    after_change_id: Mapped[int] = mapped_column(BigInteger, server_default="0")
    feed_epoch: Mapped[str | None] = mapped_column(Text)
    after_notice_id: Mapped[int] = mapped_column(BigInteger, server_default="0")
    claimed_by: Mapped[UUID | None] = mapped_column(PG_UUID)
    claimed_until: Mapped[datetime | None] = mapped_column(Moment)
    failures: Mapped[int] = mapped_column(Integer, server_default="0")
    failing_since: Mapped[datetime | None] = mapped_column(Moment)
    told_failing_at: Mapped[datetime | None] = mapped_column(Moment)
    wait_until: Mapped[datetime | None] = mapped_column(Moment)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)


class WebhookDelivery(Base):
    """One message to one endpoint: about a status change, about a notice, or with a body of its own.

    `urgency`: 0 for pauses, which are sent first, else 1. `key`: the endpoint gets one message with this key, once;
    null: the message has no such key. `settled_at`: when it stopped being `pending`.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint(f"type IN ({TYPES}, 'endpoint.test')", name="type_known"),
        CheckConstraint("state IN ('pending', 'delivered', 'superseded', 'failed')", name="state_known"),
        CheckConstraint("(state = 'pending') = (settled_at IS NULL)", name="pending_is_not_settled"),
        CheckConstraint("attempts >= 0", name="attempts_not_negative"),
        CheckConstraint(
            f"({STATUSES}) = (campaign_id IS NOT NULL AND status_change_id IS NOT NULL AND key IS NULL)",
            name="status_names_its_change",
        ),
        CheckConstraint(f"{STATUSES} OR notice_id IS NOT NULL OR body IS NOT NULL", name="has_content"),
        CheckConstraint("brand_id IS NOT NULL OR status_change_id IS NULL", name="of_a_brand"),
        UniqueConstraint("endpoint_id", "key"),
        Index(
            "uq_webhook_deliveries_pending",
            "endpoint_id",
            "campaign_id",
            unique=True,
            postgresql_where=text(f"state = 'pending' AND {STATUSES}"),
        ),
        Index(
            "ix_webhook_deliveries_pending",
            "endpoint_id",
            "urgency",
            "id",
            postgresql_where=text("state = 'pending'"),
        ),
        Index("ix_webhook_deliveries_endpoint_id_id", "endpoint_id", "id"),
        Index("ix_webhook_deliveries_notice_id", "notice_id"),
        Index("ix_webhook_deliveries_settled_at", "settled_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("webhook_endpoints.id", ondelete="CASCADE"))
    message_id: Mapped[UUID] = mapped_column(PG_UUID, server_default=text("gen_random_uuid()"))
    type: Mapped[str] = mapped_column(Text)
    brand_id: Mapped[int | None] = mapped_column(BigInteger)
    campaign_id: Mapped[int | None] = mapped_column(BigInteger)
    status_change_id: Mapped[int | None] = mapped_column(BigInteger)
    notice_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("notices.id", ondelete="CASCADE"))
    key: Mapped[str | None] = mapped_column(Text)
    body: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    urgency: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    state: Mapped[str] = mapped_column(Text, server_default="pending")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    next_attempt_at: Mapped[datetime] = mapped_column(Moment)
    created_at: Mapped[datetime] = mapped_column(Moment)
    settled_at: Mapped[datetime | None] = mapped_column(Moment)


class WebhookAttempt(Base):
    """One HTTP request of a delivery. `status`: null if the endpoint did not answer. `error`: null after a 2xx.

    `answer`: the first 1,024 bytes of the response body as text, empty without an answer.
    """

    __tablename__ = "webhook_attempts"
    __table_args__ = (
        CheckConstraint("status BETWEEN 100 AND 999", name="status_of_http"),
        CheckConstraint("status IS NOT NULL OR error IS NOT NULL", name="has_outcome"),
        CheckConstraint("duration_ms >= 0", name="duration_not_negative"),
        Index("ix_webhook_attempts_delivery_id", "delivery_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    delivery_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("webhook_deliveries.id", ondelete="CASCADE"))
    attempted_at: Mapped[datetime] = mapped_column(Moment)
    status: Mapped[int | None] = mapped_column(SmallInteger)
    duration_ms: Mapped[int] = mapped_column(Integer)
    answer: Mapped[str] = mapped_column(Text, server_default="")
    error: Mapped[str | None] = mapped_column(Text)
