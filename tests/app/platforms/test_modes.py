"""Changes of an account's mode, with their effect, and its credentials, kept encrypted."""

import itertools
import json
import logging
from pathlib import Path

import pytest

from app.edits.preview import Unconfirmed, agree_to_all, agreed_to
from app.platforms import connecting, modes, statuses
from app.platforms.credentials import credentials_at
from app.platforms.steps import facts_of
from db.engine import transaction
from db.repository.access.audit import Edit
from db.repository.platforms import statuses as rows
from db.repository.platforms.mode_effects import concerned
from domain.errors import InvalidValue
from domain.reconcile import Action, HoldChange, Mode, platform_hold_change, would_do
from runtime import clock, encryption
from runtime.settings import settings
from tests.app.platforms.kit import Connected
from tests.fake_platforms.fixtures import SECRETS
from tests.world import World

ROWS = "SELECT * FROM {}"


def author() -> Edit:
    return Edit("test", clock.now())


def set_mode(account: int, mode: Mode) -> modes.ModeEffect:
    return modes.change(account, {"mode": mode.value}, author(), agree_to_all)


def test_change_to_full_asks_with_the_campaigns_it_would_pause_and_enable(connected: Connected) -> None:
    connected.world.execute("UPDATE platform_connections SET mode = 'shadow'")
    held, serving = connected.campaign("11"), connected.campaign("12", "paused")
    connected.world.set_status(held, "paused")
    connected.reconcile()
    with pytest.raises(Unconfirmed, match="pause 1 campaign on Google Ads, stop 1 campaign in Spendgate") as asked:
        modes.change(connected.account, {"mode": "full"}, author(), agreed_to(""))
    assert connected.connection()["mode"] == "shadow"
    modes.change(connected.account, {"mode": "full"}, author(), agreed_to(asked.value.effect.token))
    connected.reconcile()
    assert (connected.connection()["mode"], connected.there("11")) == ("full", "paused")
    assert connected.world.holds(serving) == {"platform_paused"}


def test_agreement_to_other_numbers_does_not_count(connected: Connected) -> None:
    connected.world.execute("UPDATE platform_connections SET mode = 'shadow'")
    for name in ("11", "12"):
        connected.campaign(name)
    connected.world.set_status(1, "paused")
    connected.reconcile()
    shown = modes.previewed(connected.account, {"mode": "pause_only"}, author())
    connected.world.set_status(2, "paused")
    with pytest.raises(Unconfirmed):
        modes.change(connected.account, {"mode": "pause_only"}, author(), agreed_to(shown.token))


def test_lower_mode_needs_no_consent_and_says_how_many_stay_paused(connected: Connected) -> None:
    connected.world.set_status(connected.campaign("11"), "paused")
    connected.reconcile()
    effect = modes.change(connected.account, {"mode": "shadow"}, author(), agreed_to(""))
    assert effect.sentence() == (
        "Mode full → shadow: Spendgate changes nothing on Google Ads; 1 campaign that it paused there stays paused"
    )
    assert "nothing changes" in set_mode(connected.account, Mode.SHADOW).sentence()


def test_counts_of_a_mode_change_are_those_of_the_rules(connected: Connected) -> None:
    """Compares the query with the pure rules for every state of a campaign."""
    world = connected.world
    states = list(itertools.product(("enabled", "paused"), (False, True), (False, True), (False, True)))
    for number, (confirmed, paused_by_us, is_held, may_be_applied) in enumerate(states):
        campaign = connected.campaign(str(number))
        if is_held:
            world.set_status(campaign, "paused")
        world.execute(
            "INSERT INTO platform_statuses (brand_id, campaign_id, platform_account_id, desired, confirmed,"
            " paused_by_us, may_be_applied, sent, sent_at) VALUES (%s, %s, %s, %s, %s, %s, %s, 'paused', now())",
            *(connected.brand, campaign, connected.account, "inactive" if is_held else "active"),
            *(confirmed, paused_by_us and confirmed == "paused", may_be_applied),
        )
    with transaction() as connection:
        at = clock.now()
        counts = concerned(connection, connected.account, at)
        facts = [facts_of(row, "full", at) for row in rows.of_account(connection, connected.account, at)]
    actions = [would_do(one) for one in facts]
    stopped = [one for one in facts if platform_hold_change(one) is HoldChange.SET_HOLD and one.desired == "active"]
    assert (counts.pauses, counts.enables) == (actions.count(Action.PAUSE), actions.count(Action.ENABLE))
    assert (counts.holds, counts.pauses > 0, counts.enables > 0) == (len(stopped), True, True)


