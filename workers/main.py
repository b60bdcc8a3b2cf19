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

from delivery.broker import get_broker  # noqa: E402
from workers.actors import enforcement, ingest, reports, schedule  # noqa: E402 - after the logs, so that they log alike

broker = get_broker()
broker.is_worker = True  # what workers enqueue takes the place of what they take out: a full Redis accepts it

__all__ = ["broker", "enforcement", "ingest", "reports", "schedule"]
