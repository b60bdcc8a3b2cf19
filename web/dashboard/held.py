"""Groups the held campaigns of brands by their reasons, and computes when each group serves again."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from db.repository.enforcement.facts import load
from db.repository.reading import dashboard
from domain.budgets import BudgetSpend, Scope
from domain.campaigns import Campaign
from domain.enforcement import explain
from domain.holds import LIFTED_BY_PEOPLE, in_words

GROUPS_EXPLAINED: Final = 8
"""Groups of held campaigns of a brand, the largest ones, for which a page computes when they serve again."""

KINDS_EXPLAINED: Final = 12
"""The first rows of a group, from `dashboard.held`, for which a page computes when their campaigns serve again.

For further rows it shows a lower bound (`HeldGroup.at_the_earliest`).
"""

Row = Mapping[str, Any]
Holds = tuple[str, ...]
Groups = Mapping[Holds, Sequence[Row]]
"""Rows of `dashboard.held` of one brand, by their holds. A row stands for campaigns that serve again together."""


@dataclass(frozen=True, slots=True)
class HeldGroup:
    """The campaigns of one brand that have the same holds: `reasons` in words, and how many `campaigns`.

    `serves_at`: when the first of them serves again without an edit or spend; None: none does. `at_the_earliest`:
    `serves_at` is only a lower bound, because the group was too large to compute each campaign.
    """

    reasons: str
    campaigns: int
    serves_at: datetime | None
    at_the_earliest: bool = False


class BrandStatus(NamedTuple):
    """A brand's number of serving campaigns, its held ones in groups, largest first, and its own budgets with spend.

    `limits`, these budgets, may be empty if no campaign serves, since then no projection needs them.
    """

    active: int = 0
    held: tuple[HeldGroup, ...] = ()
    limits: tuple[BudgetSpend, ...] = ()

    @property
    def is_stopped(self) -> bool:
        """Whether the brand has campaigns and all are held."""
        return not self.active and bool(self.held)


def brand_statuses(
    connection: Connection, brand_ids: Sequence[int], at: datetime, groups: int = GROUPS_EXPLAINED
) -> dict[int, BrandStatus]:
    """The BrandStatus, by brand id, of each of these brands that has campaigns which are not archived.

    `groups`: for how many of each brand's largest groups it computes when their campaigns serve again. Do not show
    `serves_at` of further groups: it is None or a lower bound.
    """
    rows: defaultdict[int, dict[Holds, list[Row]]] = defaultdict(dict)
    for row in dashboard.held(connection, brand_ids, LIFTED_BY_PEOPLE):
        rows[row["brand_id"]].setdefault(tuple(row["holds"]), []).append(row)
    chosen = [campaign_id for by_holds in rows.values() for campaign_id in _samples(by_holds, groups)]
    loaded = load(connection, list(rows), at, chosen) if chosen else []
    campaigns_by_id = {one.campaign_id: one.row.campaign for one in loaded}
    return {brand_id: _brand_status(by_holds, campaigns_by_id, at) for brand_id, by_holds in rows.items()}


def _by_size(by_holds: Groups) -> list[Holds]:
    return sorted((holds for holds in by_holds if holds), key=lambda holds: (-_campaigns(by_holds[holds]), holds))


def _samples(by_holds: Groups, groups: int) -> Iterable[int]:
    """Ids of campaigns to load: of serving ones, and of each of the `groups` largest groups of held ones.

    At most KINDS_EXPLAINED ids of each group. Leaves out groups with a hold that only people lift.
    """
    for holds in [(), *_by_size(by_holds)[:groups]]:
        if not LIFTED_BY_PEOPLE.intersection(holds):
            yield from (row["campaign_id"] for row in by_holds.get(holds, ())[:KINDS_EXPLAINED])


def _brand_status(by_holds: Groups, campaigns_by_id: Mapping[int, Campaign], at: datetime) -> BrandStatus:
    known = next(
        (
            campaigns_by_id[row["campaign_id"]]
            for rows in by_holds.values()
            for row in rows
            if row["campaign_id"] in campaigns_by_id
        ),
        None,
    )
    return BrandStatus(
        active=_campaigns(by_holds.get((), ())),
        held=tuple(_held(holds, by_holds[holds], campaigns_by_id, at) for holds in _by_size(by_holds)),
        limits=() if known is None else tuple(spend for spend in known.budgets if spend.budget.scope is Scope.BRAND),
    )


def _held(holds: Holds, rows: Sequence[Row], campaigns_by_id: Mapping[int, Campaign], at: datetime) -> HeldGroup:
    """The group of campaigns with these holds. `rows`: in order of `next_change_at`.

    A campaign without an entry in `campaigns_by_id` serves again at its `next_change_at` at the earliest.
    """
    reasons, campaigns = in_words(holds), _campaigns(rows)
    if LIFTED_BY_PEOPLE.intersection(holds):
        return HeldGroup(reasons, campaigns, None)
    explained = [
        explain(campaigns_by_id[row["campaign_id"]], at).serves_at
        for row in rows
        if row["campaign_id"] in campaigns_by_id
    ]
    serves_at = min((instant for instant in explained if instant is not None), default=None)
    rest = next((row["next_change_at"] for row in rows[KINDS_EXPLAINED:]), None)
    if rest is not None and (serves_at is None or rest < serves_at):
        return HeldGroup(reasons, campaigns, rest, at_the_earliest=True)
    return HeldGroup(reasons, campaigns, serves_at)


def _campaigns(rows: Iterable[Row]) -> int:
    return sum(row["campaigns"] for row in rows)
