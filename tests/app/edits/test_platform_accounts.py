"""Platform accounts: which campaign an external id belongs to, by account and day; and moves to another brand."""

from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from app.edits import editing, moves
from app.edits.moves import Move
from app.edits.preview import Unconfirmed, agreed_to
from app.enforcement import edited
from app.ingest.ingest import count_events, count_totals
from db.engine import committed
from db.repository.access.audit import Edit
from domain.errors import InvalidValue
from runtime import clock
from tests.citus import Limit
from tests.kit import at_each_statement, at_once
from tests.world import UNIT, World

PLATFORM = "google_ads"
TODAY = "2026-06-17"
SELECT = "SELECT * FROM {} ORDER BY 1, 2"
ADD = "INSERT INTO campaigns (brand_id, name, platform, external_id) VALUES (%s, 'By hand', %s, %s) RETURNING id"


@pytest.fixture(autouse=True)
def _noon(world: World, noon: datetime) -> None:
    world.set_clock(noon)


def by_hand(world: World, brand: int, external_id: str = "123") -> int:
    return int(world.one(ADD, brand, PLATFORM, external_id)["id"])


def named(world: World, brand: int, external_id: str = "123", **fields: Any) -> int:
    return world.campaign(brand, platform=PLATFORM, external_id=external_id, **fields)


def account(*brands: int, account_id: str = "555") -> int:
    edit = Edit("test", clock.now())
    add = partial(moves.add_account, platform=PLATFORM, account_id=account_id, name="", brand_ids=brands, edit=edit)
    return committed(add)


def change(world: World, campaign: int, **changes: object) -> None:
    edit = partial(editing.edit_campaign, campaign_id=campaign, changes=changes, edit=Edit("test", clock.now()))
    edited(edit, world.brand_of(campaign))


def event(world: World, micros: int = UNIT, at: str | None = None, **fields: Any) -> dict[str, Any]:
    return world.event(0, micros, at, platform=PLATFORM, external_id="123", **fields) | {"campaign_id": None}


def total(day: str, units: int, as_of: str = "2026-06-17T11:00:00Z", **fields: Any) -> dict[str, Any]:
    return {
        "source": PLATFORM,
        "platform": PLATFORM,
        "external_id": "123",
        "day": day,
        "total_micros": units * UNIT,
        "as_of": as_of,
        **fields,
    }


def reasons(counted: Any) -> list[str]:
    return [str(rejection.reason) for rejection in counted.rejections]


def move(campaign: int, brand: int, from_day: str | None = None, **facts: Any) -> moves.Moved:
    day = None if from_day is None else date.fromisoformat(from_day)
    dry_run = facts.pop("dry_run", False)
    return moves.move(Move(campaign, brand, day, **facts), Edit("ada", clock.now()), dry_run=dry_run)


# Accounts


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_campaign_inserted_by_sql_gets_its_brands_default_account(world: World) -> None:
    first, second = world.brand(), world.brand()
    campaigns = [by_hand(world, first), by_hand(world, first, "124"), by_hand(world, second)]
    rows = world.rows(
        "SELECT platform_accounts.* FROM platform_accounts JOIN campaigns ON platform_account_id = platform_accounts.id"
        " WHERE campaigns.id = ANY(%s) ORDER BY campaigns.id",
        campaigns,
    )
    assert [(row["platform"], row["account_id"], row["default_of_brand_id"]) for row in rows] == [
        (PLATFORM, None, first),
        (PLATFORM, None, first),
        (PLATFORM, None, second),
    ]
    assert rows[0]["id"] == rows[1]["id"] != rows[2]["id"]


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_campaigns_inserted_concurrently_share_one_default_account(world: World) -> None:
    brand = world.brand()
    at_once(*(partial(by_hand, world, brand, str(number)) for number in range(8)))
    assert len(world.rows("SELECT FROM platform_accounts")) == 1
    assert len(world.rows("SELECT DISTINCT platform_account_id FROM campaigns")) == 1


