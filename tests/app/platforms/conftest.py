"""An account of the fake platform, and a brand whose campaigns are in it."""

from datetime import datetime
from pathlib import Path

import pytest

from app.platforms.credentials import credentials_at
from app.platforms.protocol import Account
from app.platforms.registry import ADAPTERS
from cli.fake_platforms.state import FakePlatform
from tests.app.platforms.kit import Connected
from tests.fake_platforms.fixtures import credentials_file, fake, logins, meta_credentials_file
from tests.world import World

__all__ = ["credentials_file", "fake", "logins", "meta_credentials_file"]


@pytest.fixture
def account(fake: FakePlatform, credentials_file: Path) -> Account:
    """The account of the fake platform."""
    return Account(1, "google_ads", "123-456-7890", credentials_at(f"file:{credentials_file}"))


@pytest.fixture(params=list(ADAPTERS))
def platform(request: pytest.FixtureRequest) -> str:
    """Each platform."""
    return str(request.param)


@pytest.fixture
def on_each_platform(
    platform: str, world: World, fake: FakePlatform, logins: dict[str, str], noon: datetime
) -> Connected:
    """An account without campaigns on each platform, connected with mode `full`, at a stopped noon."""
    world.set_clock(noon)
    fake.rows_a_page = 100
    return Connected(world, fake, logins[platform], platform=platform)


@pytest.fixture
def connected(world: World, fake: FakePlatform, credentials_file: Path, noon: datetime) -> Connected:
    """A brand of 100 micros a day in an account that is connected with mode `full`, at a stopped noon."""
    world.set_clock(noon)
    return Connected(world, fake, f"file:{credentials_file}")
