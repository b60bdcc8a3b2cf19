"""What decisions are made from, and what they change."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from db.engine import one_trip
from db.repository.arrays import array_of, text_array_of
from db.repository.windows import ENDLESS, SPEND_OF_BUDGETS, current_windows
from db.repository.zones import readable_zones
from domain.budgets import Budget, BudgetSpend, Scope
from domain.campaigns import Brand, Campaign, ConfiguredStatus
from domain.periods import Period, Window
from domain.schedules import Daypart, Schedule, normalised

# Locks brands against every other enforcement, in id order so that two never wait in a ring.
LOCK_BRANDS = text("""
    SELECT id, time_zone, configured_status FROM brands
    WHERE id = ANY(CAST(:brand_ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE
""")

BRANDS = text("""
    SELECT id, time_zone, configured_status FROM brands WHERE id = ANY(CAST(:brand_ids AS bigint[])) ORDER BY id
""")

CAMPAIGNS = text("""
    SELECT id, brand_id, configured_status, starts_on, ends_on,
        effective_status, next_change_at, enforced_at IS NULL, holds
    FROM campaigns
    WHERE brand_id = ANY(CAST(:brand_ids AS bigint[]))
        AND (CAST(:campaign_ids AS bigint[]) IS NULL OR id = ANY(CAST(:campaign_ids AS bigint[])))
    ORDER BY id
""")

DAYPARTS = text("""
    SELECT campaign_id, weekday, starts_minute, ends_minute
    FROM dayparts JOIN campaigns ON campaigns.id = campaign_id
    WHERE brand_id = ANY(CAST(:brand_ids AS bigint[]))
        AND (CAST(:campaign_ids AS bigint[]) IS NULL OR campaign_id = ANY(CAST(:campaign_ids AS bigint[])))
    ORDER BY campaign_id, weekday, starts_minute
""")

# The budgets of brands and of the chosen campaigns, with what was spent of each.
BUDGETS = text(f"""
    SELECT budgets.brand_id, campaign_id, budgets.period, limit_micros, first_day, end_day, spent_micros, ahead_micros
    {SPEND_OF_BUDGETS}
    WHERE budgets.brand_id = ANY(CAST(:brand_ids AS bigint[]))
        AND (campaign_id IS NULL OR CAST(:campaign_ids AS bigint[]) IS NULL
            OR campaign_id = ANY(CAST(:campaign_ids AS bigint[])))
""")

APPLY = text("""
    UPDATE campaigns
    SET effective_status = decided.effective_status, holds = string_to_array(decided.holds, ','),
        next_change_at = decided.next_change_at, enforced_at = :at
    FROM unnest(
        CAST(:brand_ids AS bigint[]), CAST(:ids AS bigint[]), CAST(:statuses AS text[]), CAST(:holds AS text[]),
        CAST(:changes AS timestamptz[])
    ) AS decided(brand_id, id, effective_status, holds, next_change_at)
    WHERE campaigns.brand_id = decided.brand_id AND campaigns.id = decided.id
""")

APPEND_HOLD_CHANGES = text("""
    INSERT INTO hold_changes (brand_id, campaign_id, changed_at, holds, cause)
    SELECT brand_id, campaign_id, :at, string_to_array(holds, ','), :cause
    FROM unnest(CAST(:brand_ids AS bigint[]), CAST(:campaign_ids AS bigint[]), CAST(:holds AS text[]))
        AS changed(brand_id, campaign_id, holds)
""")

# Held from here to the commit, so that ids are given in commit order: who reads what came after an id misses nothing.
LOCK_STATUS_CHANGES = text("SELECT pg_advisory_xact_lock(hashtext('spendgate.status_changes'))")

APPEND_STATUS_CHANGES = text("""
    INSERT INTO status_changes
        (brand_id, campaign_id, changed_at, from_status, to_status, holds_before, holds_after, cause, details)
    SELECT brand_id, campaign_id, :at, from_status, to_status,
        string_to_array(holds_before, ','), string_to_array(holds_after, ','), :cause, details
    FROM unnest(
        CAST(:brand_ids AS bigint[]), CAST(:campaign_ids AS bigint[]), CAST(:from_statuses AS text[]),
        CAST(:to_statuses AS text[]), CAST(:holds_before AS text[]), CAST(:holds_after AS text[]),
        CAST(:details AS jsonb[])
    ) AS toggled(brand_id, campaign_id, from_status, to_status, holds_before, holds_after, details)
""")


class Standing(NamedTuple):
    """A campaign's stored facts beside what holds for it by its row; campaigns with the same facts share them."""

    campaign_id: int
    brand_id: int
    campaign: Campaign
    effective_status: str
    next_change_at: datetime | None
    is_new: bool
    holds: tuple[str, ...]


class Applied(NamedTuple):
    """What a decision makes of one campaign's row, and the figures behind it."""

    brand_id: int
    campaign_id: int
    from_status: str
    to_status: str
    holds_before: tuple[str, ...]
    holds_after: tuple[str, ...]
    next_change_at: datetime | None
    details: dict[str, Any]
    is_first: bool = False

    @property
    def is_toggle(self) -> bool:
        return self.from_status != self.to_status

    @property
    def changes_holds(self) -> bool:
        """True too for the first look at a campaign: from there on its holds are history."""
        return self.is_first or self.holds_before != self.holds_after


def lock_brands(connection: Connection, brand_ids: Iterable[int]) -> dict[int, Brand]:
    """Waits until no other transaction enforces these brands; returns what they are after the wait.

    A brand whose time zone does not exist is locked too, and left out.
    """
    rows = connection.execute(LOCK_BRANDS, {"brand_ids": array_of(brand_ids)})
    return brands_of((row.id, row.time_zone, row.configured_status) for row in rows)


def load(
    connection: Connection, brand_ids: Iterable[int], at: datetime, campaign_ids: Sequence[int] | None = None
) -> list[Standing]:
    """The campaigns of the brands, or the chosen ones among them, with all that decides their holds at `at`."""
    rows = connection.execute(BRANDS, {"brand_ids": array_of(brand_ids)})
    brands = brands_of((row.id, row.time_zone, row.configured_status) for row in rows)
    return load_of(connection, brands, at, campaign_ids)


def load_of(
    connection: Connection, brands: Mapping[int, Brand], at: datetime, campaign_ids: Sequence[int] | None = None
) -> list[Standing]:
    """The same of brands that are known already."""
    chosen = {
        "brand_ids": array_of(sorted(brands)),
        "campaign_ids": None if campaign_ids is None else array_of(campaign_ids),
    }
    schedules = _schedules(connection, chosen)
    budgets = _budgets(connection, chosen, current_windows({brand.time_zone.key for brand in brands.values()}, at))
    alike: dict[tuple[object, ...], Campaign] = {}
    standings = []
    for campaign_id, brand_id, status, starts_on, ends_on, *standing in connection.execute(CAMPAIGNS, chosen):
        effective_status, next_change_at, is_new, holds = standing
        schedule, own = schedules.get(campaign_id, ()), budgets.get((brand_id, campaign_id), ())
        facts = (brand_id, status, starts_on, ends_on, schedule, campaign_id if own else None)
        if facts not in alike:
            both = (*budgets.get((brand_id, None), ()), *own)
            alike[facts] = Campaign(
                brands[brand_id], ConfiguredStatus(status), starts_on, ends_on, schedule=schedule, budgets=both
            )
        stored = (effective_status, next_change_at, is_new, tuple(holds))
        standings.append(Standing(campaign_id, brand_id, alike[facts], *stored))
    return standings


def brands_of(rows: Iterable[tuple[int, str, str]]) -> dict[int, Brand]:
    """Brands by their ids, zones and configured statuses, without those whose time zone does not exist."""
    found = list(rows)
    zones = readable_zones({zone for _, zone, _ in found})
    return {brand_id: Brand(zones[zone], ConfiguredStatus(status)) for brand_id, zone, status in found if zone in zones}


def _schedules(connection: Connection, chosen: dict[str, Any]) -> dict[int, Schedule]:
    dayparts: defaultdict[int, list[Daypart]] = defaultdict(list)
    for campaign_id, *part in connection.execute(DAYPARTS, chosen):
        dayparts[campaign_id].append(Daypart(*part))
    return {campaign_id: normalised(parts) for campaign_id, parts in dayparts.items()}


def _budgets(
    connection: Connection, chosen: dict[str, Any], windows: dict[str, list[Any]]
) -> dict[tuple[int, int | None], list[BudgetSpend]]:
    found: defaultdict[tuple[int, int | None], list[BudgetSpend]] = defaultdict(list)
    for row in connection.execute(BUDGETS, chosen | windows):
        scope = Scope.BRAND if row.campaign_id is None else Scope.CAMPAIGN
        budget = Budget(scope, Period(row.period), row.limit_micros)
        window = Window(row.first_day, None if row.end_day == ENDLESS else row.end_day)
        found[row.brand_id, row.campaign_id].append(
            BudgetSpend(budget, window, int(row.spent_micros), int(row.ahead_micros))
        )
    return found


def apply(connection: Connection, changes: Sequence[Applied], at: datetime, cause: str) -> None:
    """Writes the decided holds to the campaigns' rows, their history, and a status change for each toggle.

    The transaction's last statement, because it takes the lock on the order of status changes.
    """
    if not changes:
        return
    parameters = {
        "at": at,
        "brand_ids": array_of(change.brand_id for change in changes),
        "ids": array_of(change.campaign_id for change in changes),
        "statuses": array_of(change.to_status for change in changes),
        "holds": text_array_of(",".join(change.holds_after) for change in changes),
        "changes": text_array_of(_moment(change.next_change_at) for change in changes),
    }
    with one_trip(connection):
        connection.execute(APPLY, parameters)
        _append_hold_changes(connection, [change for change in changes if change.changes_holds], at, cause)
        _append_status_changes(connection, [change for change in changes if change.is_toggle], at, cause)


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _append_hold_changes(connection: Connection, changes: Sequence[Applied], at: datetime, cause: str) -> None:
    if not changes:
        return
    parameters = {
        "at": at,
        "cause": cause,
        "brand_ids": array_of(change.brand_id for change in changes),
        "campaign_ids": array_of(change.campaign_id for change in changes),
        "holds": text_array_of(",".join(change.holds_after) for change in changes),
    }
    connection.execute(APPEND_HOLD_CHANGES, parameters)


def _append_status_changes(connection: Connection, toggles: Sequence[Applied], at: datetime, cause: str) -> None:
    if not toggles:
        return
    parameters = {
        "at": at,
        "cause": cause,
        "brand_ids": array_of(toggle.brand_id for toggle in toggles),
        "campaign_ids": array_of(toggle.campaign_id for toggle in toggles),
        "from_statuses": array_of(toggle.from_status for toggle in toggles),
        "to_statuses": array_of(toggle.to_status for toggle in toggles),
        "holds_before": text_array_of(",".join(toggle.holds_before) for toggle in toggles),
        "holds_after": text_array_of(",".join(toggle.holds_after) for toggle in toggles),
        "details": text_array_of(_json_of(toggles)),
    }
    connection.execute(LOCK_STATUS_CHANGES)
    connection.execute(APPEND_STATUS_CHANGES, parameters)


def _json_of(toggles: Sequence[Applied]) -> list[str]:
    """The figures of each toggle; those that share theirs are written once."""
    written = {id(toggle.details): toggle.details for toggle in toggles}
    texts = {place: json.dumps(details) for place, details in written.items()}
    return [texts[id(toggle.details)] for toggle in toggles]
