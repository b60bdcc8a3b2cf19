"""The tests of `tests/app/ingest/test_by_brand.py`, on a driver that answers as Citus does.

All brands lie on one shard, since the tests count the transactions of a batch, and several shards need several.
"""

import pytest

from tests.app.ingest import test_by_brand
from tests.as_citus.again import again

globals().update(again(test_by_brand))


@pytest.fixture
def shards() -> int:
    """The number of shards."""
    return 1
