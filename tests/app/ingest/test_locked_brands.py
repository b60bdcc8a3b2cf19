"""While one brand is locked or slow for any length of time, all other brands are counted."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import dramatiq
import psycopg
import pytest
from dramatiq.errors import BrokerConnectionError
from sqlalchemy.exc import OperationalError

from app.ingest.by_brand import BrandsTimedOut
from app.ingest.ingest import count_events, count_totals
from app.ingest.locked_brands import (
    FIRST_PAUSE_SECONDS,
    LEAST_DELAY_SECONDS,
    LONGEST_PAUSE_SECONDS,
    SPREAD,
    LockedBrands,
    locked_brands,
)
from db.engine import engine
from runtime.settings import settings
from tests.cli.shell import UNCHANGED, Env, Service, serving
from tests.kit import at_once, is_empty, working
from tests.queues import ON_REDIS, USES_NO_BROKER, queues
from tests.world import UNIT, World, eventually
from workers.actors.ingest import ingest_reported_totals, ingest_spend

BRANDS = 5
SMALL = {"SPENDGATE_WORKER_PROCESSES": "1", "SPENDGATE_WORKER_THREADS": "2"}
ROW_OF_THE_BRAND = "SELECT FROM brands WHERE id = %s FOR UPDATE"
ROW_OF_ITS_DAY = "SELECT FROM brand_days WHERE brand_id = %s FOR UPDATE"

Start = Callable[..., AbstractContextManager[Service]]


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    locked_brands.forget()
    yield
    locked_brands.forget()


@pytest.fixture
def workers(database: str, tmp_path: Path) -> Start:
    """Starts worker processes on the test's own database."""
    numbers = iter(range(100))

    def started(env: Env = UNCHANGED) -> AbstractContextManager[Service]:
        changes = {"DATABASE_URL": database, **SMALL, **env}
        return serving("-m", "workers", output=tmp_path / f"workers-{next(numbers)}", env=changes)

    return started


@pytest.fixture
def campaigns(world: World) -> list[int]:
    """One campaign of each of several brands, all with spend."""
    made = [world.campaign(world.brand(daily=1_000 * UNIT)) for _ in range(BRANDS)]
    world.ingest([world.event(campaign, 1) for campaign in made])
    return made


@contextmanager
def locked(world: World, brand: int, statement: str = ROW_OF_THE_BRAND) -> Iterator[None]:
    """Another transaction locks a row of the brand during the block."""
    with psycopg.connect(world.url) as stranger:
        assert stranger.execute(statement.encode(), [brand]).rowcount == 1
        yield
        stranger.rollback()


def spent(world: World, campaigns: list[int]) -> list[int]:
    return [world.spent(campaign) for campaign in campaigns]


def delayed() -> list[dramatiq.Message[Any]]:
    """The delayed messages of queue `spend`."""
    return [dramatiq.Message.decode(body) for body in queues().waiting("spend.DQ")]


# --- events


@pytest.mark.parametrize("statement", [ROW_OF_THE_BRAND, ROW_OF_ITS_DAY], ids=["brand", "day"])
def test_locked_brand_delays_no_other_brand_and_counts_once_afterwards(
    world: World, campaigns: list[int], workers: Start, statement: str
) -> None:
    stuck, others = campaigns[1], [campaigns[0], *campaigns[2:]]
    with workers() as worker, locked(world, world.brand_of(stuck), statement):
        for _ in range(20):
            ingest_spend.send(events=[world.event(stuck, 1)])
            ingest_spend.send(events=[world.event(campaign, 1) for campaign in campaigns])
        ingest_spend.send(events=[world.event(campaign, 1_000 * UNIT) for campaign in campaigns])
        eventually(lambda: spent(world, others) == [21 + 1_000 * UNIT] * len(others))
        assert not any(world.is_active(campaign) for campaign in others)
        assert (world.spent(stuck), world.is_active(stuck)) == (1, True)
        assert {line["brand_id"] for line in worker.logged("brand.locked")} == {world.brand_of(stuck)}
    with workers():
        eventually(lambda: is_empty() and world.spent(stuck) == 41 + 1_000 * UNIT, 60)
    assert not world.is_active(stuck)
    assert world.one("SELECT count(*) AS events FROM spend_events")["events"] == BRANDS + 20 + 21 * BRANDS
    assert world.rejected() == []
    world.verify()


def test_worker_killed_while_it_delays_spend_loses_none(world: World, campaigns: list[int], workers: Start) -> None:
    batches = [[world.event(campaign, 1) for campaign in campaigns] for _ in range(60)]
    with locked(world, world.brand_of(campaigns[2])):
        for batch in batches:
            ingest_spend.send(events=batch)
        for _ in range(2):
            with workers() as killed:
                eventually(lambda killed=killed: bool(killed.logged("brand.locked")))  # type: ignore[misc]  # bound now
                os.killpg(killed.process.pid, signal.SIGKILL)
                killed.code()
    with workers():
        eventually(lambda: spent(world, campaigns) == [61] * BRANDS, 90)
        eventually(is_empty)
    assert spent(world, campaigns) == [61] * BRANDS
    world.verify()


