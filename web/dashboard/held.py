"""Why the campaigns of brands do not serve, and when they serve again: by the rules, from a campaign of each kind."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from db.repository.enforcement.enforcement import load
from db.repository.reading import dashboard
from domain.budgets import BudgetSpend, Scope
from domain.campaigns import Campaign
from domain.enforcement import explain
from domain.holds import LIFTED_BY_PEOPLE, in_words

GROUPS_EXPLAINED: Final = 8
KINDS_EXPLAINED: Final = 12
"""Bounds of what one page works out: the largest groups of a brand, and in each what may change first."""

Row = Mapping[str, Any]
Holds = tuple[str, ...]
Groups = Mapping[Holds, Sequence[Row]]
"""A brand's rows by their holds."""


@dataclass(frozen=True, slots=True)
class Held:
    """Campaigns of one brand that share all their reasons.

    `serves_at` is when the first of them serves again if only the clock moves (None: it never does); where
    `at_the_earliest`, no sooner than then, for campaigns of too many kinds.
    """

    reasons: str
    campaigns: int
    serves_at: datetime | None
    at_the_earliest: bool = False


class Standing(NamedTuple):
    """A brand's serving campaigns, its held ones by group, the largest first, and its budgets."""

    active: int = 0
    held: tuple[Held, ...] = ()
    limits: tuple[BudgetSpend, ...] = ()

    @property
    def is_stopped(self) -> bool:
        """All that the brand has is held; where it has nothing yet, nothing stopped."""
        return not self.active and bool(self.held)


def standings(
    connection: Connection, brand_ids: Sequence[int], at: datetime, groups: int = GROUPS_EXPLAINED
) -> dict[int, Standing]:
    """How the brands' campaigns stand at `at`; of each brand no more than so many groups are explained."""
    rows: defaultdict[int, dict[Holds, list[Row]]] = defaultdict(dict)
    for row in dashboard.held(connection, brand_ids, LIFTED_BY_PEOPLE):
        rows[row["brand_id"]].setdefault(tuple(row["holds"]), []).append(row)
    chosen = [campaign_id for by_holds in rows.values() for campaign_id in _telling(by_holds, groups)]
    found = load(connection, list(rows), at, chosen) if chosen else []
    told = {standing.campaign_id: standing.campaign for standing in found}
    return {brand_id: _standing(by_holds, told, at) for brand_id, by_holds in rows.items()}


def _by_size(by_holds: Groups) -> list[Holds]:
    return sorted((holds for holds in by_holds if holds), key=lambda holds: (-_campaigns(by_holds[holds]), holds))


def _telling(by_holds: Groups, groups: int) -> Iterable[int]:
    """Campaigns that tell of all others: one that serves, and some of each large group that the clock may let serve."""
    for holds in [(), *_by_size(by_holds)[:groups]]:
        if not LIFTED_BY_PEOPLE.intersection(holds):
            yield from (row["campaign_id"] for row in by_holds.get(holds, ())[:KINDS_EXPLAINED])


def _standing(by_holds: Groups, told: Mapping[int, Campaign], at: datetime) -> Standing:
    known = next(
        (told[row["campaign_id"]] for rows in by_holds.values() for row in rows if row["campaign_id"] in told), None
    )
    return Standing(
        active=_campaigns(by_holds.get((), ())),
        held=tuple(_held(holds, by_holds[holds], told, at) for holds in _by_size(by_holds)),
        limits=() if known is None else tuple(spend for spend in known.budgets if spend.budget.scope is Scope.BRAND),
    )


def _held(holds: Holds, rows: Sequence[Row], told: Mapping[int, Campaign], at: datetime) -> Held:
    """A campaign that was not explained serves at the earliest when the clock may first change its holds."""
    reasons, campaigns = in_words(holds), _campaigns(rows)
    if LIFTED_BY_PEOPLE.intersection(holds):
        return Held(reasons, campaigns, None)
    explained = [explain(told[row["campaign_id"]], at).serves_at for row in rows if row["campaign_id"] in told]
    serves_at = min((instant for instant in explained if instant is not None), default=None)
    rest = next((row["next_change_at"] for row in rows[KINDS_EXPLAINED:]), None)
    if rest is not None and (serves_at is None or rest < serves_at):
        return Held(reasons, campaigns, rest, at_the_earliest=True)
    return Held(reasons, campaigns, serves_at)


def _campaigns(rows: Iterable[Row]) -> int:
    return sum(row["campaigns"] for row in rows)
