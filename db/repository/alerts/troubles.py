"""Finds present conditions for alerts at platforms, webhook endpoints, files, and rejected inputs."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

from db.repository.notices.endpoint_edits import DISABLED_BY_PERSON
from db.repository.platforms.wanted import CHANGE_ID, CHANGED_AT, FORMER_OWNER, WANTED
from domain.alerts.kinds import AlertKind
from domain.alerts.rejection_rises import MIN_REJECTED, is_rise
from domain.alerts.states import Condition
from domain.alerts.trouble_ages import FAILING_AFTER, UNCONFIRMED_AFTER_SECONDS
from domain.reconcile import OVERRIDDEN
from runtime import clock

# Campaigns of accounts that Spendgate changes, stopped before :before, of which the platform confirmed no pause. They
# are among those whose stored status says so, found by an index, and those stopped since the account's statuses were
# stored last. Ten minutes more cover transactions that were under way then. LIMIT makes Postgres look up each suspect.
UNCONFIRMED = text(f"""
    WITH acting AS (
        SELECT platform_account_id, COALESCE(statuses_read_at, '-infinity') - interval '10 minutes' AS unseen_since
        FROM platform_connections WHERE mode IN ('pause_only', 'full')
    ), suspected AS MATERIALIZED (
        SELECT status.brand_id, status.campaign_id
        FROM acting JOIN platform_statuses AS status USING (platform_account_id)
        WHERE status.desired = 'inactive' AND status.confirmed NOT IN ('paused', 'removed')
        UNION
        SELECT change.brand_id, change.campaign_id
        FROM acting JOIN platform_account_brands USING (platform_account_id)
        JOIN status_changes AS change
            ON change.brand_id = platform_account_brands.brand_id AND change.changed_at > unseen_since
        WHERE change.to_status = 'inactive' AND change.changed_at <= :before
    )
    SELECT suspected.brand_id, suspected.campaign_id, change_id, changed_at, platform_accounts.platform
    FROM suspected
    CROSS JOIN LATERAL (
        SELECT platform_account_id FROM platform_statuses AS status
        WHERE status.brand_id = suspected.brand_id AND status.campaign_id = suspected.campaign_id
            AND confirmed NOT IN ('paused', 'removed')
        /*plain*/ LIMIT 1 /*end*/
    ) AS status
    JOIN acting USING (platform_account_id)
    JOIN platform_accounts ON platform_accounts.id = platform_account_id
    CROSS JOIN LATERAL (
        SELECT {CHANGE_ID} AS change_id, {CHANGED_AT} AS changed_at FROM campaigns {FORMER_OWNER}
        WHERE campaigns.id = suspected.campaign_id AND {WANTED} = 'inactive'
            AND campaigns.platform_account_id = status.platform_account_id AND campaigns.external_id IS NOT NULL
            /*citus AND campaigns.brand_id = suspected.brand_id */
        /*plain*/ LIMIT 1 /*end*/
    ) AS stopped
    WHERE changed_at <= :before
    ORDER BY 1, 2
""")  # noqa: S608 - a constant, put together once

OVERRIDDEN_CAMPAIGNS = text("""
    SELECT status.brand_id, status.campaign_id, COALESCE(desired_change_id, 0) AS change_id,
        platform_accounts.platform, status.last_error
    FROM platform_statuses AS status
    JOIN campaigns ON campaigns.brand_id = status.brand_id AND campaigns.id = status.campaign_id
    JOIN platform_accounts ON platform_accounts.id = status.platform_account_id
    WHERE campaigns.platform_account_id = status.platform_account_id AND external_id IS NOT NULL
        AND starts_with(status.last_error, :overridden) AND effective_status = 'inactive' AND confirmed = 'enabled'
    ORDER BY 1, 2
""")

# Accounts whose requests all failed since before :before, or whose spend could not be read since then. `failures` and
# `failed_at` are compared too, because workers of an older version do not know when a trouble began.
FAILING_ACCOUNTS = text("""
    SELECT platform_account_id, platform, COALESCE(account_id, name) AS account, last_error, since
    FROM (
        SELECT platform_account_id, last_error, least(
            CASE WHEN failures > 0 THEN failing_since END,
            CASE WHEN failed_at IS NOT NULL THEN problem_since END
        ) AS since
        FROM platform_connections WHERE mode <> 'off'
    ) AS connected
    JOIN platform_accounts ON platform_accounts.id = platform_account_id
    WHERE since <= :before
    ORDER BY platform_account_id
""")

# Endpoints with an undelivered pause that was reported, and those that ended by their own answer, until a person
# enables or removes them.
FAILING_ENDPOINTS = text("""
    SELECT id, brand_id, description, COALESCE(failing_since, told_failing_at, created_at) AS failing_since,
        disabled_because
    FROM webhook_endpoints
    WHERE enabled AND told_failing_at IS NOT NULL OR NOT enabled AND disabled_because <> :by_person
    ORDER BY id
""")

FILES = text("""
    SELECT platform, name, problem, COALESCE(problem_version, '') AS version FROM spend_files
    WHERE problem IS NOT NULL ORDER BY platform, name
