"""Messages that stay in Redis after their commit are counted again by a replay, and give way to the queue."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from app.ingest import kept_messages
from delivery.broker import get_broker
from delivery.redis import kept, kept_scripts
from delivery.redis.broker import SpendgateBroker
from domain.errors import InvalidValue
from runtime import clock
from runtime.settings import SettingsError, settings
from tests.cli.shell import shell
from tests.kit import dead_letters, is_empty, put, put_message, queue, working
from tests.queues import is_rabbitmq
from tests.world import World, eventually

pytestmark = pytest.mark.skipif(is_rabbitmq(), reason="is about Redis")
STREAM = "dramatiq:spend.kept"
STATE = "dramatiq:spend.kept.state"


@pytest.fixture
def campaign(world: World) -> int:
    """Returns a campaign of a brand without limits."""
    return world.campaign(world.brand())


@pytest.fixture(autouse=True)
def keeping(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Keeps messages for ten minutes in this process and in commands."""
    monkeypatch.setenv("SPENDGATE_KEEP_MESSAGES_MINUTES", "10")
    settings.cache_clear()
    yield monkeypatch
    settings.cache_clear()


def counted(world: World, campaign: int, *micros: int) -> None:
    """Sends one message for each amount and lets a worker count them."""
    for amount in micros:
        put_message(kwargs={"events": [world.event(campaign, amount)]})
    with working():
        eventually(is_empty)


def lose_everything(world: World) -> None:
    """Deletes what was counted, as on a standby that never received it."""
    world.execute("TRUNCATE spend_events, campaign_days, brand_days, rejected_events")


def bytes_of(entries: list[Any]) -> int:
    return sum(len(fields[b"data"]) for _, fields in entries)


def entries() -> list[Any]:
    found: Any = queue().xrange(STREAM)
    return list(found)


def stored_bytes() -> int:
    found: Any = queue().hget(STATE, "bytes")
    return int(found or 0)


def test_replay_counts_what_the_ledger_lacks_and_nothing_twice(world: World, campaign: int) -> None:
    counted(world, campaign, 3, 4)
    lose_everything(world)
    counted(world, campaign, 5)
    assert len(entries()) == 3
    done = shell("replay", "--all", "--json")
    assert (done.code, done.data["messages"], done.data["replayed"]) == (0, 3, 3)
    with working():
        eventually(is_empty)
    assert world.spent(campaign) == 12
    assert len(entries()) == 3, "they are kept again, for the next failover"
    assert stored_bytes() == bytes_of(entries())
    world.verify()


def test_only_messages_of_the_given_time_are_replayed(world: World, campaign: int) -> None:
    counted(world, campaign, 3)
    (first,) = entries()
    counted(world, campaign, 4)
    after_ms = int(first[0].partition(b"-")[0]) + 1
    since = kept._moment(after_ms)
    lose_everything(world)
    found = shell("replay", "--since", since.isoformat(), "--dry-run", "--json").data
    assert (found["messages"], found["replayed"], found["complete"]) == (1, 0, True)
    assert is_empty()
    assert shell("replay", "--since", since.isoformat()).code == 0
    with working():
        eventually(is_empty)
    assert world.spent(campaign) == 4


def test_replay_says_when_messages_of_that_time_are_gone(world: World, campaign: int) -> None:
    earlier = clock.now() - timedelta(minutes=1)
    counted(world, campaign, 3)
    done = shell("replay", "--since", earlier.isoformat())
    assert done.code == 1
    assert "let the producers send again" in done.err


@pytest.mark.parametrize(
    "options",
    [(), ("--all", "--since", "2026-01-01T00:00:00Z"), ("--since", "2026-01-01"), ("--since", "2999-01-01T00:00:00Z")],
)
def test_replay_refuses_an_unclear_time(options: tuple[str, ...]) -> None:
    assert shell("replay", *options).code == 2


def test_kept_bytes_stay_within_their_bound(world: World, campaign: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MEGABYTE", 1)
    monkeypatch.setenv("SPENDGATE_KEEP_MESSAGES_MEGABYTES", "1000")
    settings.cache_clear()
    counted(world, campaign, *range(1, 21))
    left = entries()
    assert 0 < bytes_of(left) <= 1000
    assert stored_bytes() == bytes_of(left)
    amounts = [json.loads(fields[b"data"])["kwargs"]["events"][0]["amount_micros"] for _, fields in left]
    assert 20 in amounts, "the newest stay"
    assert kept_messages.state().messages == len(left)


def test_messages_age_by_counting_and_not_during_an_outage(world: World, campaign: int) -> None:
    counted(world, campaign, 1)
    queue().hset(STATE, "last_ms", 1)  # the last message was acknowledged decades ago
    counted(world, campaign, 2)
    assert len(entries()) == 2
    assert kept_messages.state().reach <= timedelta(milliseconds=kept_scripts.LONGEST_GAP_MS)
    queue().hincrby(STATE, "counting_ms", 10 * 60_000 + 1)
    counted(world, campaign, 3)
    assert len(entries()) == 1
    assert kept_messages.state().since > clock.now() - timedelta(minutes=1)


def test_kept_messages_give_way_when_redis_is_nearly_full(world: World, campaign: int) -> None:
    counted(world, campaign, *range(1, 11))
    client: Any = queue()
    before = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", client.info("memory")["used_memory"])
    broker = get_broker()
    assert isinstance(broker, SpendgateBroker)
    try:
        kept.make_room(broker.steps, "spend")
    finally:
        client.config_set("maxmemory", before)
    assert (entries(), stored_bytes()) == ([], 0)


def test_rejected_inputs_are_rejected_again_by_a_replay(world: World, campaign: int) -> None:
    put_message(kwargs={"events": [world.event(campaign + 99, 3)]})
    put(b"no message")
    with working():
        eventually(lambda: is_empty() and len(world.rejected()) == 2)
    lose_everything(world)
    assert shell("replay", "--all").code == 0
    with working():
        eventually(lambda: is_empty() and len(world.rejected()) == 2)
    assert dead_letters() == set()


def test_dead_letters_of_redis_are_kept_once_postgres_has_them(world: World) -> None:
    client = queue()
    client.hset("dramatiq:spend.XQ.msgs", "one", b"no message")
    client.zadd("dramatiq:spend.XQ", {"one": 1})
    broker = get_broker()
    assert isinstance(broker, SpendgateBroker)
    consumer = broker.consume("spend")
    consumer._tidy()
    consumer.close()
    assert [row["reason"] for row in world.rejected()] == ["dead_letter"]
    assert [fields[b"data"] for _, fields in entries()] == [b"no message"]


def test_nothing_is_kept_by_default(world: World, campaign: int, keeping: pytest.MonkeyPatch) -> None:
    keeping.delenv("SPENDGATE_KEEP_MESSAGES_MINUTES")
    settings.cache_clear()
    counted(world, campaign, 3)
    assert queue().keys("dramatiq:spend.kept*") == []


def test_rabbitmq_cannot_keep_messages(keeping: pytest.MonkeyPatch) -> None:
    keeping.setenv("BROKER_URL", "amqp://app:hidden@127.0.0.1:5672/spendgate")
    settings.cache_clear()
    with pytest.raises(SettingsError, match="SPENDGATE_KEEP_MESSAGES_MINUTES: RabbitMQ keeps no message"):
        settings().required_queue_url()
    keeping.setattr(kept_messages, "get_broker", object)
    with pytest.raises(InvalidValue, match="let the sender send them again"):
        kept_messages.state()
