"""Rejected inputs read again after their fault was mended."""

from datetime import datetime
from typing import Any

import pytest

from db.engine import transaction
from db.repository import rejected
from runtime import clock
from runtime.settings import settings
from tests.workers.kit import is_empty, working
from tests.world import World, eventually
from workers.ingest import ingest_reported_totals
from workers.messages import keep as keep_message
from workers.replay import replay


@pytest.fixture
def campaign(world: World, noon: datetime) -> int:
    """A campaign of a brand with no limits, at noon."""
    world.set_clock(noon)
    return world.campaign(world.brand())


def waiting() -> list[rejected.Waiting]:
    with transaction() as connection:
        return rejected.waiting(connection)


def named(world: World, campaign: int) -> None:
    world.execute("UPDATE campaigns SET platform = 'meta_ads', external_id = '77' WHERE id = %s", campaign)


def test_counts_an_event_once_its_campaign_is_known(world: World, campaign: int) -> None:
    event = {**world.event(campaign, 5), "campaign_id": None, "platform": "meta_ads", "external_id": "77"}
    world.ingest([event])
    (row,) = waiting()
    assert not replay(row)
    assert [row.reason for row in waiting()] == ["unknown_campaign"]
    named(world, campaign)
    assert replay(row)
    assert (world.spent(campaign), waiting()) == (5, [])
    replay(row)
    assert world.spent(campaign) == 5
    assert world.one("SELECT replayed_at FROM rejected_events")["replayed_at"] == clock.now()
    world.verify()


def test_counts_a_total_once_its_campaign_is_known(world: World, campaign: int) -> None:
    sent = {"source": "meta_ads", "platform": "meta_ads", "external_id": "77", "day": "2026-06-16"}
    ingest_reported_totals(totals=[{**sent, "total_micros": 7, "as_of": clock.now().isoformat()}])
    named(world, campaign)
    (row,) = waiting()
    assert replay(row)
    assert world.spent(campaign, "2026-06-16") == 7


def test_an_event_refused_for_another_reason_waits_on_with_the_new_one(world: World, campaign: int) -> None:
    event = {**world.event(campaign, 5, currency="EUR"), "campaign_id": None}
    world.ingest([{**event, "platform": "meta_ads", "external_id": "77"}])
    named(world, campaign)
    (row,) = waiting()
    assert not replay(row)
    assert [row.reason for row in waiting()] == ["wrong_currency"]


def test_a_kept_message_is_sent_again_without_its_past(world: World, campaign: int) -> None:
    kept = message(kwargs={"events": [world.event(campaign, 5)]}, options={"retries": 5, "traceback": "x"})
    keep_message("dead_letter", "it failed", kept)
    (row,) = waiting()
    assert replay(row)
    with working():
        eventually(lambda: world.spent(campaign) == 5 and is_empty())
    assert waiting() == []


@pytest.mark.parametrize(
    "payload",
    [
        "rubbish",
        {"actor_name": "ingest_spend"},
        {"queue_name": "spend", "actor_name": "nobody", "args": [], "kwargs": {}},
        {"queue_name": "spend", "actor_name": ["ingest_spend"], "args": [], "kwargs": {}},
        {"queue_name": "spend", "actor_name": "ingest_spend", "args": 5, "kwargs": "x", "options": 3},
    ],
)
def test_what_is_no_message_of_ours_waits_on(world: World, payload: object) -> None:
    keep_message("undecodable", "rubbish", payload)
    (row,) = waiting()
    assert not replay(row)
    assert len(waiting()) == 1
    assert is_empty()


def test_lists_what_waits_by_page_reason_and_id_and_counts_it(world: World, campaign: int) -> None:
    world.ingest([world.event(10**6, n) for n in (1, 2)] + [{"bad": 1}, {"bad": 1}])
    with transaction() as connection:
        first = rejected.waiting(connection, limit=1)
        rest = rejected.waiting(connection, after=first[0].id)
        assert len(first + rest) == 3
        assert [row.payload for row in rejected.waiting(connection, reason="malformed")] == [{"bad": 1}]
        assert rejected.waiting(connection, ids=[rest[0].id]) == rest[:1]
        assert rejected.counts(connection) == [("malformed", 1, 2), ("unknown_campaign", 2, 2)]


def message(**fields: Any) -> dict[str, Any]:
    return {"queue_name": "spend", "actor_name": "ingest_spend", "args": [], "kwargs": {}, "options": {}, **fields}


def test_a_message_that_is_too_large_to_be_sent_waits_on(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPENDGATE_MAX_MESSAGE_BYTES", "65536")
    settings.cache_clear()
    message = {"actor_name": "ingest_spend", "args": [], "kwargs": {"events": [{"padding": "x" * 70_000}]}}
    assert keep_message("dead_letter", "", message)
    (row,) = waiting()
    assert not replay(row)
    assert waiting() == [row]
