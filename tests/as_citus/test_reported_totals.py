"""The tests of `tests/app/ingest/test_reported_totals.py`, on a driver that answers as Citus does."""

from tests.app.ingest import test_reported_totals
from tests.as_citus.again import again

globals().update(again(test_reported_totals))
