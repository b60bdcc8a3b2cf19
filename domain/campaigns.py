"""The facts about brands and campaigns that decisions use."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from zoneinfo import ZoneInfo

from domain.budgets import BudgetSpend
from domain.schedules import Schedule


class ConfiguredStatus(StrEnum):
    """The status that a person sets on a brand or campaign. Enforcement never changes it."""

    ENABLED = "enabled"
    PAUSED = "paused"
    ARCHIVED = "archived"


class EffectiveStatus(StrEnum):
    """Whether a campaign serves: active exactly when it has no hold. Only enforcement changes it."""

    ACTIVE = "active"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class Brand:
    """The facts about the client that owns campaigns."""

    time_zone: ZoneInfo
    configured_status: ConfiguredStatus


@dataclass(frozen=True, slots=True)
class Campaign:
    """The stored facts that determine one campaign's holds.

    `starts_on` and `ends_on`: the flight in brand-local days, both included. `budgets`: the campaign's own and its
    brand's. `set_holds`: the names of the holds stored on the campaign.
    """

    brand: Brand
    configured_status: ConfiguredStatus
    starts_on: date | None = None
    ends_on: date | None = None
    schedule: Schedule = ()
    budgets: tuple[BudgetSpend, ...] = ()
    set_holds: tuple[str, ...] = ()
