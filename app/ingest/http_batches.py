"""Validates batches sent over HTTP: stores and returns the rejections at once; the valid inputs go on to the queue."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection

from app.ingest.count import bounds, check_currencies
from db.engine import committed
from db.repository.ledger import rejected, sequences
from db.repository.ledger.named_campaigns import find_campaigns
from domain.inputs.ages import AgeBounds
from domain.inputs.campaign_names import CampaignKey, CampaignMatch
from domain.inputs.reasons import Rejection
from domain.inputs.sequences import runs_in_inputs
from domain.inputs.spend import SpendDraft, judge_event, read_event
from domain.inputs.totals import TotalDraft, judge_total, read_total
from runtime import clock
from runtime.settings import settings

Draft = TypeVar("Draft", SpendDraft, TotalDraft)

RejectionsByPlace = dict[int, Rejection]
"""Rejections by the position of their input in the batch, from 0."""


def keep_invalid_events(payloads: Sequence[object], brand_id: int | None) -> RejectionsByPlace:
    """Stores and returns the rejections of spend events that are invalid now; counts none of the valid ones.

    `brand_id`: the only brand whose campaigns the sender may name; None: all brands.
    """
    read = [read_event(payload) for payload in payloads]
    return _keep_invalid(rejected.SPEND_EVENT, read, judge_event, settings().max_event_age, brand_id)


def keep_invalid_totals(payloads: Sequence[object], brand_id: int | None) -> RejectionsByPlace:
    """Stores and returns the rejections of reported totals that are invalid now; counts none of the valid ones.

    `brand_id`: the only brand whose campaigns the sender may name; None: all brands.
    """
    read = [read_total(payload) for payload in payloads]
    return _keep_invalid(rejected.REPORTED_TOTAL, read, judge_total, settings().max_total_age, brand_id)


def _keep_invalid(
    kind: str,
    read: Sequence[Draft | Rejection],
    judge: Callable[[Draft, Mapping[CampaignKey, CampaignMatch], datetime, AgeBounds], object],
    oldest: timedelta | None,
    brand_id: int | None,
) -> RejectionsByPlace:
    def keep(connection: Connection) -> RejectionsByPlace:
        at = clock.now()
        keys = {draft.campaign for draft in read if not isinstance(draft, Rejection)}
        known, within = find_campaigns(connection, keys, brand_id), bounds(connection, oldest, at)
        judged = [draft if isinstance(draft, Rejection) else judge(draft, known, at, within) for draft in read]
        rejections = _rejections_by_place(judged)
        check_currencies(connection, rejections.values(), known)
        if kind == rejected.SPEND_EVENT:
            sequences.append(
                connection, runs_in_inputs(rejection.payload for rejection in rejections.values()), at, brand_id
            )
        rejected.keep(connection, kind, rejections.values(), at, brand_id)
        return rejections

    return committed(keep)


def _rejections_by_place(judged: Sequence[object]) -> RejectionsByPlace:
    return {place: result for place, result in enumerate(judged) if isinstance(result, Rejection)}
