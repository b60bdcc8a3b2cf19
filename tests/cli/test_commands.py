"""The commands of `spendgate`: edits are enforced and audited at once, and every command sets its exit code."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import typer.main

from cli.output import console
from runtime.settings import settings
from tests import citus
from tests.cli.conftest import Spendgate
from tests.cli.shell import CommandResult, shell
from tests.queues import queues
from tests.world import UNIT, World

REDIS_AWAY = "redis://:hidden@127.0.0.1:1/0"
RABBITMQ_AWAY = "amqp://app:hidden@127.0.0.1:1/%2F"
POSTGRES_AWAY = "postgresql://app:hidden@127.0.0.1:1/spendgate"
BACKWARDS = ("--starts-on", "2026-02-02", "--ends-on", "2026-02-01")
NOON = "2026-06-17T12:00:00Z"
MARKUP = "[bold]Loud[/bold] [/red] [link=x]"


def audit(world: World) -> list[tuple[str, str]]:
    rows = world.rows("SELECT action, subject, changed_by FROM audit_entries ORDER BY id")
    assert all(row["changed_by"].startswith(("cli:", "test")) for row in rows)
    return [(row["action"], row["subject"]) for row in rows if row["changed_by"].startswith("cli:")]


def assert_one_line(result: CommandResult, code: int, *words: str) -> None:
    assert result.code == code, result
    assert result.err.count("\n") == 1, result.err
    for word in words:
        assert word.lower() in result.err.lower()
    assert "hidden" not in result.err + result.out
    assert "Traceback" not in result.err


# Brands, campaigns, budgets and schedules


def test_brand_create_and_list_show_the_brand_with_its_spend(world: World, spendgate: Spendgate) -> None:
    world.set_clock(NOON)
    result = spendgate("brand", "create", "Shoes", "--time-zone", "Asia/Kathmandu", "--currency", "eur", "--json")
    brand = result.data["brand_id"]
    world.spend(world.campaign(brand), 1_250_001)
    (listed,) = spendgate("brand", "list", "--json").data
    facts = {"name": "Shoes", "time_zone": "Asia/Kathmandu", "currency": "EUR", "configured_status": "enabled"}
    assert listed | facts | {"id": brand, "today_micros": 1_250_001, "active_campaigns": 1} == listed
    assert "€1.250001" in spendgate("brand", "list").out
    assert audit(world) == [("create", "brand")]
    assert "brand" in spendgate("brand", "create", "Hats").out


def test_paused_brand_holds_its_campaigns_until_it_is_enabled(world: World, spendgate: Spendgate) -> None:
    brand = world.brand()
    campaign = world.campaign(brand)
    for word, holds in (("pause", {"brand_paused"}), ("enable", set()), ("archive", {"brand_paused"})):
        assert spendgate("brand", word, str(brand), "--yes").code == 0
        assert world.holds(campaign) == holds
    assert audit(world) == [("edit", "brand")] * 3
    world.verify()


def test_campaign_create_enforces_at_once_and_list_shows_it(world: World, spendgate: Spendgate) -> None:
    world.set_clock(NOON)
    brand = str(world.brand(daily=10 * UNIT))
    result = spendgate(
        "campaign", "create", "Summer", "--brand", brand, "--platform", "google_ads", "--external-id", "77",
        "--starts-on", "2026-07-01", "--ends-on", "2026-08-31", "--json",
    )  # fmt: skip
    campaign = result.data["campaign_id"]
    assert world.holds(campaign) == {"flight_not_started"}
    (listed,) = spendgate("campaign", "list", "--brand", brand, "--status", "inactive", "--json").data
    assert (listed["id"], listed["external_id"], listed["holds"]) == (campaign, "77", ["flight_not_started"])
    assert listed["next_change_at"] == "2026-07-01T00:00:00+00:00"
    assert spendgate("campaign", "list", "--status", "active", "--json").data == []
    assert "flight_not_started" in spendgate("campaign", "list").out
    assert audit(world) == [("create", "campaign")]
    assert "Autumn" in spendgate("campaign", "create", "Autumn", "--brand", brand).out
    assert len(spendgate("campaign", "list", "--limit", "1", "--json").data) == 1


def test_campaign_pause_archive_and_enable_take_effect_at_once(world: World, spendgate: Spendgate) -> None:
    campaign = world.campaign(world.brand())
    for word, holds in (("pause", {"user_paused"}), ("archive", {"archived"}), ("enable", set())):
        assert spendgate("campaign", word, str(campaign), "--yes").code == 0
        assert world.holds(campaign) == holds
    assert audit(world) == [("edit", "campaign")] * 3
    world.verify()


def test_budget_set_below_spend_holds_at_once_and_above_spend_lifts_the_hold(
    world: World, spendgate: Spendgate
) -> None:
    world.set_clock(NOON)
    campaign = world.campaign(world.brand())
    world.spend(campaign, 10 * UNIT)
    number = str(campaign)
    assert spendgate("budget", "set", "weekly", "9.99", "--campaign", number, "--yes").code == 0
    assert world.holds(campaign) == {"campaign_weekly_budget"}
    (listed,) = spendgate("budget", "list", "--json").data
    assert (listed["limit_micros"], listed["spent_micros"], listed["first_day"]) == (9_990_000, 10 * UNIT, "2026-06-15")
    assert "$9.99" in spendgate("budget", "list").out
    assert spendgate("budget", "set", "weekly", "10.01", "--campaign", number, "--yes").code == 0
    assert world.is_active(campaign)
    assert audit(world) == [("set", "budget")] * 2
    world.verify()


def test_brand_limit_of_0_holds_all_campaigns_until_it_is_removed(world: World, spendgate: Spendgate) -> None:
    brand = world.brand()
    campaigns = [world.campaign(brand), world.campaign(brand)]
    assert spendgate("budget", "set", "lifetime", "0", "--brand", str(brand), "--yes").code == 0
    assert [world.holds(campaign) for campaign in campaigns] == [{"brand_lifetime_budget"}] * 2
    assert spendgate("budget", "list", "--brand", str(brand), "--json").data[0]["first_day"] is None
    assert spendgate("budget", "remove", "lifetime", "--brand", str(brand), "--yes").code == 0
    assert all(world.is_active(campaign) for campaign in campaigns)
    assert audit(world) == [("set", "budget"), ("remove", "budget")]
    world.verify()


def test_schedule_set_enforces_at_once_and_show_prints_what_set_accepts(world: World, spendgate: Spendgate) -> None:
    world.set_clock(NOON)
    campaign = world.campaign(world.brand())
    number = str(campaign)
    assert spendgate("schedule", "show", number).out == "always\n"
    assert spendgate("schedule", "set", number, "Wed 22:00-02:00", "--yes").code == 0
    assert world.holds(campaign) == {"outside_schedule"}
    shown = spendgate("schedule", "show", number).out.strip()
    assert shown == "Wed 22:00-24:00, Thu 00:00-02:00"
    assert spendgate("schedule", "set", number, shown, "--yes").code == 0
    assert spendgate("schedule", "show", number).out.strip() == shown
    assert spendgate("schedule", "set", number, "", "--yes").code == 0
    assert world.is_active(campaign)
    assert audit(world) == [("set", "schedule")] * 2  # setting an equal schedule changed nothing
    world.verify()


def test_schedule_set_with_copy_copies_one_day_to_others(world: World, spendgate: Spendgate) -> None:
    number = str(world.campaign(world.brand()))
    result = spendgate("schedule", "set", number, "Mon 09:00-17:00, Tue 01:00-02:00", "--copy", "Mon:Tue,Sat", "--yes")
    assert result.code == 0
    assert spendgate("schedule", "show", number).out.strip() == "Mon 09:00-17:00, Tue 09:00-17:00, Sat 09:00-17:00"


def test_names_with_markup_are_printed_unchanged(world: World, spendgate: Spendgate) -> None:
    made = spendgate("brand", "create", MARKUP)
    assert made.code == 0
    assert MARKUP in made.out
    brand = str(world.one("SELECT id FROM brands")["id"])
    assert MARKUP in spendgate("campaign", "create", MARKUP, "--brand", brand).out
    for group in ("brand", "campaign"):
        assert MARKUP in spendgate(group, "list").out
    assert spendgate("brand", "pause", brand, "--yes").code == 0
    assert MARKUP in spendgate("status").out


# Status and checks


def test_explain_shows_the_figures_and_when_the_campaign_serves_again(world: World, spendgate: Spendgate) -> None:
    world.set_clock(NOON)
    brand = world.brand("America/New_York", daily=10 * UNIT)
    campaign = world.campaign(brand, platform="google_ads", external_id="7:7")
    world.spend(campaign, 12 * UNIT)
    for key in (str(campaign), "google_ads:7:7"):
        result = spendgate("explain", key, "--json").data
        assert (result["effective_status"], result["stored_status"]) == ("inactive", "inactive")
        assert result["serves_at"] == "2026-06-18T04:00:00+00:00"
        (hold,) = result["holds"]
        assert (hold["hold"], hold["lifts_at"]) == ("brand_daily_budget", "2026-06-18T04:00:00+00:00")
        assert (hold["spent_micros"], hold["limit_micros"]) == (12 * UNIT, 10 * UNIT)
        assert (hold["window_first_day"], hold["window_end_day"]) == ("2026-06-17", "2026-06-18")
    text = spendgate("explain", str(campaign)).out
    for word in ("inactive", "the brand's daily budget is spent", "$12.00", "$10.00", "Thu 2026-06-18 00:00 EDT"):
        assert word in text


def test_explain_shows_the_progress_of_enforcing_a_large_brand(
    world: World, spendgate: Spendgate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.passes.CAMPAIGNS_A_PART", 2)
    world.set_clock(NOON)
    brand = world.brand(daily=10 * UNIT)
    campaigns = [world.campaign(brand) for _ in range(5)]
    world.spend(campaigns[0], 10 * UNIT)
    assert spendgate("explain", str(campaigns[4]), "--json").data["enforcement"]["words"] == "pausing campaigns, 2 done"
    text = spendgate("explain", str(campaigns[4])).out
    assert "enforcement of its brand: pausing campaigns, 2 done; this campaign is active now" in text
    spendgate("check-campaign-statuses", "--fix")
    assert spendgate("explain", str(campaigns[4]), "--json").data["enforcement"] is None
    world.verify()


def test_explain_says_that_a_paused_campaign_stays_stopped_until_a_person_enables_it(
    world: World, spendgate: Spendgate
) -> None:
    world.set_clock(NOON)
    campaign = world.campaign(world.brand())
    world.set_status(campaign, "paused")
    result = spendgate("explain", str(campaign), "--json").data
    assert (result["serves_at"], result["holds"][0]["lifts_at"]) == (None, None)
    assert "it stays stopped until someone enables it" in spendgate("explain", str(campaign)).out
    world.set_status(campaign, "enabled")
    assert spendgate("explain", str(campaign)).out == f"Campaign (campaign {campaign}) is active\n"


@pytest.mark.parametrize(
    ("stop", "words"),
    [
        ("UPDATE campaigns SET configured_status = 'archived'", "someone enables it"),
        ("UPDATE brands SET configured_status = 'paused'", "someone enables the brand"),
        ("UPDATE campaigns SET ends_on = '2026-06-01'", "someone changes its flight"),
        ("UPDATE budgets SET limit_micros = 0", "someone raises the limit"),
        (
            "UPDATE budgets SET limit_micros = 0; UPDATE campaigns SET configured_status = 'paused'",
            "someone enables it and someone raises the limit",
        ),
    ],
)
def test_explain_names_the_action_that_ends_each_hold(
    world: World, spendgate: Spendgate, stop: str, words: str
) -> None:
    world.set_clock(NOON)
    campaign = world.campaign(world.brand(lifetime=UNIT))
    world.execute(stop)
    result = " ".join(spendgate("explain", str(campaign)).out.split())
    assert f"it stays stopped until {words}" in result


@pytest.mark.parametrize("length", [8, 60, 200])
def test_status_and_explain_fit_80_columns_and_name_the_campaign(
    world: World, spendgate: Spendgate, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    world.set_clock(NOON)
    monkeypatch.setattr(console, "width", 80)
    brand = world.brand("Asia/Kathmandu", currency="CAD", name="B" * length, daily=10**12, monthly=10**12)
    campaign = world.campaign(brand, name=("Brand search " * 20)[:length].strip(), lifetime=10**12)
    world.spend(campaign, 10**12 + 123_456)
    for command in (("status",), ("explain", str(campaign))):
        result = spendgate(*command).out
        assert max(map(len, result.splitlines())) <= 80, result
        assert "Brand" in result
        assert str(campaign) in result


def alter_status(world: World, campaign: int) -> None:
    world.execute("UPDATE campaigns SET holds = '{}', effective_status = 'active' WHERE id = %s", campaign)


def test_check_campaign_statuses_lists_differences_and_fixes_them_with_fix(world: World, spendgate: Spendgate) -> None:
    brand = world.brand()
    campaign, healthy = world.campaign(brand, lifetime=0), world.campaign(brand)
    command = "check-campaign-statuses"
    assert spendgate(command).code == 0
    assert "Every campaign has the holds and the next change that the rules ask for" in spendgate(command).out
    alter_status(world, campaign)
    result = spendgate(command, "--json")
    assert result.code == 1
    (row,) = result.data["differences"]
    assert (row["campaign_id"], row["holds"], row["should_be"]) == (campaign, [], ["campaign_lifetime_budget"])
    assert spendgate(command).code == 1
    assert world.is_active(campaign), "a check without --fix changed the campaign"
    fixed = spendgate(command, "--fix", "--json")
    assert (fixed.code, fixed.data["toggles"]) == (0, 1)
    assert world.holds(campaign) == {"campaign_lifetime_budget"}
    assert world.is_active(healthy)
    assert spendgate(command).code == 0
    alter_status(world, campaign)
    assert "1 campaigns enforced, 1 toggled" in spendgate(command, "--fix").out


def test_check_campaign_statuses_shows_the_next_change_of_a_row_whose_next_change_alone_is_wrong(
    world: World, spendgate: Spendgate
) -> None:
    world.set_clock(NOON)
    brand = world.brand()
    held, late, missing = world.campaign(brand), *(world.campaign(brand, schedule="Mon-Fri 09:00-17:00") for _ in "12")
    world.execute("UPDATE campaigns SET holds = '{user_paused}', effective_status = 'inactive' WHERE id = %s", held)
    assert "next change" not in spendgate("check-campaign-statuses").out
    world.execute("UPDATE campaigns SET next_change_at = '2026-07-09T00:00:00Z' WHERE id = %s", late)
    world.execute("UPDATE campaigns SET next_change_at = NULL WHERE id = %s", missing)
    lines = [line.split("│")[1:-1] for line in spendgate("check-campaign-statuses").out.splitlines() if "│" in line]
    cells = {int(line[0]): [text.strip() for text in line[1:]] for line in lines}
    right = "2026-06-17 17:00:00 UTC"
    assert cells == {
        held: ["user_paused", "none", "", "", "False"],
        late: ["none", "none", "2026-07-09 00:00:00 UTC", right, "False"],
        missing: ["none", "none", "–", right, "False"],
    }


@pytest.mark.parametrize(
    ("command", "period", "next_window"),
    [
        ("reset-daily-budgets", "daily", "2026-06-18T00:00:00Z"),
        ("reset-monthly-budgets", "monthly", "2026-07-01T00:00:00Z"),
    ],
)
def test_reset_lifts_its_own_hold_after_the_window_ends_and_keeps_the_counters(
    world: World, spendgate: Spendgate, command: str, period: str, next_window: str
) -> None:
    world.set_clock(NOON)
    brand = world.brand()
    world.limit(UNIT, period, brand=brand)
    spent, paused = world.campaign(brand), world.campaign(brand)
    world.set_status(paused, "paused")
    world.spend(spent, UNIT)
    assert spendgate(command, "--json").data == {"brand_ids": [brand]}
    assert spendgate(command, "--json").data == {"brand_ids": []}
    assert world.holds(spent) == {f"brand_{period}_budget"}
    world.set_clock(next_window)
    assert spendgate(command, "--json").data == {"brand_ids": [brand]}
    assert world.is_active(spent)
    assert world.holds(paused) == {"user_paused"}
    assert world.spent(spent) == UNIT
    assert spendgate(command).out == "0 brands re-evaluated\n"
    assert spendgate(command, "--all").out == "1 brands re-evaluated\n"
    world.verify()


def test_verify_prints_how_many_rows_each_check_compared(world: World, spendgate: Spendgate) -> None:
    world.spend(world.campaign(world.brand()), UNIT)
    result = spendgate("verify")
    assert result.code == 0
    checks = 14 if citus.is_used() else 13
    assert result.out.count("correct ") == result.out.count("rows compared") == checks
    assert all(check["wrong"] == [] for check in spendgate("verify", "--json").data)


@pytest.mark.parametrize(
    ("alter", "named"),
    [
        ("UPDATE campaign_days SET spent_micros = spent_micros + 1", "counter_micros 1000001"),
        ("UPDATE brand_days SET spent_micros = spent_micros - 1", "999999"),
        ("UPDATE campaigns SET holds = '{user_paused}', effective_status = 'inactive'", "user_paused"),
        ("INSERT INTO brand_days SELECT brand_id, day - 1, 5 FROM brand_days", "5"),
        ("DELETE FROM campaign_days", "1000000"),
    ],
)
def test_verify_lists_rows_that_were_altered_by_sql(world: World, spendgate: Spendgate, alter: str, named: str) -> None:
    campaign = world.campaign(world.brand())
    world.spend(campaign, UNIT)
    world.execute(alter)
    result = spendgate("verify")
    assert result.code == 1
    assert "wrong" in result.out
    assert any(named in line and f"brand_id {world.brand_of(campaign)}" in line for line in result.out.splitlines())
    by_json = spendgate("verify", "--json")
    assert by_json.code == 1
    assert any(check["wrong"] for check in by_json.data)


def test_verify_prints_20_of_many_wrong_rows_and_all_with_json(world: World, spendgate: Spendgate) -> None:
    brand = world.brand()
    world.execute("INSERT INTO brand_days SELECT %s, DATE '2026-01-01' + n, 1 FROM generate_series(1, 30) AS n", brand)
    assert "and 10 more; --json lists them" in spendgate("verify").out
    wrong = {check["name"]: len(check["wrong"]) for check in spendgate("verify", "--json").data}
    assert wrong["brand days equal their campaigns' days"] == 30


def test_verify_lists_an_event_id_in_two_months_as_a_notice(world: World, spendgate: Spendgate) -> None:
    world.set_clock("2026-07-02T00:00:00Z")
    campaign = world.campaign(world.brand())
    event = world.spend(campaign, UNIT, "2026-06-30T12:00:00Z")
    world.ingest([event | {"occurred_at": "2026-07-01T12:00:00Z"}])
    result = spendgate("verify")
    assert result.code == 0
    (known,) = [line for line in result.out.splitlines() if "notice" in line]
    assert event["event_id"] in known


def test_status_shows_how_many_campaigns_are_active_and_the_latest_changes(world: World, spendgate: Spendgate) -> None:
    assert "campaigns: 0 active, 0 inactive" in spendgate("status").out
    brand = world.brand(daily=UNIT, name="Shoes")
    campaign = world.campaign(brand, name="Summer")
    world.campaign(world.brand())
    world.spend(campaign, UNIT)
    result = spendgate("status", "--json").data
    assert result["campaigns"] == {"active": 1, "inactive": 1}
    assert (result["status_changes"][0]["campaign_id"], result["status_changes"][0]["cause"]) == (campaign, "spend")
    text = spendgate("status").out
    assert "campaigns: 1 active, 1 inactive" in text
    assert "the brand's daily budget is spent" in text


# Spend


def messages() -> list[dramatiq.Message[Any]]:
    return [dramatiq.Message.decode(body) for body in queues().waiting("spend")]


def lines_of(events: list[Any]) -> str:
    return "".join(f"{json.dumps(event)}\n" for event in events)


def test_send_enqueues_a_file_in_batches(world: World, spendgate: Spendgate, tmp_path: Path) -> None:
    events = [world.event(1, UNIT) for _ in range(5)]
    (tmp_path / "events.jsonl").write_text("\n" + lines_of(events))
    result = spendgate("send", str(tmp_path / "events.jsonl"), "--batch", "2", "--json")
    assert (result.code, result.data) == (0, {"sent": 5, "messages": 3, "bad_lines": []})
    sent = sorted((message.kwargs["events"] for message in messages()), key=len)
    assert [len(batch) for batch in sent] == [1, 2, 2]
    assert {event["event_id"] for batch in sent for event in batch} == {event["event_id"] for event in events}
    assert {message.actor_name for message in messages()} == {"ingest_spend"}


def test_send_reads_standard_input_and_lists_lines_that_are_not_json(world: World, spendgate: Spendgate) -> None:
    event = world.event(1, UNIT)
    result = spendgate("send", "-", stdin=f"rubbish\n{json.dumps(event)}\n{{\n")
    assert result.code == 1
    assert "1 sent in 1 message" in result.out
    assert "line 1 is not JSON" in result.err
    assert "line 3 is not JSON" in result.err
    assert [message.kwargs["events"] for message in messages()] == [[event]]


def test_actors_count_the_messages_of_send(world: World, spendgate: Spendgate) -> None:
    campaign = world.campaign(world.brand(), platform="bing", external_id="a")
    spendgate("send", "-", stdin=lines_of([world.event(campaign, UNIT)]))
    total = {"source": "bing", "campaign_id": campaign, "day": "2026-06-01", "total_micros": 3 * UNIT}
    spendgate("send", "-", "--totals", stdin=lines_of([total | {"as_of": "2026-06-02T00:00:00Z"}]))
    for message in messages():
        dramatiq.get_broker().get_actor(message.actor_name)(**message.kwargs)
    assert world.spent(campaign) == 4 * UNIT
    assert world.rejected() == []


def test_send_lists_a_line_nested_too_deeply_to_parse(spendgate: Spendgate) -> None:
    result = spendgate("send", "-", "--json", stdin="[" * 100_000 + "\n")
    assert (result.code, result.data["bad_lines"]) == (1, [1])


def test_send_lists_lines_that_cannot_be_stored_and_sends_the_others(
    world: World, spendgate: Spendgate, tmp_path: Path
) -> None:
    good = [world.event(1, UNIT) for _ in range(2)]
    bad = [
        b'{"amount_micros": ' + b"9" * 5_000 + b"}",
        b'{"amount_micros": 1e400}',
        b'{"source": "caf\xe9"}',
        b'{"source": "\\u0000"}',
        b'{"note": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    ]
    lines = [b"\xef\xbb\xbf" + json.dumps(good[0]).encode(), *bad, json.dumps(good[1]).encode()]
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(lines))
    result = spendgate("send", str(tmp_path / "events.jsonl"), "--json")
    assert (result.code, result.data) == (1, {"sent": 2, "messages": 1, "bad_lines": [2, 3, 4, 5, 6]})
    assert "line 2 cannot be stored: amount_micros: an integer of 5000 digits" in result.err
    assert "line 4 cannot be stored: source: a text with the byte 0xe9" in result.err
    assert [message.kwargs["events"] for message in messages()] == [good]


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_send_refuses_a_missing_file_and_a_folder(spendgate: Spendgate, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert_one_line(spendgate("send", str(path)), 2, path.name)


def test_rejected_list_shows_inputs_that_are_not_valid_unicode(world: World, spendgate: Spendgate) -> None:
    payload = {"source": "\ud800", "note": "nul \0 \udcff", "order": "\u202e \u009b31m \x1b[2J \x7f"}
    world.ingest([payload])
    table, listed = spendgate("rejected", "list"), spendgate("rejected", "list", "--json")
    assert (table.code, listed.code) == (0, 0)
    assert "malformed" in table.out.encode().decode()
    assert not set("\u202e\u009b\x1b\x7f") & set(table.out + listed.out)
    assert json.loads(listed.out.encode())[0]["payload"] == payload


def test_rejected_list_shows_whole_inputs_with_their_reason(world: World, spendgate: Spendgate) -> None:
    assert "There are no rejected inputs" in spendgate("rejected", "list").out
    assert "There are no such rejected inputs" in spendgate("rejected", "list", "--reason", "too_old").out
    event = world.event(999, UNIT)
    world.ingest([event, event, {"event_id": "x"}])
    result = spendgate("rejected", "list", "--json").data
    assert {row["reason"] for row in result} == {"unknown_campaign", "malformed"}
    (unknown,) = spendgate("rejected", "list", "--reason", "unknown_campaign", "--json").data
    assert (unknown["payload"], unknown["times"]) == (event, 2)
    assert "unknown_campaign: 1 rejected, received 2 times" in spendgate("rejected", "list").out
    first = min(row["id"] for row in result)
    assert [row["id"] > first for row in spendgate("rejected", "list", "--after", str(first), "--json").data] == [True]
    assert len(spendgate("rejected", "list", "--limit", "1", "--json").data) == 1


def reject(world: World, *external_ids: str) -> None:
    """Ingests one event for each external id, which no campaign has yet, so that it is rejected."""
    for external_id in external_ids:
        event = world.event(0, UNIT) | {"platform": "bing", "external_id": external_id}
        del event["campaign_id"]
        world.ingest([event])


def test_rejected_replay_with_dry_run_changes_nothing(world: World, spendgate: Spendgate) -> None:
    reject(world, "a")
    world.campaign(world.brand(), platform="bing", external_id="a")
    (row,) = world.rejected()
    assert spendgate("rejected", "replay", "--all", "--dry-run", "--json").data == [row["id"]]
    assert spendgate("rejected", "replay", "--all", "--dry-run").out == "1 would be replayed\n"
    assert world.rejected() == [row]


def test_rejected_replay_counts_fixed_inputs_and_keeps_the_rest(world: World, spendgate: Spendgate) -> None:
    reject(world, "a", "b")
    campaign = world.campaign(world.brand(), platform="bing", external_id="a")
    result = spendgate("rejected", "replay", "--all", "--json")
    counts = {"replayed": 2, "taken": 1, "known": 0, "rejected_again": 1, "held_up": 0}
    assert (result.code, result.data) == (1, counts)
    assert world.spent(campaign) == UNIT
    (left,) = world.rejected()
    assert left["payload"]["external_id"] == "b"
    assert spendgate("rejected", "replay", "--all").code == 1
    assert world.spent(campaign) == UNIT
    world.verify()


def test_rejected_replay_processes_only_the_given_ids_or_reason(world: World, spendgate: Spendgate) -> None:
    reject(world, "a", "b")
    world.ingest([{"event_id": "x"}])
    brand = world.brand()
    for external_id in ("a", "b"):
        world.campaign(brand, platform="bing", external_id=external_id)
    first = world.rejected()[0]["id"]
    result = spendgate("rejected", "replay", str(first))
    assert (result.code, result.out) == (0, "1 replayed: 1 counted, 0 known already, 0 rejected again\n")
    assert len(world.rejected()) == 2
    assert spendgate("rejected", "replay", "--reason", "unknown_campaign", "--json").data["taken"] == 1
    assert [row["reason"] for row in world.rejected()] == ["malformed"]


# Wrong use and unreachable servers


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (("brand", "create", "X", "--time-zone", "Mars/Olympus"), "time_zone: "),
        (("brand", "create", "X", "--currency", "ZZZ"), "currency: "),
        (("brand", "create", ""), "name: "),
        (("brand", "create", "two\nlines"), "name: "),
        (("brand", "pause", "999"), "brand: "),
        (("campaign", "create", "X", "--brand", "999"), "brand: "),
        (("campaign", "create", "X", "--brand", "1", *BACKWARDS), "ends_on: "),
        (("campaign", "create", "X", "--brand", "1", "--platform", "bing", "--external-id", "known"), "external_id"),
        (("campaign", "pause", "999"), "campaign: "),
        (("budget", "set", "daily", "ten", "--campaign", "1"), "amount: "),
        (("budget", "set", "daily", "0.0000001", "--campaign", "1"), "amount: "),
        (("budget", "set", "daily", "--brand", "1", "--", "-1"), "limit"),
        (("budget", "set", "daily", "1e20", "--brand", "1"), "amount: "),
        (("budget", "set", "daily", "1.500", "--brand", "1"), "amount: 1.500 can be 1,500.00 or 1.50"),
        (("budget", "set", "daily", "€5", "--brand", "1"), "amount: € is EUR"),
        (("budget", "set", "daily", "10"), "--brand: "),
        (("budget", "set", "daily", "10", "--brand", "999"), "brand: "),
        (("budget", "set", "daily", "10", "--campaign", "999"), "campaign: "),
        (("budget", "remove", "daily", "--brand", "1"), "period: "),
        (("schedule", "set", "1", "Mon 25:00-26:00"), "schedule: "),
        (("schedule", "set", "1", "Mon 09:00-17:00", "--copy", "Mon"), "copy"),
        (("schedule", "set", "1", "Mon 09:00-17:00", "--copy", "Mon:Noday"), "schedule: "),
        (("schedule", "show", "999"), "campaign: "),
        (("explain", "0x1"), "campaign: "),
        (("explain", "999"), "campaign: "),
        (("explain", "[/]"), "campaign: "),
        (("explain", "9" * 30), "campaign: "),
        (("explain", "bing:nothing"), "campaign: "),
        (("rejected", "replay"), "ids: "),
        (("migrate", "nonsense"), "nonsense"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_value_fails_with_one_line_that_names_the_field(
    world: World, spendgate: Spendgate, command: tuple[str, ...], field: str
) -> None:
    brand = world.brand()
    assert world.campaign(brand, platform="bing", external_id="known") == brand == 1
    assert_one_line(spendgate(*command), 2, field)


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (("budget", "set", "hourly", "10"), "hourly"),
        (("campaign", "list", "--status", "sleeping"), "--status"),
        (("campaign", "list", "--limit", "-1"), "--limit"),
        (("campaign", "create", "X"), "--brand"),
        (("campaign", "create", "X", "--brand", "1", "--starts-on", "1.2.2026"), "--starts-on"),
        (("send", "-", "--batch", "5001"), "--batch"),
        (("import", "missing.csv", "--platform", "bing"), "missing.csv"),
        (("sing",), "sing"),
        (("status", "--loud"), "--loud"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_use_exits_with_2_and_names_the_option(
    spendgate: Spendgate, command: tuple[str, ...], named: str
) -> None:
    result = spendgate(*command)
    assert result.code == 2
    assert named in result.err


@pytest.mark.parametrize("command", [("report", "--format", "xml"), ("budget", "set", "hourly", "5", "--brand", "1")])
def test_unknown_choice_fails_with_the_list_of_choices(spendgate: Spendgate, command: tuple[str, ...]) -> None:
    result = spendgate(*command)
    assert (result.code, "is not one of '" in result.err, "Value error" in result.err) == (2, True, False)


def test_process_exits_with_2_and_one_line_after_a_wrong_value(database: str) -> None:
    assert_one_line(shell("explain", "999", env={"DATABASE_URL": database}), 2, "campaign: there is no campaign 999")


@pytest.mark.parametrize(
    ("command", "variable"),
    [(("status",), "DATABASE_URL"), (("migrate",), "DATABASE_URL"), (("send", "-"), "REDIS_URL")],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_command_without_a_server_setting_names_the_variable(
    tmp_path: Path, command: tuple[str, ...], variable: str
) -> None:
    unset: dict[str, str | None] = {"DATABASE_URL": None, "REDIS_URL": None, "BROKER_URL": None}
    result = shell(*command, stdin="{}", env=unset | {"SPENDGATE_HOME": str(tmp_path)})
    assert_one_line(result, 2, f"{variable}: not set", "spendgate up")


@pytest.mark.parametrize(
    ("command", "settings", "variable"),
    [
        (("status",), {"DATABASE_URL": POSTGRES_AWAY}, "DATABASE_URL"),
        (("migrate",), {"DATABASE_URL": POSTGRES_AWAY}, "DATABASE_URL"),
        (("send", "-"), {"REDIS_URL": REDIS_AWAY, "BROKER_URL": None}, "REDIS_URL"),
        (("send", "-"), {"BROKER_URL": RABBITMQ_AWAY}, "BROKER_URL"),
    ],
    ids=["status", "migrate", "send", "send by RabbitMQ"],
)
def test_unreachable_server_is_named_with_exit_code_3(
    command: tuple[str, ...], settings: dict[str, str | None], variable: str
) -> None:
    assert_one_line(shell(*command, stdin="{}", env=settings), 3, f"{variable}: ")


@pytest.mark.parametrize(
    ("command", "variable", "url"),
    [
        ("status", "DATABASE_URL", "postgresql://app:hidden@127.0.0.1:port/spendgate"),
        ("status", "DATABASE_URL", "mysql://app:hidden@127.0.0.1/spendgate"),
        ("send", "REDIS_URL", "redis://:hidden@127.0.0.1:port/0"),
        ("send", "REDIS_URL", "http://:hidden@127.0.0.1"),
        ("send", "BROKER_URL", "amqp://:hidden@127.0.0.1:port/%2F"),
    ],
)
def test_malformed_url_is_reported_without_its_password(command: str, variable: str, url: str) -> None:
    argv = (command, "-") if command == "send" else (command,)
    assert_one_line(shell(*argv, stdin="{}", env={"BROKER_URL": None, variable: url}), 2, f"{variable}: ")


def test_wrong_password_is_reported_without_the_password(database: str) -> None:
    server = database.rpartition("@")[2]
    result = shell("status", env={"DATABASE_URL": f"postgresql://app:hidden@{server}"})
    assert_one_line(result, 3, "DATABASE_URL: ")


def test_database_without_tables_is_refused_in_one_line(world: World, spendgate: Spendgate) -> None:
    world.execute("ALTER TABLE campaigns RENAME TO hidden_campaigns")
    result = spendgate("status")
    assert result.code == 2
    assert result.err.count("\n") == 1


def test_migrate_runs_again_without_effect(world: World, spendgate: Spendgate, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = world.campaign(world.brand())
    monkeypatch.setenv("DATABASE_URL", world.url)  # of the tables' owner
    settings.cache_clear()
    assert spendgate("migrate").out.endswith(" already\n")
    assert world.is_active(campaign)


# Help


def _walked(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from _walked(child, (*path, name))


def test_every_command_option_and_argument_has_a_help_text() -> None:
    from cli.main import app  # noqa: PLC0415 - after the environment is set

    silent = []
    for path, command in _walked(typer.main.get_command(app)):
        if not command.help:
            silent.append(path)
        silent += [(*path, part.name) for part in command.params if not getattr(part, "help", None)]
    assert silent == []


def test_help_works_for_every_command(spendgate: Spendgate) -> None:
    from cli.main import app  # noqa: PLC0415 - after the environment is set

    for path, _ in _walked(typer.main.get_command(app)):
        result = spendgate(*path, "--help")
        assert result.code == 0
        assert "Usage: " in result.out
        assert "--help" in result.out


def test_spendgate_without_a_command_lists_the_commands(spendgate: Spendgate) -> None:
    result = spendgate()
    for word in ("import", "explain", "verify", "Exit codes"):
        assert word in result.out + result.err
