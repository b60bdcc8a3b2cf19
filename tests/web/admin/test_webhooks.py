"""Owners add, test, rotate and remove webhook endpoints on one page; each secret is shown once."""

import html
import re

import pytest

from app.notices import webhooks
from db.repository.access.audit import Edit
from domain.access import Role
from runtime import clock
from tests.kit import statements
from tests.receivers.fixtures import local_webhooks, receiver
from tests.receivers.server import Answer, Receiver
from tests.web.admin.conftest import Open
from tests.world import World

__all__ = ["local_webhooks", "receiver"]

PAGE = "/admin/webhooks"


def secret_in(page: str) -> str:
    """The secret that the page shows once."""
    found = re.search(r'id="secret"[^>]*value="([^"]+)"', page)
    assert found
    return html.unescape(found[1])


def test_owner_adds_tests_rotates_and_removes_an_endpoint(world: World, browser: Open, receiver: Receiver) -> None:
    owner = browser(Role.OWNER)
    assert "No endpoint yet" in owner.get(PAGE).text
    made = owner.ask(PAGE, {"action": "add", "url": f"{receiver.url}/hook", "type": "campaign.paused"})
    assert (made.status_code, made.headers["cache-control"]) == (200, "no-store")
    secrets = [secret_in(made.text)]
    row = world.one("SELECT id, types FROM webhook_endpoints")
    assert row["types"] == ["campaign.paused"]
    endpoint = {"endpoint": str(row["id"])}
    receiver.answer("/hook", Answer(500, body=b"<b>out of order</b>"))
    owner.ask(PAGE, {"action": "test", **endpoint})
    shown = owner.get(PAGE).text
    assert "answered 500" in shown
    assert "&lt;b&gt;out of order" in shown
    secrets.append(secret_in(owner.ask(PAGE, {"action": "rotate", **endpoint}).text))
    assert not any(secret in owner.get(PAGE).text for secret in secrets)
    for since in ("x", "9" * 5_000, str(2**63)):
        refused = owner.ask(PAGE, {"action": "resend", "since_change": since, **endpoint}).text
        assert "must be a number, such as 1234" in refused
        assert f'value="{since}"' in refused
    owner.ask(PAGE, {"action": "disable", **endpoint})
    assert "a person disabled it" in owner.get(PAGE).text
    refused = owner.ask(PAGE, {"action": "remove", **endpoint}).text
    assert "tick the box to remove the endpoint and its messages" in refused
    owner.ask(PAGE, {"action": "remove", "agreed": "yes", **endpoint})
    assert "No endpoint yet" in owner.get(PAGE).text
    made_by = world.rows("SELECT action, changed_by FROM audit_entries WHERE subject = 'webhook' ORDER BY id")
    assert [one["action"] for one in made_by] == ["create", "rotate", "edit", "remove"]
    assert {one["changed_by"] for one in made_by} == {"user:owner@example.com"}


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_others_than_owners_cannot_open_the_page_nor_post(
    world: World, browser: Open, receiver: Receiver, role: Role
) -> None:
    other = browser(role)
    assert other.get(PAGE).status_code == 403
    assert other.ask(PAGE, {"action": "add", "url": f"{receiver.url}/hook"}).status_code == 403
    assert world.rows("SELECT FROM webhook_endpoints") == []


def test_wrong_address_is_refused_with_a_sentence_and_the_typed_values_stay(world: World, browser: Open) -> None:
    owner = browser(Role.OWNER)
    typed = {"action": "add", "url": "http://example.com/", "description": "Bids", "brand": "7", "type": "alert.raised"}
    refused = owner.ask(PAGE, typed)
    assert refused.status_code == 422
    assert "expected https://host/path" in html.unescape(refused.text)
    for shown in ('value="http://example.com/"', 'value="Bids"', 'value="7"', 'value="alert.raised" checked'):
        assert shown in refused.text, shown
    assert "http://example.com" not in owner.get(PAGE).text


def test_endpoints_are_listed_in_pages_by_two_statements(
    world: World, browser: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.admin.pages.webhooks.ENDPOINTS_A_PAGE", 2)
    edit = Edit("user:test", clock.now())
    made = [webhooks.add(f"https://example.com/{number}", [], "", None, edit)[0] for number in range(3)]
    owner = browser(Role.OWNER)
    with statements() as sent:
        page = owner.get(PAGE).text
    assert re.findall(r'id="endpoint-(\d+)"', page) == [str(number) for number in made[:2]]
    assert len([sql for sql, _ in sent if "FROM webhook_" in sql]) == 2
    assert f'href="?after={made[1]}"' in page
    last = owner.get(PAGE, after=made[1]).text
    assert re.findall(r'id="endpoint-(\d+)"', last) == [str(made[2])]
    assert 'rel="next"' not in last
    posted = owner.ask(PAGE, {"action": "disable", "endpoint": str(made[2])}, after=made[1])
    assert posted.headers["location"] == f"{PAGE}?after={made[1]}"
