"""Looks up the campaigns of a file, and the present figures of their days, some at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Final

from sqlalchemy import Connection

from app.imports.answers import Reading
from app.imports.intake.comparison import Named
from db.repository.imports import days as day_rows
from db.repository.imports.days import KnownDay
from db.repository.ledger.named_campaigns import find_campaigns
from domain.inputs.campaign_names import CampaignKey, CampaignMatch, KnownCampaign, owner_on
from domain.inputs.reasons import InvalidInput as NotFound

KEYS_A_QUERY: Final = 5_000


@dataclass
class Lookup:
    """Finds campaigns by their external ids on a platform, in one account or in any."""

    connection: Connection
    platform: str
    account: str | None
    found: dict[CampaignKey, CampaignMatch] = field(default_factory=dict)

    def key(self, external_id: str) -> CampaignKey:
        """The key of a reported total for the campaign: (platform, external id), and the account if there is one."""
        bare = (self.platform, external_id)
        return bare if self.account is None else (*bare, self.account)

    def find(self, external_ids: list[str]) -> Mapping[CampaignKey, CampaignMatch]:
        """Looks campaigns up; returns the known ones by key, and keeps them for `on` in place of those found before."""
        self.found = find_campaigns(self.connection, map(self.key, external_ids))
        return self.found

    def on(self, external_id: str, day: date) -> KnownCampaign | None:
        """The campaign that had this external id on a day, among those last found; None if none had it, or several."""
        try:
            return owner_on(self.key(external_id), self.found, lambda _zone: day)
        except NotFound:
            return None


def campaigns_of(reading: Reading) -> Iterator[list[str]]:
    """Yields the external ids of a reading, in order, in lists.

    Each list ends once its campaigns have KEYS_A_QUERY campaign-days or more; the last may have fewer.
    """
    some: list[str] = []
    size = 0
    for external_id in sorted(reading.totals.campaigns):
        some.append(external_id)
        size += len(reading.totals.campaigns[external_id])
        if size >= KEYS_A_QUERY:
            yield some
            some, size = [], 0
    if some:
        yield some


def named_days(reading: Reading, external_ids: list[str], lookup: Lookup) -> Iterator[Named]:
    """Yields the totals whose external id had a known campaign on their day, ordered by external id and day.

    `lookup.find` must have been called last with these external ids.
    """
    for external_id in external_ids:
        for day, micros in sorted(reading.totals.campaigns[external_id].items()):
            account = lookup.on(external_id, day)
            if account is not None:
                yield Named(external_id, day, micros, account)


def known_of(connection: Connection, sources: Sequence[str], named: list[Named]) -> Mapping[tuple[int, date], KnownDay]:
    """Reads the present figures of the campaign-days `named`; returns them by (campaign id, day).

    `sources`: the sources whose totals are of the file's platform.
    """
    found: dict[tuple[int, date], KnownDay] = {}
    keys = [(one.account.brand_id, one.account.campaign_id, one.day) for one in named]
    remaining = iter(keys)
    while some := list(islice(remaining, KEYS_A_QUERY)):
        found |= day_rows.known(connection, sources, some)
    return found
