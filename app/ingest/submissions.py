"""Batches as programs hand them in over HTTP: what would be refused is kept and told at once, the rest goes on."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection

from app.ingest.count import bounds
from db.engine import committed
from db.repository.ledger import rejected, sequences
from db.repository.ledger.accounts import find_campaigns
from domain.inputs import AgeBounds, CampaignKey, CampaignMatch, Rejection
from domain.sequences import runs_in
from domain.spend import SpendDraft, judge_event, read_event
from domain.totals import TotalDraft, judge_total, read_total
from runtime import clock
from runtime.settings import settings

Draft = TypeVar("Draft", SpendDraft, TotalDraft)

InvalidInput = dict[int, Rejection]
"""What is wrong with inputs, by their places in the batch."""


def keep_refused_events(payloads: Sequence[object], brand_id: int | None) -> InvalidInput:
    """Keeps the spend events that would be refused as things are, and returns them; counts none of the others.

    `brand_id`: the only brand whose campaigns the sender knows; None knows all.
    """
    read = [read_event(payload) for payload in payloads]
    return _keep_refused(rejected.SPEND_EVENT, read, judge_event, settings().max_event_age, brand_id)


def keep_refused_totals(payloads: Sequence[object], brand_id: int | None) -> InvalidInput:
    """The same for reported totals."""
    read = [read_total(payload) for payload in payloads]
    return _keep_refused(rejected.REPORTED_TOTAL, read, judge_total, settings().max_total_age, brand_id)


def _keep_refused(
    kind: str,
    read: Sequence[Draft | Rejection],
    judge: Callable[[Draft, Mapping[CampaignKey, CampaignMatch], datetime, AgeBounds], object],
    oldest: timedelta | None,
    brand_id: int | None,
) -> InvalidInput:
    def keep(connection: Connection) -> InvalidInput:
        at = clock.now()
        keys = {draft.campaign for draft in read if not isinstance(draft, Rejection)}
        known, within = find_campaigns(connection, keys, brand_id), bounds(connection, oldest, at)
        judged = [draft if isinstance(draft, Rejection) else judge(draft, known, at, within) for draft in read]
        refused = _refused(judged)
        rejected.keep(connection, kind, refused.values(), at, brand_id)
        if kind == rejected.SPEND_EVENT:
            sequences.append(connection, runs_in(rejection.payload for rejection in refused.values()), at, brand_id)
        return refused

    return committed(keep)


def _refused(judged: Sequence[object]) -> InvalidInput:
    return {place: found for place, found in enumerate(judged) if isinstance(found, Rejection)}
