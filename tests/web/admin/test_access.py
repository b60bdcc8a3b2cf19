"""Owners create, change and end users and API keys; each secret is shown once and stored only as a hash."""

import html
import re
import signal
from pathlib import Path

import httpx2 as httpx
import pytest

from app import access
from domain.access import KeyScope, Role
from tests.cli.shell import serving
from tests.ports import free_port
from tests.web.admin.conftest import CSRF_COOKIE, PASSWORD, Open
from tests.world import World, eventually

NEW = {"email": "New@Example.com", "role": "viewer", "password": "a long enough password"}
TABLES = ("users", "user_sessions", "api_keys", "audit_entries")


def secret_of(page: str) -> str:
    """The secret that the page shows once."""
    found = re.search(r'id="secret"[^>]*value="([^"]+)"', page)
    assert found
    return html.unescape(found[1])


def stored(world: World) -> str:
    return str([world.rows(f"SELECT {table}::text AS row FROM {table}") for table in TABLES])  # noqa: S608 - names above


def test_owner_creates_a_user_with_a_typed_password(world: World, browser: Open) -> None:
    answer = browser(Role.OWNER).post("/admin/users/create", NEW)
    assert answer.status_code == 303
    session = access.sign_in("new@example.com", NEW["password"])
    assert session
    assert session.person.role is Role.VIEWER
    assert NEW["password"] not in stored(world)
    made = world.rows("SELECT changed_by FROM audit_entries WHERE subject = 'user' AND action = 'create' ORDER BY id")
    assert made[-1] == {"changed_by": "user:owner@example.com"}


def test_generated_password_is_shown_once(world: World, browser: Open) -> None:
    someone = browser(Role.OWNER)
    answer = someone.post("/admin/users/create", {**NEW, "password": ""})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    password = secret_of(answer.text)
    assert access.sign_in("new@example.com", password)
    assert password not in stored(world) + someone.get("/admin/users/list").text + str(someone.client.cookies)


@pytest.mark.parametrize(
    ("changes", "field", "answer_text"),
    [
        ({"email": "nobody"}, "email", "is not an address"),
        ({"email": "owner@example.com"}, "email", "has a login already"),
        ({"password": "elevenchars"}, "password", "must have 12 to 200 characters"),
        ({"role": "king"}, "role", "Choose a value from the list."),
    ],
)
def test_a_bad_user_is_refused_and_the_password_is_not_sent_back(
    world: World, browser: Open, changes: dict[str, str], field: str, answer_text: str
) -> None:
    answer = browser(Role.OWNER).post("/admin/users/create", {**NEW, **changes})
    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text
    assert answer_text in answer.text
    assert {**NEW, **changes}["password"] not in answer.text
    assert len(world.rows("SELECT FROM users")) == 1


def test_changed_role_signs_the_user_out(world: World, browser: Open) -> None:
    user = access.create_user("ops@example.com", PASSWORD, Role.OPERATOR, "test")
    session = access.sign_in("ops@example.com", PASSWORD)
    someone = browser(Role.OWNER)
    assert someone.post("/admin/users/edit", {"role": "viewer", "new_password": ""}, pk=user).status_code == 303
    assert session
    assert access.signed_in(session.token) is None
    again = access.sign_in("ops@example.com", PASSWORD)
    assert again
    assert again.person.role is Role.VIEWER
    assert someone.post("/admin/users/edit", {"role": "viewer", "disabled": "on"}, pk=user).status_code == 303
    assert access.sign_in("ops@example.com", PASSWORD) is None


def test_a_form_opened_before_another_owner_disabled_the_login_does_not_enable_it(world: World, browser: Open) -> None:
    user = access.create_user("ops@example.com", PASSWORD, Role.OPERATOR, "test")
    someone = browser(Role.OWNER)
    opened = someone.carried("/admin/users/edit", pk=user)
    access.disable("ops@example.com", "user:other@example.com")
    answer = someone.post("/admin/users/edit", {"role": "viewer", **opened}, pk=user)
    assert (answer.status_code, "since you opened it, by user:other@example.com" in answer.text) == (422, True)
    assert world.one("SELECT role, disabled_at IS NULL AS enabled FROM users WHERE id = %s", user) == {
        "role": "operator",
        "enabled": False,
    }


def test_owner_changes_a_password_by_typing_or_generating_one(world: World, browser: Open) -> None:
    user = access.create_user("ops@example.com", PASSWORD, Role.OPERATOR, "test")
    someone = browser(Role.OWNER)
    form = {"role": "operator", "new_password": "another long password"}
    assert someone.post("/admin/users/edit", form, pk=user).status_code == 303
    assert access.sign_in("ops@example.com", "another long password")
    short = someone.post("/admin/users/edit", {**form, "new_password": "short"}, pk=user)
    assert (short.status_code, "must have 12 to 200" in short.text) == (422, True)
    answer = someone.post("/admin/users/edit", {"role": "operator", "make_password": "on"}, pk=user)
    assert access.sign_in("ops@example.com", secret_of(answer.text))
    assert access.sign_in("ops@example.com", "another long password") is None


