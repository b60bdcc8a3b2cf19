"""The tests of `tests/app/ingest/test_ingest.py`, on a driver that answers as Citus does."""

from tests.app.ingest import test_ingest
from tests.as_citus.again import again

globals().update(again(test_ingest))
