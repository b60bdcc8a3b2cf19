"""Access of API keys by scope, brand and rate, tested on every route."""

import re
from typing import Any

import pytest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from app.alerts.evaluate import evaluate
from app.notices import webhooks
from db.repository.access.audit import Edit
from domain.access import KeyScope
from runtime import clock
from tests.kit import lines
from tests.web.api.conftest import Program, operations
from tests.world import World

READ, MANAGE, SPEND_WRITE = KeyScope.READ, KeyScope.MANAGE, KeyScope.SPEND_WRITE

SCOPES: dict[tuple[str, str], KeyScope] = {
    ("GET", "/api/brands/"): READ,
    ("POST", "/api/brands/"): MANAGE,
    ("GET", "/api/brands/{brand_id}/"): READ,
    ("PATCH", "/api/brands/{brand_id}/"): MANAGE,
    ("DELETE", "/api/brands/{brand_id}/"): MANAGE,
    ("POST", "/api/brands/{brand_id}/correct/"): MANAGE,
    ("GET", "/api/platform-accounts/"): READ,
    ("POST", "/api/platform-accounts/"): MANAGE,
    ("POST", "/api/platform-accounts/{account_id}/brands/"): MANAGE,
    ("GET", "/api/platform-accounts/{account_id}/"): READ,
    ("POST", "/api/platform-accounts/{account_id}/check/"): MANAGE,
    ("POST", "/api/platform-accounts/{account_id}/reconcile/"): MANAGE,
    ("GET", "/api/platform-accounts/{account_id}/connection/"): READ,
    ("POST", "/api/platform-accounts/{account_id}/connection/"): MANAGE,
    ("PATCH", "/api/platform-accounts/{account_id}/connection/"): MANAGE,
    ("DELETE", "/api/platform-accounts/{account_id}/connection/"): MANAGE,
    ("POST", "/api/campaigns/{campaign_id}/move/"): MANAGE,
    ("GET", "/api/campaigns/"): READ,
    ("POST", "/api/campaigns/"): MANAGE,
    ("GET", "/api/campaigns/{campaign_id}/"): READ,
    ("PATCH", "/api/campaigns/{campaign_id}/"): MANAGE,
    ("DELETE", "/api/campaigns/{campaign_id}/"): MANAGE,
    ("GET", "/api/campaigns/{campaign_id}/explain/"): READ,
    ("GET", "/api/campaigns/{campaign_id}/schedule/"): READ,
    ("PUT", "/api/campaigns/{campaign_id}/schedule/"): MANAGE,
    ("PUT", "/api/campaigns/{campaign_id}/holds/{hold}/"): MANAGE,
    ("DELETE", "/api/campaigns/{campaign_id}/holds/{hold}/"): MANAGE,
    ("GET", "/api/budgets/"): READ,
    ("POST", "/api/budgets/"): MANAGE,
    ("GET", "/api/budgets/{budget_id}/"): READ,
    ("PATCH", "/api/budgets/{budget_id}/"): MANAGE,
    ("DELETE", "/api/budgets/{budget_id}/"): MANAGE,
    ("GET", "/api/serving/"): READ,
    ("GET", "/api/serving/stream"): READ,
    ("GET", "/api/status-changes/"): READ,
    ("GET", "/api/alerts/"): READ,
    ("GET", "/api/alerts/{alert_id}/"): READ,
    ("POST", "/api/alerts/{alert_id}/acknowledge/"): MANAGE,
    ("DELETE", "/api/alerts/{alert_id}/acknowledge/"): MANAGE,
    ("GET", "/api/alerts/mutes/"): READ,
    ("POST", "/api/alerts/mutes/"): MANAGE,
    ("DELETE", "/api/alerts/mutes/{mute_id}/"): MANAGE,
    ("GET", "/api/alerts/channels/"): READ,
    ("POST", "/api/alerts/channels/"): MANAGE,
    ("GET", "/api/alerts/channels/{channel_id}/"): READ,
    ("DELETE", "/api/alerts/channels/{channel_id}/"): MANAGE,
    ("POST", "/api/alerts/channels/{channel_id}/test/"): MANAGE,
    ("GET", "/api/alerts/channels/{channel_id}/attempts/"): READ,
    ("GET", "/api/alerts/routes/"): READ,
    ("POST", "/api/alerts/routes/"): MANAGE,
    ("DELETE", "/api/alerts/routes/{route_id}/"): MANAGE,
    ("GET", "/api/alerts/thresholds/{brand_id}/"): READ,
    ("PUT", "/api/alerts/thresholds/{brand_id}/"): MANAGE,
    ("GET", "/api/status-changes/stream"): READ,
    ("GET", "/api/webhooks/"): READ,
    ("POST", "/api/webhooks/"): MANAGE,
    ("GET", "/api/webhooks/{endpoint_id}/"): READ,
    ("PATCH", "/api/webhooks/{endpoint_id}/"): MANAGE,
    ("DELETE", "/api/webhooks/{endpoint_id}/"): MANAGE,
    ("POST", "/api/webhooks/{endpoint_id}/rotate/"): MANAGE,
    ("POST", "/api/webhooks/{endpoint_id}/test/"): MANAGE,
    ("POST", "/api/webhooks/{endpoint_id}/resend/"): MANAGE,
    ("GET", "/api/webhooks/{endpoint_id}/deliveries/"): READ,
    ("GET", "/api/webhooks/{endpoint_id}/attempts/"): READ,
    ("GET", "/api/spend/"): READ,
    ("POST", "/api/spend/"): SPEND_WRITE,
    ("POST", "/api/reported-totals/"): SPEND_WRITE,
    ("GET", "/api/reports/monthly/"): READ,
    ("POST", "/api/reports/monthly/"): MANAGE,
    ("GET", "/api/rejected-events/"): READ,
    ("POST", "/api/rejected-events/{rejected_id}/replay/"): MANAGE,
}

