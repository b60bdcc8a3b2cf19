"""Fixtures: a fake platform over real HTTP, and a file with the secrets of its account."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.platforms.adapters import google_login, graph
from cli.fake_platforms.server import serving
from cli.fake_platforms.state import FakePlatform
from runtime.settings import settings

SECRETS = {
    "client_id": "client-id.apps.example",
    "client_secret": "client-secret-value",
    "refresh_token": "1//refresh-token-secret",
}
META_SECRETS = {"access_token": "EAABfake-meta-token", "app_secret": "fake-meta-app-secret"}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePlatform]:
    """A fake platform that the settings of this process and of those it starts point at."""
    platform = FakePlatform()
    monkeypatch.setattr(google_login, "tokens", google_login.Tokens())
    monkeypatch.setattr(graph, "near_limits", {})
    with serving(platform) as url:
        monkeypatch.setenv("SPENDGATE_GOOGLE_ADS_URL", url)
        monkeypatch.setenv("SPENDGATE_GOOGLE_TOKEN_URL", f"{url}/token")
        monkeypatch.setenv("SPENDGATE_META_URL", url)
        monkeypatch.setenv("SPENDGATE_PLATFORM_DEADLINE_SECONDS", "3")
        settings.cache_clear()
        yield platform
    settings.cache_clear()


@pytest.fixture
def credentials_file(tmp_path: Path) -> Path:
    """A file with the secrets of the fake account."""
    path = tmp_path / "google.json"
    path.write_text(json.dumps(SECRETS))
    return path


@pytest.fixture
def meta_credentials_file(tmp_path: Path) -> Path:
    """A file with the secrets of the fake account on Meta."""
    path = tmp_path / "meta.json"
    path.write_text(json.dumps(META_SECRETS))
    return path


@pytest.fixture
def logins(credentials_file: Path, meta_credentials_file: Path) -> dict[str, str]:
    """The reference to the secrets of the fake account on each platform."""
    return {"google_ads": f"file:{credentials_file}", "meta_ads": f"file:{meta_credentials_file}"}
