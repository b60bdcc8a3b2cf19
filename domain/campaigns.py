"""Brands and campaigns, as far as decisions need them."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from zoneinfo import ZoneInfo

from domain.budgets import BudgetSpend
from domain.schedules import Schedule


class ConfiguredStatus(StrEnum):
    """What a person wants. Only people change it."""

    ENABLED = "enabled"
    PAUSED = "paused"
    ARCHIVED = "archived"


class EffectiveStatus(StrEnum):
    """What holds. Only enforcement changes it."""

    ACTIVE = "active"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class Brand:
    """The client that owns campaigns, as far as decisions need it."""

    time_zone: ZoneInfo
    configured_status: ConfiguredStatus


@dataclass(frozen=True, slots=True)
class Campaign:
    """The stored facts about one campaign on which its holds depend.

    The flight's days are the brand's local ones, both included. `budgets` are the campaign's own and its brand's.
    `set_holds` are the names of the holds stored on the campaign.
    """

    brand: Brand
    configured_status: ConfiguredStatus
    starts_on: date | None = None
    ends_on: date | None = None
    schedule: Schedule = ()
    budgets: tuple[BudgetSpend, ...] = ()
    set_holds: tuple[str, ...] = ()