TWO_SCOPES = {("DELETE", "/api/platform-accounts/{account_id}/connection/")}
"""Operations that need the scope `credentials` too."""

BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "/api/brands/{brand_id}/"): {"name": "Taken over"},
    ("PATCH", "/api/campaigns/{campaign_id}/"): {"name": "Taken over"},
    ("POST", "/api/brands/{brand_id}/correct/"): {"time_zone": "Asia/Tokyo"},
    ("POST", "/api/platform-accounts/{account_id}/brands/"): {"brand_id": 1},
    ("POST", "/api/campaigns/{campaign_id}/move/"): {"to_brand_id": 1},
    ("POST", "/api/platform-accounts/{account_id}/connection/"): {"credentials": "env:LOGIN"},
    ("PATCH", "/api/platform-accounts/{account_id}/connection/"): {"mode": "off"},
    ("PATCH", "/api/budgets/{budget_id}/"): {"limit_micros": 1},
    ("PATCH", "/api/webhooks/{endpoint_id}/"): {"description": "Taken over"},
    ("POST", "/api/webhooks/{endpoint_id}/resend/"): {"since_change_id": 0},
    ("PUT", "/api/campaigns/{campaign_id}/schedule/"): {"dayparts": []},
    ("PUT", "/api/alerts/thresholds/{brand_id}/"): {"percents": [50]},
}
OF_ALL_BRANDS_ALONE = {
    "/api/rejected-events/{rejected_id}/replay/",
    "/api/brands/{brand_id}/correct/",
    "/api/alerts/routes/{route_id}/",
    *(f"/api/alerts/channels/{{channel_id}}/{path}" for path in ("", "test/", "attempts/")),
    *(f"/api/platform-accounts/{{account_id}}/{path}/" for path in ("brands", "check", "reconcile", "connection")),
}


def test_every_route_is_in_the_table(database: str) -> None:
    from web.app import create_app  # noqa: PLC0415 - after the environment is set

    assert set(operations(create_app().openapi())) == SCOPES.keys()


