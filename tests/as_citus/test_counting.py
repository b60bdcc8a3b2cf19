"""A batch of spend is counted server by server: a transaction writes one, and one away delays its brands alone."""

from collections.abc import Iterator
from datetime import datetime

import pytest
from psycopg.errors import ConnectionFailure
from sqlalchemy.exc import OperationalError

from app.ingest import ingest
from app.ingest.attempts import UNKNOWN_BRAND, UncountedInput
from app.ingest.ingest import count_events, count_totals
from app.ingest.locked_brands import locked_brands
from db.repository.ledger.named_campaigns import clear_campaign_cache
from domain.inputs.reasons import Reason
from tests.as_citus.driver import Driver, server_of, shard_of
from tests.kit import statements
from tests.world import UNIT, World

BRANDS = 9


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    locked_brands.forget()
    yield
    locked_brands.forget()


@pytest.fixture
def campaigns(world: World, noon: datetime) -> list[int]:
    """A campaign of each of several brands, which lie on all shards."""
    world.set_clock(noon)
    return [world.campaign(world.brand(daily=1_000 * UNIT)) for _ in range(BRANDS)]


@pytest.mark.parametrize("events", [1, 150], ids=["few events", "many events"])
def test_each_transaction_writes_one_server_and_one_shard_if_it_counts_many_events(
    world: World, driver: Driver, campaigns: list[int], events: int
) -> None:
    brands = {world.brand_of(campaign) for campaign in campaigns}
    servers = [{shard_of(brand) for brand in brands if server_of(brand) == server} for server in (1, 2)]
    expected = servers if events == 1 else [{shard} for shard in sorted(set[int]().union(*servers))]
    batch = [world.event(campaign, 1) for campaign in campaigns for _ in range(events)]
    driver.written.clear()
    counted = count_events(batch)
    assert (counted.taken, counted.known, counted.uncounted) == (events * BRANDS, 0, ())
    assert [one for one in driver.written if one] == expected
    assert count_events(batch).known == events * BRANDS
    assert [world.spent(campaign) for campaign in campaigns] == [events] * BRANDS
    world.verify()


def test_brands_that_were_moved_are_counted_by_the_next_try(world: World, campaigns: list[int]) -> None:
    count_events([world.event(campaign, 1) for campaign in campaigns])
    world.execute("CREATE SEQUENCE tries")
    world.execute(
        "CREATE OR REPLACE FUNCTION lock_shard_of_brands(shard bigint) RETURNS boolean LANGUAGE sql"
        " AS 'SELECT nextval(''tries'') > 1'"
    )
    with statements() as sent:
        assert count_events([world.event(campaign, 2) for campaign in campaigns]).taken == BRANDS
    assert sum("get_shard_id" in statement for statement, _ in sent) == 1
    assert [world.spent(campaign) for campaign in campaigns] == [3] * BRANDS
    world.verify()


def test_shard_of_a_brand_is_asked_for_once(world: World, campaigns: list[int]) -> None:
    count_events([world.event(campaign, 1) for campaign in campaigns])
    with statements() as sent:
        count_events([world.event(campaign, 1) for campaign in campaigns])
    assert not any("get_shard_id" in statement for statement, _ in sent)


def test_each_message_of_a_group_gets_the_counts_of_its_own_events(world: World, campaigns: list[int]) -> None:
    messages = [[world.event(campaign, 1, note=[]) for campaign in campaigns[place:]] for place in range(BRANDS)]
    batches = [batch for payloads in messages for batch in ingest.EVENTS.of_messages([payloads])]
    results = ingest.EVENTS.committer().commit(batches, locked_brands.ids())
    assert [result.counted.taken for result in results] == [BRANDS - place for place in range(BRANDS)]
    assert all(result.error is None and not result.counted.uncounted for result in results)


def test_bad_events_of_a_batch_over_several_shards_are_kept_once(world: World, campaigns: list[int]) -> None:
    good = [world.event(campaign, 1) for campaign in campaigns]
    counted = count_events([*good, world.event(campaigns[0], 1, currency="XXX"), {"event_id": "bad"}])
    assert (counted.taken, len(counted.rejections)) == (BRANDS, 2)
    assert [row["times"] for row in world.rows("SELECT times FROM rejected_events")] == [1, 1]


def test_budget_that_runs_out_on_each_shard_pauses_its_campaigns(world: World, campaigns: list[int]) -> None:
    counted = count_events([world.event(campaign, 1_000 * UNIT) for campaign in campaigns])
    assert {campaign for change in counted.changes for campaign in change.campaign_ids} == set(campaigns)
    assert not any(world.is_active(campaign) for campaign in campaigns)
    world.verify()


