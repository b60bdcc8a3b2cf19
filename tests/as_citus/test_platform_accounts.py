"""Tests of `tests/app/edits/test_platform_accounts.py` about released ids, which no trigger keeps where spread."""

from collections.abc import Iterator

import pytest

from tests.app.edits import test_platform_accounts
from tests.as_citus.again import again
from tests.world import World

REPLACED = ("keep_released_external_id", "heed_released_external_ids")

globals().update(again(test_platform_accounts, "takes_no_day", "leaves_the_days", "former", "comes_back"))


@pytest.fixture(autouse=True)
def _without_triggers(world: World) -> Iterator[None]:
    for trigger in REPLACED:
        world.execute(f"ALTER TABLE campaigns DISABLE TRIGGER {trigger}")
    yield
    for trigger in REPLACED:
        world.execute(f"ALTER TABLE campaigns ENABLE TRIGGER {trigger}")
