"""Sign-in to the admin: success, refusals, throttling, cookies and proxies."""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta

import pytest

from app import access
from domain.access import Role
from tests.cli.shell import run
from tests.web.admin.conftest import CSRF_COOKIE, PASSWORD, Browser, Open
from tests.web.conftest import Browse
from tests.world import World
from web.admin.sign_in.auth import WRONG
from web.admin.sign_in.browsers import COOKIE as BROWSER
from web.people import COOKIE

EMAIL = "ops@example.com"


@pytest.fixture
def ops(world: World) -> int:
    return access.create_user(EMAIL, PASSWORD, Role.OPERATOR, "test")


def test_login_page_explains_how_to_create_the_first_login(world: World, browser: Open) -> None:
    assert "spendgate create-admin you@example.com" in browser().get("/admin/login").text
    access.create_user(EMAIL, PASSWORD, Role.OWNER, "test")
    assert "spendgate create-admin" not in browser().get("/admin/login").text


def test_login_redirects_to_the_requested_page_and_stores_its_session(world: World, ops: int, browser: Open) -> None:
    someone = browser()
    asked = someone.client.get("/admin/brands/list", follow_redirects=False)
    assert asked.status_code == 303
    assert asked.headers["location"].startswith("http://testserver/admin/login?next=")
    answer = someone.sign_in(EMAIL, to="/admin/brands/list?q=a")
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/brands/list?q=a")
    cookie = next(line for line in answer.headers.get_list("set-cookie") if line.startswith(COOKIE)).lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "expires" not in cookie
    assert "secure" not in cookie
    assert someone.get("/admin/brands/list").status_code == 200
    assert world.one("SELECT user_id FROM user_sessions") == {"user_id": ops}


def test_session_cookie_is_secure_on_https_and_persistent_if_requested(world: World, ops: int, browser: Open) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    answer = browser(base_url="https://testserver").sign_in(EMAIL, remember_me="on")
    cookies = answer.headers.get_list("set-cookie")
    assert all("; Secure" in cookie and "; Path=/" in cookie for cookie in cookies)
    assert all(cookie.startswith("__Host-") and "domain" not in cookie.lower() for cookie in cookies)
    cookie = next(line for line in cookies if line.startswith(f"__Host-{COOKIE}"))
    assert "expires=Fri, 17 Jul 2026 12:00:00 GMT" in cookie
    assert world.one("SELECT expires_at FROM user_sessions")["expires_at"] == at + timedelta(days=30)


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"])
def test_login_never_redirects_to_another_site(world: World, ops: int, browser: Open, elsewhere: str) -> None:
    answer = browser().sign_in(EMAIL, to=elsewhere)
    assert (answer.status_code, answer.headers["location"]) == (303, "http://testserver/admin/")


def test_wrong_address_and_wrong_password_get_one_error_text(world: World, ops: int, browser: Open) -> None:
    answers = [browser().sign_in(EMAIL, "not the password"), browser().sign_in("nobody@example.com", PASSWORD)]
    pages = {re.sub(r'(value|nonce)="[^"]+"', "", answer.text) for answer in answers}
    assert [answer.status_code for answer in answers] == [400, 400]
    assert len(pages) == 1
    assert WRONG in pages.pop()
    assert world.rows("SELECT FROM user_sessions") == []


def test_refused_login_form_keeps_the_email_and_drops_the_password(world: World, ops: int, browser: Open) -> None:
    page = browser().sign_in(EMAIL, "not the password").text
    assert f'value="{EMAIL}"' in page
    assert "not the password" not in page


def test_disabled_user_cannot_sign_in(world: World, ops: int, browser: Open) -> None:
    access.create_user("owner@example.com", PASSWORD, Role.OWNER, "test")
    access.disable(EMAIL, "test")
    assert WRONG in browser().sign_in(EMAIL).text


def _fail(someone: Browser, email: str = EMAIL) -> int:
    return someone.sign_in(email, "not the password").status_code


def test_many_failures_are_throttled_before_the_password_is_hashed(world: World, ops: int, browser: Open) -> None:
    someone = browser()
    assert {_fail(someone, f" {EMAIL.upper()}") for _ in range(10)} == {400}
    answer = someone.sign_in(EMAIL)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert re.search(r"Too many failed attempts\. Try again in \d+ (seconds|minutes)\.", answer.text)
    assert world.rows("SELECT FROM user_sessions") == []
    assert _fail(someone, "another@example.com") == 400


