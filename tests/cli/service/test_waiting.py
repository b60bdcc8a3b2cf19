"""`spendgate send --wait` returns after every message is committed and prints the counts."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from app.ingest.locked_brands import locked_brands
from db.repository.access.privileges import DatabaseRole
from delivery import receipts
from delivery.messages import keep
from tests.cli.conftest import Spendgate
from tests.cli.shell import UNCHANGED, CommandResult, Env, Service, serving, shell
from tests.queues import ON_REDIS
from tests.roles import UrlOf
from tests.world import UNIT, World, eventually
from workers.actors.ingest import ingest_spend

SMALL = {"SPENDGATE_WORKER_PROCESSES": "1", "SPENDGATE_WORKER_THREADS": "2"}
Workers = Callable[[], Any]


@pytest.fixture
def workers(url_of: UrlOf, tmp_path: Path) -> Workers:
    """Returns a context manager that runs worker processes on the test's database, ready on entry."""

    @contextmanager
    def started(env: Env = UNCHANGED) -> Iterator[Service]:
        changes = {"DATABASE_URL": url_of(DatabaseRole.WORKER), **SMALL, **env}
        with serving("-m", "workers", output=tmp_path / "workers", env=changes) as worker:
            eventually(lambda: bool(worker.logged("worker.ready")) and receipts.is_worker_seen() is not False)
            yield worker

    return started


@pytest.fixture
def campaign(world: World) -> int:
    return world.campaign(world.brand())


def send(spendgate: Spendgate, events: list[Any], *options: str) -> CommandResult:
    return spendgate("send", "-", "--wait", *options, stdin="".join(f"{json.dumps(event)}\n" for event in events))


def test_send_wait_returns_when_every_event_is_counted_known_or_rejected(
    world: World, spendgate: Spendgate, workers: Workers, campaign: int
) -> None:
    known = world.spend(campaign, UNIT)
    again = world.event(campaign, UNIT)
    events = [known, again, again, *(world.event(campaign, UNIT) for _ in range(4))]
    bad = ["rubbish", {"event_id": "no uuid"}, {**again, "amount_micros": 5}, world.event(10**6, 1)]
    with workers():
        result = send(spendgate, [*events, *bad], "--batch", "2", "--json")
        assert world.spent(campaign) == 6 * UNIT
        assert len(world.rejected()) == 4
    rejected = {"conflicting_duplicate": 1, "malformed": 2, "unknown_campaign": 1}
    outcome = {"taken": 5, "known": 2, "rejected": rejected, "given_up": 0, "on_the_way": 0}
    assert (result.code, result.data) == (1, {"sent": 11, "messages": 6, "bad_lines": []} | outcome)


def test_send_wait_prints_the_outcome_in_a_few_lines(
    world: World, spendgate: Spendgate, workers: Workers, campaign: int
) -> None:
    with workers():
        fine = send(spendgate, [world.event(campaign, UNIT)])
        mixed = send(spendgate, [world.event(campaign, UNIT), {}])
    assert (fine.code, fine.out) == (0, "1 sent in 1 message\n1 counted, 0 known already, 0 rejected\n")
    assert (mixed.code, fine.err, mixed.err) == (1, "", "")
    for words in ("1 counted, 0 known already, 1 rejected", "malformed: 1", "spendgate rejected list"):
        assert words in mixed.out


def test_send_wait_waits_for_reported_totals(
    world: World, spendgate: Spendgate, workers: Workers, campaign: int
) -> None:
    total = {"source": "bing", "campaign_id": campaign, "day": "2026-06-01", "total_micros": 3 * UNIT}
    with workers():
        result = send(spendgate, [total | {"as_of": "2026-06-02T00:00:00Z"}], "--totals", "--json")
        assert world.spent(campaign) == 3 * UNIT
    assert (result.code, result.data["taken"]) == (0, 1)


def test_send_wait_without_events_returns_at_once(spendgate: Spendgate) -> None:
    assert send(spendgate, []).code == 0


@ON_REDIS
def test_send_wait_after_its_timeout_counts_the_missing_events_and_names_the_missing_worker(
    world: World, spendgate: Spendgate, campaign: int
) -> None:
    events = [world.event(campaign, UNIT) for _ in range(3)]
    result = send(spendgate, events, "--timeout", "0.2", "--batch", "2")
    assert result.code == 4
    assert "3 of 3 inputs are not counted yet" in result.err
    assert "no worker" in result.err
    by_json = send(spendgate, events, "--timeout", "0.2", "--json")
    assert (by_json.code, by_json.data["on_the_way"]) == (4, 3)