def test_campaign_without_a_platform_has_no_account(world: World) -> None:
    campaign = world.campaign(world.brand())
    assert world.one("SELECT platform_account_id FROM campaigns WHERE id = %s", campaign) == {
        "platform_account_id": None
    }
    change(world, campaign, platform="meta_ads")
    change(world, campaign, platform="bing")
    query = "SELECT p.platform FROM campaigns c JOIN platform_accounts p ON p.id = platform_account_id WHERE c.id = %s"
    assert world.one(query, campaign) == {"platform": "microsoft_ads"}
    change(world, campaign, platform=None)
    assert world.rows(query, campaign) == []


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_account_refuses_a_second_campaign_with_the_same_external_id(world: World) -> None:
    first, second = world.brand(), world.brand()
    account(first, second)
    named(world, first, account="555")
    with pytest.raises(InvalidValue, match="another campaign in this account"):
        named(world, second, account="555")
    with pytest.raises(Exception, match="uq_campaigns_platform_account_id_external_id"):
        by_hand(world, first) and by_hand(world, first)


@pytest.mark.parametrize("by_sql", [False, pytest.param(True, marks=pytest.mark.on_one_server(Limit.SQL_BY_HAND))])
def test_account_not_bound_to_the_brand_refuses_its_campaign(world: World, by_sql: bool) -> None:
    mine, others = world.brand(), world.brand()
    theirs = account(others)
    if by_sql:
        campaign = by_hand(world, mine)
        with pytest.raises(Exception, match="fk_campaigns_platform_account_brands"):
            world.execute("UPDATE campaigns SET platform_account_id = %s WHERE id = %s", theirs, campaign)
        return
    with pytest.raises(InvalidValue, match="not an account bound to brand"):
        named(world, mine, account="555")
    campaign = named(world, mine)
    with pytest.raises(InvalidValue, match="not an account bound to brand"):
        change(world, campaign, account="555")


# Which campaign an external id means


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_spend_by_platform_and_external_id_is_counted_without_naming_an_account(world: World) -> None:
    campaign = by_hand(world, world.brand())
    assert count_events([event(world)]).taken == 1
    assert count_totals([total("2026-06-16", 5)]).taken == 1
    assert world.spent(campaign) == 6 * UNIT
    world.verify()


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_external_id_in_two_accounts_is_ambiguous_for_a_sender_who_sees_both(world: World) -> None:
    first, second = world.brand(), world.brand()
    one, other = by_hand(world, first), by_hand(world, second)
    both = count_events([event(world)])
    assert reasons(both) == ["ambiguous_campaign"]
    assert f"{one}, {other}" in both.rejections[0].detail
    assert reasons(count_totals([total(TODAY, 5)])) == ["ambiguous_campaign"]
    assert count_events([event(world)], only_brand_id=first).taken == 1
    assert count_totals([total(TODAY, 5)], only_brand_id=second).taken == 1
    assert (world.spent(one), world.spent(other)) == (UNIT, 5 * UNIT)
    assert [row["reason"] for row in world.rejected()] == ["ambiguous_campaign", "ambiguous_campaign"]
    world.verify()


def test_event_that_names_the_account_is_counted_there(world: World) -> None:
    brand = world.brand()
    account(brand)
    default, other = named(world, brand), named(world, brand, account="555")
    assert reasons(count_events([event(world)], only_brand_id=brand)) == ["ambiguous_campaign"]
    assert count_events([event(world, account="555"), event(world, account=555)]).taken == 2
    assert count_totals([total(TODAY, 5, account="555")]).taken == 1
    assert reasons(count_events([event(world, account="556")])) == ["unknown_campaign"]
    assert reasons(count_events([event(world, account=5.5)])) == ["malformed"]
    assert (world.spent(default), world.spent(other)) == (0, 7 * UNIT)


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_second_campaign_with_the_same_external_id_is_noticed_at_once(world: World) -> None:
    first, second = world.brand(), world.brand()
    by_hand(world, first)
    assert count_events([event(world)]).taken == 1
    by_hand(world, second)
    assert reasons(count_events([event(world)])) == ["ambiguous_campaign"]


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_event_is_rejected_when_its_external_id_becomes_ambiguous_while_it_is_counted(world: World) -> None:
    brand, other = world.brand(), world.brand()
    campaign = by_hand(world, brand)
    made: list[int] = []

    def make_another(_cursor: object, statement: str, _parameters: object) -> None:
        if "INSERT INTO spend_events" in statement and not made:
            made.append(by_hand(world, other))

    with at_each_statement(before=make_another):
        assert reasons(count_events([event(world)])) == ["ambiguous_campaign"]
    assert made
    assert world.spent(campaign) == 0
    world.verify()


