"""The tests of `tests/app/ingest/test_headroom.py`, on a driver that answers as Citus does."""

from tests.app.ingest import test_headroom
from tests.as_citus.again import again

globals().update(again(test_headroom))
