"""Inputs with values that Python or Postgres cannot store are rejected alone; all others of a message are counted."""

import json
from datetime import datetime
from typing import Any

import pytest

from app.ingest.replay_rejected import replay
from db.engine import snapshot
from db.repository.ledger import rejected
from tests.kit import is_empty, put, put_text, working
from tests.world import World, eventually

HUGE = "9" * 5_000
DEEP = "[" * 5_000 + "]" * 5_000
UNHELD = {
    "an integer": HUGE,
    "a negative integer": f"-{HUGE}",
    "an exponent": "1e400",
    "a long fraction": f"{HUGE}.5",
    "NaN": "NaN",
    "infinity": "-Infinity",
    "depth": DEEP,
    "U+0000": '"a\\u0000b"',
    "half of a surrogate pair": '"\\ud800"',
}


@pytest.fixture
def campaign(world: World) -> int:
    return world.campaign(world.brand())


def as_json(event: dict[str, Any], **fields: str) -> str:
    """The event as JSON text, in which the given fields have this JSON text as their value."""
    whole = json.dumps({**event, **{name: f"@{name}@" for name in fields}})
    for name, text in fields.items():
        whole = whole.replace(f'"@{name}@"', text)
    return whole


def ingested(*events: str) -> None:
    put_text(f'{{"events": [{", ".join(events)}]}}')
    with working():
        eventually(is_empty)


@pytest.mark.parametrize("value", UNHELD.values(), ids=UNHELD.keys())
@pytest.mark.parametrize("field", ["note", "source", "sequence", "occurred_at"])
def test_input_with_an_unstorable_value_is_rejected_alone(world: World, campaign: int, value: str, field: str) -> None:
    good = [world.event(campaign, 1) for _ in range(3)]
    bad = as_json(world.event(campaign, 100), **{field: value})
    ingested(json.dumps(good[0]), bad, json.dumps(good[1]), json.dumps(good[2]))
    assert world.spent(campaign) == 3
    (row,) = world.rejected()
    assert (row["kind"], row["reason"]) == ("spend_event", "malformed")
    assert field in row["detail"]
    assert row["payload"]["event_id"] == json.loads(bad.replace(value, "0"))["event_id"]


@pytest.mark.parametrize(
    ("field", "reason"), [("amount_micros", "amount_out_of_range"), ("campaign_id", "unknown_campaign")]
)
def test_huge_integer_is_rejected_as_out_of_range_and_kept_with_all_digits(
    world: World, campaign: int, field: str, reason: str
) -> None:
    ingested(as_json(world.event(campaign, 100), **{field: HUGE}), json.dumps(world.event(campaign, 1)))
    assert world.spent(campaign) == 1
    (row,) = world.rejected()
    assert (row["reason"], row["payload"][field]) == (reason, HUGE)
    assert row["detail"].endswith(f"{field}: an integer of 5000 digits, kept as text")


def test_unstorable_values_that_are_no_objects_are_rejected_one_by_one(world: World, campaign: int) -> None:
    ingested(HUGE, "NaN", json.dumps(world.event(campaign, 1)), DEEP, '"\\u0000"')
    assert world.spent(campaign) == 1
    assert [row["reason"] for row in world.rejected()] == ["malformed"] * 4


def test_invalid_utf8_and_a_byte_order_mark_reject_only_their_input(world: World, campaign: int) -> None:
    message = {"queue_name": "spend", "actor_name": "ingest_spend", "args": [], "options": {}, "message_timestamp": 1}
    events = [world.event(campaign, 1), world.event(campaign, 100, note="@bad@"), world.event(campaign, 1)]
    whole = json.dumps({**message, "message_id": "1", "kwargs": {"events": events}}).encode()
    put(b"\xef\xbb\xbf" + whole.replace(b"@bad@", b"\xff\xfe"))
    with working():
        eventually(is_empty)
    assert world.spent(campaign) == 2
    (row,) = world.rejected()
    assert (row["reason"], row["payload"]["note"]) == ("malformed", "\udcff\udcfe")
    assert row["detail"] == "note: a text with the byte 0xff, which is not UTF-8, kept as \\udcff"


def test_inputs_with_a_huge_key_or_a_null_character_are_rejected_alone(world: World, campaign: int) -> None:
    keys = ["k" * 1_000_000, "a\\u0000b", "\\udfff"]
    bad = [json.dumps(world.event(campaign, 100))[:-1] + f', "{key}": NaN}}' for key in keys]
    ingested(*bad, json.dumps(world.event(campaign, 1)))
    assert world.spent(campaign) == 1
    rows = world.rejected()
    assert [row["reason"] for row in rows] == ["malformed"] * 3
    assert all(len(row["detail"]) < 200 for row in rows)


def test_last_value_of_a_repeated_key_counts(world: World, campaign: int) -> None:
    event = json.dumps(world.event(campaign, 100))[:-1] + ', "amount_micros": 1}'
    ingested(event)
    ingested(event, HUGE)
    assert world.spent(campaign) == 1


def test_unstorable_totals_are_rejected_alone(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    campaign = world.campaign(world.brand())
    total = {"source": "meta", "campaign_id": campaign, "day": "2026-06-17", "as_of": noon.isoformat()}
    good = {**total, "total_micros": 7}
    bad = [
        as_json(total, total_micros=HUGE),
        as_json({**good, "day": "2026-06-16"}, note="NaN"),
    ]
    put_text(f'{{"totals": [{bad[0]}, {json.dumps(good)}, {bad[1]}]}}', actor_name="ingest_reported_totals")
    with working():
        eventually(is_empty)
    assert world.spent(campaign) == 7
    assert [row["reason"] for row in world.rejected()] == ["amount_out_of_range", "malformed"]


def test_unstorable_input_can_be_listed_and_stays_kept_after_a_replay(world: World, campaign: int) -> None:
    ingested(as_json(world.event(campaign, 5), amount_micros=HUGE), as_json(world.event(campaign, 5), occurred_at=DEEP))
    with snapshot() as connection:
        rows = rejected.waiting(connection)
    assert len(rows) == 2
    assert [replay(row) for row in rows] == [False, False]
    assert world.spent(campaign) == 0
    assert len(world.rejected()) == 2


def test_message_that_is_no_json_is_kept_whole(world: World, campaign: int) -> None:
    put_text(f'{{"events": [{json.dumps(world.event(campaign, 1))}, 01]}}')
    with working():
        eventually(is_empty)
    assert world.spent(campaign) == 0
    assert [(row["kind"], row["reason"]) for row in world.rejected()] == [("message", "undecodable")]