def test_slow_brand_delays_no_other_brand_and_is_retried_until_it_is_fast(
    world: World, campaigns: list[int], workers: Start
) -> None:
    slow, others = campaigns[3], [*campaigns[:3], campaigns[4]]
    world.execute(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN new; END $$"
    )
    world.execute(
        "CREATE TRIGGER dawdle BEFORE INSERT OR UPDATE ON brand_days FOR EACH ROW "
        f"WHEN (new.brand_id = {world.brand_of(slow)}) EXECUTE FUNCTION dawdle()"
    )
    with workers({"SPENDGATE_STATEMENT_TIMEOUT_MS": "300"}) as worker:
        for _ in range(5):
            ingest_spend.send(events=[world.event(campaign, 1) for campaign in campaigns])
        eventually(lambda: spent(world, others) == [6] * len(others))
        eventually(lambda: {line["error"] for line in worker.logged("brand.locked")} == {"QueryCanceled"})
        assert world.spent(slow) == 1
        world.execute("DROP TRIGGER dawdle ON brand_days")
        eventually(lambda: is_empty() and world.spent(slow) == 6, 60)
    assert world.rejected() == []
    world.verify()


def test_bad_inputs_beside_a_locked_brand_are_kept_at_once(world: World, campaigns: list[int]) -> None:
    bad: list[object] = ["rubbish", world.event(10**6, 1)]
    with locked(world, world.brand_of(campaigns[0])):
        world.ingest([*bad, *(world.event(campaign, 1) for campaign in campaigns)])
        assert spent(world, campaigns) == [1, *[2] * (BRANDS - 1)]
        assert {row["reason"] for row in world.rejected()} == {"malformed", "unknown_campaign"}
    (message,) = delayed()
    locked_brands.forget()
    ingest_spend(**message.kwargs)
    assert spent(world, campaigns) == [2] * BRANDS
    assert len(world.rejected()) == 2


def test_delayed_part_keeps_the_senders_brand(world: World, campaigns: list[int]) -> None:
    brand = world.brand_of(campaigns[0])
    events = [world.event(campaign, 1) for campaign in campaigns]
    with locked(world, brand):
        ingest_spend(events=events, only_brand_id=brand)
        assert [(row["reason"], row["only_brand_id"]) for row in world.rejected()] == [("unknown_campaign", brand)] * 4
    (message,) = delayed()
    locked_brands.forget()
    assert message.kwargs == {"events": events[:1], "only_brand_id": brand}
    ingest_spend(**message.kwargs)
    assert spent(world, campaigns) == [2, 1, 1, 1, 1]


def test_delayed_spend_is_delayed_again_until_its_next_try_is_due(world: World, campaigns: list[int]) -> None:
    brand = world.brand_of(campaigns[0])
    with locked(world, brand):
        world.spend(campaigns[0], 1)
    locked_brands.add([brand], tried_seconds=30)
    (first,) = delayed()
    ingest_spend(**first.kwargs)
    assert [message.kwargs for message in delayed()] == [first.kwargs] * 2
    assert world.spent(campaigns[0]) == 1
    locked_brands.forget()
    for message in delayed():
        ingest_spend(**message.kwargs)
    assert world.spent(campaigns[0]) == 2


