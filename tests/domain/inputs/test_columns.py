"""The fast path for batches: it returns the same events as reading and judging one by one, or None."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.inputs.columns import EventColumns, PlainDrafts, judge_columns, plain_drafts
from domain.inputs.reasons import Reason, Rejection
from domain.inputs.spend import SpendDraft, judge_event, read_event
from tests.domain.facts import QUICK
from tests.domain.inputs.messages import ACCOUNTS, BOUNDS, NOW, judged, raw_event

ODD: Mapping[str, tuple[Any, ...]] = {
    "event_id": (
        "",
        "x" * 36,
        "5C5F0A3E-1F9E-4D49-B2D8-0C8A5F9F7A10",
        "5c5f0a3e1f9e4d49b2d80c8a5f9f7a10",
        "5c5f0a3e-1f9e-4d49-b2d8-0c8a5f9f7a1\n",
        "\N{KELVIN SIGN}c5f0a3e-1f9e-4d49-b2d8-0c8a5f9f7a10",
        None,
        7,
        [],
    ),
    "campaign_id": (None, True, 1.0, "17", 18, -1, 0, 2**63 - 1, 2**63, -(2**63), 10**40, [17]),
    "occurred_at": (
        "2026-11-22T09:00:00z",
        "2026-11-22T24:00:00Z",
        "2026-11-21T23:59:60Z",
        "2026-11-22T10:00:00+05:45",
        "2026-11-22T10:00",
        "20261122T100000Z",
        "2026-11-22\n10:00:00Z",
        "",
        "2026-W47-7T10:00Z",
        "2026-11-22T10:00:00.1234567Z",
        "2026-11-22T10:00:00z",
        "0001-01-01T00:00:00+05:00",
        7,
        None,
        "9999-12-31T23:59:59Z",
        "1990-01-01T00:00:00Z",
        "2026-11-22T12:04:59Z",
        "2026-11-22T12:06:00Z",
        "2026-02-30T10:00Z",
    ),
    "amount_micros": (0, -1, True, 1.0, "1", None, 10**15, 10**15 + 1, -(10**15) - 1, 10**40),
    "currency": (None, "USD", "usd", "EUR", "", 7, "x" * 201, ["USD"], "\ud800", "a\0"),
    "source": (None, "", "bidder", "é", 7, "x" * 200, "x" * 201, {}, "\ud800", "a\0b", "a\u202eb", "\u200b", " "),
    "sequence": (None, 0, 7, -1, True, 1.5, "7", 2**53 - 1, 2**53),
    "platform": ("meta", None),
    "unknown": (1, None),
}
LEFT_OUT = object()
OF_OTHER_PATHS = {
    Reason.AMBIGUOUS_CAMPAIGN: "names of campaigns, which columns never read",
    Reason.CONFLICTING_DUPLICATE: "the ledger, after either reader",
}
"""Reasons that no field of an event with a campaign's id can have, each with the place that gives it."""

CLOSELY = settings(QUICK, max_examples=400)


class Asked(dict[str, Any]):
    """The fields of an event, with the names that a reader asked for."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> Any:
        self.names.add(name)
        return super().__getitem__(name)


@st.composite
def inputs(draw: st.DrawFn) -> Any:
    """A valid event with up to two fields changed or left out; occasionally a value that is no event."""
    if draw(st.integers(0, 30)) == 0:
        return draw(st.sampled_from(([], None, "event", 7, {})))
    raw = raw_event(event_id=str(draw(st.uuids())), source="bidder")
    for name in draw(st.lists(st.sampled_from(sorted(ODD)), max_size=2)):
        value = draw(st.sampled_from((*ODD[name], LEFT_OUT)))
        if value is LEFT_OUT:
            raw.pop(name, None)
        else:
            raw[name] = value
    return raw


@CLOSELY
@given(st.lists(inputs(), max_size=4))
def test_columns_read_the_same_events_as_read_event(payloads: list[Any]) -> None:
    read = [read_event(payload) for payload in payloads]
    columns = plain_drafts(payloads)
    if columns is not None:
        assert read == one_by_one(columns, payloads)
        numbered = [
            (one.source, one.sequence) for one in read if not isinstance(one, Rejection) and one.sequence is not None
        ]
        assert columns.numbers == numbered


def one_by_one(columns: PlainDrafts, payloads: list[Any]) -> list[SpendDraft]:
    assert columns.payloads is payloads
    rows: Any = zip(*columns[:6], (payload.get("sequence") for payload in payloads), payloads, strict=True)
    return [SpendDraft(*row) for row in rows]


@CLOSELY
@given(st.lists(inputs(), max_size=4))
def test_columns_accept_the_same_events_as_judge_event(payloads: list[Any]) -> None:
    columns = plain_drafts(payloads)
    events = None if columns is None else judge_columns(columns, ACCOUNTS, NOW, BOUNDS)
    if events is not None:
        drafts = [draft for draft in map(read_event, payloads) if isinstance(draft, SpendDraft)]
        judged = [judge_event(draft, ACCOUNTS, NOW, BOUNDS) for draft in drafts]
        assert judged == [tuple(row) for row in zip(*events, strict=True)]


def test_every_reason_of_single_events_has_an_odd_value() -> None:
    outcomes = [judged(**{name: value}) for name, values in ODD.items() for value in values]
    given_reasons = {outcome.reason for outcome in outcomes if isinstance(outcome, Rejection)}
    assert given_reasons == set(Reason) - OF_OTHER_PATHS.keys()


def test_every_field_that_single_events_read_has_odd_values() -> None:
    asked = Asked(raw_event(source="bidder", sequence=1))
    assert isinstance(read_event(asked), SpendDraft)
    assert asked.names <= ODD.keys()


def test_every_odd_value_is_refused_by_columns_if_it_is_rejected_alone() -> None:
    for name, values in ODD.items():
        for value in values:
            payload = raw_event(source="bidder") | {name: value}
            columns = plain_drafts([payload])
            events = None if columns is None else judge_columns(columns, ACCOUNTS, NOW, BOUNDS)
            draft = read_event(payload)
            outcome = draft if isinstance(draft, Rejection) else judge_event(draft, ACCOUNTS, NOW, BOUNDS)
            assert events is None or not isinstance(outcome, Rejection), (name, value)


def test_batch_of_well_formed_events_is_read_as_columns() -> None:
    payloads = [raw_event(event_id=str(UUID(int=n)), source="bidder", sequence=n, note="kept") for n in range(1, 4)]
    columns = plain_drafts(payloads)
    assert columns is not None
    assert columns.numbers == [("bidder", 1), ("bidder", 2), ("bidder", 3)]
    events = judge_columns(columns, ACCOUNTS, NOW, BOUNDS)
    assert events is not None
    assert events.payloads is payloads


def test_empty_batch_is_not_read_as_columns() -> None:
    assert plain_drafts([]) is None


def test_event_columns_join_and_drop_rows_in_order() -> None:
    one = EventColumns(["a"], [1], [10], [NOW], [5], [""], [NOW.date()], ["first"])
    other = EventColumns(["b"], [2], [20], [NOW], [6], ["s"], [NOW.date()], ["second"])
    both = EventColumns.joined([one, other])
    assert (both.event_ids, both.payloads) == (["a", "b"], ["first", "second"])
    assert both.without(0) == other
    assert EventColumns.joined([one]) is one
    assert EventColumns.joined([]) == EventColumns([], [], [], [], [], [], [], [])