def test_kept_credentials_are_used_and_appear_nowhere_in_clear(
    connected: Connected, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world = connected.world
    connected.campaign("11")
    modes.change(connected.account, {"secrets": SECRETS}, author(), agree_to_all)
    assert connected.connection()["credentials"] == "kept"
    connected.reconcile()
    connected.pull()
    assert connected.connection()["last_error"] is None
    assert connecting.check(connected.account).facts is not None
    assert statuses.plan(connected.account) != []
    tables = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
    names = [row["relname"] for row in world.rows(tables)]
    stored = "".join(str(world.rows(ROWS.format(name))) for name in names)
    read = credentials_at("kept", connected.account)
    shown = stored + capsys.readouterr().out + caplog.text + repr(read) + repr(connected.connection())
    assert "gAAAA" in stored
    assert [secret for secret in SECRETS.values() if secret in shown] == []
    assert read.get("refresh_token") == SECRETS["refresh_token"]


def test_missing_key_is_one_clear_line_in_the_account(connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    modes.change(connected.account, {"secrets": SECRETS}, author(), agree_to_all)
    monkeypatch.setenv("SPENDGATE_ENCRYPTION_KEYS", "")
    settings.cache_clear()
    connected.reconcile()
    assert connected.connection()["last_error"].startswith("credentials: SPENDGATE_ENCRYPTION_KEYS: not set")
    with pytest.raises(InvalidValue, match="SPENDGATE_ENCRYPTION_KEYS: not set"):
        modes.change(connected.account, {"secrets": SECRETS}, author(), agree_to_all)
    monkeypatch.setenv("SPENDGATE_ENCRYPTION_KEYS", encryption.new_key())
    settings.cache_clear()
    assert "no key decrypts a kept secret" in connecting.check(connected.account).missing[0]


def test_reference_in_place_of_kept_secrets_deletes_them(connected: Connected, credentials_file: Path) -> None:
    modes.change(connected.account, {"secrets": SECRETS}, author(), agree_to_all)
    modes.change(connected.account, {"credentials": f"file:{credentials_file}"}, author(), agree_to_all)
    assert connected.world.rows("SELECT FROM platform_credentials") == []
    modes.change(connected.account, {"credentials": "kept"}, author(), agree_to_all)
    assert "none are kept for platform account" in connecting.check(connected.account).missing[0]


def test_removed_connection_leaves_no_secret(connected: Connected) -> None:
    modes.change(connected.account, {"secrets": SECRETS}, author(), agree_to_all)
    connecting.remove(connected.account, author())
    assert connected.world.rows("SELECT FROM platform_credentials") == []


@pytest.mark.parametrize("wrong", [{}, {"": "x"}, {"token": ""}, {"token": "x" * 70_000}])
def test_wrong_secrets_are_refused(connected: Connected, wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidValue):
        modes.change(connected.account, {"secrets": wrong}, author(), agree_to_all)


def test_audit_names_author_and_change_of_kept_credentials(world: World, connected: Connected) -> None:
    modes.change(connected.account, {"secrets": SECRETS}, author(), agree_to_all)
    entry = world.rows("SELECT * FROM audit_entries ORDER BY id")[-1]
    assert (entry["action"], entry["subject"], entry["new"]) == (
        "set_credentials",
        "platform_connection",
        {"credentials": "kept"},
    )
    assert json.dumps(entry["old"]).startswith('{"credentials": "file:')


def test_failures_with_an_old_login_are_forgotten_when_the_login_changes(
    connected: Connected, credentials_file: Path
) -> None:
    def fail() -> None:
        connected.fake.fail("search", "500")
        connected.pull()
        assert connected.connection()["last_error"]

    def failures() -> list[object]:
        row = connected.connection()
        return [row[name] for name in ("last_error", "failed_at", "failures", "failing_since", "retry_at")]

    connected.campaign("11")
    for changes in ({"secrets": SECRETS}, {"credentials": f"file:{credentials_file}"}, {"options": {"a": "1"}}):
        fail()
        modes.change(connected.account, {"mode": "pause_only"}, author(), agree_to_all)
        assert failures()[0] is not None
        modes.change(connected.account, changes, author(), agree_to_all)
        assert failures() == [None, None, 0, None, None]