@ON_REDIS
def test_spend_with_a_long_delay_is_counted_once_its_brand_is_free(
    world: World, campaigns: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.ingest.locked_brands.LEAST_DELAY_SECONDS", 600.0)
    monkeypatch.setattr("app.ingest.locked_brands.LONGEST_DELAY_SECONDS", 600.0)
    with locked(world, world.brand_of(campaigns[0])):
        for _ in range(4):
            world.spend(campaigns[0], 1)
    assert len(delayed()) == 4
    with working():
        eventually(lambda: world.spent(campaigns[0]) == 5 and is_empty(), 60)
    world.verify()


def test_message_is_delivered_again_if_its_delayed_part_cannot_be_enqueued(world: World, campaigns: list[int]) -> None:
    events = [world.event(campaign, 1) for campaign in campaigns]
    refused = queues().refusing("spend.DQ")
    with locked(world, world.brand_of(campaigns[0])), refused, pytest.raises(BrokerConnectionError):
        ingest_spend(events=events)
    assert spent(world, campaigns) == [1, *[2] * (BRANDS - 1)]
    locked_brands.forget()
    ingest_spend(events=events)
    assert spent(world, campaigns) == [2] * BRANDS
    assert delayed() == []


# --- totals


def total(world: World, campaign: int) -> dict[str, Any]:
    names = {"source": "meta_ads", "campaign_id": campaign, "day": "2026-06-01", "total_micros": 7}
    return {**names, "as_of": "2026-06-02T00:00:00Z"}


def test_totals_of_a_locked_brand_delay_no_other_brand(world: World, campaigns: list[int], workers: Start) -> None:
    totals = [total(world, campaign) for campaign in campaigns]
    with workers():
        with locked(world, world.brand_of(campaigns[1])):
            ingest_reported_totals.send(totals=totals)
            eventually(lambda: spent(world, campaigns) == [8, 1, 8, 8, 8])
        eventually(lambda: is_empty() and spent(world, campaigns) == [8] * BRANDS, 60)
    world.verify()


# --- waiting callers


@pytest.mark.parametrize("count", [count_events, count_totals])
def test_waiting_caller_gets_the_locked_brand_after_all_others_are_counted(
    world: World, campaigns: list[int], monkeypatch: pytest.MonkeyPatch, count: Callable[[Sequence[object]], Any]
) -> None:
    monkeypatch.setenv("SPENDGATE_LOCK_TIMEOUT_MS", "200")
    settings.cache_clear()
    engine().dispose()
    engine.cache_clear()
    if count is count_events:
        inputs = [world.event(campaign, 7) for campaign in campaigns]
    else:
        inputs = [total(world, campaign) for campaign in campaigns]
    with locked(world, world.brand_of(campaigns[1])):
        with pytest.raises(OperationalError, match="lock timeout") as raised:
            count(inputs)
        assert isinstance(raised.value, BrandsTimedOut)
        assert raised.value.brand_ids == [world.brand_of(campaigns[1])]
        assert spent(world, campaigns) == [8, 1, 8, 8, 8]
    counted = count(inputs)
    assert (counted.taken, counted.known) == (1, 4)
    assert delayed() == []
    world.verify()


# --- tries of locked brands


@USES_NO_BROKER
def test_one_thread_at_a_time_tries_a_locked_brand() -> None:
    brands = LockedBrands()
    brands.add([7])
    assert brands.ids() == {7}
    assert brands.take_due([7]) == []
    turns: list[int] = []

    def has_turn() -> bool:
        turns.extend(brands.take_due([7]))
        return bool(turns)

    eventually(has_turn)
    at_once(*[lambda: turns.extend(brands.take_due([7]))] * 4)
    assert turns == [7]
    brands.mark_free(7)
    assert brands.ids() == frozenset()


@USES_NO_BROKER
def test_brand_that_is_not_locked_is_tried_at_once() -> None:
    brands = LockedBrands()
    brands.add([7])
    assert brands.take_due([7, 8]) == [8]


@USES_NO_BROKER
def test_pause_between_tries_grows_up_to_its_bound() -> None:
    pauses = []
    for failures in range(8):
        brands = LockedBrands()
        brands.add([7])
        for _ in range(failures):
            brands.mark_still_locked(7, tried_seconds=0)
        pauses.append(brands.delay_ms([7]) / 1000)
    for number, pause in enumerate(pauses):
        longest = min(FIRST_PAUSE_SECONDS * 2**number, LONGEST_PAUSE_SECONDS)
        assert max(longest / 2, FIRST_PAUSE_SECONDS) - 0.1 <= pause <= SPREAD * longest
    brands.mark_still_locked(7, tried_seconds=60)
    assert brands.delay_ms([7]) >= 119_000


@USES_NO_BROKER
def test_one_message_is_delayed_until_the_next_try_and_all_others_longer() -> None:
    brands = LockedBrands()
    brands.add([7])
    assert brands.delay_ms([7]) < 2_000
    assert all(brands.delay_ms([7]) >= 1_000 * LEAST_DELAY_SECONDS for _ in range(5))
    assert brands.delay_ms([7, 8]) >= 1_000 * LEAST_DELAY_SECONDS
    brands.add([8])
    assert brands.delay_ms([7, 8]) < 2_000


@USES_NO_BROKER
def test_delayed_messages_of_a_freed_brand_are_returned_once() -> None:
    brands = LockedBrands()
    brands.add([7, 8])
    brands.add_delayed([7], "one")
    brands.add_delayed([7, 8, 9], "two")
    brands.add_delayed([8], None)
    assert brands.take_freed() == []
    brands.mark_free(7)
    assert brands.take_freed() == ["one", "two"]
    brands.mark_free(8)
    assert (brands.take_freed(), brands.take_freed()) == (["two"], [])


@USES_NO_BROKER
def test_message_is_delayed_until_the_first_of_its_brands_is_due() -> None:
    brands = LockedBrands()
    brands.add([7], tried_seconds=100)
    brands.add([8])
    assert brands.delay_ms([7, 8]) < 2_000
    assert 900 <= brands.delay_ms([9]) < 2_000
