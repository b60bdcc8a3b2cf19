"""Spend events column by column: what every event of a batch has in common is checked at once.

The rules are those of `domain.spend`, event by event. This is the lane of batches in which nothing needs a closer
look; where anything does, it says None, and the batch is read and judged one by one.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import chain, compress
from operator import itemgetter
from typing import Any, Final, NamedTuple

from domain.inputs import MAX_ID, MAX_SEQUENCE, AgeBounds, CampaignKey, Known, is_text, span_of
from domain.money import MAX_AMOUNT_MICROS
from domain.spend import SpendEvent

FIELDS: Final = ("event_id", "campaign_id", "occurred_at", "amount_micros")
UUID_LENGTH: Final = 36
_UUIDS: Final = re.compile(r"(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\n)+")


class PlainDrafts(NamedTuple):
    """Well-formed events that name their campaigns by id, as `SpendDraft` says; `numbers` are those of the sources."""

    event_ids: list[str]
    campaign_ids: list[int]
    occurred_at: list[datetime]
    amounts_micros: list[int]
    currencies: list[str | None]
    sources: list[str]
    numbers: list[tuple[str, int]]
    payloads: Sequence[object]


class Events(NamedTuple):
    """Events that are taken, as `SpendEvent` says."""

    event_ids: Sequence[str] = ()
    brand_ids: Sequence[int] = ()
    campaign_ids: Sequence[int] = ()
    occurred_at: Sequence[datetime] = ()
    amounts_micros: Sequence[int] = ()
    sources: Sequence[str] = ()
    days: Sequence[date] = ()
    payloads: Sequence[object] = ()

    @classmethod
    def of(cls, events: Iterable[SpendEvent]) -> "Events":
        """The same events, given one by one."""
        columns: Any = zip(*events, strict=True)
        return cls(*columns)

    @classmethod
    def joined(cls, parts: Sequence["Events"]) -> "Events":
        """The events of several, in their order."""
        if len(parts) == 1:
            return parts[0]
        columns: Any = (list(chain.from_iterable(part[place] for part in parts)) for place in range(len(cls._fields)))
        return cls(*columns)

    def without(self, *places: int) -> "Events":
        """All but those at the given places."""
        if not places:
            return self
        is_kept = [True] * len(self.event_ids)
        for place in places:
            is_kept[place] = False
        columns: Any = (list(compress(column, is_kept)) for column in self)
        return type(self)(*columns)


def plain_drafts(payloads: Sequence[object]) -> PlainDrafts | None:
    """The spend events in decoded JSON values; None unless every one of them is plainly well-formed."""
    try:
        return _plain_drafts(payloads)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _plain_drafts(payloads: Sequence[object]) -> PlainDrafts | None:
    if set(map(type, payloads)) != {dict}:
        return None
    fields: Any = payloads
    event_ids, campaign_ids, occurred_at, amounts = (list(map(itemgetter(name), fields)) for name in FIELDS)
    currencies, sources = ([field.get(name) for field in fields] for name in ("currency", "source"))
    ids, moments = _uuids(event_ids), _moments(occurred_at)
    sound = (
        _are_integers(campaign_ids, MAX_ID)
        and _are_integers(amounts, MAX_AMOUNT_MICROS)
        and all(text is None or is_text(text) for text in {*currencies, *sources})
        and "" not in currencies
    )
    if not sound or ids is None or moments is None:
        return None
    named = ["" if source is None else source for source in sources]
    numbers = _numbers(named, fields)
    if numbers is None:
        return None
    return PlainDrafts(ids, campaign_ids, moments, amounts, currencies, named, numbers, payloads)


def _are_integers(values: list[Any], most: int) -> bool:
    return set(map(type, values)) == {int} and -most <= min(values) and max(values) <= most


def _uuids(values: list[Any]) -> list[str] | None:
    """The ids in their one spelling; each has the length of one, so that one expression tells of all of them."""
    joined = "\n".join([*values, ""]).lower()
    sound = set(map(len, values)) == {UUID_LENGTH} and _UUIDS.fullmatch(joined)
    return joined.split("\n")[:-1] if sound else None


def _moments(values: list[Any]) -> list[datetime] | None:
    joined = "".join(values)
    if not joined.isprintable() or "T24" in joined:
        return None
    moments = list(map(datetime.fromisoformat, values))
    zones = {moment.tzinfo for moment in moments}
    if None in zones:
        return None
    return moments if zones == {UTC} else [moment.astimezone(UTC) for moment in moments]


def _numbers(sources: list[str], fields: Sequence[Any]) -> list[tuple[str, int]] | None:
    numbered = [(source, one["sequence"]) for source, one in zip(sources, fields, strict=True) if "sequence" in one]
    if not numbered:
        return []
    numbers = [number for _, number in numbered]
    sound = _are_integers(numbers, MAX_SEQUENCE) and min(numbers) >= 0 and all(source for source, _ in numbered)
    return numbered if sound else None


def judged_plain(
    drafts: PlainDrafts, accounts: Mapping[CampaignKey, Known], at: datetime, bounds: AgeBounds
) -> Events | None:
    """Takes the drafts, as `judge_event` does; None unless every one of them is taken."""
    earliest, latest = span_of(at, bounds)
    billed: list[Any] = list(map(accounts.get, drafts.campaign_ids))
    if None in billed or min(drafts.occurred_at) < earliest or max(drafts.occurred_at) > latest:
        return None
    if set(drafts.currencies) != {None} and any(
        currency is not None and currency.upper() != account.currency
        for currency, account in zip(drafts.currencies, billed, strict=True)
    ):
        return None
    zones = [account.time_zone for account in billed]
    return Events(
        drafts.event_ids,
        [account.brand_id for account in billed],
        drafts.campaign_ids,
        drafts.occurred_at,
        drafts.amounts_micros,
        drafts.sources,
        [moment.astimezone(zone).date() for moment, zone in zip(drafts.occurred_at, zones, strict=True)],
        drafts.payloads,
    )
