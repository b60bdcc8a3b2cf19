"""Passes over a brand with more campaigns than one part: spend, edits, faults and restarts while a pass runs."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

import pytest
import structlog
from dramatiq.errors import BrokerConnectionError
from sqlalchemy import Connection

from app import passes
from app.edits import editing
from app.enforcement import edited, enforce_brands
from app.passes import PassState, continue_pass, next_part
from db.engine import committed
from db.repository.access.audit import Edit
from domain.causes import Cause
from domain.periods import Period
from runtime import clock
from tests.citus import Limit
from tests.kit import at_once, is_empty, lines, working
from tests.world import World, eventually
from workers.actors.enforcement import continue_enforcement, evaluate_budgets
from workers.actors.schedule import refresh_spend, reset_daily_budgets

PART = 2
CAMPAIGNS = 7


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "CAMPAIGNS_A_PART", PART)
    left_by_brand.clear()


@pytest.fixture
def large(world: World, noon: datetime) -> tuple[int, list[int]]:
    """A brand with a daily limit of 10, all its campaigns enforced."""
    world.set_clock(noon)
    return large_brand(world)


def large_brand(world: World, campaigns: int = CAMPAIGNS, daily: int = 10) -> tuple[int, list[int]]:
    brand = world.brand(daily=daily)
    world.execute(
        "INSERT INTO campaigns (brand_id, name) SELECT %s, 'c' || n FROM generate_series(1, %s) AS n", brand, campaigns
    )
    enforce_brands([brand], Cause.CHECK)
    rows = world.rows("SELECT id FROM campaigns WHERE brand_id = %s ORDER BY id", brand)
    return brand, [row["id"] for row in rows]


def inactive(world: World, campaigns: list[int]) -> list[int]:
    """The positions of the inactive campaigns."""
    return [place for place, campaign in enumerate(campaigns) if not world.is_active(campaign)]


def is_pending(world: World, brand: int) -> bool:
    return bool(world.rows("SELECT FROM pending_enforcements WHERE brand_id = %s", brand))


left_by_brand: dict[int, PassState | None] = {}
"""The pass as the last part of the test left it. A test that edits something between two parts makes it outdated."""


def one_part(brand: int) -> None:
    part = committed(partial(next_part, brand_id=brand, expected=left_by_brand.get(brand)))
    left_by_brand[brand] = part.left


def toggles_of(world: World, brand: int) -> list[int]:
    """The number of toggles of each campaign."""
    rows = world.rows(
        "SELECT count(status_changes.id) AS times FROM campaigns"
        " LEFT JOIN status_changes ON status_changes.brand_id = campaigns.brand_id AND campaign_id = campaigns.id"
        " WHERE campaigns.brand_id = %s GROUP BY campaigns.id",
        brand,
    )
    return [row["times"] for row in rows]


Large = tuple[int, list[int]]


# --- in parts


def test_spend_is_counted_with_the_first_part_and_other_parts_follow(world: World, large: Large) -> None:
    brand, campaigns = large
    world.spend(campaigns[-1], 10)
    assert world.spent(campaigns[-1]) == 10
    for done in (2, 4, 6):
        assert inactive(world, campaigns) == list(range(done))
        assert world.one("SELECT done FROM pending_enforcements")["done"] == done
        world.verify()
        one_part(brand)
    assert inactive(world, campaigns) == list(range(CAMPAIGNS))
    assert not is_pending(world, brand)
    assert toggles_of(world, brand) == [1] * CAMPAIGNS
    world.verify()


def test_worker_continues_the_pass_after_the_commit(world: World, large: Large) -> None:
    brand, campaigns = large
    with working():
        world.spend(campaigns[0], 10)
        eventually(lambda: not is_pending(world, brand), seconds=120)
    assert inactive(world, campaigns) == list(range(CAMPAIGNS))
    world.verify()


@pytest.mark.parametrize("job", [World.tick, lambda _: refresh_spend()], ids=["tick", "refresh"])
def test_tick_continues_a_pass_whose_message_was_lost(world: World, large: Large, job: Callable[[World], None]) -> None:
    brand, campaigns = large
    world.spend(campaigns[0], 10)
    job(world)
    assert inactive(world, campaigns) == list(range(CAMPAIGNS))
    assert not is_pending(world, brand)
    world.verify()


def test_each_toggle_of_a_pass_is_logged_once_and_the_budget_once_for_each_part(world: World, large: Large) -> None:
    brand, campaigns = large
    with structlog.testing.capture_logs() as logged:
        world.spend(campaigns[0], 10)
        continue_enforcement(brand)
    assert sorted(line["campaign_id"] for line in lines(logged, "campaign.paused")) == campaigns
    assert {line["cause"] for line in lines(logged, "campaign.paused")} == {"spend"}


def test_edit_of_the_brand_continues_in_parts_after_its_commit(world: World, large: Large) -> None:
    brand, campaigns = large
    edit_brand(world, brand, configured_status="paused")
    assert inactive(world, campaigns) == [0, 1]
    world.tick()
    assert all(world.holds(campaign) == {"brand_paused"} for campaign in campaigns)
    world.verify()


def edit_brand(world: World, brand: int, **fields: object) -> None:
    edit = Edit("test", clock.now())
    edited(partial(editing.edit_brand, brand_id=brand, changes=fields, edit=edit), brand)


def test_edit_of_one_campaign_enforces_that_one_alone(world: World, large: Large) -> None:
    brand, campaigns = large
    world.set_status(campaigns[4], "paused")
    world.limit(0, campaign=campaigns[5])
    world.schedule(campaigns[6], "Mon 00:00-00:01")
    new = world.campaign(brand, starts_on=datetime(2030, 1, 1).date())  # noqa: DTZ001 - a day
    assert inactive(world, [*campaigns, new]) == [4, 5, 6, 7]
    assert not is_pending(world, brand)
    world.verify()


def test_edits_of_more_campaigns_than_a_part_are_enforced_in_parts(world: World, large: Large) -> None:
    brand, campaigns = large
    edit = Edit("test", clock.now())

    def pause_all(connection: Connection) -> None:
        for campaign in campaigns:
            editing.edit_campaign(connection, campaign, {"configured_status": "paused"}, edit)

    edited(pause_all, brand)
    assert inactive(world, campaigns) == [0, 1]
    world.tick()
    assert inactive(world, campaigns) == list(range(CAMPAIGNS))
    world.verify()


def test_renamed_large_brand_is_not_enforced(world: World, large: Large) -> None:
    brand, _ = large
    edit_brand(world, brand, name="Another")
    assert not is_pending(world, brand)


@pytest.mark.on_one_server(Limit.BY_SERVER)
def test_brands_of_one_batch_share_the_transactions_bound_of_campaigns(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brands = [large_brand(world, campaigns) for campaigns in (1, 2, 3)]
    world.ingest([world.event(campaigns[0], 10) for _, campaigns in brands])
    assert [len(inactive(world, campaigns)) for _, campaigns in brands] == [1, 1, 0]
    assert [is_pending(world, brand) for brand, _ in brands] == [False, True, True]
    world.verify()
    world.tick()
    assert [len(inactive(world, campaigns)) for _, campaigns in brands] == [1, 2, 3]
    world.verify()


@pytest.mark.parametrize("job", [reset_daily_budgets, World.tick, "check"], ids=["reset", "tick", "check"])
def test_jobs_finish_passes_of_large_brands_themselves(world: World, large: Large, job: object) -> None:
    brand, campaigns = large
    world.spend(campaigns[0], 10)
    world.tick()
    world.set_clock("2026-06-18T00:00:00Z")
    if job is World.tick:
        world.tick()
    elif callable(job):
        job()
    else:
        enforce_brands([brand], Cause.CHECK)
    assert inactive(world, campaigns) == []
    assert not is_pending(world, brand)
    world.tick()
    world.verify()


def test_no_job_changes_more_campaigns_in_one_transaction_than_a_part(world: World, large: Large) -> None:
    brand, campaigns = large
    world.spend(campaigns[0], 10)
    continue_enforcement(brand)
    world.set_clock("2026-06-18T00:00:00Z")
    world.tick()
    evaluate_budgets([brand])
    sizes = world.rows("SELECT count(*) AS rows FROM hold_changes GROUP BY xmin::text")
    assert max(row["rows"] for row in sizes) == PART


# --- events during a pass


def test_limit_raised_during_a_pass_leaves_all_campaigns_active(world: World, large: Large) -> None:
    brand, campaigns = large
    world.spend(campaigns[0], 10)
    one_part(brand)
    world.limit(11, brand=brand)
    continue_pass(brand)
    assert inactive(world, campaigns) == []
    assert sorted(toggles_of(world, brand)) == [0, 0, 0, 2, 2, 2, 2]
    world.verify()


def test_refund_and_new_spend_during_a_pass_leave_all_campaigns_inactive(world: World, large: Large) -> None:
    brand, campaigns = large
    world.spend(campaigns[0], 10)
    one_part(brand)
    world.spend(campaigns[1], -1)
    one_part(brand)
    one_part(brand)
    world.spend(campaigns[2], 1)
    continue_pass(brand)
    assert inactive(world, campaigns) == list(range(CAMPAIGNS))
    world.verify()


def test_refund_after_the_pass_reactivates_all_campaigns(world: World, large: Large) -> None:
    brand, campaigns = large
    world.spend(campaigns[0], 10)
    continue_pass(brand)
    world.spend(campaigns[1], -1)
    continue_pass(brand)
    assert inactive(world, campaigns) == []
    world.verify()


def test_spend_during_a_pass_does_not_restart_it(world: World, large: Large) -> None:
    brand, campaigns = large
    world.spend(campaigns[0], 10)
    one_part(brand)
    before = world.one("SELECT * FROM pending_enforcements")
    world.spend(campaigns[6], 5)
    assert world.one("SELECT * FROM pending_enforcements") == before
    assert world.spent(campaigns[6]) == 5
    continue_pass(brand)
    world.verify()


def test_campaign_budget_pauses_its_campaign_at_once_during_a_pass(world: World, large: Large) -> None:
    brand, campaigns = large
    world.limit(20, campaign=campaigns[6])
    world.spend(campaigns[0], 10)
    world.spend(campaigns[6], 20)
    assert world.holds(campaigns[6]) == {"brand_daily_budget", "campaign_daily_budget"}
    continue_pass(brand)
    world.verify()


def test_campaign_budget_pauses_only_its_campaign(world: World, large: Large) -> None:
    brand, campaigns = large
    world.limit(1_000, brand=brand)
    continue_pass(brand)
    world.limit(20, campaign=campaigns[6])
    world.spend(campaigns[6], 20)
    assert inactive(world, campaigns) == [6]
    assert not is_pending(world, brand)
    world.spend(campaigns[6], -1)
    assert inactive(world, campaigns) == []
    world.verify()


def test_midnight_during_a_pass_reactivates_campaigns_paused_before(world: World, large: Large) -> None:
    brand, campaigns = large
    world.spend(campaigns[0], 10)
    one_part(brand)
    world.set_clock("2026-06-18T00:00:00Z")
    continue_pass(brand)
    assert inactive(world, campaigns) == []
    world.tick()
    world.verify()


def test_tick_after_midnight_during_a_pass_reactivates_campaigns(world: World, large: Large) -> None:
    brand, campaigns = large
    world.spend(campaigns[0], 10)
    one_part(brand)
    world.set_clock("2026-06-18T00:00:00Z")
    world.tick()
    assert inactive(world, campaigns) == []
    world.spend(campaigns[0], 10)
    world.tick()
    assert inactive(world, campaigns) == list(range(CAMPAIGNS))
    world.verify()


def test_first_spend_of_a_new_day_that_crosses_the_limit_pauses_again(world: World, noon: datetime) -> None:
    """The brand's stored holds are yesterday's and the tick has lifted them: spend must check the limit again."""
    world.set_clock(noon)
    for campaigns in (1, PART + 1):
        brand, of_brand = large_brand(world, campaigns)
        world.spend(of_brand[0], 10)
        world.tick()
        world.set_clock("2026-06-18T00:01:00Z")
        world.tick()
        assert inactive(world, of_brand) == []
        world.spend(of_brand[0], 10)
        world.tick()
        assert len(inactive(world, of_brand)) == campaigns
        assert not is_pending(world, brand)
        world.verify()
        world.set_clock(noon)


def test_zone_changed_during_a_pass_applies_to_all_campaigns(world: World, large: Large) -> None:
    brand, campaigns = large
    world.execute("UPDATE campaigns SET starts_on = '2026-06-18'")
    evaluate_budgets([brand])
    assert len(inactive(world, campaigns)) == CAMPAIGNS
    edit_brand(world, brand, configured_status="paused")
    edit_brand(world, brand, time_zone="Pacific/Auckland", configured_status="enabled")
    continue_pass(brand)
    assert inactive(world, campaigns) == []
    world.verify()


def test_brand_paused_during_a_pass_has_both_holds_on_all_campaigns(world: World, large: Large) -> None:
    brand, campaigns = large
    world.spend(campaigns[0], 10)
    one_part(brand)
    edit_brand(world, brand, configured_status="paused")
    continue_pass(brand)
    assert all(world.holds(campaign) == {"brand_paused", "brand_daily_budget"} for campaign in campaigns)
    world.verify()


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_limit_edited_by_sql_during_a_pass_applies_from_the_next_part(world: World, large: Large) -> None:
    brand, campaigns = large
    world.spend(campaigns[0], 10)
    one_part(brand)
    world.execute("UPDATE budgets SET limit_micros = 11")
    continue_pass(brand)
    assert inactive(world, campaigns) == []
    world.verify()


def test_pass_continues_when_campaigns_are_added_and_removed(world: World, large: Large) -> None:
    brand, campaigns = large
    world.spend(campaigns[0], 10)
    one_part(brand)
    world.execute("INSERT INTO campaigns (brand_id, name) VALUES (%s, 'by hand')", brand)
    added = world.campaign(brand)
    assert world.holds(added) == {"brand_daily_budget"}
    continue_pass(brand)
    world.tick()
    assert world.one("SELECT count(*) FROM campaigns WHERE effective_status = 'active'")["count"] == 0
    world.verify()


def test_brand_deleted_by_sql_removes_its_pass(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand()
    world.execute("INSERT INTO pending_enforcements (brand_id, cause, requested_at) VALUES (%s, 'edit', now())", brand)
    world.execute("DELETE FROM brands WHERE id = %s", brand)
    continue_enforcement(brand)
    assert not is_pending(world, brand)


def test_pass_of_a_brand_with_an_unknown_zone_ends(world: World, large: Large, monkeypatch: pytest.MonkeyPatch) -> None:
    brand, campaigns = large
    world.spend(campaigns[0], 10)
    monkeypatch.setattr("db.repository.shared.zones.time_zone", no_zone)
    continue_pass(brand)
    assert not is_pending(world, brand)


def no_zone(name: str) -> None:
    from domain.errors import InvalidValue  # noqa: PLC0415

    raise InvalidValue("time_zone", name)


def test_two_workers_at_one_pass_toggle_each_campaign_once(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand, campaigns = large_brand(world, 60)
    world.spend(campaigns[0], 10)
    at_once(*[partial(continue_pass, brand)] * 3)
    assert toggles_of(world, brand) == [1] * 60
    assert not is_pending(world, brand)
    world.verify()


def test_edits_and_spend_beside_two_workers_end_with_right_statuses(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand, campaigns = large_brand(world, 40)
    world.spend(campaigns[0], 10)

    def limits() -> None:
        for limit in (11, 10, 30, 12, 10, 9):
            world.limit(limit, brand=brand)

    def spend() -> None:
        for micros in (1, -1, 1, 2, -3, 4):
            world.spend(campaigns[7], micros)

    at_once(limits, spend, partial(continue_pass, brand), partial(continue_pass, brand))
    continue_pass(brand)
    assert len(inactive(world, campaigns)) == 40
    world.verify()


def test_unreachable_queue_loses_no_spend_and_the_tick_continues_the_pass(
    world: World, large: Large, monkeypatch: pytest.MonkeyPatch
) -> None:
    brand, campaigns = large

    def away(*_: object) -> None:
        raise BrokerConnectionError("no queue")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(continue_enforcement, "send", away)
    world.spend(campaigns[0], 10)
    assert world.spent(campaigns[0]) == 10
    assert is_pending(world, brand)
    world.tick()
    assert inactive(world, campaigns) == list(range(CAMPAIGNS))


def test_rolled_back_transaction_enqueues_no_pass(world: World, large: Large) -> None:
    brand, campaigns = large

    def break_off(connection: Connection) -> None:
        changes = {"configured_status": "paused"}
        editing.edit_brand(connection, brand, changes, Edit("test", clock.now()))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        edited(break_off, brand)
    assert inactive(world, campaigns) == []
    assert is_empty("enforcement")


# --- stored holds of a brand


def test_next_spend_pauses_a_campaign_inserted_by_sql_into_an_exhausted_brand(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10)
    first = world.campaign(brand)
    world.spend(first, 10)
    world.execute("INSERT INTO campaigns (brand_id, name) VALUES (%s, 'by hand')", brand)
    world.spend(first, 1)
    assert world.one("SELECT count(*) FROM campaigns WHERE effective_status = 'active'")["count"] == 0
    world.verify()


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_next_spend_applies_the_deletion_of_a_budget_by_sql(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10)
    campaign = world.campaign(brand)
    world.spend(campaign, 10)
    world.execute("DELETE FROM budgets")
    world.spend(campaign, 1)
    assert world.is_active(campaign)
    world.verify()


@pytest.mark.parametrize("kept", ["{brand_daily_budget}", "{}"])
def test_refresh_corrects_a_brand_enforced_by_a_version_without_stored_holds(
    world: World, noon: datetime, kept: str
) -> None:
    """That version opened or closed the campaigns without storing the brand's holds."""
    world.set_clock(noon)
    brand = world.brand(daily=10)
    campaign = world.campaign(brand)
    is_closed = kept == "{}"
    if is_closed:
        world.spend(campaign, 10)
    world.execute("UPDATE brands SET enforced_budget_holds = %s", kept)
    with pytest.raises(AssertionError, match="holds are what the rules say"):
        world.verify()
    refresh_spend()
    world.verify()
    world.spend(campaign, -1 if is_closed else 10)
    assert world.is_active(campaign) == is_closed
    world.verify()


