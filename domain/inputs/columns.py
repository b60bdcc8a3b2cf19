"""The fast path for a batch of spend events: checks each field of all events at once, as a column.

Applies the same rules as `domain.inputs.spend`, which reads event by event. `plain_drafts` and `judge_columns` return
None as soon as one event needs a rejection reason, a lookup by external id, or a spelling that only
`domain.inputs.spend` reads; the caller then falls back to that module.

Most batches pass only through here. A check added to `domain.inputs.spend` belongs here too: its bad value in `ODD` of
tests/domain/inputs/test_columns.py makes that test fail until both modules refuse it.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import chain, compress
from operator import itemgetter
from typing import Any, Final, NamedTuple

from domain.inputs.ages import AgeBounds, accepted_span
from domain.inputs.campaign_names import CampaignKey, CampaignMatch
from domain.inputs.spend import SpendEvent
from domain.inputs.values import MAX_ID, MAX_SEQUENCE, is_text
from domain.money import MAX_AMOUNT_MICROS

FIELDS: Final = ("event_id", "campaign_id", "occurred_at", "amount_micros")
UUID_LENGTH: Final = 36
_UUIDS: Final = re.compile(r"(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\n)+")


class PlainDrafts(NamedTuple):
    """Well-formed events that name their campaigns by id: the fields of `SpendDraft` as columns of equal length.

    `numbers`: a (source, sequence number) pair for each event that carries one, so it may be shorter.
    """

    event_ids: list[str]
    campaign_ids: list[int]
    occurred_at: list[datetime]
    amounts_micros: list[int]
    currencies: list[str | None]
    sources: list[str]
    numbers: list[tuple[str, int]]
    payloads: Sequence[object]


class EventColumns(NamedTuple):
    """Accepted events: the fields of `SpendEvent` as columns of equal length."""

    event_ids: Sequence[str] = ()
    brand_ids: Sequence[int] = ()
    campaign_ids: Sequence[int] = ()
    occurred_at: Sequence[datetime] = ()
    amounts_micros: Sequence[int] = ()
    sources: Sequence[str] = ()
    days: Sequence[date] = ()
    payloads: Sequence[object] = ()

    @classmethod
    def of(cls, events: Iterable[SpendEvent]) -> "EventColumns":
        """Turns events into columns; no events give empty columns."""
        columns: Any = zip(*events, strict=True)
        return cls(*columns)

    @classmethod
    def joined(cls, batches: Sequence["EventColumns"]) -> "EventColumns":
        """The events of all batches, one batch after the other."""
        if len(batches) == 1:
            return batches[0]
        columns: Any = (
            list(chain.from_iterable(batch[place] for batch in batches)) for place in range(len(cls._fields))
        )
        return cls(*columns)

    def only(self, brand_ids: Collection[int]) -> "EventColumns":
        """The events of these brands alone."""
        return self.without(*(place for place, brand_id in enumerate(self.brand_ids) if brand_id not in brand_ids))

    def without(self, *places: int) -> "EventColumns":
        """All events except those at the given positions, counted from 0."""
        if not places:
            return self
        is_kept = [True] * len(self.event_ids)
        for place in places:
            is_kept[place] = False
        columns: Any = (list(compress(column, is_kept)) for column in self)
        return type(self)(*columns)


def plain_drafts(payloads: Sequence[object]) -> PlainDrafts | None:
    """Reads decoded JSON values as spend events; None unless every event is well-formed and names a campaign id.

    None too for a valid spelling that only `domain.inputs.spend` reads, such as a UUID without hyphens.
    """
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
    is_valid = (
        _are_integers(campaign_ids, MAX_ID)
        and _are_integers(amounts, MAX_AMOUNT_MICROS)
        and all(text is None or is_text(text) for text in {*currencies, *sources})
        and "" not in currencies
    )
    if not is_valid or ids is None or moments is None:
        return None
    source_names = ["" if source is None else source for source in sources]
    numbers = _numbers(source_names, fields)
    if numbers is None:
        return None
    return PlainDrafts(ids, campaign_ids, moments, amounts, currencies, source_names, numbers, payloads)


def _are_integers(values: list[Any], largest: int) -> bool:
    return set(map(type, values)) == {int} and -largest <= min(values) and max(values) <= largest


def _uuids(values: list[Any]) -> list[str] | None:
    """The ids in lower case; None unless all are UUIDs with hyphens. Checks all ids with one regular expression."""
    joined = "\n".join([*values, ""]).lower()
    are_uuids = set(map(len, values)) == {UUID_LENGTH} and _UUIDS.fullmatch(joined)
    return joined.split("\n")[:-1] if are_uuids else None


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
    are_valid = _are_integers(numbers, MAX_SEQUENCE) and min(numbers) >= 0 and all(source for source, _ in numbered)
    return numbered if are_valid else None


def judge_columns(
    drafts: PlainDrafts, campaigns: Mapping[CampaignKey, CampaignMatch], at: datetime, bounds: AgeBounds
) -> EventColumns | None:
    """The drafts as accepted events, in order, by the rules of `judge_event` in `domain.inputs.spend`.

    None as soon as one event is rejected. `campaigns`: the campaigns found, by campaign id. `at`: now.
    """
    earliest, latest = accepted_span(at, bounds)
    billed: list[Any] = list(map(campaigns.get, drafts.campaign_ids))
    if None in billed or min(drafts.occurred_at) < earliest or max(drafts.occurred_at) > latest:
        return None
    if set(drafts.currencies) != {None} and any(
        currency is not None and currency.upper() != campaign.currency
        for currency, campaign in zip(drafts.currencies, billed, strict=True)
    ):
        return None
    zones = [campaign.time_zone for campaign in billed]
    return EventColumns(
        drafts.event_ids,
        [campaign.brand_id for campaign in billed],
        drafts.campaign_ids,
        drafts.occurred_at,
        drafts.amounts_micros,
        drafts.sources,
        [moment.astimezone(zone).date() for moment, zone in zip(drafts.occurred_at, zones, strict=True)],
        drafts.payloads,
    )
