"""Evaluates alerts from stored rows, each minute: raises or reopens those whose condition holds, resolves the others.

One transaction evaluates at a time, under the lock `alerts`; a run that finds it taken leaves its work to the next one.
No alert is written in a transaction that counts spend or decides statuses.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from app.alerts import silences
from app.alerts.announce import write
from db.engine import committed, transaction
from db.repository.alerts import alerts, budgets, troubles
from db.repository.alerts.budgets import BudgetFacts
from db.repository.alerts.troubles import TROUBLES
from db.repository.shared import watermarks
from domain.alerts.kinds import AlertKind, Ending
from domain.alerts.states import Changes, Condition, changes_of
from domain.alerts.thresholds import overspend_percent, threshold_changes
from runtime import clock

log = structlog.get_logger()

WATERMARK: Final = "alerts"
OVERLAP_SECONDS: Final = 120
"""Seconds before the last run from which a run considers spend again: it may have been committed after that run."""

BRANDS_A_TRANSACTION: Final = 500


def evaluate() -> None:
    """Evaluates all alerts that may have changed since the last run."""
    evaluate_budgets()
    at = clock.now()
    for kind in TROUBLES:
        evaluated(partial(_trouble_changes, kind=kind), at)
    with transaction() as connection:
        is_due = silences.is_due(connection, at)
    if is_due:
        seen = committed(partial(silences.read_events, at=at))
        evaluated(partial(silences.find, seen=seen), at)


def _trouble_changes(connection: Connection, at: datetime, *, kind: AlertKind) -> Changes:
    holding = troubles.holding(connection, kind, at)
    return changes_of(alerts.known(connection, kind, [one.subject for one in holding]), holding)


def evaluate_budgets() -> None:
    """Resolves alerts of ended windows and removed budgets, then evaluates the budgets of changed brands.

    A brand has changed if it got spend, limits or thresholds since the last run; in the first run all have. Stops, and
    leaves the rest to the next run, while another evaluation holds the lock.
    """
    at = clock.now()
    if not evaluated(_end_windows, at):
        return
    with transaction() as connection:
        since = watermarks.reached_by(connection, WATERMARK, at)
        brand_ids = budgets.changed_brands(connection, None if since is None else since - clock.passed(OVERLAP_SECONDS))
    for first in range(0, len(brand_ids), BRANDS_A_TRANSACTION):
        chosen = brand_ids[first : first + BRANDS_A_TRANSACTION]
        if not evaluated(partial(_budget_changes, brand_ids=chosen), at):
            return
    committed(lambda connection: watermarks.raise_to(connection, WATERMARK, at))


def evaluated(find: Callable[[Connection, datetime], Changes], at: datetime) -> bool:
    """Calls `find` and writes its changes in one transaction, then logs them; returns True.

    Does nothing and returns False while another evaluation holds the lock.
    """

    def work(connection: Connection) -> Callable[[], None] | None:
        if not alerts.is_only_evaluation(connection):
            return None
        return write(connection, find(connection, at), at)

    tell = committed(work)
    if tell is not None:
        tell()
    return tell is not None


def _end_windows(connection: Connection, at: datetime) -> Changes:
    ended = budgets.ended(connection, at)
    return Changes(resolved={alert: Ending.GONE if is_gone else Ending.WINDOW_ENDED for alert, is_gone in ended})


def _budget_changes(connection: Connection, at: datetime, *, brand_ids: Sequence[int]) -> Changes:
    found = Changes()
    for facts in budgets.facts(connection, brand_ids, at):
        for kind, thresholds in (
            (AlertKind.BUDGET_THRESHOLD, facts.thresholds),
            (AlertKind.OVERSPEND, (overspend_percent(facts.limit_micros, facts.bound_micros),)),
        ):
            known = facts.known[kind]
            condition = _condition(kind, facts)
            found.add(threshold_changes(condition, facts.spent_micros, facts.limit_micros, thresholds, known))
    return found


def _condition(kind: AlertKind, facts: BudgetFacts) -> Condition:
    return Condition(
        kind,
        facts.subject,
        str(facts.first_day),
        brand_id=facts.brand_id,
        campaign_id=facts.campaign_id,
        budget_id=facts.budget_id,
        window_first_day=None if facts.period == "lifetime" else facts.first_day,
        figures={
            "period": facts.period,
            "spent_micros": facts.spent_micros,
            "limit_micros": facts.limit_micros,
        },
    )