def test_unknown_holds_of_a_small_brand_are_computed_and_stored(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10)
    campaign = world.campaign(brand)
    world.execute("UPDATE brands SET enforced_budget_holds = NULL, headroom_micros = NULL")
    world.spend(campaign, 9)
    assert world.one("SELECT enforced_budget_holds FROM brands")["enforced_budget_holds"] == []
    world.spend(campaign, 1)
    assert not world.is_active(campaign)
    world.verify()


def test_unknown_holds_of_a_large_brand_start_a_pass(world: World, large: Large) -> None:
    brand, campaigns = large
    world.execute("UPDATE brands SET enforced_budget_holds = NULL, headroom_micros = NULL")
    world.spend(campaigns[0], 1)
    assert is_pending(world, brand)
    continue_pass(brand)
    assert toggles_of(world, brand) == [0] * CAMPAIGNS
    world.verify()


def test_refresh_leaves_a_brand_with_a_running_pass_unchanged(
    world: World, large: Large, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, campaigns = large
    world.spend(campaigns[0], 10)
    before = world.one("SELECT * FROM pending_enforcements")
    monkeypatch.setattr(passes, "continue_all_passes", lambda: 0)
    with structlog.testing.capture_logs() as logged:
        refresh_spend()
    assert lines(logged, "spend.refreshed") == [{"brands_out_of_step": 0, "toggles": 0}]
    assert world.one("SELECT * FROM pending_enforcements") == before


def test_removed_budget_reactivates_all_campaigns(world: World, large: Large) -> None:
    brand, campaigns = large
    world.spend(campaigns[0], 10)
    continue_pass(brand)
    edit = Edit("test", clock.now())
    edited(lambda connection: editing.remove_budget(connection, brand, None, Period.DAILY, edit), brand)
    continue_pass(brand)
    assert inactive(world, campaigns) == []
    world.verify()
