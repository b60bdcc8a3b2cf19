"""Inputs as upstream sends them: valid ones, nearly valid ones, and any JSON values."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from domain.inputs.ages import AgeBounds
from domain.inputs.campaign_names import CampaignKey, KnownCampaign
from domain.inputs.reasons import Reason, Rejection
from domain.inputs.spend import SpendDraft, SpendEvent, judge_event, read_event
from domain.inputs.totals import ReportedTotal, TotalDraft, judge_total, read_total
from tests.domain.facts import utc

NOW = utc("2026-11-22T10:00")
EVENT_ID = "3f2b8c1e-9d4a-4c7b-8e21-0a1b2c3d4e5f"
NEW_YORK = ZoneInfo("America/New_York")
KATHMANDU = ZoneInfo("Asia/Kathmandu")
BY_ID, BY_NAME = 17, ("meta_ads", "120")
ACCOUNTS: dict[CampaignKey, KnownCampaign] = {
    BY_ID: KnownCampaign(17, 3, NEW_YORK, "USD"),
    BY_NAME: KnownCampaign(18, 3, KATHMANDU, "NPR"),
}

BOUNDS = AgeBounds(oldest=timedelta(days=35), ahead=timedelta(minutes=5))
ANY_AGE = AgeBounds(oldest=None, ahead=timedelta(minutes=5))

Json = dict[str, Any]


def raw_event(**fields: object) -> Json:
    """A valid event with the given `fields` replaced; a field set to `...` is left out."""
    good = {
        "event_id": EVENT_ID,
        "campaign_id": 17,
        "occurred_at": "2026-11-22T10:00:00Z",
        "amount_micros": 1_250_000,
    }
    return {name: value for name, value in {**good, **fields}.items() if value is not ...}


def raw_total(**fields: object) -> Json:
    good = {
        "source": "meta",
        "campaign_id": 17,
        "day": "2026-11-21",
        "total_micros": 5_000_000,
        "as_of": "2026-11-22T09:00:00Z",
    }
    return {name: value for name, value in {**good, **fields}.items() if value is not ...}


def draft(**fields: object) -> SpendDraft:
    read = read_event(raw_event(**fields))
    assert isinstance(read, SpendDraft)
    return read


def total_draft(**fields: object) -> TotalDraft:
    read = read_total(raw_total(**fields))
    assert isinstance(read, TotalDraft)
    return read


def judged(*, at: datetime = NOW, bounds: AgeBounds = BOUNDS, **fields: object) -> SpendEvent | Rejection:
    read = read_event(raw_event(**fields))
    return read if isinstance(read, Rejection) else judge_event(read, ACCOUNTS, at, bounds)


def judged_total(*, at: datetime = NOW, bounds: AgeBounds = BOUNDS, **fields: object) -> ReportedTotal | Rejection:
    return judge_total(total_draft(**fields), ACCOUNTS, at, bounds)


def taken(*, at: datetime = NOW, bounds: AgeBounds = BOUNDS, **fields: object) -> SpendEvent:
    event = judged(at=at, bounds=bounds, **fields)
    assert isinstance(event, SpendEvent)
    return event


def taken_total(*, at: datetime = NOW, bounds: AgeBounds = BOUNDS, **fields: object) -> ReportedTotal:
    total = judged_total(at=at, bounds=bounds, **fields)
    assert isinstance(total, ReportedTotal)
    return total


def reason(outcome: object) -> Reason:
    assert isinstance(outcome, Rejection)
    return outcome.reason


# Strategies

texts = st.text(st.characters(exclude_categories=()), max_size=12) | st.sampled_from(["\0", "\ud800", "x" * 201])
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.sampled_from([2**63, 10**400, -(10**400)])
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
_good = raw_event(source="meta", platform="meta", external_id="120", currency="USD") | raw_total()
nearly_good = st.dictionaries(st.sampled_from(sorted(_good)), json_values, max_size=2).map(lambda odd: _good | odd)
"""Inputs with the fields of an event and of a total, of which at most two have any JSON value."""
