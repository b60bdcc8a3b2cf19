"""`verify` finds and lists each altered row, and reports no correct row as wrong."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from app.proof.verification import DIRECTORY, Check, verify
from db.engine import engine
from db.repository.proof import totals_check
from tests import citus
from tests.world import World
from workers.actors.ingest import ingest_reported_totals
from workers.actors.schedule import maintain_ledger

DAYS = "campaign days equal the ledger"
BRAND_DAYS = "brand days equal their campaigns' days"
TOTALS = "reported totals equal the ledger"
OWNERS = "every row belongs to a campaign of its brand"
HOLDS = "holds are what the rules say"
HISTORY = "status changes explain every status"
PAIRS = "status changes match the history of holds"
LIMITS = "budgets are the latest limits in their history"
FLAGS = "brands know whether their campaigns have budgets"
HEADROOMS = "headrooms are no more than what is left"
FACTS = "zones and currencies are those that brands were given"
SEALS = "sealed histories are unaltered"
IDS = "event ids name one event"


@pytest.fixture
def campaign(world: World, noon: datetime) -> int:
    """A campaign that its budget paused and a refund reactivated; it spent 9 yesterday and 5 today."""
    world.set_clock(noon)
    campaign = world.campaign(world.brand("Asia/Kathmandu", daily=10))
    world.spend(campaign, 9, noon - timedelta(days=1))
    world.spend(campaign, 12)
    world.spend(campaign, -7)
    return campaign


def checks() -> dict[str, Check]:
    return {check.name: check for check in verify()}


def wrong() -> dict[str, list[dict[str, Any]]]:
    return {name: check.wrong for name, check in checks().items() if check.wrong}


def test_verify_passes_on_correct_data_and_counts_compared_rows(world: World, campaign: int) -> None:
    started: list[str] = []
    found = {check.name: check.compared for check in verify(started.append)}
    assert found == {
        DAYS: 3,
        BRAND_DAYS: 2,
        TOTALS: 0,
        OWNERS: 3,
        HOLDS: 1,
        HISTORY: 2,
        PAIRS: 3,
        LIMITS: 1,
        FLAGS: 1,
        HEADROOMS: 2,
        FACTS: 1,
        SEALS: 0,
        IDS: 3,
    } | ({DIRECTORY: 1} if citus.is_used() else {})
    assert started == list(found)
    assert wrong() == {}


def test_verify_finds_a_campaign_day_that_differs_from_the_ledger(world: World, campaign: int) -> None:
    world.execute("UPDATE campaign_days SET spent_micros = spent_micros + 1 WHERE day = '2026-06-17'")
    world.execute("UPDATE brand_days SET spent_micros = spent_micros + 1 WHERE day = '2026-06-17'")
    found = wrong()
    if citus.is_used():
        del found[HEADROOMS]  # nothing there clears the headroom after SQL by hand
    assert found == {
        DAYS: [
            {
                "brand_id": world.brand_of(campaign),
                "campaign_id": campaign,
                "day": date(2026, 6, 17),
                "ledger_micros": 5,
                "counter_micros": 6,
                "time_zone": "Asia/Kathmandu",
            }
        ],
    }


@pytest.mark.parametrize(
    ("by_hand", "figures"),
    [
        ("DELETE FROM spend_events WHERE amount_micros = 9", (0, 9)),
        ("DELETE FROM campaign_days WHERE day = '2026-06-16'", (9, 0)),
        ("INSERT INTO campaign_days SELECT brand_id, id, '2026-06-01', 3 FROM campaigns", (0, 3)),
    ],
)
def test_verify_finds_a_missing_day_and_a_missing_event(
    world: World, campaign: int, by_hand: str, figures: tuple[int, int]
) -> None:
    world.tamper(by_hand)
    (row,) = wrong()[DAYS]
    assert (row["ledger_micros"], row["counter_micros"]) == figures


def test_verify_finds_an_uncounted_event_of_any_brand(world: World, campaign: int, noon: datetime) -> None:
    world.execute("INSERT INTO spend_events VALUES (gen_random_uuid(), 404, 405, %s, 7)", noon)
    found = wrong()
    (row,) = found[DAYS]
    assert (row["brand_id"], row["campaign_id"], row["ledger_micros"]) == (404, 405, 7)
    assert found[OWNERS] == [
        {"table_name": "spend_events", "brand_id": 404, "campaign_id": 405, "rows_of_nobody": 1},
    ]


def test_verify_finds_a_brand_day_that_differs_from_its_campaigns(world: World, campaign: int) -> None:
    world.execute("UPDATE brand_days SET spent_micros = 4 WHERE day = '2026-06-17'")
    row = {"brand_id": world.brand_of(campaign), "day": date(2026, 6, 17), "campaigns_micros": 5, "counter_micros": 4}
    assert wrong() == {BRAND_DAYS: [row]}


def test_verify_finds_holds_that_differ_from_the_rules(world: World, campaign: int) -> None:
    world.execute("UPDATE budgets SET limit_micros = 5")
    (row,) = wrong()[HOLDS]
    assert (row["campaign_id"], row["holds"], row["should_be"]) == (campaign, [], ["brand_daily_budget"])


def test_verify_finds_a_next_change_that_the_tick_would_miss(world: World, campaign: int) -> None:
    world.spend(campaign, 5)
    world.execute("UPDATE campaigns SET next_change_at = NULL")
    (row,) = wrong()[HOLDS]
    assert row["next_change_should_be"] == datetime.fromisoformat("2026-06-17T18:15:00+00:00")


def test_verify_finds_a_status_without_a_status_change(world: World, campaign: int) -> None:
    world.execute("UPDATE campaigns SET effective_status = 'inactive', holds = '{user_paused}'")
    found = wrong()
    assert [row["campaign_id"] for row in found[HOLDS]] == [campaign]
    ids = {"brand_id": world.brand_of(campaign), "campaign_id": campaign}
    assert found[HISTORY] == [
        {**ids, "effective_status": "inactive", "to_status": "active"},
        {**ids, "holds": ["user_paused"], "last_known": []},
    ]


def test_verify_finds_a_history_with_a_gap(world: World, campaign: int) -> None:
    world.spend(campaign, 5)
    world.execute("ALTER TABLE status_changes DISABLE TRIGGER append_only")
    first, second, third = (row["id"] for row in world.rows("SELECT id FROM status_changes ORDER BY id"))
    world.execute("DELETE FROM status_changes WHERE id = %s", second)
    found = wrong()
    ids = {"brand_id": world.brand_of(campaign), "campaign_id": campaign}
    assert found[HISTORY] == [{"id": third, **ids, "from_status": "active", "previous_status": "inactive"}]
    (unpaired,) = found[PAIRS]
    assert (unpaired["campaign_id"], unpaired["status_change_id"], unpaired["to_status"]) == (campaign, None, "active")
    assert first < third


def test_verify_finds_a_deleted_hold_change_also_after_maintenance(world: World, campaign: int) -> None:
    world.execute("ALTER TABLE hold_changes DISABLE TRIGGER append_only")
    world.spend(campaign, 6)
    world.execute("DELETE FROM hold_changes WHERE id = (SELECT max(id) FROM hold_changes)")
    maintain_ledger()
    found = wrong()
    ids = {"brand_id": world.brand_of(campaign), "campaign_id": campaign}
    assert found[HISTORY] == [{**ids, "holds": ["brand_daily_budget"], "last_known": []}]
    (unpaired,) = found[PAIRS]
    assert (unpaired["campaign_id"], unpaired["hold_change_id"], unpaired["to_status"]) == (campaign, None, "inactive")


def test_verify_lists_ids_in_two_months_as_notices(world: World, campaign: int) -> None:
    event = world.spend(campaign, 1, "2026-05-31T10:00:00Z")
    world.ingest([{**event, "occurred_at": "2026-06-01T10:00:00Z"}])
    found = checks()[IDS]
    assert found.notices == [{"brand_id": world.brand_of(campaign), "event_id": event["event_id"], "events": 2}]
    assert wrong() == {}


def test_verify_lists_campaigns_due_at_the_next_tick_as_notices(world: World, campaign: int) -> None:
    world.spend(campaign, 5)
    brand = world.brand_of(campaign)
    new = world.one("INSERT INTO campaigns (brand_id, name) VALUES (%s, 'new') RETURNING id", brand)["id"]
    assert [row["campaign_id"] for row in checks()[HOLDS].notices] == [new]
    world.set_clock("2026-06-17T18:15:00Z")
    assert [row["campaign_id"] for row in checks()[HOLDS].notices] == [campaign]
    assert wrong().keys() == ({DIRECTORY} if citus.is_used() else set())
    world.tick()
    assert checks()[HOLDS].notices == []


def test_verify_checks_every_page_of_brands(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    world.execute("INSERT INTO brands (name) SELECT 'b' FROM generate_series(1, 450)")
    world.execute("INSERT INTO campaigns (brand_id, name) SELECT id, 'c' FROM brands")
    world.tick()
    world.execute("UPDATE campaigns SET configured_status = 'paused' WHERE brand_id IN (1, 201, 401, 450)")
    assert len(wrong()[HOLDS]) == 4


def test_verify_continues_after_a_brand_with_an_unreadable_zone(world: World, campaign: int, noon: datetime) -> None:
    brand = world.one("INSERT INTO brands (name, time_zone) VALUES ('Unreadable', 'PST') RETURNING id")["id"]
    lost = world.one("INSERT INTO campaigns (brand_id, name) VALUES (%s, 'c') RETURNING id", brand)["id"]
    world.execute("INSERT INTO spend_events VALUES (gen_random_uuid(), %s, %s, %s, 7)", brand, lost, noon)
    assert [row["campaign_id"] for row in wrong()[DAYS]] == [lost]


def test_verify_assigns_days_by_zoneinfo_when_postgres_differs(world: World) -> None:
    """The clock given to Postgres stands for another edition of the zones: it would assign the event a day later."""
    world.set_clock("2026-06-17T20:00:00Z")
    campaign = world.campaign(world.brand("Asia/Kathmandu"))
    world.spend(campaign, 5)
    world.execute("UPDATE campaign_days SET day = '2026-06-17'")
    world.execute("UPDATE brand_days SET day = '2026-06-17'")
    rows = {(row["day"].day, row["ledger_micros"], row["counter_micros"]) for row in wrong()[DAYS]}
    assert rows == {(17, 0, 5), (18, 5, 0)}


def statements_of_totals() -> int:
    """How many statements the check of totals sends, all of whose totals must be right."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    event.listen(engine(), "before_cursor_execute", note)
    try:
        (check,) = verify(only=[TOTALS])
    finally:
        event.remove(engine(), "before_cursor_execute", note)
    assert not check.wrong
    return len(sent)


def test_more_totals_need_no_more_statements(world: World, noon: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals_check, "PAGE", 2)
    world.set_clock(noon)
    brand = world.brand("America/Los_Angeles")

    def report(days: int, *figures: tuple[int, timedelta]) -> None:
        campaign = world.campaign(brand)
        for micros, ago in figures:
            as_of = (noon - ago).isoformat()
            dates = [(noon - timedelta(days=back)).date().isoformat() for back in range(1, days + 1)]
            common = {"source": "meta_ads", "campaign_id": campaign, "total_micros": micros, "as_of": as_of}
            ingest_reported_totals(totals=[{**common, "day": day} for day in dates])

    report(1, (5, timedelta(hours=3)))
    of_one = statements_of_totals()
    report(20, (5, timedelta(hours=3)), (8, timedelta(hours=2)), (8, timedelta(hours=1)))
    report(20, (0, timedelta(hours=3)))
    assert statements_of_totals() == of_one
