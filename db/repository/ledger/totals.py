"""Reported totals: stores the newest figure of each and computes the difference to the previous one."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Final, NamedTuple
from uuid import UUID, uuid5

from sqlalchemy import Connection, text

from db.repository.ledger.sums import CampaignDay
from domain.inputs.reasons import Reason, Rejection
from domain.inputs.spend import SpendEvent
from domain.inputs.totals import ReportedTotal, moment_of

DIFFERENCES: Final = UUID("6f2bd0f7-6f0e-4f0c-9f6e-5a1d8a3c7e11")
"""The UUID namespace for the ids of spend events made from reported totals."""

# Replaces older figures by newer ones and keeps the replaced figure, so the difference is computed without a race.
RESTATE = text("""
    INSERT INTO reported_totals AS known (brand_id, source, campaign_id, day, total_micros, as_of)
    SELECT * FROM unnest(
        CAST(:brand_ids AS bigint[]), CAST(:sources AS text[]), CAST(:campaign_ids AS bigint[]),
        CAST(:days AS date[]), CAST(:totals AS bigint[]), CAST(:as_of AS timestamptz[])
    )
    ON CONFLICT ON CONSTRAINT pk_reported_totals DO UPDATE
    SET previous_micros = known.total_micros, previous_as_of = known.as_of,
        total_micros = excluded.total_micros, as_of = excluded.as_of
    WHERE excluded.as_of > known.as_of
    RETURNING source, campaign_id, day, total_micros - previous_micros, previous_as_of IS NULL
""")

# The stored figures of the given totals.
KNOWN_TOTALS = text("""
    SELECT source, campaign_id, day, total_micros, as_of
    FROM unnest(
        CAST(:brand_ids AS bigint[]), CAST(:sources AS text[]), CAST(:campaign_ids AS bigint[]), CAST(:days AS date[])
    ) AS sent(brand_id, source, campaign_id, day)
    JOIN reported_totals USING (brand_id, source, campaign_id, day)
""")

TotalKey = tuple[str, int, date]


class Restated(NamedTuple):
    """The result of storing reported totals.

    `differences`: a spend event for each changed figure, with the change. `first_days`: campaign days that their source
    reported for the first time. `nothing_new`: how many totals changed nothing. `conflicts`: totals rejected because
    another figure with the same `as_of` is stored, or came earlier in the same call.
    """

    differences: list[SpendEvent]
    first_days: list[CampaignDay]
    nothing_new: int
    conflicts: list[Rejection]


def restate(connection: Connection, totals: Iterable[ReportedTotal]) -> Restated:
    """Stores the newest figure of each (source, campaign, day); a figure not newer than the stored one changes nothing.

    If two figures with the same `as_of` differ, the first stays and the second is a conflict. Returns the spend events
    for the changes, the campaign days reported first, the number of totals without effect, and the conflicts.
    """
    newest, ignored, conflicts = _newest(totals)
    if not newest:
        return Restated([], [], ignored, conflicts)
    changes: dict[TotalKey, int] = {}
    first: list[ReportedTotal] = []
    changed = 0
    for source, campaign_id, day, micros, is_first in connection.execute(RESTATE, _total_columns(newest)):
        changes[source, campaign_id, day] = micros
        first += [newest[source, campaign_id, day]] if is_first else []
        changed += bool(micros or is_first)
    contradictions = _contradicting(connection, {key: newest[key] for key in newest.keys() - changes.keys()})
    differences = [_difference(newest[key], micros) for key, micros in changes.items() if micros]
    return Restated(
        differences=differences,
        first_days=[(total.brand_id, total.campaign_id, total.day) for total in first],
        nothing_new=ignored + len(newest) - changed - len(contradictions),
        conflicts=conflicts + contradictions,
    )


def _newest(totals: Iterable[ReportedTotal]) -> tuple[dict[TotalKey, ReportedTotal], int, list[Rejection]]:
    newest: dict[TotalKey, ReportedTotal] = {}
    ignored, conflicts = 0, []
    for total in sorted(totals, key=lambda total: (total.source, total.campaign_id, total.day, total.as_of)):
        key = (total.source, total.campaign_id, total.day)
        earlier = newest.get(key)
        if earlier and earlier.as_of == total.as_of and earlier.total_micros != total.total_micros:
            conflicts.append(_contradicting_total(total))
            continue
        ignored += earlier is not None
        newest[key] = total
    return newest, ignored, conflicts


def _total_columns(totals: dict[TotalKey, ReportedTotal]) -> dict[str, list[object]]:
    return {
        "brand_ids": [total.brand_id for total in totals.values()],
        "sources": [source for source, _, _ in totals],
        "campaign_ids": [campaign_id for _, campaign_id, _ in totals],
        "days": [day for _, _, day in totals],
        "totals": [total.total_micros for total in totals.values()],
        "as_of": [total.as_of for total in totals.values()],
    }


def _contradicting(connection: Connection, unchanged: dict[TotalKey, ReportedTotal]) -> list[Rejection]:
    if not unchanged:
        return []
    columns = _total_columns(unchanged)
    keys = {name: columns[name] for name in ("brand_ids", "sources", "campaign_ids", "days")}
    known = connection.execute(KNOWN_TOTALS, keys)
    rejections = []
    for source, campaign_id, day, total_micros, as_of in known:
        sent = unchanged[source, campaign_id, day]
        if sent.as_of == as_of and sent.total_micros != total_micros:
            rejections.append(_contradicting_total(sent))
    return rejections


def _contradicting_total(total: ReportedTotal) -> Rejection:
    detail = f"{total.source} sent another total for {total.day} with the same as_of {total.as_of.isoformat()}"
    return Rejection(Reason.CONFLICTING_DUPLICATE, detail, total.payload)


def difference_id(source: str, campaign_id: int, day: date, as_of: datetime) -> str:
    """The id of the spend event made from a source's figure with this `as_of` (UTC); always the same for one figure."""
    return str(uuid5(DIFFERENCES, f"{source}\n{campaign_id}\n{day}\n{as_of.isoformat()}"))


def _difference(total: ReportedTotal, micros: int) -> SpendEvent:
    return SpendEvent(
        event_id=difference_id(total.source, total.campaign_id, total.day, total.as_of),
        brand_id=total.brand_id,
        campaign_id=total.campaign_id,
        occurred_at=moment_of(total),
        amount_micros=micros,
        source=total.source,
        day=total.day,
        payload=total.payload,
    )