# A released external id


OLD = [total("2026-06-14", 3), total("2026-06-15", 4)]


@pytest.mark.parametrize("by_sql", [False, pytest.param(True, marks=pytest.mark.on_one_server(Limit.SQL_BY_HAND))])
@pytest.mark.parametrize("in_another_brand", [False, True])
def test_totals_of_old_days_do_not_count_again_in_the_campaign_that_took_the_id(
    world: World, in_another_brand: bool, by_sql: bool
) -> None:
    brand = world.brand()
    old = named(world, brand)
    count_totals(OLD)
    if by_sql:
        world.execute("UPDATE campaigns SET external_id = NULL WHERE id = %s", old)
    else:
        change(world, old, external_id=None)
    other = world.brand() if in_another_brand else brand
    new = by_hand(world, other) if by_sql else named(world, other)
    again = count_totals([*OLD, total("2026-06-15", 6, "2026-06-17T11:30:00Z"), total(TODAY, 9)])
    assert reasons(again) == []
    assert (world.spent(old), world.spent(new)) == (9 * UNIT, 9 * UNIT)
    assert world.spent(new, TODAY) == 9 * UNIT
    world.verify()


def test_event_sent_again_after_its_id_moved_counts_once(world: World) -> None:
    old = named(world, world.brand())
    sent = event(world)
    assert count_events([sent]).taken == 1
    change(world, old, external_id=None)
    new = named(world, world.brand())
    assert count_events([sent]).known == 1
    assert (world.spent(old), world.spent(new)) == (UNIT, 0)
    assert count_totals([total(TODAY, 5)]).taken == 1
    world.set_clock(clock.now() + timedelta(days=1))
    assert count_events([event(world)]).taken == 1
    assert (world.spent(old), world.spent(new)) == (6 * UNIT, UNIT)
    world.verify()


def test_key_of_the_new_brand_cannot_count_spend_on_the_old_campaigns_days(world: World) -> None:
    old = named(world, world.brand())
    count_totals(OLD)
    change(world, old, external_id=None)
    brand = world.brand()
    new = named(world, brand)
    result = count_totals(OLD, only_brand_id=brand)
    assert reasons(result) == ["unknown_campaign", "unknown_campaign"]
    assert result.rejections[0].detail == "no campaign google_ads 123"
    assert world.spent(new) == 0


def test_released_id_without_counted_spend_is_free_for_every_day(world: World) -> None:
    brand = world.brand()
    wrong = named(world, brand)
    change(world, wrong, external_id="124")
    right = named(world, brand)
    assert count_totals(OLD).taken == 2
    assert world.spent(right) == 7 * UNIT


def test_id_that_comes_back_belongs_to_its_campaign_again(world: World) -> None:
    brand = world.brand()
    campaign = named(world, brand)
    count_totals(OLD)
    change(world, campaign, external_id=None)
    assert reasons(count_events([event(world)])) == ["unknown_campaign"]
    assert count_totals([total("2026-06-15", 5, "2026-06-17T11:30:00Z")]).taken == 1
    change(world, campaign, external_id="123")
    assert count_events([event(world)]).taken == 1
    assert world.spent(campaign) == 9 * UNIT


def test_each_former_campaign_of_an_id_keeps_its_own_days(world: World) -> None:
    brand = world.brand()
    holders = []
    for day in range(14, 18):
        world.set_clock(f"2026-06-{day}T12:00:00Z")
        holders.append(named(world, brand))
        count_totals([total(f"2026-06-{day}", day, f"2026-06-{day}T11:00:00Z")])
        world.set_clock(f"2026-06-{day}T12:30:00Z")
        change(world, holders[-1], external_id=None)
    world.set_clock("2026-06-18T12:00:00Z")
    again = [total(f"2026-06-{day}", day + 1, "2026-06-18T11:00:00Z") for day in range(14, 18)]
    assert count_totals(again).taken == 4
    assert [world.spent(holder) for holder in holders] == [(day + 1) * UNIT for day in range(14, 18)]
    assert reasons(count_totals([total("2026-06-18", 1)])) == ["unknown_campaign"]


