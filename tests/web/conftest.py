"""The application in this process, and a real web process, both on the test's own database."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx2 as httpx
import pytest
from playwright.sync_api import Browser as Chrome
from starlette.testclient import TestClient

from db.repository.access.privileges import DatabaseRole
from runtime.settings import settings
from tests.cli.shell import serving
from tests.ports import free_port
from tests.web.apps import app_of_settings
from tests.web.chromium import chromium
from tests.world import eventually

Browse = Callable[..., AbstractContextManager[httpx.Client]]


@pytest.fixture
def login() -> DatabaseRole:
    """The pages and the API use the database role of the web processes."""
    return DatabaseRole.WEB


@pytest.fixture(autouse=True)
def passwords(quick_passwords: None) -> None:
    """Hashes passwords with argon2id's lowest cost, to save time."""


@pytest.fixture
def open_pages(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The application with an open dashboard, as `spendgate up` serves it."""
    monkeypatch.setenv("SPENDGATE_OPEN_DASHBOARD", "true")
    settings.cache_clear()
    with TestClient(app_of_settings(), headers={"Accept": "text/html"}, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def browse(database: str, tmp_path: Path) -> Browse:
    """Starts `python -m web` on the test's own database, and a browser for it."""

    @contextmanager
    def browsing(**env: str) -> Iterator[httpx.Client]:
        port = free_port()
        variables = {"PORT": str(port), "SPENDGATE_OPEN_DASHBOARD": "true", **env}
        with (
            serving("-m", "web", output=tmp_path / "output", env=variables) as service,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client,
        ):
            eventually(lambda: _answers(client), seconds=150)
            yield client
            service.send(signal.SIGTERM)
            assert service.code() in {0, -signal.SIGTERM}
            assert "hidden" not in "".join(service.lines())
            assert all("event" in line for line in service.logged())

    return browsing


@pytest.fixture(scope="package")
def chrome() -> Iterator[Chrome]:
    """One real browser for all tests of pages; each test opens its own pages."""
    with chromium() as opened:
        yield opened


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False
