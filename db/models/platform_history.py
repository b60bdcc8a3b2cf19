"""Tables of observations at ad platforms: confirmed changes, and how far spend may exceed a limit."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    PrimaryKeyConstraint,
    Text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Moment


class PlatformConfirmation(Base):
    """A status change that a platform confirmed for the first time. Deleted once the ledger has dropped that time.

    `desired`: the status wanted on the platform. `decided_at`: when the status changed in Spendgate. `confirmed_at`:
    when the platform first reported the desired status after that.
    """

    __tablename__ = "platform_confirmations"
    __table_args__ = (
        PrimaryKeyConstraint("brand_id", "campaign_id", "status_change_id"),
        ForeignKeyConstraint(
            ["brand_id", "campaign_id"],
            ["campaigns.brand_id", "campaigns.id"],
            name="fk_platform_confirmations_campaigns",
            ondelete="CASCADE",
        ),
        CheckConstraint("desired IN ('active', 'inactive')", name="desired_known"),
        CheckConstraint("confirmed_at >= decided_at", name="confirmed_after_decision"),
    )

    brand_id: Mapped[int] = mapped_column(BigInteger)
    campaign_id: Mapped[int] = mapped_column(BigInteger)
    status_change_id: Mapped[int] = mapped_column(BigInteger)
    platform_account_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("platform_accounts.id"))
    desired: Mapped[str] = mapped_column(Text)
    decided_at: Mapped[datetime] = mapped_column(Moment)
    confirmed_at: Mapped[datetime] = mapped_column(Moment)


class PlatformBound(Base):
    """How far the spend of an account may exceed a limit, as measured at `measured_at`.

    `pauses`, `days`: how many confirmed pauses and ended days were measured. `bound_micros`: the spend above a limit
    that 95 % of pauses do not exceed. `grows_seconds`: the time from a confirmed pause until spend stays flat that 95 %
    of pauses do not exceed. `settles_after_days`: how many days after its end 95 % of days have their complete spend.
    The last three are null without enough data.
    """

    __tablename__ = "platform_bounds"
    __table_args__ = (
        CheckConstraint("pauses >= 0 AND days >= 0", name="counts_not_negative"),
        CheckConstraint("bound_micros >= 0", name="bound_not_negative"),
        CheckConstraint("grows_seconds >= 0", name="growth_not_negative"),
        CheckConstraint("settles_after_days >= 0", name="settling_not_negative"),
        CheckConstraint("(bound_micros IS NULL) = (grows_seconds IS NULL)", name="bound_and_growth_together"),
    )

    platform_account_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("platform_accounts.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    measured_at: Mapped[datetime] = mapped_column(Moment)
    pauses: Mapped[int] = mapped_column(Integer)
    days: Mapped[int] = mapped_column(Integer)
    bound_micros: Mapped[int | None] = mapped_column(BigInteger)
    grows_seconds: Mapped[int | None] = mapped_column(Integer)
    settles_after_days: Mapped[int | None] = mapped_column(Integer)