def test_failures_at_another_address_do_not_lock_a_person_out(world: World, ops: int, browser: Open) -> None:
    guessing = browser(address="203.0.113.7")
    assert [_fail(guessing) for _ in range(11)] == [400] * 10 + [429]
    assert browser(address="198.51.100.4").sign_in(EMAIL).status_code == 303


@pytest.mark.parametrize(
    ("guesser", "neighbour", "is_locked_out"),
    [
        ("2001:db8:7:1::1", "2001:db8:7:1:ffff::2", True),
        ("2001:db8:7:1::1", "2001:db8:7:2::1", False),
        ("203.0.113.7", "::ffff:203.0.113.7", True),
        ("203.0.113.7", "203.0.113.8", False),
    ],
)
def test_addresses_of_one_ipv6_subscriber_share_one_limit(
    world: World, ops: int, browser: Open, guesser: str, neighbour: str, is_locked_out: bool
) -> None:
    guessing = browser(address=guesser)
    assert [_fail(guessing) for _ in range(11)] == [400] * 10 + [429]
    assert browser(address=neighbour).sign_in(EMAIL).status_code == (429 if is_locked_out else 303)


def test_failures_of_others_do_not_lock_a_person_out_of_a_known_browser(world: World, ops: int, browser: Open) -> None:
    known, guessing = browser(), browser()
    assert known.sign_in(EMAIL).status_code == 303
    del known.client.cookies[COOKIE]
    assert [_fail(guessing) for _ in range(11)] == [400] * 10 + [429]
    assert known.sign_in(EMAIL).status_code == 303
    del known.client.cookies[COOKIE]
    assert [_fail(known) for _ in range(11)] == [400] * 10 + [429]


@pytest.mark.parametrize("changed", ["person", "signature", "until"])
def test_forged_cookie_does_not_make_a_browser_known(world: World, ops: int, browser: Open, changed: str) -> None:
    access.create_user("other@example.com", PASSWORD, Role.VIEWER, "test")
    honest, forging = browser(), browser()
    assert honest.sign_in(EMAIL).status_code == 303
    [name] = [name for name in honest.client.cookies if name.startswith(BROWSER)]
    random, until, signature = honest.client.cookies[name].split(".")
    if changed == "person":
        honest.client.cookies.clear()
        assert honest.sign_in("other@example.com").status_code == 303
        [other] = [name for name in honest.client.cookies if name.startswith(BROWSER)]
        forging.client.cookies[name] = honest.client.cookies[other]
    elif changed == "signature":
        forging.client.cookies[name] = f"{random}.{until}.{signature[::-1]}"
    else:
        forging.client.cookies[name] = f"{random}.{int(until) + 1}.{signature}"
    assert [_fail(browser()) for _ in range(10)] == [400] * 10
    assert forging.sign_in(EMAIL).status_code == 429


def test_known_browser_expires(world: World, ops: int, browser: Open) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    known = browser()
    assert known.sign_in(EMAIL).status_code == 303
    assert [_fail(browser()) for _ in range(10)] == [400] * 10
    cookies = dict(known.client.cookies)
    world.set_clock(at + timedelta(days=181))
    late = browser()
    late.client.cookies.update(cookies)
    assert late.sign_in(EMAIL).status_code == 429


def test_ten_of_forty_parallel_sign_ins_reach_the_password_check(world: World, ops: int, browse: Browse) -> None:
    with browse() as client, ThreadPoolExecutor(40) as pool:
        client.get("/admin/login")
        form = {"username": EMAIL, "password": "wrong", "csrftoken": client.cookies[CSRF_COOKIE]}
        tries = [pool.submit(client.post, "/admin/login", data=form, timeout=60) for _ in range(40)]
        assert Counter(found.result().status_code for found in tries) == {400: 10, 429: 30}


def test_passwords_hashed_at_once_are_limited(world: World, ops: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "HASH_WAIT_SECONDS", 0.01)
    with ExitStack() as others:
        for _ in range(access.HASHES_AT_ONCE):
            others.enter_context(access._hashing_slot())
        with pytest.raises(access.HashingBusy):
            access.sign_in(EMAIL, PASSWORD)
    assert access.sign_in(EMAIL, PASSWORD) is not None


