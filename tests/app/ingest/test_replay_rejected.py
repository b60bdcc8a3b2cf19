"""Replay of rejected inputs after their fault was corrected."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import psycopg
import pytest

from app.ingest import replay_rejected as replaying
from app.ingest.count import Counted
from app.ingest.ingest import count_events
from app.ingest.replay_rejected import Replayed, replay, replay_chosen
from db.engine import engine, transaction
from db.repository.ledger import rejected
from delivery.messages import keep as keep_message
from runtime import clock
from runtime.settings import settings
from tests.kit import is_empty, working
from tests.world import World, eventually
from workers.actors.ingest import ingest_reported_totals


@pytest.fixture
def campaign(world: World, noon: datetime) -> int:
    """A campaign of a brand with no limits, at noon."""
    world.set_clock(noon)
    return world.campaign(world.brand())


def waiting() -> list[rejected.Waiting]:
    with transaction() as connection:
        return rejected.waiting(connection)


def named(world: World, campaign: int) -> None:
    world.edit_campaign(campaign, platform="meta_ads", external_id="77")


def test_replay_counts_an_event_once_its_campaign_is_known(world: World, campaign: int) -> None:
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


def test_replay_counts_a_total_once_its_campaign_is_known(world: World, campaign: int) -> None:
    sent = {"source": "meta_ads", "platform": "meta_ads", "external_id": "77", "day": "2026-06-16"}
    ingest_reported_totals(totals=[{**sent, "total_micros": 7, "as_of": clock.now().isoformat()}])
    named(world, campaign)
    (row,) = waiting()
    assert replay(row)
    assert world.spent(campaign, "2026-06-16") == 7


def test_event_rejected_again_for_another_reason_is_kept_with_the_new_reason(world: World, campaign: int) -> None:
    event = {**world.event(campaign, 5, currency="EUR"), "campaign_id": None}
    world.ingest([{**event, "platform": "meta_ads", "external_id": "77"}])
    named(world, campaign)
    (row,) = waiting()
    assert not replay(row)
    assert [row.reason for row in waiting()] == ["wrong_currency"]


def test_kept_message_is_sent_again_without_its_failure_options(world: World, campaign: int) -> None:
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
def test_message_of_an_unknown_actor_or_shape_stays_kept(world: World, payload: object) -> None:
    keep_message("undecodable", "rubbish", payload)
    (row,) = waiting()
    assert not replay(row)
    assert len(waiting()) == 1
    assert is_empty()


def test_kept_inputs_are_listed_by_page_reason_and_id_and_counted(world: World, campaign: int) -> None:
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


def test_message_too_large_to_be_sent_stays_kept(world: World, campaign: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPENDGATE_MAX_MESSAGE_BYTES", "65536")
    settings.cache_clear()
    message = {"actor_name": "ingest_spend", "args": [], "kwargs": {"events": [{"padding": "x" * 70_000}]}}
    assert keep_message("dead_letter", "", message)
    (row,) = waiting()
    assert not replay(row)
    assert waiting() == [row]


def unknown(world: World, count: int) -> list[dict[str, Any]]:
    """Events of a campaign that has spend on its platform and is not known here yet."""
    events = [{**world.event(1, 1), "campaign_id": None} for _ in range(count)]
    return [{**event, "platform": "meta_ads", "external_id": "77"} for event in events]


def test_replay_counts_many_inputs_in_few_transactions(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ingest([*unknown(world, 1_200), {"bad": 1}])
    sent = {"source": "meta_ads", "platform": "meta_ads", "external_id": "77", "day": "2026-06-16"}
    ingest_reported_totals(totals=[{**sent, "total_micros": 7, "as_of": clock.now().isoformat()}])
    named(world, campaign)
    batches: list[int] = []

    def counting(payloads: Sequence[Any], only_brand_id: int | None) -> Counted:
        batches.append(len(payloads))
        return count_events(payloads, only_brand_id)

    monkeypatch.setattr(replaying, "count_events", counting)
    reported: list[tuple[int, int]] = []
    done = replay_chosen(progress=lambda count, total: reported.append((count, total)))
    assert done == Replayed(taken=1_201, known=0, rejected=1)
    assert batches == [1_201]
    assert reported == [(1_202, 1_202)]
    assert world.spent(campaign) == 1_207
    assert [(row.reason, row.times) for row in waiting()] == [("malformed", 2)]
    world.verify()


def test_replay_of_known_input_counts_it_as_known_and_removes_it(world: World, campaign: int) -> None:
    events = unknown(world, 3)
    world.ingest(events)
    named(world, campaign)
    world.ingest(events[:2])
    assert replay_chosen() == Replayed(taken=1, known=2)
    assert (waiting(), world.spent(campaign)) == ([], 3)


def test_input_kept_for_two_reasons_is_counted_once(world: World, campaign: int) -> None:
    events = unknown(world, 1)
    world.ingest(events)
    world.execute("UPDATE rejected_events SET reason = 'in_future'")
    world.ingest(events)
    named(world, campaign)
    assert replay_chosen() == Replayed(taken=1, known=1)
    assert (waiting(), world.spent(campaign)) == ([], 1)


def test_replay_of_a_brand_senders_input_knows_only_that_brand(world: World, campaign: int) -> None:
    other = world.campaign(world.brand())
    count_events([world.event(10**6, 1)], world.brand_of(other))
    count_events([world.event(campaign, 1)], world.brand_of(other))
    assert replay_chosen() == Replayed(rejected=2)
    assert world.spent(campaign) == 0


def test_concurrent_replays_count_each_input_once(world: World, campaign: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "MAX_EVENTS_PER_MESSAGE", 20)
    world.ingest(unknown(world, 300) + [{"bad": n} for n in range(30)])
    named(world, campaign)
    with ThreadPoolExecutor(3) as pool:
        done = [future.result() for future in [pool.submit(replay_chosen) for _ in range(3)]]
    assert sum(one.taken for one in done) == 300
    assert sum(one.known for one in done) == 0
    assert world.spent(campaign) == 300
    assert {row.reason for row in waiting()} == {"malformed"}
    assert len(waiting()) == 30
    world.verify()


def test_inputs_are_known_after_a_crash_between_counting_and_removal(
    world: World, campaign: int, noon: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ingest(unknown(world, 5))
    named(world, campaign)

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(rejected, "settle", die)
        with pytest.raises(SystemExit):
            replay_chosen()
    assert (len(waiting()), world.spent(campaign)) == (5, 5)
    assert replay_chosen() == Replayed(), "the dead one's claim still holds"
    world.set_clock(noon + replaying.CLAIM)
    assert replay_chosen() == Replayed(known=5)
    assert (waiting(), world.spent(campaign)) == ([], 5)


def test_replay_keeps_inputs_of_a_locked_brand_and_counts_the_others(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPENDGATE_LOCK_TIMEOUT_MS", "300")
    settings.cache_clear()
    engine().dispose()
    engine.cache_clear()
    locked = world.campaign(world.brand())
    late = world.campaign(world.brand("UTC", "CHF"))
    events = [world.event(one, 1, currency="EUR") for one in (campaign, locked, late)]
    world.ingest(events)
    world.execute("UPDATE brands SET currency = 'EUR' WHERE currency = 'USD'")
    with psycopg.connect(world.url) as other:
        other.execute("SELECT FROM brands WHERE id = %s FOR UPDATE", [world.brand_of(locked)])
        done = replay_chosen()
        assert done == Replayed(taken=1, rejected=1, held_up=1)
        rejected_again = "SELECT times FROM rejected_events WHERE payload ->> 'campaign_id' = %s"
        assert world.rows(rejected_again, str(late)) == [{"times": 2}]
        assert (world.spent(campaign), world.spent(locked)) == (1, 0)
    assert replay_chosen() == Replayed(taken=1, rejected=1)
    assert (world.spent(locked), len(waiting())) == (1, 1)
