"""A fake platform over real HTTP, and an account of Google Ads on it."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from app.platforms.accounts import credentials_at
from app.platforms.protocol import Account
from runtime.settings import settings
from tests.app.platforms.kit import Connected
from tests.fake_platforms.server import serving
from tests.fake_platforms.state import FakePlatform
from tests.world import World

SECRETS = {
    "client_id": "client-id.apps.example",
    "client_secret": "client-secret-value",
    "refresh_token": "1//refresh-token-secret",
}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePlatform]:
    """A fake platform that the settings of this process and of those it starts point at."""
    platform = FakePlatform()
    with serving(platform) as url:
        monkeypatch.setenv("SPENDGATE_GOOGLE_ADS_URL", url)
        monkeypatch.setenv("SPENDGATE_GOOGLE_TOKEN_URL", f"{url}/token")
        monkeypatch.setenv("SPENDGATE_META_URL", url)
        monkeypatch.setenv("SPENDGATE_PLATFORM_DEADLINE_SECONDS", "1")
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
def account(fake: FakePlatform, credentials_file: Path) -> Account:
    """The account of the fake platform."""
    return Account(1, "google_ads", "123-456-7890", credentials_at(f"file:{credentials_file}"))


@pytest.fixture
def connected(world: World, fake: FakePlatform, credentials_file: Path, noon: datetime) -> Connected:
    """A brand of 100 micros a day in an account that is connected with mode `full`, at a stopped noon."""
    world.set_clock(noon)
    return Connected(world, fake, f"file:{credentials_file}")