@pytest.mark.parametrize(("method", "path"), SCOPES)
def test_route_refuses_a_key_without_its_scope(program: Program, method: str, path: str) -> None:
    needed = SCOPES[method, path]
    url = _with_ids(path, 1) + ("?brand_id=0" if path.endswith("/stream") else "")  # a stream would not end
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic c2c6c2c="}):
        refused = TestClient(program().app, headers=headers).request(method, url)
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert refused.headers["content-type"] == "application/problem+json"
    for scope in KeyScope:
        answer = program(scope).request(method, url)
        if (method, path) in TWO_SCOPES:
            assert answer.status_code == 403
        elif scope == needed or (scope, needed) == (MANAGE, READ):
            assert answer.status_code not in {401, 403}
        else:
            assert answer.status_code == 403
            assert needed in answer.json()["detail"]


@pytest.mark.parametrize(("method", "path"), [operation for operation in SCOPES if "{" in operation[1]])
def test_key_of_one_brand_gets_404_for_objects_of_another(
    world: World, program: Program, method: str, path: str
) -> None:
    theirs = world.brand(daily=5)
    campaign = world.campaign(theirs)
    world.spend(campaign, 5)
    world.ingest([{"event_id": "nonsense"}])
    client = program(brand=world.brand())
    (budget,) = world.rows("SELECT id FROM budgets")
    (rejected,) = world.rows("SELECT id FROM rejected_events")
    ids: dict[str, Any] = {
        "brand_id": theirs,
        "campaign_id": campaign,
        "budget_id": budget["id"],
        "account_id": 1,
        "hold": "platform_paused",
    }
    evaluate()
    (alert,) = world.rows("SELECT id FROM alerts WHERE brand_id = %s", theirs)
    until = "INSERT INTO alert_mutes (brand_id, until, muted_at, muted_by) VALUES (%s, now() + '1 day', now(), 'test')"
    world.execute(until, theirs)
    endpoint, _ = webhooks.add("https://example.com/hook", [], "", theirs, Edit("test", clock.now()))
    ids |= {"channel_id": 1, "route_id": 1}
    ids |= {"rejected_id": rejected["id"], "alert_id": alert["id"], "mute_id": 1, "endpoint_id": endpoint}
    url = path.format(**ids)
    body = BODIES.get((method, path))
    answer, unknown = client.request(method, url, json=body), client.request(method, _with_ids(path, 4711), json=body)
    assert answer.status_code == unknown.status_code == (403 if path in OF_ALL_BRANDS_ALONE else 404)
    assert re.sub(r"\d+", "", answer.text) == re.sub(r"\d+", "", unknown.text)
    assert {row["changed_by"] for row in world.rows("SELECT changed_by FROM audit_entries")} == {"test"}
    assert len(world.rejected()) == 1


def _with_ids(path: str, number: int) -> str:
    return re.sub(r"{\w+}", str(number), path)


def test_lists_show_a_key_of_one_brand_that_brand_alone(world: World, program: Program) -> None:
    theirs, own = world.brand(daily=5), world.brand(daily=5)
    for brand in (theirs, own):
        world.spend(world.campaign(brand), 7)
    client = program(brand=own)
    assert [brand["id"] for brand in client.get("/api/brands/").json()["items"]] == [own]
    for path in ("/api/campaigns/", "/api/budgets/", "/api/status-changes/"):
        assert {item["brand_id"] for item in client.get(path).json()["items"]} == {own}
        assert client.get(path, params={"brand_id": theirs}).json()["items"] == []
        assert len(program().get(path).json()["items"]) == 2
    assert client.get("/api/spend/", params={"brand_id": theirs}).status_code == 404
    assert client.get("/api/spend/", params={"campaign_id": 1}).status_code == 404
    assert client.get("/api/reports/monthly/", params={"brand_id": theirs}).status_code == 404
    assert client.get("/api/rejected-events/").status_code == 403


def test_key_of_one_brand_creates_only_for_that_brand(world: World, program: Program) -> None:
    theirs, own = world.brand(), world.brand()
    their_campaign = world.campaign(theirs)
    client = program(brand=own)
    assert client.post("/api/brands/", json={"name": "Mine"}).status_code == 403
    assert client.post("/api/campaigns/", json={"name": "Mine", "brand_id": theirs}).status_code == 404
    budget = {"period": "daily", "limit_micros": 5}
    assert client.post("/api/budgets/", json={**budget, "brand_id": theirs}).status_code == 404
    crossed = {**budget, "brand_id": own, "campaign_id": their_campaign}
    assert client.post("/api/budgets/", json=crossed).status_code == 404
    assert program().post("/api/budgets/", json=crossed).status_code == 422
    assert client.post("/api/reports/monthly/", json={"brand_id": theirs, "month": "2026-10"}).status_code == 404
    assert client.post("/api/campaigns/", json={"name": "Mine", "brand_id": own}).status_code == 201
    assert client.post("/api/budgets/", json={**budget, "brand_id": own}).status_code == 201
    assert len(world.rows("SELECT 1 FROM campaigns")) == 2


