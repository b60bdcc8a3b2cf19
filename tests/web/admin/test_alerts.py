"""The admin's page of alerts: channels, routes, mutes, thresholds, and who may change them."""

import re
from collections.abc import Iterator

import pytest

from app.alerts.evaluate import evaluate
from domain.access import Role
from tests.fake_channels.mail import MailServer, mail_server
from tests.kit import statements
from tests.web.admin.conftest import Browser, Open
from tests.world import UNIT, World

PATH = "/admin/alerts"


@pytest.fixture
def mail() -> Iterator[MailServer]:
    """A mail server."""
    with mail_server() as server:
        yield server


def done(browser: Browser, action: str, **fields: str) -> str:
    """Posts an action of the page and returns the page that follows, or that explains the refusal."""
    answer = browser.ask(PATH, {"action": action, **fields})
    assert answer.status_code in {303, 422}
    return answer.text if answer.status_code == 422 else browser.get(PATH).text


def test_owner_adds_tests_and_removes_a_channel_whose_url_is_never_shown(
    world: World, browser: Open, mail: MailServer
) -> None:
    owner = browser(Role.OWNER)
    assert "No channel yet" in owner.get(PATH).text
    page = done(owner, "add_channel", name="ops", url=mail.url, when="now")
    assert "Channel 1 is added" in page
    assert "all brands, all kinds, at once" in page
    assert "The test was delivered" in done(owner, "test_channel", channel="1")
    assert mail.subjects() == ["Spendgate: a test"]
    mail.refuses = True
    assert "not delivered" in done(owner, "test_channel", channel="1")
    page = owner.get(PATH).text
    assert "failing since" in page
    assert "ops%40example.com" not in page
    assert "to=" not in page
    assert "The channel is removed" in done(owner, "remove_channel", channel="1")


def test_refused_values_are_explained(world: World, browser: Open) -> None:
    owner = browser(Role.OWNER)
    assert "url: must begin with one of" in done(owner, "add_channel", name="ops", url="json://10.0.0.1")
    assert "channel: there is no channel 7" in done(owner, "set_route", channel="7")
    assert "choose an alert" in done(owner, "mute", hours="8")
    assert "brand: is missing" in done(owner, "thresholds", percent="50")
    brand = str(world.brand())
    assert "percent: is not a whole number" in done(owner, "thresholds", brand=brand, percent="fifty")
    assert "percent: is not a whole number" in done(owner, "thresholds", brand=brand, percent="9" * 5_000)


def test_refused_form_keeps_what_was_typed_but_for_the_secret_url(world: World, browser: Open) -> None:
    owner = browser(Role.OWNER)
    typed = {"name": "ops", "url": "json://10.0.0.1", "brand": "88", "kind": "overspend", "when": "never"}
    refused = owner.ask(PATH, {"action": "add_channel", **typed})
    assert refused.status_code == 422
    for shown in ('value="ops"', 'value="88"', 'value="overspend" selected', 'value="never" selected'):
        assert refused.text.count(shown) == 1, shown
    assert "json://" not in refused.text


def test_operator_acknowledges_mutes_and_sets_thresholds(world: World, browser: Open) -> None:
    brand = world.brand(name="Hudson", daily=100 * UNIT)
    world.spend(world.campaign(brand), 80 * UNIT)
    evaluate()
    operator = browser(Role.OPERATOR)
    assert "acknowledged by user:operator@example.com" in done(operator, "acknowledge", alert="1")
    assert "Muted for 8 hours." in done(operator, "mute", alert="1", hours="8")
    assert "The mute is ended." in done(operator, "unmute", mute="1")
    assert "has alerts at 90 %" in done(operator, "thresholds", brand=str(brand), percent="90")
    assert world.one("SELECT thresholds FROM alert_settings")["thresholds"] == [90]
    audited = {row["subject"] for row in world.rows("SELECT subject FROM audit_entries")}
    assert {"alert", "alert_mute", "alert_settings"} <= audited


def test_viewer_changes_nothing_and_operator_no_channels(world: World, browser: Open) -> None:
    viewer, operator = browser(Role.VIEWER), browser(Role.OPERATOR)
    assert "<button" not in viewer.get(PATH).text.partition("card-title")[2]
    for action in ("acknowledge", "mute", "thresholds", "add_channel"):
        assert viewer.ask(PATH, {"action": action}).status_code == 403
    for action in ("add_channel", "test_channel", "remove_channel", "set_route", "remove_route"):
        assert operator.ask(PATH, {"action": action}).status_code == 403
    assert operator.ask(PATH, {"action": "nonsense"}).status_code == 404


def test_channels_routes_and_mutes_are_listed_in_pages_and_attempts_by_one_statement(
    world: World, browser: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.admin.pages.alerts.ROWS_A_PAGE", 2)
    owner = browser(Role.OWNER)
    for number in range(3):
        page = done(owner, "add_channel", name=f"team {number}", url="mailtos://user:word@example.com")
    with statements() as sent:
        page = owner.get(PATH).text
    assert re.findall(r'id="channel-(\d+)"', page) == ["1", "2"]
    assert "Page 1 of 2" in page
    assert len([sql for sql, _ in sent if "FROM alert_attempts" in sql and "purpose" in sql]) == 1
    for chosen in ("2", "9"):
        assert re.findall(r'id="channel-(\d+)"', owner.get(PATH, channels=chosen).text) == ["3"]
    assert "<b>team 2</b>: all brands" in owner.get(PATH, routes="2").text
    assert '<option value="3">team 2</option>' in page
