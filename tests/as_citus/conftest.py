"""Each test of this folder runs on a driver that answers as Citus does."""

from collections.abc import Iterator

import pytest

from db.engine import engine
from db.repository.spread.shards import clear_shard_cache
from tests.as_citus.driver import SHARDS, Driver, as_citus
from tests.world import World


@pytest.fixture
def shards() -> int:
    """The number of shards."""
    return SHARDS


@pytest.fixture(autouse=True)
def driver(world: World, shards: int) -> Iterator[Driver]:
    """The driver of this process's connections."""
    clear_shard_cache()
    with as_citus(world, engine(), shards) as made:
        yield made
    clear_shard_cache()