def borrowed(world: World, brand: int) -> int:
    """A campaign that had the id 123 in its brand's default account, with a day of spend, and has it no more."""
    campaign = named(world, brand)
    assert count_events([world.event(campaign, UNIT)]).taken == 1
    change(world, campaign, external_id=None)
    return campaign


@pytest.mark.parametrize("changes", [{"name": "Renamed"}, {"external_id": "9"}, {"account": "666"}])
def test_edit_takes_no_day_from_the_campaign_that_had_the_id_all_along(
    world: World, changes: dict[str, object]
) -> None:
    other, brand = world.brand(), world.brand()
    account(brand), account(brand, account_id="666")
    owner = named(world, brand, account="555")
    assert count_events([event(world, account="555")]).taken == 1
    borrower = borrowed(world, other)
    change(world, owner, **changes)
    if "external_id" in changes:
        change(world, owner, external_id="123")
    named_account = changes.get("account", "555")
    for day in ("2026-06-16", TODAY):
        assert count_totals([total(day, 5, account=named_account)]).taken == 1
    assert (world.spent(borrower), world.spent(owner)) == (UNIT, 11 * UNIT)


def test_new_id_leaves_the_days_of_its_former_owner_alone(world: World) -> None:
    other, brand = world.brand(), world.brand()
    account(brand)
    borrower = borrowed(world, other)
    owner = named(world, brand, external_id="9", account="555")
    change(world, owner, external_id="123")
    assert count_totals([total("2026-06-16", 5, account="555")]).taken == 1
    assert (world.spent(borrower), world.spent(owner)) == (6 * UNIT, 0)


def test_id_that_moves_to_another_account_keeps_its_former_owners_days(world: World) -> None:
    first, brand = world.brand(), world.brand()
    account(brand)
    former = borrowed(world, first)
    world.set_clock("2026-06-19T12:00:00Z")
    owner = named(world, brand)
    assert count_events([world.event(owner, UNIT)]).taken == 1
    change(world, owner, account="555")
    as_of = "2026-06-19T11:00:00Z"
    for day in ("2026-06-16", "2026-06-18"):
        assert count_totals([total(day, 5, as_of, account="555")]).taken == 1
    assert (world.spent(former), world.spent(owner)) == (6 * UNIT, 6 * UNIT)


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
@pytest.mark.parametrize("first", ["release", "count"])
def test_spend_counted_while_its_id_is_released_belongs_to_one_campaign(world: World, first: str) -> None:
    brand, other = world.brand(), world.brand()
    old = by_hand(world, brand)
    sent = event(world)
    done: list[bool] = []

    def release(_cursor: object, statement: str, _parameters: object) -> None:
        if "INSERT INTO spend_events" in statement and not done:
            done.append(True)
            change(world, old, external_id=None)
            by_hand(world, other)

    if first == "release":
        with at_each_statement(before=release):
            assert count_events([sent]).taken == 1
    else:
        assert count_events([sent]).taken == 1
        release(None, "INSERT INTO spend_events", None)
    assert done
    assert count_events([sent]).known == 1
    assert world.one("SELECT sum(amount_micros) AS micros FROM spend_events") == {"micros": UNIT}
    world.verify()


# Moves


def test_moved_campaign_keeps_the_hold_that_was_set_on_it(world: World) -> None:
    first, second = world.brand(), world.brand()
    old = world.campaign(first, platform=PLATFORM, external_id="1")
    world.execute("UPDATE campaigns SET set_holds = '{platform_paused}' WHERE id = %s", old)
    moved = move(old, second)
    assert "platform_paused" in world.holds(moved.new_campaign_id)


