"""Actors of scheduled jobs. Each finds its due work in rows, so a late or repeated run does no harm."""

import dramatiq
from periodiq import cron

from app import jobs, maintenance, passes
from app.imports import folder_imports
from app.jobs import stop_on_timeout
from app.proof import seals
from delivery import queue_health
from delivery.broker import get_broker
from delivery.queues import QUEUE_OF
from domain.periods import Period
from runtime import clock
from runtime.settings import settings


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["apply_dayparting"], periodic=cron("* * * * *"))
def apply_dayparting() -> None:
    """Enforces campaigns whose next change is due or that were never enforced; then continues unfinished passes."""
    with stop_on_timeout():
        jobs.enforce_due(clock.now())
    with stop_on_timeout():
        passes.continue_all_passes()


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["reset_daily_budgets"], periodic=cron("*/15 * * * *"))
def reset_daily_budgets() -> None:
    """Enforces the brands whose local day began since the last run. Every zone's midnight falls on a quarter hour."""
    with stop_on_timeout():
        jobs.reset(Period.DAILY)


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["reset_monthly_budgets"], periodic=cron("*/15 * * * *"))
def reset_monthly_budgets() -> None:
    """Enforces the brands whose local month began since the last run."""
    with stop_on_timeout():
        jobs.reset(Period.MONTHLY)


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["refresh_spend"], periodic=cron("*/5 * * * *"))
def refresh_spend() -> None:
    """Enforces brands whose statuses differ from the rules after a lost message or an edit by SQL."""
    with stop_on_timeout():
        jobs.refresh(clock.now())


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["import_exports"], periodic=cron("*/5 * * * *"))
def import_exports() -> None:
    """Imports new export files from SPENDGATE_SPEND_FOLDER, if it is set."""
    folder = settings().spend_folder
    if folder is not None:
        with stop_on_timeout():
            folder_imports.import_folder(folder)


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["roll_up_hours"], periodic=cron("*/5 * * * *"))
def roll_up_hours() -> None:
    """Adds new spend to the hourly sums for the dashboard's plots."""
    jobs.roll_up(clock.now())


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["maintain_ledger"], periodic=cron("0 0 * * *"))
def maintain_ledger() -> None:
    """Creates partitions for coming months, drops those past the retention and deletes expired rows."""
    maintenance.maintain(clock.now())


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["seal_histories"], periodic=cron("*/5 * * * *"))
def seal_histories() -> None:
    """Seals the rows added to the histories since the last run."""
    with stop_on_timeout():
        seals.seal()


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["check_queue"], periodic=cron("* * * * *"))
def check_queue() -> None:
    """Logs Redis settings that can lose messages, large queues, and a Redis that is nearly full."""
    queue_health.log_concerns()
