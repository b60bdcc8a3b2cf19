"""The ledger partitioned by days: what an id names, a change of the setting, retention in days."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
import structlog

from cli import roles
from db.engine import committed
from db.repository.ledger import ledger
from domain.periods import ONE_DAY
from runtime.settings import SettingsError, settings
from tests.cli.shell import shell
from tests.kit import at_once, lines
from tests.world import World, moment
from workers.actors.ingest import ingest_reported_totals
from workers.actors.schedule import maintain_ledger

Partitioned = Callable[[str], None]

NAMES = """
    SELECT substr(relname, 14) AS name FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = 'spend_events'::regclass ORDER BY 1
"""


@pytest.fixture
def partitioned(world: World, monkeypatch: pytest.MonkeyPatch) -> Partitioned:
    """Stores the kind of new partitions as `spendgate migrate` does; caches of this process stay as they are."""

    def store(kind: str) -> None:
        monkeypatch.setenv("SPENDGATE_LEDGER_PARTITIONS", kind)
        settings.cache_clear()
        roles.grant_again()

    return store


@pytest.fixture
def campaign(world: World, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("SPENDGATE_MAX_EVENT_AGE_DAYS", "400")
    settings.cache_clear()
    world.set_clock("2026-06-17T12:00:00Z")
    return world.campaign(world.brand("America/New_York"))


def partitions(world: World, beginning: str = "") -> list[str]:
    """The partitions by the end of their names."""
    return [row["name"] for row in world.rows(NAMES) if row["name"].startswith(beginning)]


def on(event: dict[str, Any], occurred_at: str) -> dict[str, Any]:
    return {**event, "occurred_at": occurred_at}


def reasons(world: World) -> list[str]:
    return [row["reason"] for row in world.rejected()]


# --- what an id names


def test_days_begin_at_midnight_in_utc_whatever_the_brands_zone(
    world: World, campaign: int, partitioned: Partitioned
) -> None:
    partitioned("day")
    for at in ("2026-06-16T23:59:59.999999Z", "2026-06-17T00:00:00Z", "2026-06-17T03:59:59Z", "2026-06-17T04:00:00Z"):
        world.spend(campaign, 1, at)
    assert partitions(world, "2026_06") == ["2026_06_16", "2026_06_17"]
    assert world.one("SELECT count(*) FROM spend_events_2026_06_17")["count"] == 3
    assert (world.spent(campaign, "2026-06-16"), world.spent(campaign, "2026-06-17")) == (3, 1)
    world.verify()


@pytest.mark.parametrize("others", [0, 300], ids=["few events", "many events"])
def test_event_redelivered_is_known_and_other_content_of_the_day_conflicts(
    world: World, campaign: int, partitioned: Partitioned, others: int
) -> None:
    partitioned("day")
    event = world.spend(campaign, 5, "2026-06-16T10:00:00Z")
    world.ingest([event, *(world.event(campaign, 1, "2026-06-17T10:00:00Z") for _ in range(others))])
    world.ingest([event, on(event, "2026-06-16T11:00:00Z"), {**event, "amount_micros": 6}])
    assert world.spent(campaign) == 5 + others
    assert reasons(world) == ["conflicting_duplicate"] * 2
    world.verify()


def test_id_on_two_days_names_two_events_and_verify_lists_it(
    world: World, campaign: int, partitioned: Partitioned
) -> None:
    partitioned("day")
    event = world.event(campaign, 5, "2026-06-16T10:00:00Z")
    other_day = on(event, "2026-06-17T10:00:00Z")
    for batch in ([event], [other_day], [event, other_day], [other_day, event]):
        world.ingest(batch)
    assert (world.spent(campaign), reasons(world)) == (10, [])
    world.verify()


def test_id_on_two_days_of_one_batch_names_two_events_beside_a_known_event(
    world: World, campaign: int, partitioned: Partitioned
) -> None:
    partitioned("day")
    known = world.spend(campaign, 1, "2026-06-16T10:00:00Z")
    event = world.event(campaign, 5, "2026-06-16T10:00:00Z")
    world.ingest([known, event, on(event, "2026-06-17T10:00:00Z")])
    assert (world.spent(campaign), reasons(world)) == (11, [])
    world.verify()


# --- the setting is changed while events come


def test_month_with_events_stays_and_days_begin_with_the_next(
    world: World, campaign: int, partitioned: Partitioned
) -> None:
    event = world.spend(campaign, 5, "2026-06-16T10:00:00Z")
    partitioned("day")
    world.ingest([on(event, "2026-06-17T10:00:00Z")])
    assert reasons(world) == ["conflicting_duplicate"]
    world.set_clock("2026-07-02T00:00:00Z")
    batch = [world.event(campaign, 1, at) for at in ("2026-06-30T23:59:59Z", "2026-07-01T00:00:00Z")]
    world.ingest(batch)
    world.ingest([*batch, event, on(batch[1], "2026-06-30T00:00:00Z")])
    assert (world.spent(campaign), reasons(world)) == (8, ["conflicting_duplicate"])
    assert partitions(world, "2026_06") == ["2026_06"]
    assert partitions(world, "2026_07") == ["2026_07_01"]
    world.verify()


def test_month_with_days_keeps_days_after_the_setting_is_taken_back(
    world: World, campaign: int, partitioned: Partitioned
) -> None:
    partitioned("day")
    world.spend(campaign, 5, "2026-06-16T10:00:00Z")
    maintain_ledger()
    partitioned("month")
    world.spend(campaign, 5, "2026-06-01T10:00:00Z")
    assert {len(name) for name in partitions(world, "2026_06")} == {len("2026_06_16")}
    world.set_clock("2026-07-02T00:00:00Z")
    maintain_ledger()
    assert partitions(world, "2026_07") == ["2026_07"]
    world.verify()


@pytest.mark.parametrize("is_made_again", [False, True], ids=["month is missing", "month was made elsewhere"])
def test_empty_days_are_replaced_by_their_month_while_a_process_remembers_them(
    world: World, campaign: int, partitioned: Partitioned, is_made_again: bool
) -> None:
    partitioned("day")
    maintain_ledger()
    maintain_ledger()  # from the second time on, the process remembers them
    partitioned("month")
    world.set_clock("2026-06-20T12:00:00Z")
    if is_made_again:
        world.execute("SELECT ensure_ledger_partition('2026-06-01')")
    event = world.spend(campaign, 5, "2026-06-17T10:00:00Z")
    world.ingest([on(event, "2026-06-18T10:00:00Z"), world.event(campaign, 1)])
    assert (partitions(world, "2026_06"), world.spent(campaign)) == (["2026_06"], 6)
    assert reasons(world) == ["conflicting_duplicate"]
    world.verify()


def test_setting_changed_while_events_come_loses_and_doubles_nothing(
    world: World, campaign: int, partitioned: Partitioned
) -> None:
    events = [world.event(campaign, 1, f"2026-06-{day:02}T10:00:00Z") for day in range(1, 17) for _ in range(3)]

    def count() -> None:
        for place in range(0, len(events), 4):
            world.ingest(events[place : place + 4])

    def change() -> None:
        for kind in ("day", "month", "day"):
            partitioned(kind)

    at_once(count, change)
    world.ingest(events)
    assert (world.spent(campaign), reasons(world)) == (len(events), [])
    assert len({len(name) for name in partitions(world, "2026_06")}) == 1
    world.verify()


def test_process_of_an_earlier_version_makes_all_days_of_a_month(
    world: World, campaign: int, partitioned: Partitioned
) -> None:
    del campaign
    partitioned("day")
    made = "SELECT ensure_ledger_month(%s) AS made"
    assert [world.one(made, "2031-02-01")["made"] for _ in range(2)] == [True, False]
    assert len(partitions(world, "2031_02")) == 28
    committed(lambda connection: ledger.drop_partitions_before(connection, moment("2026-05-11T00:00:00Z")))
    assert world.one(made, "2026-04-01")["made"] is None
    assert world.one(made, "2026-05-01")["made"] is True
    assert partitions(world, "2026_05") == [f"2026_05_{day}" for day in range(11, 32)]


def test_migration_back_is_refused_while_days_have_events(
    world: World, campaign: int, partitioned: Partitioned
) -> None:
    partitioned("day")
    world.spend(campaign, 1)
    refused = shell("migrate", "--down", "0039")
    assert refused.code == 2
    assert "the ledger has days with events" in refused.err
    assert world.one("SELECT version_num FROM alembic_version")["version_num"] == "0040"
    world.spend(campaign, 1)
    assert world.spent(campaign) == 2


# --- coming days, and retention in days


def test_maintenance_makes_ten_coming_days_however_often_it_runs(
    world: World, campaign: int, partitioned: Partitioned
) -> None:
    del campaign
    partitioned("day")
    maintain_ledger()
    maintain_ledger()
    assert partitions(world, "2026_06") == [f"2026_06_{day}" for day in range(17, 28)]
    world.set_clock("2026-08-28T23:59:59Z")  # late
    maintain_ledger()
    assert partitions(world, "2026_08") == [f"2026_08_{day}" for day in (28, 29, 30, 31)]
    assert partitions(world, "2026_09") == [f"2026_09_0{day}" for day in range(1, 8)]


@pytest.fixture
def _kept_35_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPENDGATE_LEDGER_RETENTION_DAYS", "35")
    settings.cache_clear()


@pytest.mark.usefixtures("_kept_35_days")
def test_days_past_the_retention_are_dropped_and_their_events_too_old(
    world: World, campaign: int, partitioned: Partitioned
) -> None:
    partitioned("day")
    events = [world.spend(campaign, 1, f"2026-06-{day:02}T23:59:59Z") for day in range(11, 16)]
    world.set_clock("2026-07-18T23:59:59Z")
    for _ in range(2):
        maintain_ledger()
    assert partitions(world, "2026_06") == ["2026_06_13", "2026_06_14", "2026_06_15"]
    world.set_clock("2026-07-19T00:00:00Z")
    with structlog.testing.capture_logs() as logged:
        maintain_ledger()
    assert [line["dropped"] for line in lines(logged, "ledger.maintained")] == [["2026-06-13"]]
    world.ingest(events)
    assert (world.spent(campaign), reasons(world)) == (5, ["too_old"] * 3)
    world.verify()
    world.set_clock("2026-12-01T00:00:00Z")  # late
    maintain_ledger()
    assert partitions(world, "2026_06") == []
    assert world.spent(campaign) == 5
    world.verify()


@pytest.mark.usefixtures("_kept_35_days")
def test_month_is_dropped_once_all_of_it_is_past_the_retention_in_days(
    world: World, campaign: int, partitioned: Partitioned
) -> None:
    event = world.spend(campaign, 1, "2026-06-16T10:00:00Z")
    partitioned("day")
    world.set_clock("2026-07-02T00:00:00Z")
    world.spend(campaign, 1, "2026-07-01T10:00:00Z")
    world.set_clock("2026-08-04T23:59:59Z")
    maintain_ledger()
    world.ingest([event])
    assert (partitions(world, "2026_06"), reasons(world)) == (["2026_06"], ["too_old"])
    assert world.one("SELECT reached_at FROM watermarks WHERE name = 'ledger_floor'") == {
        "reached_at": moment("2026-06-01T00:00:00Z")
    }
    world.set_clock("2026-08-05T00:00:00Z")
    maintain_ledger()
    assert (partitions(world, "2026_06"), partitions(world, "2026_07")) == ([], ["2026_07_01"])
    assert world.spent(campaign) == 2
    world.verify()


def test_message_of_three_years_of_totals_makes_few_partitions(
    world: World, campaign: int, partitioned: Partitioned
) -> None:
    partitioned("day")
    before = len(partitions(world))
    days = [(date(2026, 6, 16) - ONE_DAY * number).isoformat() for number in range(1_090)]
    named = {"source": "export", "campaign_id": campaign, "total_micros": 1, "as_of": "2026-06-17T11:00:00Z"}
    ingest_reported_totals(totals=[{**named, "day": day} for day in days])
    assert (world.spent(campaign), reasons(world)) == (1_090, [])
    assert "2026_06_16" in partitions(world)
    assert partitions(world, "2024") == [f"2024_{month:02}" for month in range(1, 13)]
    assert len(partitions(world)) - before <= ledger.DAYS_A_MESSAGE + 36
    world.verify()


def test_dropped_day_is_never_made_again_whatever_the_setting(
    world: World, campaign: int, partitioned: Partitioned
) -> None:
    partitioned("day")
    event = world.spend(campaign, 1, "2026-05-10T10:00:00Z")
    committed(lambda connection: ledger.drop_partitions_before(connection, moment("2026-05-11T00:00:00Z")))
    partitioned("month")
    made = "SELECT first_day, end_day FROM ensure_ledger_partition(%s)"
    assert world.one(made, "2026-05-10") == {"first_day": None, "end_day": None}
    world.ingest([event, world.event(campaign, 1, "2026-05-11T00:00:00Z")])
    assert partitions(world, "2026_05") == ["2026_05_11"]
    assert (world.spent(campaign), reasons(world)) == (2, ["too_old"])
    world.verify()


def test_two_retentions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPENDGATE_LEDGER_RETENTION_DAYS", "40")
    monkeypatch.setenv("SPENDGATE_LEDGER_RETENTION_MONTHS", "2")
    settings.cache_clear()
    with pytest.raises(SettingsError, match="SPENDGATE_LEDGER_RETENTION_DAYS: unset it"):
        settings()
