"""Some tests of `tests/app/test_jobs.py`, on a driver that answers as Citus does: locks, many rows, jobs at once.

Those about days and time zones are about rules, which no driver changes. Campaigns that SQL inserted are not in the
directory of several servers until they are repaired, so a test that verifies after that is left out.
"""

from tests.app import test_jobs
from tests.as_citus.again import again

DRIVER_MATTERS = (
    *(
        "concurrent_ticks",
        "tick_enforces_campaigns",
        "tick_enforces_every",
        "one_bad_row",
        "beyond_a_bigint",
        "locked",
        "during_ingest",
        "refresh",
    ),
    *("began_earlier", "never_enforced", "ahead"),
)

globals().update(again(test_jobs, *DRIVER_MATTERS))
