"""`spendgate repair` corrects counters, totals, holds and histories, stores the corrections, and `verify` passes."""

import json
import threading
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

import pytest

from app.proof import repair, seals, verification
from app.proof.verification import OF_HISTORY, verify
from db.engine import snapshot
from db.repository.proof import corrections
from tests.cli.shell import shell
from tests.world import World
from workers.actors.ingest import ingest_reported_totals
from workers.actors.schedule import refresh_spend


@pytest.fixture
def campaign(world: World, noon: datetime) -> int:
    """A campaign with a daily limit of 10, paused by 12 spent; 5 reported for yesterday; its histories are sealed."""
    world.set_clock(noon)
    campaign = world.campaign(world.brand(daily=10), name="Summer", monthly=1_000)
    report(campaign, 5, noon - timedelta(hours=3))
    world.spend(campaign, 12)
    seals.seal()
    return campaign


def report(campaign: int, total: int, as_of: datetime) -> None:
    total_of_day = {"source": "meta_ads", "campaign_id": campaign, "day": "2026-06-16"}
    ingest_reported_totals(totals=[{**total_of_day, "total_micros": total, "as_of": as_of.isoformat()}])


def wrong() -> set[str]:
    return {check.name for check in verify() if check.wrong}


def repair_everything() -> list[tuple[str, dict[str, Any]]]:
    _, findings = repair.repair_all("test", repair.to_acknowledge(verify()))
    return findings


TAMPERED = (
    "UPDATE campaign_days SET spent_micros = 3",
    "UPDATE brand_days SET spent_micros = 3",
    "DELETE FROM campaign_days",
    "DELETE FROM brand_days",
    "INSERT INTO campaign_days SELECT brand_id, id, '2026-06-01', 3 FROM campaigns",
    "UPDATE reported_totals SET total_micros = 7",
    "UPDATE reported_totals SET previous_micros = 1",
    "DELETE FROM reported_totals",
    "UPDATE campaigns SET holds = '{}', effective_status = 'active'",
    "UPDATE campaigns SET holds = '{user_paused}', effective_status = 'inactive'",
    "UPDATE brands SET has_campaign_budgets = false",
    "UPDATE brands SET headroom_micros = 1000, headroom_on = '2026-06-17'",
    "UPDATE budget_limits SET limit_micros = 20",
    "DELETE FROM budget_limits",
    "DELETE FROM status_changes",
    "DELETE FROM hold_changes",
    "UPDATE status_changes SET holds_after = '{user_paused}'",
    "UPDATE status_changes SET details = '{}'",
    "UPDATE status_changes SET changed_at = '2026-06-17T11:00:00Z'",
    "UPDATE hold_changes SET cause = 'edit'",
    "DELETE FROM audit_entries WHERE id = 1",
    "DELETE FROM history_seals WHERE id = 1",
    "DELETE FROM history_seals",
)


@pytest.mark.parametrize("tampered", TAMPERED)
def test_verify_passes_after_a_repair_and_later(world: World, campaign: int, tampered: str) -> None:
    world.tamper(tampered)
    assert wrong()
    repair_everything()
    assert wrong() == set()
    assert not world.is_active(campaign), "12 of 10 are spent today, by the ledger"
    seals.seal()
    world.spend(campaign, -5)
    assert world.is_active(campaign)
    refresh_spend()
    seals.seal()
    assert wrong() == set()


def test_repair_sets_counters_and_totals_to_the_ledger_and_stores_each_correction(
    world: World, campaign: int, noon: datetime
) -> None:
    world.tamper("UPDATE campaign_days SET spent_micros = 3; UPDATE reported_totals SET total_micros = 9")
    repair_everything()
    assert (world.spent(campaign, "2026-06-17"), world.spent(campaign, "2026-06-16")) == (12, 5)
    report(campaign, 6, noon - timedelta(hours=1))
    assert world.spent(campaign, "2026-06-16") == 6, "the next total books its difference to 5, not to 9"
    kept = {
        (row["kind"], json.dumps(row["old"]), json.dumps(row["new"]), row["corrected_by"])
        for row in world.rows("SELECT * FROM corrections")
    }
    assert ("campaign_day", '{"spent_micros": 3}', '{"spent_micros": 12}', "test") in kept
    assert ("campaign_day", '{"spent_micros": 3}', '{"spent_micros": 5}', "test") in kept
    assert wrong() == set()


