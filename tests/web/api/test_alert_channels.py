"""`/api/alerts/channels/`, `routes/` and `thresholds/`: managed with keys for all brands; URLs are in no answer."""

from collections.abc import Callable, Iterator

import pytest
from starlette.testclient import TestClient

from domain.access import KeyScope
from tests.fake_channels.mail import MailServer, mail_server
from tests.world import World

Program = Callable[..., TestClient]
CHANNELS, ROUTES = "/api/alerts/channels/", "/api/alerts/routes/"


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


def test_channel_is_added_tested_and_removed_and_its_url_is_never_shown(
    world: World, client: TestClient, mail: MailServer
) -> None:
    made = client.post(CHANNELS, json={"name": "ops", "url": mail.url, "timing": "now"})
    assert (made.status_code, made.headers["Location"]) == (201, f"{CHANNELS}1/")
    assert client.get(CHANNELS).json()["items"] == [made.json()] == [client.get(f"{CHANNELS}1/").json()]
    assert client.post(f"{CHANNELS}1/test/").json()["is_delivered"] is True
    mail.refuses = True
    failed = client.post(f"{CHANNELS}1/test/").json()
    assert failed["is_delivered"] is False
    attempts = client.get(f"{CHANNELS}1/attempts/").json()["items"]
    assert [(one["purpose"], one["is_delivered"]) for one in attempts] == [("test", False), ("test", True)]
    assert client.get(f"{CHANNELS}1/").json()["failing_since"] == attempts[0]["attempted_at"]
    pages = [client.get(path).text for path in (CHANNELS, f"{CHANNELS}1/", f"{CHANNELS}1/attempts/", ROUTES)]
    shown = " ".join([*pages, made.text, str(failed), *map(str, world.rows("SELECT new FROM audit_entries"))])
    assert "example.com" not in shown.replace("http://testserver", "")
    assert mail.url not in str(world.rows("SELECT * FROM alert_channels"))
    assert client.delete(f"{CHANNELS}1/").status_code == 204
    assert client.get(f"{CHANNELS}1/attempts/").status_code == 404


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"url": "json://10.0.0.1/"}, 422),
        ({"url": "file:///etc/passwd"}, 422),
        ({"url": ""}, 422),
        ({"name": ""}, 422),
        ({"kind": "nonsense"}, 422),
        ({"timing": "soon"}, 422),
        ({"brand_id": 4711}, 404),
    ],
)
def test_wrong_channel_is_refused_and_nothing_is_stored(
    world: World, client: TestClient, changes: dict[str, object], status: int
) -> None:
    body = {"name": "ops", "url": "slack://AAAAAAAAA/BBBBBBBBB/CCCCCCCCCCCCCCCCCCCCCCCC/#ops"}
    assert client.post(CHANNELS, json=body | changes).status_code == status
    assert world.rows("SELECT 1 FROM alert_channels") == []


def test_channel_without_an_encryption_key_is_refused_with_the_way_out(
    world: World, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtime.settings import settings  # noqa: PLC0415 - after the environment is set

    client.post(CHANNELS, json={"name": "first", "url": "tgram://123456789:abcdefg_hijklmnop/12315544/"})
    monkeypatch.delenv("SPENDGATE_ENCRYPTION_KEYS")
    settings.cache_clear()
    refused = client.post(CHANNELS, json={"name": "ops", "url": "tgram://123456789:abcdefg_hijklmnop/12315544/"})
    assert refused.status_code == client.post(f"{CHANNELS}1/test/").status_code == 422
    assert "SPENDGATE_ENCRYPTION_KEYS" in refused.text
    assert "abcdefg" not in refused.text


def test_route_is_set_replaced_and_removed(world: World, client: TestClient) -> None:
    brand = world.brand()
    client.post(CHANNELS, json={"name": "ops", "url": "tgram://123456789:abcdefg_hijklmnop/12315544/"})
    of_brand = {"channel_id": 1, "brand_id": brand, "kind": "overspend", "timing": "digest"}
    made = client.post(ROUTES, json=of_brand).json()
    assert made == of_brand | {"id": made["id"]}
    assert client.post(ROUTES, json=of_brand | {"timing": "never"}).json()["id"] == made["id"]
    assert [(one["kind"], one["timing"]) for one in client.get(ROUTES).json()["items"]] == [
        (None, "default"),
        ("overspend", "never"),
    ]
    assert client.delete(f"{ROUTES}{made['id']}/").status_code == 204
    assert client.delete(f"{ROUTES}{made['id']}/").status_code == 404
    assert client.post(ROUTES, json={"channel_id": 9}).status_code == 404


def test_thresholds_are_read_and_set_within_the_brand_of_the_key(world: World, program: Program) -> None:
    own, theirs = world.brand(), world.brand()
    client = program(brand=own)
    path = f"/api/alerts/thresholds/{own}/"
    assert client.get(path).json() == {"brand_id": own, "percents": [80, 100]}
    assert client.put(path, json={"percents": [90, 50, 90]}).json() == {"brand_id": own, "percents": [50, 90]}
    assert client.get(path).json()["percents"] == [50, 90]
    assert client.put(path, json={"percents": []}).json()["percents"] == client.get(path).json()["percents"] == []
    assert client.put(path, json={"percents": [0]}).status_code == 422
    assert client.put(f"/api/alerts/thresholds/{theirs}/", json={"percents": [50]}).status_code == 404
    assert program(KeyScope.READ, name="reader").put(path, json={"percents": [50]}).status_code == 403


def test_key_of_one_brand_sees_and_manages_no_channels(world: World, program: Program) -> None:
    client = program(brand=world.brand())
    for method, path in (("GET", CHANNELS), ("POST", CHANNELS), ("GET", ROUTES), ("POST", ROUTES)):
        body = {"name": "ops", "url": "x"} if path == CHANNELS else {"channel_id": 1}
        assert client.request(method, path, json=body if method == "POST" else None).status_code == 403
