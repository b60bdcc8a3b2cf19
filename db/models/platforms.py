"""Tables of connections to ad platforms: accounts that are read, statuses sent and confirmed, operations used."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import NOW, Base, Moment

CONFIRMED = "confirmed IN ('enabled', 'paused', 'removed', 'unknown')"


class PlatformConnection(Base):
    """A platform account that workers read and change, with a reference to its credentials, never the secrets.

    `time_zone`, `currency`: the account's, as the platform reported at `described_at`. `wait_until`: the platform
    allows no reads and releases before; `pauses_wait_until`: it allows no pauses before. `claimed_until`: the end of a
    worker's claim; `woken_at`: when another worker last tried to claim the account during it. `failures`: failed
    requests since the last successful read; `failing_since`: when the first of them failed; `retry_at`: when statuses
    are read and changed again after a failure. `problem_since`: since when reads return spend that cannot be counted,
    such as in another currency than the brand's. `limit_at`: when spend reaches the nearest limit at the rate of the
    last read. `usage_percent`, `usage_at`: the used part of the account's quota, as the platform reported it, and when.
    `statuses_epoch`: the epoch of the feed of status changes in which statuses were read last (a restored backup
    changes the epoch); `off` if the mode was `off` since.
    """

    __tablename__ = "platform_connections"
    __table_args__ = (
        CheckConstraint("mode IN ('off', 'shadow', 'pause_only', 'full')", name="mode_known"),
        CheckConstraint("credentials = 'kept' OR credentials ~ '^(env|file):.+'", name="credentials_by_reference"),
        CheckConstraint("failures >= 0", name="failures_not_negative"),
        CheckConstraint("(usage_percent IS NULL) = (usage_at IS NULL)", name="usage_at_a_moment"),
        CheckConstraint("usage_percent >= 0", name="usage_not_negative"),
    )

    platform_account_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("platform_accounts.id"), primary_key=True, autoincrement=False
    )
    mode: Mapped[str] = mapped_column(Text, server_default="shadow")
    credentials: Mapped[str] = mapped_column(Text)
    options: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    time_zone: Mapped[str | None] = mapped_column(Text)
    currency: Mapped[str | None] = mapped_column(Text)
    described_at: Mapped[datetime | None] = mapped_column(Moment)
    next_read_at: Mapped[datetime | None] = mapped_column(Moment)
    last_read_at: Mapped[datetime | None] = mapped_column(Moment)
    history_read_at: Mapped[datetime | None] = mapped_column(Moment)
    statuses_read_at: Mapped[datetime | None] = mapped_column(Moment)
    claimed_until: Mapped[datetime | None] = mapped_column(Moment)
    wait_until: Mapped[datetime | None] = mapped_column(Moment)
    pauses_wait_until: Mapped[datetime | None] = mapped_column(Moment)
    last_error: Mapped[str | None] = mapped_column(Text)
    failed_at: Mapped[datetime | None] = mapped_column(Moment)
    woken_at: Mapped[datetime | None] = mapped_column(Moment)
    failures: Mapped[int] = mapped_column(Integer, server_default="0")
    failing_since: Mapped[datetime | None] = mapped_column(Moment)
    problem_since: Mapped[datetime | None] = mapped_column(Moment)
    retry_at: Mapped[datetime | None] = mapped_column(Moment)
    limit_at: Mapped[datetime | None] = mapped_column(Moment)
    usage_at: Mapped[datetime | None] = mapped_column(Moment)
    usage_percent: Mapped[int | None] = mapped_column(Integer)
    statuses_epoch: Mapped[str | None] = mapped_column(Text)


class PlatformCredentials(Base):
    """The secrets of a connection whose reference is `kept`: a JSON object, encrypted by `runtime.encryption`."""

    __tablename__ = "platform_credentials"
    __table_args__ = (CheckConstraint("secrets LIKE 'gAAAA%'", name="encrypted"),)

    platform_account_id: Mapped[int] = mapped_column(
        BigInteger,
        ForeignKey("platform_connections.platform_account_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    secrets: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime] = mapped_column(Moment)


class PlatformStatus(Base):
    """One campaign on its platform: the status wanted there, the one confirmed, and the last change sent.

    `desired_change_id`, `desired_at`: the status change behind `desired`. `confirmed_at`: when `confirmed` was first
    reported. `paused_by_us`: a pause that Spendgate sent is in force there, or may be. `paused_change_id`: the status
    change for which such a pause was last confirmed. `may_be_applied`: the outcome of the last sent change is unknown.
    `unconfirmed_since`: the moment since which `desired` is not confirmed; null if it is. `attempts`: changes sent
    since `desired` was last confirmed, by which the next one is delayed. `repaused_at`: when Spendgate paused the
    campaign again because others had enabled it, within one hour. `enabled_at`: since when a person may have paused the
    campaign too, so that it is unknown whose pause is in force; null if that is known.
    """

    __tablename__ = "platform_statuses"
    __table_args__ = (
        PrimaryKeyConstraint("brand_id", "campaign_id"),
        ForeignKeyConstraint(
            ["brand_id", "campaign_id"],
            ["campaigns.brand_id", "campaigns.id"],
            name="fk_platform_statuses_campaigns",
            ondelete="CASCADE",
        ),
        CheckConstraint("desired IN ('active', 'inactive')", name="desired_known"),
        CheckConstraint(CONFIRMED, name="confirmed_known"),
        CheckConstraint("sent IN ('enabled', 'paused')", name="sent_known"),
        CheckConstraint("(sent IS NULL) = (sent_at IS NULL)", name="sent_at_a_moment"),
        CheckConstraint("NOT may_be_applied OR sent IS NOT NULL", name="only_sent_may_be_applied"),
        CheckConstraint("attempts >= 0", name="attempts_not_negative"),
        CheckConstraint("enabled_at <= sent_at", name="enabled_before_sent"),
        Index("ix_platform_statuses_platform_account_id", "platform_account_id"),
        Index(
            "ix_platform_statuses_unconfirmed",
            "platform_account_id",
            postgresql_where=text("desired = 'inactive' AND confirmed NOT IN ('paused', 'removed')"),
        ),
    )

    brand_id: Mapped[int] = mapped_column(BigInteger)
    campaign_id: Mapped[int] = mapped_column(BigInteger)
    platform_account_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("platform_connections.platform_account_id", ondelete="CASCADE")
    )
    desired: Mapped[str] = mapped_column(Text)
    desired_change_id: Mapped[int | None] = mapped_column(BigInteger)
    desired_at: Mapped[datetime | None] = mapped_column(Moment)
    confirmed: Mapped[str] = mapped_column(Text, server_default="unknown")
    confirmed_at: Mapped[datetime | None] = mapped_column(Moment)
    paused_by_us: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    paused_change_id: Mapped[int | None] = mapped_column(BigInteger)
    sent: Mapped[str | None] = mapped_column(Text)
    sent_at: Mapped[datetime | None] = mapped_column(Moment)
    may_be_applied: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    unconfirmed_since: Mapped[datetime | None] = mapped_column(Moment)
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    repaused_at: Mapped[list[datetime]] = mapped_column(ARRAY(Moment), server_default="{}")
    last_error: Mapped[str | None] = mapped_column(Text)
    enabled_at: Mapped[datetime | None] = mapped_column(Moment)


class PlatformOperations(Base):
    """The operations used of one quota in one minute, and how many of them were reads.

    `pool`: the quota's name, which is the name of the platform, because all its accounts share the quota.
    """

    __tablename__ = "platform_operations"
    __table_args__ = (
        CheckConstraint("operations >= 0", name="operations_not_negative"),
        CheckConstraint("reads BETWEEN 0 AND operations", name="reads_are_operations"),
    )

    pool: Mapped[str] = mapped_column(Text, primary_key=True)
    minute: Mapped[datetime] = mapped_column(Moment, primary_key=True)
    operations: Mapped[int] = mapped_column(Integer)
    reads: Mapped[int] = mapped_column(Integer, server_default="0")
