"""Reads what is wrong now at the edges: platforms, webhook endpoints, files, and rejected inputs."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

from domain.alerts.kinds import AlertKind
from domain.alerts.rises import MIN_REJECTED, is_rise
from domain.alerts.states import Condition
from domain.reconcile import OVERRIDDEN
from runtime import clock

UNCONFIRMED_AFTER_SECONDS: Final = 60
FAILING_AFTER: Final = timedelta(minutes=15)
"""Time without a good read of an account before its failed request is an alert; single failures are usual."""

# Campaigns of accounts that Spendgate changes, stopped before :before, of which the platform confirmed no pause.
UNCONFIRMED = text("""
    SELECT status.brand_id, status.campaign_id, change.id AS change_id, change.changed_at, platform_accounts.platform
    FROM platform_statuses AS status
    JOIN campaigns ON campaigns.brand_id = status.brand_id AND campaigns.id = status.campaign_id
    JOIN platform_connections ON platform_connections.platform_account_id = status.platform_account_id
    JOIN platform_accounts ON platform_accounts.id = status.platform_account_id
    JOIN LATERAL (
        SELECT id, changed_at FROM status_changes WHERE campaign_id = campaigns.id ORDER BY id DESC LIMIT 1
    ) AS change ON true
    WHERE effective_status = 'inactive' AND confirmed NOT IN ('paused', 'removed')
        AND platform_connections.mode IN ('pause_only', 'full') AND changed_at <= :before
    ORDER BY 1, 2
""")

OVERRIDDEN_CAMPAIGNS = text("""
    SELECT status.brand_id, status.campaign_id, COALESCE(desired_change_id, 0) AS change_id,
        platform_accounts.platform, status.last_error
    FROM platform_statuses AS status
    JOIN campaigns ON campaigns.brand_id = status.brand_id AND campaigns.id = status.campaign_id
    JOIN platform_accounts ON platform_accounts.id = status.platform_account_id
    WHERE starts_with(status.last_error, :overridden) AND effective_status = 'inactive' AND confirmed = 'enabled'
    ORDER BY 1, 2
""")

# Accounts whose last request failed and whose last good read, or connection, was before :before.
FAILING_ACCOUNTS = text("""
    SELECT platform_account_id, platform, COALESCE(account_id, name) AS account, last_error,
        COALESCE(last_read_at, platform_connections.created_at) AS since
    FROM platform_connections JOIN platform_accounts ON platform_accounts.id = platform_account_id
    WHERE mode <> 'off' AND failed_at IS NOT NULL AND failed_at >= COALESCE(last_read_at, failed_at)
        AND COALESCE(last_read_at, platform_connections.created_at) <= :before
    ORDER BY platform_account_id
""")

# Endpoints that fail and have an undelivered pause that was reported.
FAILING_ENDPOINTS = text("""
    SELECT id, brand_id, description, failing_since FROM webhook_endpoints
    WHERE enabled AND failing_since IS NOT NULL AND told_failing_at IS NOT NULL ORDER BY id
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
    """Stopped campaigns whose pause the platform has not confirmed within UNCONFIRMED_AFTER_SECONDS."""
    for row in connection.execute(UNCONFIRMED, {"before": at - clock.passed(UNCONFIRMED_AFTER_SECONDS)}):
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
    """Platform accounts that could not be read for FAILING_AFTER."""
    for row in connection.execute(FAILING_ACCOUNTS, {"before": at - FAILING_AFTER}):
        yield Condition(
            AlertKind.ACCOUNT_FAILING,
            f"account:{row.platform_account_id}",
            row.since.isoformat(),
            figures={"platform": row.platform, "account": row.account, "error": row.last_error or "no answer"},
        )


def failing_endpoints(connection: Connection, _at: datetime) -> Iterator[Condition]:
    """Webhook endpoints that do not take an urgent delivery."""
    for row in connection.execute(FAILING_ENDPOINTS):
        yield Condition(
            AlertKind.ENDPOINT_FAILING,
            f"endpoint:{row.id}",
            row.failing_since.isoformat(),
            brand_id=row.brand_id,
            figures={"endpoint": row.description or row.id, "since": row.failing_since.isoformat()},
        )


def failed_imports(connection: Connection, _at: datetime) -> Iterator[Condition]:
    """Files of the spend folder that could not be imported."""
    for row in connection.execute(FILES):
        name = f"{row.platform}/{row.name}" if row.platform else row.name or "the spend folder"
        yield Condition(
            AlertKind.FAILED_IMPORT, f"file:{name}", row.version, figures={"file": name, "problem": row.problem[:500]}
        )


def rejected_inputs(connection: Connection, at: datetime) -> Iterator[Condition]:
    """A rise of rejected inputs, by the last hour against each hour of the week before."""
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
"""For each kind, the query of the conditions that hold."""


def holding(connection: Connection, kind: AlertKind, at: datetime) -> list[Condition]:
    """The conditions of this kind that hold at `at`."""
    found: list[Condition] = list(TROUBLES[kind](connection, at))
    return found
