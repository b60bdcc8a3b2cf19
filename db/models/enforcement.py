"""Tables of enforcement: status changes, the history of holds, and passes in progress."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    PrimaryKeyConstraint,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import (
    BY_ID,
    Base,
    Moment,
)


class PendingEnforcement(Base):
    """A pass in progress: a brand whose campaigns are enforced in parts, and its position. See domain/passes.py."""

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


class StatusChange(Base):
    """One toggle of one campaign between active and inactive. Append-only.

    Before each row, a row of `hold_changes` of the same campaign is written, whose foreign key proves that the campaign
    exists. This table has no such key: Postgres would check it while it holds the lock that orders all status changes.
    """

    __tablename__ = "status_changes"
    __table_args__ = (
        PrimaryKeyConstraint("brand_id", "id"),
        CheckConstraint("from_status <> to_status", name="is_a_toggle"),
        CheckConstraint("(to_status = 'active') = (holds_after = '{}')", name="active_has_no_holds"),
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


class HoldChange(Base):
    """The holds of a campaign from `changed_at` on; a row is written at the first decision and at each change of holds.

    Append-only. `from_status`: the effective status before; null in rows written by an earlier version of Spendgate.
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
