"""The tables as the admin reads them, some with the row's brand and campaign. The admin never writes through them."""

from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, and_, select
from sqlalchemy.orm import InstrumentedAttribute, Mapped, column_property, foreign, relationship
from starlette.requests import Request

from db.models.access import ApiKey, AuditEntry
from db.models.accounts import PlatformAccount, PlatformAccountBrand
from db.models.base import Base
from db.models.catalog import Brand, Budget, Campaign
from db.models.enforcement import StatusChange
from db.models.platforms import PlatformConnection
from domain.platforms import label


class BrandRow(Base):
    """A row of the table `brands`."""

    __table__ = Brand.__table__

    def __admin_repr__(self, _request: Request) -> str:
        return str(named(self))


class CampaignRow(Base):
    """A row of the table `campaigns`, with its brand."""

    __table__ = Campaign.__table__
    brand: Mapped[BrandRow] = relationship(viewonly=True, lazy="joined", innerjoin=True)

    def __admin_repr__(self, _request: Request) -> str:
        return f"{named(self)} ({named(self.brand)})"


def _is_campaign_of(model: type[Base]) -> ColumnElement[bool]:
    """The SQL condition that joins a row of the model to its campaign.

    It compares the brands' ids too, because Citus distributes both tables by brand.
    """
    columns, campaigns = model.__table__.c, Campaign.__table__.c
    return and_(
        foreign(columns["brand_id"]) == campaigns["brand_id"], foreign(columns["campaign_id"]) == campaigns["id"]
    )


class BudgetRow(Base):
    """A row of the table `budgets`, with its brand, and with its campaign if it has one."""

    __table__ = Budget.__table__
    brand: Mapped[BrandRow] = relationship(
        primaryjoin=lambda: foreign(Budget.__table__.c.brand_id) == Brand.__table__.c.id,
        viewonly=True,
        lazy="joined",
        innerjoin=True,
    )
    campaign: Mapped[CampaignRow | None] = relationship(
        primaryjoin=lambda: _is_campaign_of(Budget),
        viewonly=True,
        lazy="joined",
    )


class StatusChangeRow(Base):
    """A row of the table `status_changes`, with its brand and campaign."""

    __table__ = StatusChange.__table__
    brand: Mapped[BrandRow] = relationship(
        primaryjoin=lambda: foreign(StatusChange.__table__.c.brand_id) == Brand.__table__.c.id,
        viewonly=True,
        lazy="joined",
        innerjoin=True,
    )
    campaign: Mapped[CampaignRow] = relationship(
        primaryjoin=lambda: _is_campaign_of(StatusChange),
        viewonly=True,
        lazy="joined",
        innerjoin=True,
    )


class AuditRow(Base):
    """An audit entry with its brand, if it has one."""

    __table__ = AuditEntry.__table__
    brand: Mapped[BrandRow | None] = relationship(
        primaryjoin=lambda: foreign(AuditEntry.__table__.c.brand_id) == Brand.__table__.c.id,
        viewonly=True,
        lazy="joined",
    )


class KeyRow(Base):
    """A row of the table `api_keys`, with its brand, if the key is for one brand."""

    __table__ = ApiKey.__table__
    brand: Mapped[BrandRow | None] = relationship(viewonly=True, lazy="joined")


def _of_account(column: InstrumentedAttribute[Any]) -> ScalarSelect[Any]:
    """A subquery for one column of the connection's platform account."""
    connected = PlatformConnection.__table__.c.platform_account_id
    return select(column).where(PlatformAccount.id == connected).correlate_except(PlatformAccount).scalar_subquery()


class ConnectionRow(Base):
    """A connection to a platform account, with the account's platform and id there, and the brands bound to it."""

    __table__ = PlatformConnection.__table__
    id = PlatformConnection.__table__.c.platform_account_id
    platform = column_property(_of_account(PlatformAccount.platform))
    account_id = column_property(_of_account(PlatformAccount.account_id))
    brands: Mapped[list[BrandRow]] = relationship(
        secondary=PlatformAccountBrand.__table__,
        primaryjoin=lambda: (
            PlatformConnection.__table__.c.platform_account_id
            == foreign(PlatformAccountBrand.__table__.c.platform_account_id)
        ),
        secondaryjoin=lambda: Brand.__table__.c.id == foreign(PlatformAccountBrand.__table__.c.brand_id),
        viewonly=True,
    )

    def __admin_repr__(self, _request: Request) -> str:
        return f"{label(str(self.platform))} {self.account_id}"


def named(row: Any) -> Any:
    """Returns `row.name`; the type checker does not know columns that come from a table."""
    return row.name