def test_send_wait_does_not_report_a_running_worker_as_missing(
    world: World, spendgate: Spendgate, workers: Workers, campaign: int
) -> None:
    with workers(), psycopg.connect(world.url) as stranger:
        stranger.execute("LOCK TABLE brands, campaigns")
        result = send(spendgate, [world.event(campaign, UNIT)], "--timeout", "1")
        assert (result.code, "no worker" in result.err) == (4, False)
        stranger.rollback()


def test_send_wait_waits_for_the_delayed_spend_of_a_locked_brand(
    world: World, spendgate: Spendgate, workers: Workers, campaign: int
) -> None:
    free = world.campaign(world.brand())
    events = [world.event(number, UNIT) for number in (campaign, free) for _ in range(3)]
    with workers() as worker, psycopg.connect(world.url) as stranger:
        stranger.execute("SELECT FROM brands WHERE id = %s FOR UPDATE", [world.brand_of(campaign)])
        result = send(spendgate, events, "--timeout", "8", "--json")
        assert (result.code, result.data["taken"], result.data["on_the_way"]) == (4, 3, 3)

        def release() -> None:
            eventually(lambda: world.spent(free) == 4 * UNIT)
            stranger.rollback()

        again = threading.Thread(target=release)
        again.start()
        result = send(spendgate, [*events, world.event(free, UNIT)], "--json")
        again.join()
        assert worker.logged("brand.locked")
    assert (result.code, result.data["on_the_way"]) == (0, 0)
    assert result.data["taken"] + result.data["known"] == 7
    assert (world.spent(campaign), world.spent(free)) == (3 * UNIT, 4 * UNIT)


def test_send_wait_reports_a_dead_lettered_message(
    world: World, spendgate: Spendgate, workers: Workers, campaign: int
) -> None:
    broken = world.campaign(world.brand())
    world.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$"
    )
    world.execute(
        "CREATE TRIGGER fail BEFORE INSERT ON campaign_days FOR EACH ROW "
        f"WHEN (new.campaign_id = {broken}) EXECUTE FUNCTION fail()"
    )
    events = [world.event(number, UNIT) for number in (campaign, campaign, broken, broken)]
    with workers():
        result = send(spendgate, events, "--batch", "2", "--json")
    assert (result.code, result.data["taken"], result.data["given_up"], result.data["on_the_way"]) == (1, 2, 2, 0)


def test_send_wait_ignores_dead_letters_of_others(
    world: World, spendgate: Spendgate, workers: Workers, campaign: int
) -> None:
    assert keep("dead_letter", "", {"kwargs": {"what": "no text of Postgres's: \0", "receipt": ["none"]}})
    broken = {**world.event(campaign, UNIT), "event_id": "no uuid"}
    with workers():
        result = send(spendgate, [world.event(campaign, UNIT), broken], "--json")
    assert (result.code, result.data["taken"], result.data["given_up"]) == (1, 1, 0)


def test_send_wait_without_redis_names_the_missing_setting(database: str) -> None:
    result = shell("send", "-", "--wait", env={"REDIS_URL": None, "BROKER_URL": "amqp://u:hidden@127.0.0.1:1/x"})
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "REDIS_URL" in result.err


# --- receipts


def receipt_of(name: str) -> receipts.Receipt:
    return receipts.read([name])[name]


def test_redelivered_message_does_not_change_its_receipt(world: World, campaign: int) -> None:
    name = receipts.new_name(receipts.new_submission())
    events = [world.event(campaign, 1), world.event(campaign, 1), {}]
    ingest_spend(events=events, receipt=name)
    ingest_spend(events=events, receipt=name)
    assert receipt_of(name) == receipts.Receipt(2, 0, {"malformed": 1}, [])


def test_delayed_part_of_a_message_has_its_own_receipt(world: World, campaign: int) -> None:
    name = receipts.new_name(receipts.new_submission())
    locked_brands.add([world.brand_of(campaign)], tried_seconds=30)
    try:
        ingest_spend(events=[world.event(campaign, 1), {}], receipt=name)
    finally:
        locked_brands.forget()
    first = receipt_of(name)
    assert (first.taken, first.rejected, len(first.later)) == (0, {"malformed": 1}, 1)
    assert receipts.read(first.later) == {}


@pytest.mark.parametrize("name", ["", "x", 5, ["a"], "../" * 10, "a" * 32 + "/" + "b" * 33])
def test_malformed_receipt_name_is_ignored(world: World, campaign: int, name: object) -> None:
    ingest_spend(events=[world.event(campaign, 1)], receipt=name)
    assert world.spent(campaign) == 1
    assert world.rejected() == []
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as queue:
        assert list(queue.scan_iter("spendgate:*")) == []