def test_move_keeps_history_and_counts_later_days_in_the_new_brand(world: World) -> None:
    first, second = world.brand(), world.brand()
    old = named(world, first, name="Sale", starts_on=date(2026, 6, 1))
    count_totals(OLD)
    moved = move(old, second, TODAY)
    new = moved.new_campaign_id
    again = count_totals([*OLD, total("2026-06-16", 1), total(TODAY, 9)])
    assert (reasons(again), again.taken, again.known) == ([], 2, 2)
    assert count_events([event(world, at="2026-06-16T23:59:59Z"), event(world, at="2026-06-17T00:00:00Z")]).taken == 2
    assert (world.spent(old), world.spent(new)) == (9 * UNIT, 10 * UNIT)
    rows = world.rows("SELECT * FROM campaigns ORDER BY id")
    facts = [(row["brand_id"], row["name"], row["external_id"], row["configured_status"]) for row in rows]
    assert facts == [(first, "Sale", None, "archived"), (second, "Sale", "123", "enabled")]
    assert rows[0]["platform_account_id"] == rows[1]["platform_account_id"]
    assert world.holds(old) == {"archived"}
    entries = world.rows("SELECT changed_by, action, brand_id FROM audit_entries WHERE changed_by = 'ada' ORDER BY id")
    assert [(row["action"], row["brand_id"]) for row in entries] == [
        ("move", first),
        ("bind", second),
        ("create", second),
    ]
    world.verify()


@pytest.mark.parametrize("large", ["from", "to", "both"])
@pytest.mark.parametrize("dry_run", [True, False])
def test_move_in_a_large_brand_enforces_the_moved_campaigns(
    world: World, monkeypatch: pytest.MonkeyPatch, large: str, dry_run: bool
) -> None:
    first, second = world.brand(), world.brand()
    pause = partial(editing.edit_brand, changes={"configured_status": "paused"}, edit=Edit("test", clock.now()))
    edited(partial(pause, brand_id=second), second)
    for brand, name in ((first, "from"), (second, "to")):
        for number in range(4 if large in {name, "both"} else 1):
            named(world, brand, external_id=f"{brand}-{number}")
    old = named(world, first)
    world.tick()
    monkeypatch.setattr("app.passes.CAMPAIGNS_A_PART", 2)
    moved = move(old, second, dry_run=dry_run)
    new = moved.new_campaign_id
    assert moved.fields()["stops"] == [old, new]
    if not dry_run:
        assert (world.holds(old), world.holds(new)) == ({"archived"}, {"brand_paused"})
        assert world.rows("SELECT * FROM pending_enforcements") == []
        world.verify()


def test_move_with_another_effect_than_the_agreed_one_is_not_made(world: World) -> None:
    first, second = world.brand(), world.brand()
    old = named(world, first)
    shown = move(old, second, dry_run=True)
    assert "is archived" in shown.sentence()
    assert shown.sentence().endswith(f"stops 1 campaign: {old}")
    count_events([event(world)])
    edit = Edit("ada", clock.now())
    with pytest.raises(Unconfirmed, match="stops 1 campaign: the new one"):
        moves.move(Move(old, second), edit, agree=agreed_to(shown.token))
    assert len(world.rows("SELECT FROM campaigns")) == 1
    token = move(old, second, dry_run=True).token
    made = moves.move(Move(old, second), edit, agree=agreed_to(token))
    assert made.lines(is_done=True)[-1] == f"stopped 1 campaign: {made.new_campaign_id}"


def test_move_on_a_future_day_lets_the_old_campaign_serve_until_then(world: World) -> None:
    first, second = world.brand(), world.brand()
    old = named(world, first)
    count_events([event(world)])
    moved = move(old, second)
    assert (str(moved.from_day), str(moved.old_ends_on)) == ("2026-06-18", TODAY)
    new = moved.new_campaign_id
    assert (world.holds(old), world.holds(new)) == (set(), {"flight_not_started"})
    assert count_totals([total(TODAY, 5)]).taken == 1
    world.set_clock("2026-06-18T00:00:00Z")
    world.tick()
    assert (world.holds(old), world.holds(new)) == ({"flight_ended"}, set())
    assert count_events([event(world)]).taken == 1
    assert (world.spent(old), world.spent(new)) == (6 * UNIT, UNIT)
    world.verify()


