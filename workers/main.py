"""The module that `dramatiq workers.main` and `periodiq workers.main` load: the broker, every actor and the logs.

Exits with 2 for a bad setting.
"""

import sys

from runtime import logs, tracing
from runtime.settings import BAD_SETTINGS_EXIT, SettingsError, settings

try:
    settings().required_database_url()
    settings().required_queue_url()
    tracing.require()
    logs.configure()
except SettingsError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(BAD_SETTINGS_EXIT)

from delivery.broker import get_broker
from workers.actors import alerts, enforcement, ingest, notices, platforms, reports, schedule

broker = get_broker()
broker.is_worker = True  # a worker may enqueue into a full Redis, because it also removes messages

__all__ = ["alerts", "broker", "enforcement", "ingest", "notices", "platforms", "reports", "schedule"]
