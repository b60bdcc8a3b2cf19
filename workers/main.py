"""What `dramatiq workers.main` and `periodiq workers.main` load: the broker and every actor, with logs configured."""

import sys

from runtime import logs
from runtime.settings import BAD_SETTINGS_EXIT, SettingsError, settings

try:
    settings().required_database_url()
    settings().required_redis_url()
except SettingsError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(BAD_SETTINGS_EXIT)

logs.configure()

from workers import enforcement, ingest, reports, schedules  # noqa: E402 - after the logs, so that they log alike
from workers.broker import ALWAYS, broker  # noqa: E402

broker.maintenance_chance = ALWAYS  # what a dead worker held comes back at once; producers leave that to workers

__all__ = ["broker", "enforcement", "ingest", "reports", "schedules"]