def test_repair_restores_a_deleted_total_so_that_its_old_figure_books_nothing(
    world: World, campaign: int, noon: datetime
) -> None:
    world.execute("DELETE FROM reported_totals")
    repair_everything()
    report(campaign, 5, noon - timedelta(hours=3))
    assert world.spent(campaign, "2026-06-16") == 5
    later = world.set_clock(noon + timedelta(hours=1))
    report(campaign, 8, later)
    assert world.spent(campaign, "2026-06-16") == 8
    assert wrong() == set()


def test_verify_passes_after_repair_of_a_hold_that_refresh_corrected(world: World, campaign: int) -> None:
    world.execute("UPDATE campaigns SET holds = '{}', effective_status = 'active'")
    refresh_spend()
    assert not world.is_active(campaign)
    assert wrong() <= OF_HISTORY
    assert repair_everything()
    assert wrong() == set()


def test_repair_of_a_hold_appends_a_status_change(world: World, campaign: int) -> None:
    world.execute("UPDATE campaigns SET holds = '{}', effective_status = 'active'")
    assert repair_everything() == []
    status_changes = world.rows("SELECT from_status, to_status, cause FROM status_changes ORDER BY id")
    assert status_changes == [
        {"from_status": "active", "to_status": "inactive", "cause": "spend"},
        {"from_status": "inactive", "to_status": "active", "cause": "repair"},
        {"from_status": "active", "to_status": "inactive", "cause": "repair"},
    ]
    assert wrong() == set()