""")

REJECTED_SINCE = text("SELECT count(*) FROM rejected_events WHERE received_at > :since AND received_at <= :at")

# The most inputs rejected in one of the hours of the week before.
REJECTED_BEFORE = text("""
    SELECT COALESCE(max(rejected), 0) FROM (
        SELECT count(*) AS rejected FROM rejected_events
        WHERE received_at > :since AND received_at <= :until
        GROUP BY date_bin('1 hour', received_at, CAST(:until AS timestamptz))
    ) AS hours
""")

WEEK: Final = timedelta(days=7)
HOUR: Final = timedelta(hours=1)


def unconfirmed_pauses(connection: Connection, at: datetime) -> Iterator[Condition]:
    """Stopped campaigns whose pause the platform has not confirmed within UNCONFIRMED_AFTER_SECONDS.

    Only in accounts where Spendgate may pause campaigns.
    """
    values = {"at": at, "before": at - clock.passed(UNCONFIRMED_AFTER_SECONDS)}
    for row in connection.execute(UNCONFIRMED, values):
        yield Condition(
            AlertKind.UNCONFIRMED_PAUSE,
            f"campaign:{row.campaign_id}",
            str(row.change_id),
            brand_id=row.brand_id,
            campaign_id=row.campaign_id,
            figures={"platform": row.platform, "since": row.changed_at.isoformat()},
        )


def overridden_campaigns(connection: Connection, _at: datetime) -> Iterator[Condition]:
    """Campaigns that another program or a person enables on the platform again and again."""
    for row in connection.execute(OVERRIDDEN_CAMPAIGNS, {"overridden": OVERRIDDEN}):
        yield Condition(
            AlertKind.CAMPAIGN_OVERRIDDEN,
            f"campaign:{row.campaign_id}",
            str(row.change_id),
            brand_id=row.brand_id,
            campaign_id=row.campaign_id,
            figures={"platform": row.platform, "by": row.last_error.removeprefix(OVERRIDDEN).removeprefix(": ")},
        )


def failing_accounts(connection: Connection, at: datetime) -> Iterator[Condition]:
    """Platform accounts that could not be read, or whose spend could not be counted, for FAILING_AFTER."""
    for row in connection.execute(FAILING_ACCOUNTS, {"before": at - FAILING_AFTER}):
        yield Condition(
            AlertKind.ACCOUNT_FAILING,
            f"account:{row.platform_account_id}",
            row.since.isoformat(),
            figures={"platform": row.platform, "account": row.account, "error": row.last_error or "no answer"},
        )


def failing_endpoints(connection: Connection, _at: datetime) -> Iterator[Condition]:
    """Webhook endpoints with an undelivered pause that was reported, and endpoints disabled because of their answer."""
    for row in connection.execute(FAILING_ENDPOINTS, {"by_person": DISABLED_BY_PERSON}):
        since = row.failing_since.isoformat()
        yield Condition(
            AlertKind.ENDPOINT_FAILING,
            f"endpoint:{row.id}",
            since,
            brand_id=row.brand_id,
            figures={"endpoint": row.description or row.id, "since": since, "ended_because": row.disabled_because},
        )


def failed_imports(connection: Connection, _at: datetime) -> Iterator[Condition]:
    """Files of the spend folder that could not be imported."""
    for row in connection.execute(FILES):
        name = f"{row.platform}/{row.name}" if row.platform else row.name or "the spend folder"
        yield Condition(
            AlertKind.FAILED_IMPORT, f"file:{name}", row.version, figures={"file": name, "problem": row.problem[:500]}
        )


def rejected_inputs(connection: Connection, at: datetime) -> Iterator[Condition]:
    """One condition if far more inputs were rejected in the hour before `at` than in any hour of the week before.

    No condition otherwise, or if fewer than MIN_REJECTED inputs were rejected.
    """
    rejected = int(connection.execute(REJECTED_SINCE, {"since": at - HOUR, "at": at}).scalar_one())
    if rejected < MIN_REJECTED:
        return
    before = {"since": at - WEEK, "until": at - HOUR}
    usual = int(connection.execute(REJECTED_BEFORE, before).scalar_one())
    if is_rise(rejected, [usual]):
        figures = {"rejected": rejected, "usual": usual}
        yield Condition(AlertKind.REJECTED_EVENTS, "rejected", at.date().isoformat(), figures=figures)


TROUBLES: Final[Mapping[AlertKind, Callable[[Connection, datetime], Iterator[Condition]]]] = {
    AlertKind.UNCONFIRMED_PAUSE: unconfirmed_pauses,
    AlertKind.CAMPAIGN_OVERRIDDEN: overridden_campaigns,
    AlertKind.ACCOUNT_FAILING: failing_accounts,
    AlertKind.ENDPOINT_FAILING: failing_endpoints,
    AlertKind.FAILED_IMPORT: failed_imports,
    AlertKind.REJECTED_EVENTS: rejected_inputs,
}
"""By kind, the function that finds its conditions; `app.alerts.evaluate` and `app.alerts.silences` find other kinds."""


def holding(connection: Connection, kind: AlertKind, at: datetime) -> list[Condition]:
    """The conditions of this kind that are true by the present rows. `at`: the current time, for ages of troubles.

    Raises KeyError for a kind that is not in TROUBLES.
    """
    found: list[Condition] = list(TROUBLES[kind](connection, at))
    return found
