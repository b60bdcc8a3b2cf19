"""Fixtures of the spend folder."""

from datetime import datetime
from pathlib import Path

import pytest

from runtime.settings import settings
from tests.app.imports.folder_kit import Folder
from tests.world import UNIT, World


@pytest.fixture
def folder(world: World, noon: datetime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """An empty folder; the clock stands at noon."""
    monkeypatch.setenv("SPENDGATE_SPEND_FOLDER", str(tmp_path))
    settings.cache_clear()
    return Folder(world, tmp_path, noon)


@pytest.fixture
def campaign(world: World, folder: Folder) -> int:
    """Campaign 7 on Meta, whose brand may spend 2 a day."""
    return world.campaign(world.brand(daily=2 * UNIT), platform="meta_ads", external_id="7")
