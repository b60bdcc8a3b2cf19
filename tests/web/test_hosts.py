"""Pages without a login answer only to local host names, so that DNS rebinding cannot read them."""

import pytest
from starlette.testclient import TestClient

from runtime.settings import settings
from tests.web.conftest import Browse

OWN = ("localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:8000", "[::1]", "[::1]:8000", "localhost:")
FOREIGN = (
    "rebound.example",
    "rebound.example:8000",
    "127.0.0.1.rebound.example",
    "localhost.rebound.example:8000",
    "localhost@rebound.example",
    "localhost:8000.rebound.example",
    "127.0.0.2",
    "192.0.2.10",
    "",
)
PATHS = ("/", "/changes/stream", "/api/brands/", "/metrics", "/static/app.css", "/admin/login", "/nowhere")


def client_of(monkeypatch: pytest.MonkeyPatch, server: str, **env: str) -> TestClient:
    """A client of the application with these settings, which it reaches at the address `server`."""
    from web.app import create_app  # noqa: PLC0415 - after the environment is set

    for name, value in env.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    return TestClient(create_app(), base_url=f"http://{server}", raise_server_exceptions=False)


@pytest.mark.parametrize("server", ["127.0.0.1", "127.1.2.3", "[::1]", "[::ffff:127.0.0.1]"])
def test_open_pages_on_loopback_answer_only_to_loopback_names(
    database: str, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    client = client_of(monkeypatch, server, SPENDGATE_OPEN_DASHBOARD="true")
    for name in OWN:
        assert client.get("/", headers={"Host": name}).status_code == 200, name
    for name in FOREIGN:
        answer = client.get("/", headers={"Host": name})
        assert (answer.status_code, answer.headers["content-type"]) == (421, "application/problem+json"), name
    for path in PATHS:
        assert client.get(path, headers={"Host": "rebound.example"}).status_code == 421, path


def test_web_process_of_up_refuses_other_host_names(browse: Browse) -> None:
    with browse() as client:
        assert client.get("/").status_code == 200
        answer = client.get("/", headers={"Host": f"rebound.example:{client.base_url.port}"})
        assert (answer.status_code, answer.json()["title"]) == (421, "Misdirected Request")
        assert "used up" not in answer.text


def test_pages_behind_a_login_answer_to_any_name(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(monkeypatch, "127.0.0.1", SPENDGATE_OPEN_DASHBOARD="false")
    assert client.get("/healthz", headers={"Host": "spend.example.com"}).status_code == 200


def test_open_pages_answer_to_any_name_where_a_proxy_is_named_or_the_network_reaches_them(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for server, proxies in (("127.0.0.1", "127.0.0.1"), ("192.0.2.10", "")):
        env = {"SPENDGATE_OPEN_DASHBOARD": "true", "SPENDGATE_TRUSTED_PROXIES": proxies}
        client = client_of(monkeypatch, server, **env)
        assert client.get("/healthz", headers={"Host": "spend.example.com"}).status_code == 200
