"""A load of events with known ids and sums, and the checks that each was counted exactly once."""

from collections import Counter
from datetime import timedelta
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID

from runtime import clock
from tests.world import World

BRANDS: Final = 6
CAMPAIGNS_A_BRAND: Final = 2
LIMITED: Final = 3
"""Brands with a limit that the load crosses; each of their campaigns must be paused exactly once."""

FIRST_ID: Final = 1 << 100

SUMS_OF_LEDGER: Final = "SELECT campaign_id AS owner, sum(amount_micros)::bigint AS micros FROM spend_events GROUP BY 1"
SUMS_OF_CAMPAIGN_DAYS: Final = (
    "SELECT campaign_id AS owner, sum(spent_micros)::bigint AS micros FROM campaign_days GROUP BY 1"
)
SUMS_OF_BRAND_DAYS: Final = "SELECT brand_id AS owner, sum(spent_micros)::bigint AS micros FROM brand_days GROUP BY 1"


class Figures(NamedTuple):
    """The number of events of a load, and how many of them are missing or counted more than once."""

    events: int
    lost: int
    doubled: int


class Load:
    """Spend events with known ids and sums, created batch by batch."""

    def __init__(self, world: World, draw: Random, a_message: int, lifetime_limit: int) -> None:
        self.world, self._draw, self.a_message = world, draw, a_message
        limits = [lifetime_limit] * LIMITED + [0] * (BRANDS - LIMITED)
        self.brands = [world.brand(lifetime=limit) if limit else world.brand() for limit in limits]
        self.campaigns = [world.campaign(brand) for brand in self.brands for _ in range(CAMPAIGNS_A_BRAND)]
        self.hot_brand: int | None = None
        """The brand of all further events; None: any brand."""
        self.micros: Counter[int] = Counter()
        self.events = 0
        self._occurred_at = (clock.now() - timedelta(hours=1)).isoformat()

    def brand_of(self, campaign: int) -> int:
        """The brand of the campaign."""
        return self.brands[self.campaigns.index(campaign) // CAMPAIGNS_A_BRAND]

    def batches(self, count: int) -> list[list[dict[str, Any]]]:
        """The events of `count` messages; each has events of all brands, or of the hot brand alone."""
        return [[self.event() for _ in range(self.a_message)] for _ in range(count)]

    def event(self) -> dict[str, Any]:
        """Creates one more valid event."""
        hot = [one for one in self.campaigns if self.brand_of(one) == self.hot_brand]
        campaign, micros = self._draw.choice(hot or self.campaigns), self._draw.randint(1, 999_983)
        self.micros[campaign] += micros
        self.events += 1
        return {
            "event_id": str(UUID(int=FIRST_ID + self.events)),
            "campaign_id": campaign,
            "occurred_at": self._occurred_at,
            "amount_micros": micros,
        }

    def missing(self) -> int:
        """The number of events that the ledger lacks."""
        return self._figures().lost

    def checked(self) -> Figures:
        """Fails unless every event is counted exactly once, to the micro, and each crossing toggled once."""
        figures = self._figures()
        assert figures == Figures(self.events, 0, 0)
        of_brands: Counter[int] = Counter()
        for campaign, micros in self.micros.items():
            of_brands[self.brand_of(campaign)] += micros
        for statement, expected in (
            (SUMS_OF_LEDGER, self.micros),
            (SUMS_OF_CAMPAIGN_DAYS, self.micros),
            (SUMS_OF_BRAND_DAYS, of_brands),
        ):
            assert self._sums(statement) == +expected, statement
        self._toggled_once(of_brands)
        self.world.verify()
        return figures

    def _figures(self) -> Figures:
        found = self.world.one(
            "SELECT count(*) AS rows, count(DISTINCT event_id) AS ids FROM spend_events"
            " WHERE event_id BETWEEN %s AND %s",
            UUID(int=FIRST_ID + 1),
            UUID(int=FIRST_ID + self.events),
        )
        return Figures(self.events, self.events - found["ids"], found["rows"] - found["ids"])

    def _sums(self, statement: str) -> dict[int, int]:
        return {row["owner"]: row["micros"] for row in self.world.rows(statement) if row["micros"]}

    def _toggled_once(self, of_brands: Counter[int]) -> None:
        rows = self.world.rows(
            "SELECT campaign_id, count(*) AS changes FROM status_changes WHERE to_status = 'inactive' GROUP BY 1"
        )
        changes = {row["campaign_id"]: row["changes"] for row in rows}
        limits = self.world.rows("SELECT brand_id, limit_micros FROM budgets")
        over = {row["brand_id"] for row in limits if of_brands[row["brand_id"]] >= row["limit_micros"]}
        assert changes == {campaign: 1 for campaign in self.campaigns if self.brand_of(campaign) in over}
        assert len(over) == LIMITED, "the load crossed no limit"