def test_totals_of_several_shards_are_counted(world: World, campaigns: list[int]) -> None:
    fields = {"source": "meta", "day": "2026-06-17", "as_of": "2026-06-17T12:00:00Z", "total_micros": 7}
    counted = count_totals([{"campaign_id": campaign, **fields} for campaign in campaigns])
    assert counted.taken == BRANDS
    assert [world.spent(campaign) for campaign in campaigns] == [7] * BRANDS


def test_server_away_delays_its_brands_alone(world: World, driver: Driver, campaigns: list[int]) -> None:
    batch = [world.event(campaign, 1) for campaign in campaigns]
    away = [campaign for campaign in campaigns if server_of(world.brand_of(campaign)) == 1]
    clear_campaign_cache()
    driver.stop(1)
    with statements() as sent:
        results = ingest.EVENTS.committer().commit(ingest.EVENTS.of_messages([batch]), frozenset())
    assert [result.error for result in results] == [None]
    assert {one.brand_id for one in results[0].counted.uncounted} == {world.brand_of(campaign) for campaign in away}
    assert results[0].counted.taken == BRANDS - len(away)
    assert locked_brands.ids() == {world.brand_of(campaign) for campaign in away}
    assert sum(statement == "BEGIN" for statement, _ in sent) == 2
    with pytest.raises(OperationalError) as raised:
        count_events(batch)
    assert isinstance(raised.value.orig, ConnectionFailure)
    driver.away = set()
    locked_brands.forget()
    assert count_events(batch).taken == len(away)
    world.verify()


def test_event_of_an_unknown_campaign_waits_for_a_server_that_is_away(
    world: World, driver: Driver, campaigns: list[int]
) -> None:
    here = [campaign for campaign in campaigns if server_of(world.brand_of(campaign)) == 2]
    unknown = world.event(max(campaigns) + 1, 1)
    batch = [*(world.event(campaign, 1) for campaign in here), unknown]
    driver.stop(1)
    (result,) = ingest.EVENTS.committer().commit(ingest.EVENTS.of_messages([batch]), frozenset())
    assert (result.error, result.counted.taken, result.counted.rejections) == (None, len(here), ())
    assert result.counted.uncounted == (UncountedInput(UNKNOWN_BRAND, unknown),)
    assert locked_brands.ids() == {UNKNOWN_BRAND}
    driver.away = set()
    counted = count_events(batch)
    assert (counted.known, [one.reason for one in counted.rejections]) == (len(here), [Reason.UNKNOWN_CAMPAIGN])


def test_event_in_another_currency_waits_for_a_server_that_is_away(
    world: World, driver: Driver, campaigns: list[int]
) -> None:
    away, here = sorted(campaigns, key=lambda campaign: server_of(world.brand_of(campaign)))[:: BRANDS - 1]
    unsure = world.event(away, 1, currency="EUR")
    driver.stop(1)
    messages = ingest.EVENTS.of_messages([[world.event(here, 1), unsure]])
    (result,) = ingest.EVENTS.committer().commit(messages, frozenset())
    assert (result.error, result.counted.taken, result.counted.rejections) == (None, 1, ())
    assert result.counted.uncounted == (UncountedInput(UNKNOWN_BRAND, unsure),)
    driver.away = set()
    assert [one.reason for one in count_events([unsure]).rejections] == [Reason.WRONG_CURRENCY]


def test_total_of_an_unknown_campaign_waits_for_a_server_that_is_away(
    world: World, driver: Driver, campaigns: list[int]
) -> None:
    fields = {"source": "meta", "day": "2026-06-17", "as_of": "2026-06-17T12:00:00Z", "total_micros": 7}
    here = next(campaign for campaign in campaigns if server_of(world.brand_of(campaign)) == 2)
    totals = [{"campaign_id": campaign, **fields} for campaign in (here, max(campaigns) + 1)]
    driver.stop(1)
    (result,) = ingest.TOTALS.committer().commit(ingest.TOTALS.of_messages([totals]), frozenset())
    assert (result.counted.taken, result.counted.rejections) == (1, ())
    assert [one.brand_id for one in result.counted.uncounted] == [UNKNOWN_BRAND]


def test_tick_locks_and_writes_brands_shard_by_shard(world: World, driver: Driver) -> None:
    world.set_clock("2026-06-17T11:00:00Z")
    campaigns = [world.campaign(world.brand("UTC"), schedule="Mon-Sun 00:00-12:00") for _ in range(BRANDS)]
    world.tick()
    world.set_clock("2026-06-17T12:00:00Z")
    driver.written.clear()
    world.tick()
    assert not any(world.is_active(campaign) for campaign in campaigns)
    assert max(map(len, driver.written)) == 1