def test_a_revoked_key_opens_nothing(world: World, program: Program) -> None:
    from db.engine import committed  # noqa: PLC0415
    from db.repository.access.access import revoke_key  # noqa: PLC0415
    from db.repository.access.audit import Edit  # noqa: PLC0415
    from runtime import clock  # noqa: PLC0415

    client = program()
    assert client.get("/api/brands/").status_code == 200
    committed(lambda connection: revoke_key(connection, 1, Edit("test", clock.now())))
    assert client.get("/api/brands/").status_code == 401


def test_requests_of_a_key_are_limited_per_minute_with_the_remaining_number_in_headers(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtime.settings import settings  # noqa: PLC0415

    monkeypatch.setenv("SPENDGATE_API_REQUESTS_PER_MINUTE", "3")
    settings.cache_clear()
    client, other = program(), program()
    left = []
    for path in ("/api/brands/", "/api/brands/77/", "/api/campaigns/"):
        headers = client.get(path).headers
        left.append((headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]))
        assert int(headers["X-RateLimit-Reset"]) > 0
    assert left == [("3", "2"), ("3", "1"), ("3", "0")]
    refused = client.get("/api/brands/")
    assert refused.status_code == 429
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.headers["content-type"] == "application/problem+json"
    assert other.get("/api/brands/").status_code == 200


def test_request_log_line_names_the_key_without_its_secret(world: World, program: Program) -> None:
    client = program(name="bidder of the east")
    with capture_logs() as logged:
        client.get("/api/brands/9/")
    (line,) = lines(logged, "http.request")
    assert (line["by"], line["route"], line["status"]) == ("key:bidder of the east", "/api/brands/{brand_id}/", 404)
    assert client.headers["Authorization"].rpartition("_")[2] not in str(logged)


def test_edits_by_programs_are_audited_under_the_name_of_the_key(world: World, program: Program) -> None:
    client = program(name="planner")
    brand = client.post("/api/brands/", json={"name": "Hudson Shoes"}).json()["id"]
    campaign = client.post("/api/campaigns/", json={"brand_id": brand, "name": "Search"}).json()["id"]
    client.put(f"/api/campaigns/{campaign}/schedule/", json={"dayparts": []})
    client.put(
        f"/api/campaigns/{campaign}/schedule/",
        json={"dayparts": [{"weekday": 1, "starts_minute": 0, "ends_minute": 60}]},
    )
    budget = client.post("/api/budgets/", json={"brand_id": brand, "period": "daily", "limit_micros": 5}).json()["id"]
    client.patch(f"/api/budgets/{budget}/", json={"limit_micros": 6})
    client.delete(f"/api/budgets/{budget}/")
    client.patch(f"/api/campaigns/{campaign}/", json={"name": "Brand search"})
    client.delete(f"/api/campaigns/{campaign}/")
    client.delete(f"/api/brands/{brand}/")
    client.delete(f"/api/brands/{brand}/")
    made = world.rows("SELECT changed_by, action, subject FROM audit_entries WHERE subject <> 'api_key' ORDER BY id")
    assert {row["changed_by"] for row in made} == {"key:planner"}
    assert [(row["action"], row["subject"]) for row in made] == [
        ("create", "brand"),
        ("create", "campaign"),
        ("set", "schedule"),
        ("set", "budget"),
        ("set", "budget"),
        ("remove", "budget"),
        ("edit", "campaign"),
        ("edit", "campaign"),
        ("edit", "brand"),
    ]


def test_last_use_of_a_key_is_stored(world: World, program: Program) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    program().get("/api/brands/")
    assert world.one("SELECT used_at FROM api_keys")["used_at"] == at
