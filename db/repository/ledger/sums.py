"""Sums of spend events by day, campaign and brand: the amounts that a batch adds to the counters."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from types import MappingProxyType
from typing import Final, NamedTuple

from domain.inputs.columns import EventColumns

CampaignDay = tuple[int, int, date]
"""(brand id, campaign id, day): the key of a row of `campaign_days`."""


class SpendSums(NamedTuple):
    """The micros that events add to each counter.

    `of_days`: by day, then by campaign id. `of_brands`: by day, then by brand id. `brand_of`: brand ids by campaign id.
    """

    of_days: Mapping[date, Mapping[int, int]]
    of_brands: Mapping[date, Mapping[int, int]]
    brand_of: Mapping[int, int]

    @classmethod
    def by(cls, events: EventColumns, also_days: Iterable[CampaignDay] = ()) -> "SpendSums":
        """Sums the events. `also_days` are included too, with 0 if no event adds to them."""
        of_days: dict[date, dict[int, int]] = {day: defaultdict(int) for day in set(events.days)}
        for day, campaign_id, micros in zip(events.days, events.campaign_ids, events.amounts_micros, strict=True):
            of_days[day][campaign_id] += micros
        brand_of = dict(zip(events.campaign_ids, events.brand_ids, strict=True))
        for brand_id, campaign_id, day in also_days:
            of_days.setdefault(day, {}).setdefault(campaign_id, 0)
            brand_of[campaign_id] = brand_id
        of_brands: dict[date, dict[int, int]] = {day: defaultdict(int) for day in of_days}
        for day, campaigns in of_days.items():
            for campaign_id, micros in campaigns.items():
                of_brands[day][brand_of[campaign_id]] += micros
        return cls(of_days, of_brands, brand_of)

    def only(self, brand_ids: Collection[int]) -> "SpendSums":
        """The sums of these brands alone."""
        brand_of = {campaign_id: brand_id for campaign_id, brand_id in self.brand_of.items() if brand_id in brand_ids}
        of_days = {day: _only(campaigns, brand_of) for day, campaigns in self.of_days.items()}
        return SpendSums(of_days, {day: _only(some, brand_ids) for day, some in self.of_brands.items()}, brand_of)

    def spent_by_brand(self) -> dict[int, int]:
        """The sum in micros of each brand's days, by brand id; a day on which refunds outweigh spend counts as 0."""
        spent: defaultdict[int, int] = defaultdict(int)
        for brands in self.of_brands.values():
            for brand_id, micros in brands.items():
                spent[brand_id] += max(micros, 0)
        return spent


def _only(micros: Mapping[int, int], ids: Collection[int]) -> dict[int, int]:
    return {one: amount for one, amount in micros.items() if one in ids}


NOTHING: Final = SpendSums(MappingProxyType({}), MappingProxyType({}), MappingProxyType({}))
