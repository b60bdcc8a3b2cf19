"""What decisions are made from, and what they change."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from db.engine import Query, fetched
from db.repository.shared.arrays import array_of, text_array_of
from db.repository.shared.windows import ENDLESS, SPEND_OF_BUDGETS, current_windows
from db.repository.shared.zones import readable_zones
from domain.budgets import Budget, BudgetSpend, Scope
from domain.campaigns import Brand, Campaign, ConfiguredStatus
from domain.holds import budget_hold
from domain.periods import Period, Window, local_day
from domain.schedules import Daypart, Schedule, normalised

# Locks brands against every other enforcement, in id order so that two never wait in a ring.
LOCK_BRANDS = text("""
    SELECT id, time_zone, configured_status FROM brands
    WHERE id = ANY(CAST(:brand_ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE
""")

BRANDS = text("""
    SELECT id, time_zone, configured_status FROM brands WHERE id = ANY(CAST(:brand_ids AS bigint[])) ORDER BY id
""")

# A schedule is told in words of weekday, first and last minute, for many campaigns have the same one.
CAMPAIGNS = """
    SELECT id, brand_id, configured_status, starts_on, ends_on, set_holds,
        (SELECT string_agg(concat_ws('-', weekday, starts_minute, ends_minute), ' ')
            FROM dayparts WHERE campaign_id = campaigns.id) AS schedule,
        effective_status, next_change_at, enforced_at IS NULL, holds
    FROM campaigns
    WHERE brand_id = ANY(CAST(:brand_ids AS bigint[]))
"""

CAMPAIGNS_OF_BRANDS = text(f"{CAMPAIGNS} ORDER BY id")

CHOSEN_CAMPAIGNS = text(f"{CAMPAIGNS} AND id = ANY(CAST(:campaign_ids AS bigint[])) ORDER BY id")

FIRST_CAMPAIGNS = text("SELECT id FROM campaigns WHERE brand_id = :brand_id ORDER BY id LIMIT :limit")

# The budgets of brands and of their campaigns, with what was spent of each.
BUDGETS = f"""
    SELECT budgets.brand_id, campaign_id, budgets.period, limit_micros, first_day, end_day, spent_micros, ahead_micros
    {SPEND_OF_BUDGETS}
    WHERE budgets.brand_id = ANY(CAST(:brand_ids AS bigint[]))
"""

BUDGETS_OF_BRANDS = text(BUDGETS)

# Written so that the index on brand and campaign finds the chosen ones among many.
CHOSEN_BUDGETS = text(f"{BUDGETS} AND (campaign_id IS NULL OR campaign_id = ANY(CAST(:campaign_ids AS bigint[])))")

# What was decided, a row for each campaign. Many campaigns change alike, so that a change is told once, by its number.
DECIDED = """
    SELECT brand_id, campaign_id, from_status, to_status, string_to_array(before, ',') AS holds_before,
        string_to_array(after, ',') AS holds_after, next_change_at, details, changes_holds
    FROM unnest(CAST(:of_brands AS bigint[]), CAST(:campaign_ids AS bigint[]), CAST(:numbers AS bigint[]))
        AS campaign(brand_id, campaign_id, number)
    JOIN unnest(
        CAST(:from_statuses AS text[]), CAST(:to_statuses AS text[]), CAST(:holds_before AS text[]),
        CAST(:holds_after AS text[]), CAST(:next_changes AS timestamptz[]), CAST(:details AS jsonb[]),
        CAST(:changes_holds AS boolean[])
    ) WITH ORDINALITY
        AS change(from_status, to_status, before, after, next_change_at, details, changes_holds, number) USING (number)
"""

# Decided holds to campaigns, and to their history.
APPLY = text(f"""
    WITH decided AS MATERIALIZED ({DECIDED}), applied AS (
        UPDATE campaigns
        SET effective_status = to_status, holds = holds_after, next_change_at = decided.next_change_at,
            enforced_at = CAST(:at AS timestamptz)
        FROM decided
        WHERE campaigns.brand_id = ANY(CAST(:brand_ids AS bigint[])) AND campaigns.brand_id = decided.brand_id
            AND campaigns.id = decided.campaign_id
    )
    INSERT INTO hold_changes (brand_id, campaign_id, changed_at, holds, cause, from_status)
    SELECT brand_id, campaign_id, CAST(:at AS timestamptz), holds_after, CAST(:cause AS text), from_status
    FROM decided WHERE changes_holds
""")  # noqa: S608 - a constant, put together once

# A status change for each toggle. Before the first id is given, a trigger on the table takes the lock
# `status_changes` until the commit: ids follow the order of commits, and whoever reads past an id misses nothing.
TELL_TOGGLES = text(f"""
    INSERT INTO status_changes
        (brand_id, campaign_id, changed_at, from_status, to_status, holds_before, holds_after, cause, details)
    SELECT brand_id, campaign_id, CAST(:at AS timestamptz), from_status, to_status, holds_before, holds_after,
        CAST(:cause AS text), details
    FROM ({DECIDED}) AS decided WHERE from_status <> to_status
""")  # noqa: S608 - a constant, put together once


class Standing(NamedTuple):
    """A campaign's stored facts beside what holds for it by its row; campaigns with the same facts share them."""

    campaign_id: int
    brand_id: int
    campaign: Campaign
    effective_status: str
    next_change_at: datetime | None
    is_new: bool
    holds: tuple[str, ...]


class Facts(NamedTuple):
    """Campaigns with all that decides their holds, and the holds of each brand's own budgets that are exhausted."""

    standings: list[Standing]
    budget_holds: dict[int, tuple[str, ...]]


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
    def kind(self) -> tuple[object, ...]:
        """The change, whichever campaign's it is. Figures are the same where they are one object."""
        _, _, *what, details, is_first = self
        return (*what, id(details), is_first)

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
    (rows,) = fetched(connection, (LOCK_BRANDS, {"brand_ids": array_of(brand_ids)}))
    return brands_of(rows)


def load(
    connection: Connection, brand_ids: Iterable[int], at: datetime, campaign_ids: Sequence[int] | None = None
) -> list[Standing]:
    """The campaigns of the brands, or the chosen ones among them, with all that decides their holds at `at`."""
    (rows,) = fetched(connection, (BRANDS, {"brand_ids": array_of(brand_ids)}))
    return load_of(connection, brands_of(rows), at, campaign_ids).standings


def first_campaigns(connection: Connection, brand_id: int, limit: int) -> list[int]:
    """The ids of the brand's oldest campaigns, `limit` at most."""
    return list(connection.scalars(FIRST_CAMPAIGNS, {"brand_id": brand_id, "limit": limit}))


def load_of(
    connection: Connection, brands: Mapping[int, Brand], at: datetime, campaign_ids: Sequence[int] | None = None
) -> Facts:
    """The same campaigns of brands that are known already, and the holds of the brands' own budgets."""
    chosen: dict[str, Any] = {"brand_ids": array_of(sorted(brands))}
    queries = (BUDGETS_OF_BRANDS, CAMPAIGNS_OF_BRANDS)
    if campaign_ids is not None:
        chosen["campaign_ids"] = array_of(campaign_ids)
        queries = (CHOSEN_BUDGETS, CHOSEN_CAMPAIGNS)
    windows = current_windows({brand.time_zone.key for brand in brands.values()}, at)
    limits, campaigns = fetched(connection, (queries[0], chosen | windows), (queries[1], chosen))
    budgets = _budgets(limits)
    standings = _standings(brands, budgets, campaigns)
    return Facts(standings, {brand_id: _holds(budgets, brand_id, brand, at) for brand_id, brand in brands.items()})


def _standings(
    brands: Mapping[int, Brand],
    budgets: Mapping[tuple[int, int | None], list[BudgetSpend]],
    campaigns: Iterable[tuple[Any, ...]],
) -> list[Standing]:
    alike: dict[tuple[object, ...], Campaign] = {}
    standings = []
    for campaign_id, brand_id, status, starts_on, ends_on, set_holds, schedule, *standing in campaigns:
        effective_status, next_change_at, is_new, holds = standing
        own = budgets.get((brand_id, campaign_id), ())
        facts = (brand_id, status, starts_on, ends_on, tuple(set_holds), schedule, campaign_id if own else None)
        if facts not in alike:
            both = (*budgets.get((brand_id, None), ()), *own)
            alike[facts] = Campaign(
                brands[brand_id],
                ConfiguredStatus(status),
                starts_on,
                ends_on,
                schedule=_schedule(schedule),
                budgets=both,
                set_holds=tuple(set_holds),
            )
        stored = (effective_status, next_change_at, is_new, tuple(holds))
        standings.append(Standing(campaign_id, brand_id, alike[facts], *stored))
    return standings


def _holds(
    budgets: Mapping[tuple[int, int | None], list[BudgetSpend]], brand_id: int, brand: Brand, at: datetime
) -> tuple[str, ...]:
    today = local_day(at, brand.time_zone)
    own = budgets.get((brand_id, None), ())
    return tuple(sorted(budget_hold(spend).value for spend in own if spend.is_exhausted_on(today)))


def brands_of(rows: Iterable[tuple[Any, ...]]) -> dict[int, Brand]:
    """Brands by their ids, zones and configured statuses, without those whose time zone does not exist."""
    found = list(rows)
    zones = readable_zones({zone for _, zone, _ in found})
    return {brand_id: Brand(zones[zone], ConfiguredStatus(status)) for brand_id, zone, status in found if zone in zones}


def _schedule(told: str | None) -> Schedule:
    return normalised(Daypart(*map(int, part.split("-"))) for part in (told or "").split())


def _budgets(
    rows: Iterable[tuple[int, int | None, str, int, date, date, Decimal, Decimal]],
) -> dict[tuple[int, int | None], list[BudgetSpend]]:
    found: defaultdict[tuple[int, int | None], list[BudgetSpend]] = defaultdict(list)
    for brand_id, campaign_id, period, limit_micros, first_day, end_day, spent_micros, ahead_micros in rows:
        scope = Scope.BRAND if campaign_id is None else Scope.CAMPAIGN
        budget = Budget(scope, Period(period), limit_micros)
        window = Window(first_day, None if end_day == ENDLESS else end_day)
        found[brand_id, campaign_id].append(BudgetSpend(budget, window, int(spent_micros), int(ahead_micros)))
    return found


def apply(
    connection: Connection, changes: Sequence[Applied], at: datetime, cause: str, before: Sequence[Query] = ()
) -> None:
    """Writes the decided holds to the campaigns' rows, their history, and a status change for each toggle.

    The transaction's last statements, because they take the lock on the order of status changes; those of `before` go
    with them, in front.
    """
    orders = [*before, *_orders(changes, at, cause)]
    if orders:
        fetched(connection, *orders)


def _orders(changes: Sequence[Applied], at: datetime, cause: str) -> list[Query]:
    if not changes:
        return []
    alike, numbers = _numbered(changes)
    parameters = {
        "at": at,
        "cause": cause,
        "brand_ids": array_of(sorted({change.brand_id for change in changes})),
        "of_brands": array_of(change.brand_id for change in changes),
        "campaign_ids": array_of(change.campaign_id for change in changes),
        "numbers": array_of(numbers),
        "from_statuses": array_of(change.from_status for change in alike),
        "to_statuses": array_of(change.to_status for change in alike),
        "holds_before": text_array_of(",".join(change.holds_before) for change in alike),
        "holds_after": text_array_of(",".join(change.holds_after) for change in alike),
        "next_changes": text_array_of(_moment(change.next_change_at) for change in alike),
        "details": text_array_of(json.dumps(change.details) for change in alike),
        "changes_holds": array_of(str(change.changes_holds) for change in alike),
    }
    statements = [APPLY, TELL_TOGGLES] if any(change.is_toggle for change in alike) else [APPLY]
    return [(statement, parameters) for statement in statements]


def _numbered(changes: Iterable[Applied]) -> tuple[list[Applied], list[int]]:
    """One of each kind of change, and the number of each change's kind, from 1."""
    kinds: dict[tuple[object, ...], int] = {}
    alike, numbers = list[Applied](), list[int]()
    for change in changes:
        number = kinds.setdefault(change.kind, len(kinds) + 1)
        if number > len(alike):
            alike.append(change)
        numbers.append(number)
    return alike, numbers


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
