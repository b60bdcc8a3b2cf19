"""Actors of scheduled jobs. Each finds its due work in rows, so a late or repeated run does no harm."""

import dramatiq
from periodiq import cron

from app import jobs, maintenance, passes
from app.imports import folder_imports
from app.job_steps import stop_on_timeout
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
    """Enforces the brands whose local day began since the last run, and those with a never enforced campaign.

    Runs each quarter hour, because every zone's midnight falls on one.
    """
    with stop_on_timeout():
        jobs.reset(Period.DAILY)


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["reset_monthly_budgets"], periodic=cron("*/15 * * * *"))
def reset_monthly_budgets() -> None:
    """Enforces the brands whose local month began since the last run, and those with a never enforced campaign."""
    with stop_on_timeout():
        jobs.reset(Period.MONTHLY)


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["refresh_spend"], periodic=cron("*/5 * * * *"))
def refresh_spend() -> None:
    """Searches for wrong statuses, stored figures and counters, as after an edit by SQL, and corrects them.

    Also continues unfinished passes, and logs gaps in the sequence numbers of events.
    """
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
    """Creates the ledger's coming partitions, drops partitions past the retention and deletes expired rows."""
    maintenance.maintain(clock.now())


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["seal_histories"], periodic=cron("*/5 * * * *"))
def seal_histories() -> None:
    """Stores seals, which are hashes, over the rows added to the histories, so that later changes of them are found."""
    with stop_on_timeout():
        seals.seal()


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["check_queue"], periodic=cron("* * * * *"))
def check_queue() -> None:
    """Logs settings of Redis that can lose messages, large queues, and a nearly full Redis; nothing for RabbitMQ."""
    queue_health.log_concerns()
