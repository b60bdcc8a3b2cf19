"""`python -m workers.scheduler`: runs periodiq in UTC, or, if SPENDGATE_CLOCK_SPEED is over 1, sends ticks itself."""

import gc
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import NoReturn

import structlog

log = structlog.get_logger()

FASTEST_BEAT_SECONDS = 0.25
BEATS_A_ROUND = 8
EVERY_BEAT = (
    *("apply_dayparting", "reset_daily_budgets", "reset_monthly_budgets", "visit_platforms"),
    *("send_alerts", "deliver_webhooks"),
)
EVERY_FEW_BEATS = ("refresh_spend", "roll_up_hours", "generate_monthly_reports", "seal_histories")
REAL_TIME = frozenset({"check_queue", "import_exports", "maintain_ledger"})
"""Scheduled actors that get no ticks while SPENDGATE_CLOCK_SPEED is over 1: they check Redis, files and storage."""

QUEUE_AWAY_SECONDS = 2.0
STUCK_SECONDS = 300.0
"""Seconds without a round of the scheduler, which has one each minute, after which /healthz answers 503."""


def main() -> int:
    """Runs the scheduler until SIGTERM or SIGINT, which end the process with exit code 0.

    Returns the exit code of periodiq if it ends by itself. Exits with 2 for a bad setting.
    """
    os.environ["TZ"] = "UTC"
    time.tzset()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    gc.disable()  # until everything is imported: that stays until the process ends
    import workers.main  # noqa: F401, PLC0415 - checks the settings and configures the logs first
    from db.connections import ProcessKind, this_process  # noqa: PLC0415
    from delivery.queue_health import log_concerns  # noqa: PLC0415
    from runtime import metrics  # noqa: PLC0415
    from runtime.heartbeats import Heartbeats  # noqa: PLC0415
    from runtime.settings import settings  # noqa: PLC0415
    from workers import metrics_server  # noqa: PLC0415
    from workers.state_metrics import StateOfService  # noqa: PLC0415

    this_process.kind = ProcessKind.SCHEDULER
    log_concerns()
    metrics.tell_build()
    metrics.registry.register(StateOfService())
    heartbeats = Heartbeats(1)
    beat = partial(heartbeats.beat, 0)
    beat()
    listeners = metrics_server.listeners(settings().scheduler_metrics_port, "SPENDGATE_SCHEDULER_METRICS_PORT")
    metrics_server.serve_in_thread(listeners, metrics.registry, partial(heartbeats.are_recent, STUCK_SECONDS))
    gc.freeze()
    gc.enable()
    if settings().clock_speed > 1:
        _send_by_driven_clock(60 / settings().clock_speed, beat)
    return _periodiq(beat)


def _stop(*_: object) -> NoReturn:
    """Ends the process at once: it has no state to save, and code it interrupts could swallow an exception."""
    os._exit(0)


def _periodiq(beat: Callable[[], None]) -> int:
    """Runs periodiq and returns its exit code; restarts it when the broker is unreachable.

    Missed ticks only delay jobs. Calls `beat` at the start and before each wait for the next tick.
    """
    import periodiq  # noqa: PLC0415 - imports pendulum, which reads TZ
    from dramatiq.errors import BrokerConnectionError  # noqa: PLC0415

    from workers.periodiq_scheduler import Scheduler  # noqa: PLC0415 - imports periodiq

    periodiq.Scheduler = Scheduler
    Scheduler.alarms.before_wait = beat

    arguments = periodiq.make_argument_parser().parse_args(["workers.main"])
    while True:
        beat()
        try:
            return int(periodiq.main(arguments) or 0)
        except BrokerConnectionError as error:
            log.warning("scheduler.queue_away", error=str(error))
            time.sleep(QUEUE_AWAY_SECONDS)
        except KeyboardInterrupt:
            return 0


def _send_by_driven_clock(minute_seconds: float, beat: Callable[[], None]) -> NoReturn:
    """Sends a tick to each actor of EVERY_BEAT in each round, and of EVERY_FEW_BEATS once in BEATS_A_ROUND rounds.

    A round begins each minute of the driven clock (`minute_seconds` of real time), or each FASTEST_BEAT_SECONDS of real
    time if that is longer. Calls `beat` at the start of each round. Logs an unreachable broker, and never returns.
    """
    from dramatiq.errors import BrokerConnectionError  # noqa: PLC0415

    from delivery.outgoing import send  # noqa: PLC0415

    for number in itertools.count():
        beat()
        try:
            for actor_name in EVERY_BEAT if number % BEATS_A_ROUND else (*EVERY_BEAT, *EVERY_FEW_BEATS):
                send(actor_name)
        except BrokerConnectionError as error:
            log.warning("scheduler.queue_away", error=str(error))
        time.sleep(max(minute_seconds, FASTEST_BEAT_SECONDS))
    raise AssertionError("beats never end")


if __name__ == "__main__":
    sys.exit(main())
