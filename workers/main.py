"""What `dramatiq workers.main` and `periodiq workers.main` load: the broker and every actor, with logs configured."""

import sys

from runtime import logs
from runtime.settings import BAD_SETTINGS_EXIT, SettingsError, settings

try:
    settings().required_database_url()
    settings().required_queue_url()
except SettingsError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(BAD_SETTINGS_EXIT)

logs.configure()

from workers import (  # noqa: E402 - after the logs, so that they log alike
    enforcement,
    ingest,
    queue_health,
    reports,
    schedules,
    seals,
)
from workers.broker import broker  # noqa: E402

broker.is_worker = True  # what workers enqueue takes the place of what they take out: a full Redis accepts it

__all__ = ["broker", "enforcement", "ingest", "queue_health", "reports", "schedules", "seals"]