def test_sign_in_without_a_free_hash_slot_gets_retry_after_and_does_not_count_as_failure(
    world: World, ops: int, browser: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    someone = browser()
    with monkeypatch.context() as busy, ExitStack() as others:
        busy.setattr(access, "HASH_WAIT_SECONDS", 0.01)
        for _ in range(access.HASHES_AT_ONCE):
            others.enter_context(access._hashing_slot())
        answers = [someone.sign_in(EMAIL) for _ in range(20)]
    assert {(answer.status_code, answer.headers["retry-after"]) for answer in answers} == {(503, "5")}
    assert someone.sign_in(EMAIL).status_code == 303


def test_unprefixed_cookies_are_ignored_over_https(world: World, ops: int, browser: Open) -> None:
    plain, secure = browser(), browser(base_url="https://testserver")
    assert plain.sign_in(EMAIL).status_code == 303
    secure.client.cookies[COOKIE] = plain.client.cookies[COOKIE]
    assert secure.client.get("/admin/", follow_redirects=False).status_code == 303
    answer = secure.client.get("/admin/login")
    assert answer.headers["strict-transport-security"].startswith("max-age=31536000")
    form = {"username": EMAIL, "password": PASSWORD, "csrftoken": secure.client.cookies[f"__Host-{CSRF_COOKIE}"]}
    assert secure.client.post("/admin/login", data=form, follow_redirects=False).status_code == 303
    assert secure.client.get("/admin/", follow_redirects=False).status_code == 200
    assert "strict-transport-security" not in plain.get("/admin/").headers


def test_successful_sign_in_does_not_count_as_failure(world: World, ops: int, browser: Open) -> None:
    someone = browser()
    for _ in range(60):
        assert someone.sign_in(EMAIL).status_code == 303
        del someone.client.cookies[COOKIE]
    assert [_fail(someone) for _ in range(11)] == [400] * 10 + [429]


def test_failures_over_all_addresses_lock_a_person_out(world: World, ops: int, browser: Open) -> None:
    for host in range(20):
        someone = browser(address=f"203.0.113.{host}")
        assert {_fail(someone) for _ in range(5)} == {400}
    fresh = browser(address="198.51.100.4")
    assert fresh.sign_in(EMAIL).status_code == 429
    assert _fail(fresh, "another@example.com") == 400


def test_address_with_failures_for_many_persons_is_locked_out(world: World, ops: int, browser: Open) -> None:
    guessing = browser(address="203.0.113.7")
    assert {_fail(guessing, f"person{number}@example.com") for number in range(50)} == {400}
    assert guessing.sign_in(EMAIL).status_code == 429
    assert browser(address="198.51.100.4").sign_in(EMAIL).status_code == 303


def test_trusted_proxy_passes_on_the_clients_address(world: World, ops: int, browse: Browse) -> None:
    with browse(SPENDGATE_TRUSTED_PROXIES="127.0.0.1") as client:

        def tries(address: str) -> int:
            form = {"username": EMAIL, "password": "wrong", "csrftoken": client.cookies[CSRF_COOKIE]}
            return client.post("/admin/login", data=form, headers={"X-Forwarded-For": address}).status_code

        client.get("/admin/login")
        assert [tries("203.0.113.7") for _ in range(11)] == [400] * 10 + [429]
        assert tries("198.51.100.4") == 400


@pytest.mark.parametrize("proxies", ["127.0.0.1", "127.0.0.0/8, ::1", "*"])
def test_client_behind_a_proxy_cannot_forge_its_address(world: World, ops: int, browse: Browse, proxies: str) -> None:
    with browse(SPENDGATE_TRUSTED_PROXIES=proxies) as client:

        def tries(forged: str) -> int:
            form = {"username": EMAIL, "password": "wrong", "csrftoken": client.cookies[CSRF_COOKIE]}
            headers = {"X-Forwarded-For": f"{forged}, 203.0.113.7", "Forwarded": f"for={forged}"}
            return client.post("/admin/login", data=form, headers=headers).status_code

        client.get("/admin/login")
        assert [tries(f"198.51.100.{host}") for host in range(11)] == [400] * 10 + [429]


@pytest.mark.parametrize(
    ("env", "host"),
    [
        ({"SPENDGATE_OPEN_DASHBOARD": "false"}, "127.0.0.1"),
        ({"SPENDGATE_OPEN_DASHBOARD": "true"}, "0.0.0.0"),  # noqa: S104 - where nothing is served
        ({"SPENDGATE_OPEN_DASHBOARD": "true", "SPENDGATE_TRUSTED_PROXIES": "10.0.0.1, *"}, "::"),
    ],
)
def test_trusting_every_proxy_is_refused_if_pages_need_a_login(world: World, env: dict[str, str], host: str) -> None:
    shown = run("-m", "web", "--host", host, env={"SPENDGATE_TRUSTED_PROXIES": "*", **env})
    assert shown.code == 2
    assert shown.err.startswith("SPENDGATE_TRUSTED_PROXIES: ")
    assert shown.err.count("\n") == 1


def test_a_forged_login_is_refused(world: World, ops: int, browser: Open) -> None:
    form = {"username": EMAIL, "password": PASSWORD}
    one, other = browser(), browser()
    assert one.client.post("/admin/login", data=form).status_code == 403
    one.get("/admin/login")
    assert one.client.post("/admin/login", data=form).status_code == 403
    other.get("/admin/login")
    assert one.client.post("/admin/login", data={**form, "csrftoken": other.token()}).status_code == 403
    assert one.client.post("/admin/login", data={**form, "csrftoken": "made up"}).status_code == 403
    assert world.rows("SELECT FROM user_sessions") == []


def test_a_forged_change_is_refused(world: World, browser: Open) -> None:
    brand = world.brand(name="Hudson Shoes")
    someone, other = browser(Role.OWNER), browser()
    form = {"name": "Stolen", "configured_status": "paused"}
    for token in ({}, {"csrftoken": other.token()}):
        answer = someone.client.post(f"/admin/brands/edit?pk={brand}", data={**form, **token})
        assert answer.status_code == 403
    action = f"/admin/_api/brands/action?name=pause&pks={brand}"
    assert someone.client.post(action).status_code == 403
    assert someone.client.post(action, headers={"X-CSRFToken": other.token()}).status_code == 403
    assert world.one("SELECT name, configured_status FROM brands")["configured_status"] == "enabled"


def test_csrf_tokens_are_valid_in_every_web_process(world: World, browser: Open) -> None:
    from starlette.testclient import TestClient  # noqa: PLC0415

    from web.app import create_app  # noqa: PLC0415

    someone = browser(Role.OWNER)
    with TestClient(create_app(), cookies=dict(someone.client.cookies)) as elsewhere:
        form = {"csrftoken": someone.token(), "name": "Shoes", "time_zone": "UTC", "currency": "USD"}
        assert elsewhere.post("/admin/brands/create", data=form, follow_redirects=False).status_code == 303
    assert CSRF_COOKIE in someone.client.cookies


def test_logout_ends_the_session_and_needs_a_form(world: World, browser: Open) -> None:
    someone = browser(Role.VIEWER)
    assert someone.client.get("/admin/logout", follow_redirects=False).status_code == 405
    assert someone.client.post("/admin/logout").status_code == 403
    token = someone.client.cookies[COOKIE]
    answer = someone.post("/admin/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "http://testserver/admin/login")
    assert access.signed_in(token) is None
    assert COOKIE not in someone.client.cookies
    assert someone.client.get("/admin/", follow_redirects=False).status_code == 303


def test_dashboard_has_a_sign_out(world: World, browser: Open) -> None:
    someone = browser(Role.VIEWER)
    token = someone.client.cookies[COOKIE]
    form = re.search(
        r'<form action="/admin/logout" method="post">.*?name="csrftoken" value="([^"]+)"', someone.get("/").text
    )
    assert form is not None
    answer = someone.client.post("/admin/logout", data={"csrftoken": form[1]}, follow_redirects=False)
    assert answer.status_code == 303
    assert access.signed_in(token) is None


def test_admin_pages_request_nothing_from_other_hosts(world: World, browser: Open) -> None:
    brand = world.brand(name="Hudson Shoes")
    campaign = world.campaign(brand)
    someone = browser(Role.OWNER)
    for path in (
        "/admin/",
        "/admin/brands/list",
        "/admin/brands/create",
        f"/admin/campaigns/detail?pk={campaign}",
        f"/admin/campaigns/{campaign}/schedule",
        "/admin/api-keys/create",
    ):
        page = someone.get(path)
        assert page.status_code == 200
        asked = re.findall(r"(?:src|href|action)=\"(?:https?:)?//([^/\"]+)|url\(['\"]?https?://([^/'\")]+)", page.text)
        assert {host for pair in asked for host in pair if host} <= {"testserver"}
        assert page.headers["cache-control"] == "no-store"