@pytest.mark.parametrize("looked_at", [6, 3])
def test_repair_of_a_large_brand_tells_all_toggles_or_says_at_least(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    brand = world.brand_of(campaign)
    monkeypatch.setattr("app.passes.CAMPAIGNS_A_PART", 2)
    monkeypatch.setattr("app.enforcement.LOOKED_AT", looked_at)
    for _ in range(5):
        world.campaign(brand)
    world.tick()
    world.tamper("UPDATE campaigns SET holds = '{}', effective_status = 'active', next_change_at = NULL")
    planned = repair.repair_brand(brand, "test", dry_run=True)
    ((done,), _) = repair.repair_all("test", [])
    for repaired in (planned, done):
        held = [one for one in repaired.corrections if one.kind == "holds"]
        assert (repaired.toggles, repaired.at_least, len(held)) == (looked_at, looked_at < 6, looked_at)
    world.tick()
    assert wrong() == set()


def test_acknowledged_row_is_a_notice_until_it_is_altered_again(world: World, campaign: int) -> None:
    world.tamper("UPDATE status_changes SET cause = 'edit'")
    repair_everything()
    (known,) = [row for check in verify() for row in check.notices if row.get("history") == "status_changes"]
    assert known["acknowledged_by"] == "test"
    world.tamper("UPDATE status_changes SET cause = 'check'")
    assert "sealed histories are unaltered" in wrong()


def test_repair_acknowledges_only_findings_that_were_shown(world: World, campaign: int) -> None:
    world.tamper("UPDATE status_changes SET cause = 'edit'")
    shown = repair.to_acknowledge(verify())
    world.tamper("UPDATE hold_changes SET cause = 'edit'")
    _, findings = repair.repair_all("test", shown)
    assert {row["history"] for _, row in findings} == {"status_changes"}
    assert [row["history"] for _, row in repair.to_acknowledge(verify())] == ["hold_changes"]


def test_asked_repair_corrects_only_brands_that_were_shown(world: World, campaign: int) -> None:
    shown, new = world.campaign(world.brand()), world.campaign(world.brand())
    for one in (shown, new):
        world.spend(one, 4)
    world.execute("UPDATE campaign_days SET spent_micros = 3 WHERE campaign_id = ANY(%s)", [shown, new])
    repair.repair_all("test", [], brand_ids={world.brand_of(shown)})
    assert (world.spent(shown), world.spent(new)) == (4, 3)


def test_command_lists_every_finding_before_it_acknowledges_them(world: World, campaign: int) -> None:
    for _ in range(30):
        world.spend(campaign, -12)
        world.spend(campaign, 12)
    seals.seal()
    world.tamper("UPDATE status_changes SET cause = 'edit'")
    listed = shell("repair", "--dry-run").out
    assert listed.count("to be acknowledged") == len(repair.to_acknowledge(verify())) > 20


def test_acknowledged_findings_hide_no_later_one(world: World, campaign: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        world.campaign(world.brand_of(campaign))
    monkeypatch.setattr(verification, "NAMED_ROWS", 2)
    world.tamper("UPDATE status_changes SET cause = 'spend', details = '{}'")
    rounds = list(takewhile(bool, (repair_everything() for _ in range(10))))
    assert len(rounds) > 1
    assert wrong() == set()
    world.tamper("UPDATE status_changes SET details = '{\"day\": 1}' WHERE id = (SELECT max(id) FROM status_changes)")
    assert "status changes match the history of holds" in wrong()


def test_repair_of_one_brand_leaves_other_brands_unchanged(world: World, campaign: int) -> None:
    other = world.campaign(world.brand())
    world.spend(other, 4)
    world.execute("UPDATE campaign_days SET spent_micros = 3")
    repair.repair_all("test", [], world.brand_of(other))
    assert (world.spent(other), world.spent(campaign, "2026-06-17")) == (4, 3)


def test_repair_leaves_events_without_a_campaign_and_lists_them(world: World, campaign: int, noon: datetime) -> None:
    world.execute("INSERT INTO spend_events VALUES (gen_random_uuid(), %s, 999, %s, 0)", world.brand_of(campaign), noon)
    repair_everything()
    assert wrong() == {"every row belongs to a campaign of its brand"}


def test_repair_during_ingest_counts_every_event(world: World) -> None:
    campaigns = [world.campaign(world.brand()) for _ in range(3)]
    for campaign in campaigns:
        world.spend(campaign, 1)
    world.execute("UPDATE campaign_days SET spent_micros = spent_micros + 1000")
    counting = threading.Barrier(3)

    def count() -> None:
        counting.wait()
        for _ in range(15):
            world.ingest([world.event(campaign, 1) for campaign in campaigns])

    threads = [threading.Thread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    counting.wait()
    for _ in range(5):
        for campaign in campaigns:
            repair.repair_brand(world.brand_of(campaign), "test", dry_run=False)
    for thread in threads:
        thread.join()
    assert [world.spent(campaign) for campaign in campaigns] == [31, 31, 31]
    assert wrong() == set()


def test_command_lists_corrections_and_changes_nothing_without_yes(world: World, campaign: int) -> None:
    world.execute("UPDATE campaign_days SET spent_micros = 3000000 WHERE day = '2026-06-17'")
    shown = shell("repair", "--dry-run")
    assert shown.code == 1
    assert "campaign 1, 2026-06-17: counter $3.00 → $0.000012, from the ledger" in " ".join(shown.out.split())
    assert shell("repair").code == 2
    assert shell("repair", "--dry-run", "--json").data["dry_run"]
    assert world.spent(campaign, "2026-06-17") == 3_000_000
    assert world.rows("SELECT FROM corrections") == []
    done = shell("repair", "--yes", "--json")
    assert (done.code, done.data["left"]) == (0, [])
    assert world.spent(campaign, "2026-06-17") == 12
    assert shell("repair", "--yes").out == "Nothing to repair.\n0 corrected, 0 toggled, 0 acknowledged\n"
    with snapshot() as connection:
        assert corrections.acknowledged(connection) == {}