def test_last_owner_cannot_be_disabled_or_demoted(world: World, browser: Open) -> None:
    someone = browser(Role.OWNER)
    owner = world.one("SELECT id FROM users")["id"]
    for form in ({"role": "operator"}, {"role": "owner", "disabled": "on"}):
        answer = someone.post("/admin/users/edit", form, pk=owner)
        assert answer.status_code == 422
        assert "is the last owner" in answer.text
    assert world.one("SELECT role, disabled_at FROM users") == {"role": "owner", "disabled_at": None}
    assert someone.get("/admin/users/list").status_code == 200


def test_new_key_is_shown_once_and_works_within_its_scope(world: World, browser: Open) -> None:
    brand = world.brand()
    someone = browser(Role.OWNER)
    form = {"name": "bidder", "scopes": ["spend-write", "read"], "brand": brand, "expires_days": "30"}
    answer = someone.post("/admin/api-keys/create", form)
    assert answer.status_code == 200
    key = secret_of(answer.text)
    caller = access.caller(key)
    assert caller
    assert caller.brand_id == brand
    assert caller.scopes == {KeyScope.SPEND_WRITE, KeyScope.READ}
    shown = someone.get("/admin/api-keys/list").text + someone.get("/admin/api-keys/detail", pk=caller.key_id).text
    for secret in (key, key.split("_", 2)[2]):
        assert secret not in shown + stored(world) + str(someone.client.cookies) + str(answer.url)
    assert "_".join(key.split("_")[:2]) in shown
    assert "valid" in shown


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"brand": "99"}, "brand"),
        ({"brand": "x"}, "brand"),
        ({"expires_days": "0"}, "expires_days"),
        ({"expires_days": "99999"}, "expires_days"),
    ],
)
def test_invalid_key_is_refused_with_the_error_at_its_field(
    world: World, browser: Open, changes: dict[str, object], field: str
) -> None:
    form = {"name": "bidder", "scopes": ["read"], "brand": "", "expires_days": "", **changes}
    answer = browser(Role.OWNER).post("/admin/api-keys/create", form)
    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text
    assert world.rows("SELECT FROM api_keys") == []


def test_a_revoked_key_opens_nothing(world: World, browser: Open) -> None:
    key_id, key = access.create_key("bidder", [KeyScope.READ], "test")
    someone = browser(Role.OWNER)
    assert someone.act_on_one("api-keys", "revoke", key_id).status_code == 200
    assert access.caller(key) is None
    assert "The key is revoked." in someone.banners()
    assert someone.act_on_one("api-keys", "revoke", key_id).status_code == 400
    assert "revoked" in someone.get("/admin/api-keys/list").text


def test_web_process_logs_authors_and_actions_but_no_secret(world: World, database: str, tmp_path: Path) -> None:
    access.create_user("owner@example.com", PASSWORD, Role.OWNER, "test")
    port = free_port()
    env = {"PORT": str(port), "LOG_LEVEL": "DEBUG"}
    with (
        serving("-m", "web", output=tmp_path / "output", env=env) as service,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client,
    ):
        eventually(lambda: _answers(client))
        client.get("/admin/login")
        token = {"csrftoken": client.cookies[CSRF_COOKIE]}
        login = {**token, "username": "owner@example.com", "remember_me": "on"}
        assert client.post("/admin/login?next=/admin/", data={**login, "password": "mistyped!"}).status_code == 400
        assert client.post("/admin/login?next=/admin/", data={**login, "password": PASSWORD}).status_code == 303
        key = secret_of(client.post("/admin/api-keys/create", data={**token, "name": "bidder", "scopes": "read"}).text)
        client.post("/admin/users/create", data={**token, **NEW})
        made = secret_of(client.post("/admin/users/create", data={**token, **NEW, "email": "b@c", "password": ""}).text)
        session = client.cookies["spendgate_session"]
        service.send(signal.SIGTERM)
        service.code()
        answer_text = "\n".join(service.lines())
        assert {line["event"] for line in service.logged()} >= {"person.refused", "person.signed_in", "http.request"}
        for secret in ("mistyped!", PASSWORD, NEW["password"], key, made, session, token["csrftoken"]):
            assert secret not in answer_text
        assert "user:owner@example.com" in {line.get("by") for line in service.logged("http.request")}


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_form_with_too_many_fields_is_refused(world: World, browser: Open) -> None:
    someone = browser(Role.OWNER)
    fields = [("csrftoken", someone.token()), *((f"field{number}", "x") for number in range(1_500))]
    for path in ("/admin/login", "/admin/brands/create"):
        answer = someone.client.post(path, data=dict(fields))
        assert answer.status_code == 400, path
        answer = someone.client.post(path, files={name: (None, value) for name, value in fields})
        assert answer.status_code == 400, path