def test_move_to_a_day_after_the_end_of_a_running_flight_is_refused(world: World) -> None:
    first, second = world.brand(), world.brand()
    old = named(world, first, ends_on=date(2026, 6, 17))
    count_events([event(world)])
    with pytest.raises(InvalidValue, match="ends on 2026-06-17, so it would not serve from 2026-06-18 on"):
        move(old, second)
    assert world.is_active(old)
    world.set_clock("2026-06-18T00:00:00Z")
    world.tick()
    assert world.holds(move(old, second).new_campaign_id) == {"flight_ended"}


@pytest.mark.parametrize("day", ["2026-06-14", "2026-06-15"])
def test_move_from_a_day_with_counted_spend_is_refused(world: World, day: str) -> None:
    old = named(world, world.brand())
    count_totals(OLD)
    with pytest.raises(InvalidValue, match="the earliest day is 2026-06-16"):
        move(old, world.brand(), day)
    assert move(old, world.brand(), "2026-06-16").from_day == date(2026, 6, 16)


def test_move_between_time_zones_counts_no_instant_twice(world: World) -> None:
    """The old brand's day lasts until its own midnight, though the new brand is a day ahead."""
    old = named(world, world.brand("America/New_York"))
    sent = event(world, at="2026-06-17T03:00:00Z")
    count_events([sent])
    new = move(old, world.brand("Asia/Tokyo"), "2026-06-17").new_campaign_id
    assert count_events([sent]).known == 1
    assert count_events([event(world, at="2026-06-17T04:00:00Z")]).taken == 1
    assert (world.spent(old, "2026-06-16"), world.spent(new, "2026-06-17")) == (UNIT, UNIT)
    world.verify()


def test_move_copies_budgets_and_schedule_only_if_asked(world: World) -> None:
    first, second, third = world.brand(), world.brand(), world.brand(currency="EUR")
    old = named(world, first, daily=5 * UNIT, schedule="Mon-Fri 09:00-17:30")
    bare = move(old, second, dry_run=True)
    assert (bare.copied_budgets, bare.fields()["stops"]) == (0, [old])
    with pytest.raises(InvalidValue, match="limits cannot be copied"):
        move(old, third, copies=True)
    new = move(old, second, copies=True).new_campaign_id
    assert world.one("SELECT limit_micros FROM budgets WHERE campaign_id = %s", new) == {"limit_micros": 5 * UNIT}
    assert len(world.rows("SELECT FROM dayparts WHERE campaign_id = %s", new)) == 5
    count_events([event(world, 5 * UNIT)])
    assert world.holds(new) == {"campaign_daily_budget"}
    world.verify()


def test_dry_run_of_a_move_changes_nothing(world: World) -> None:
    first, second = world.brand(), world.brand()
    old = named(world, first)
    tables = ("campaigns", "audit_entries", "released_external_ids", "platform_account_brands", "status_changes")
    before = [world.rows(SELECT.format(table)) for table in tables]
    assert move(old, second, dry_run=True).from_day == date(2026, 6, 17)
    assert [world.rows(SELECT.format(table)) for table in tables] == before


@pytest.mark.parametrize("where", ["same brand", "no brand", "no platform", "gone"])
def test_impossible_move_is_refused(world: World, where: str) -> None:
    brand = world.brand()
    campaign = world.campaign(brand) if where == "no platform" else named(world, brand)
    if where == "gone":
        move(campaign, world.brand())
    to_brand = {"same brand": brand, "no brand": brand + 100}.get(where) or world.brand()
    with pytest.raises(InvalidValue):
        move(campaign, to_brand)


def test_campaign_moves_to_another_brand_and_back(world: World) -> None:
    first, second = world.brand(), world.brand()
    old = named(world, first)
    count_totals(OLD)
    new = move(old, second, TODAY).new_campaign_id
    count_totals([total(TODAY, 2)])
    world.set_clock(datetime(2026, 6, 18, 12, tzinfo=UTC))
    third = move(new, first, "2026-06-18").new_campaign_id
    again = [*OLD, total(TODAY, 5, "2026-06-18T11:00:00Z"), total("2026-06-18", 1, "2026-06-18T11:00:00Z")]
    assert reasons(count_totals(again)) == []
    assert [world.spent(campaign) for campaign in (old, new, third)] == [7 * UNIT, 5 * UNIT, UNIT]
    world.verify()
