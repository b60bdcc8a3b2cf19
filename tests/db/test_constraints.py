"""Rows that Postgres's constraints refuse, and rows inserted by SQL with the contract's columns only."""

from datetime import datetime

import psycopg
import pytest

from tests.citus import Limit
from tests.db.alert_rows import REFUSED_ALERT_ROWS
from tests.world import World

BRAND = "INSERT INTO brands (name, time_zone, currency, configured_status) VALUES "
CAMPAIGN = "INSERT INTO campaigns (brand_id, name, {}) VALUES (1, 'c', {})"
STATUS_CHANGE = (
    "INSERT INTO status_changes (brand_id, campaign_id, changed_at, from_status, to_status, holds_before, holds_after,"
    " cause) VALUES (1, {}, now(), '{}', '{}', '{{}}', '{}', 'test')"
)
BUDGET = "INSERT INTO budgets (brand_id, campaign_id, period, limit_micros) VALUES (1, {}, '{}', {})"
ACCOUNT = "INSERT INTO platform_accounts (platform, account_id, default_of_brand_id) VALUES ('meta_ads', {})"
RELEASED = "INSERT INTO released_external_ids VALUES ({}, '77', '2026-06-17', '{}', 1, {})"
USER = "INSERT INTO users (email, password_hash, role) VALUES ('{}', '', '{}')"
KEY = "INSERT INTO api_keys (name, prefix, secret_hash, scopes) VALUES ('{}', '{}', '', '{}')"

IMPORT = """INSERT INTO imports (platform, source, file_name, sha256, layout, imported_by, as_of, status)
    VALUES ('meta_ads', 'meta_ads', 'a.csv', '', '', 'ada', now(), '{}')"""
CONNECTION = "INSERT INTO platform_connections (platform_account_id, mode, credentials) VALUES (1, '{}', '{}')"
CONNECTED = CONNECTION.format("shadow", "env:KEY")
CHANGE = "UPDATE platform_connections SET {}"
NOTICE = (
    "INSERT INTO notices (kind, key, body, created_at)"
    " SELECT kind, key, CAST(body AS jsonb), now() FROM (VALUES {}) AS one(kind, key, body)"
)
ENDPOINT = "INSERT INTO webhook_endpoints (url, secret, {}) VALUES ('https://x.example', '', {})"
DELIVERY = """INSERT INTO webhook_deliveries (endpoint_id, next_attempt_at, created_at, {})
    VALUES (1, now(), now(), {})"""
STATUS_DELIVERY = "brand_id, campaign_id, status_change_id, type", "1, 1, 1, 'campaign.paused'"
ATTEMPT = "INSERT INTO webhook_attempts (delivery_id, attempted_at, {}) VALUES (1, now(), {})"
PLATFORM_STATUS = """INSERT INTO platform_statuses (brand_id, campaign_id, platform_account_id, desired, {})
    VALUES (1, 1, 1, '{}', {})"""
PROCESS = """INSERT INTO processes (id, version, host, pid, kind, seen_at)
    VALUES (gen_random_uuid(), '1', 'here', 1, '{}', {})"""
CONFIRMATION = "INSERT INTO platform_confirmations VALUES (1, 1, 1, 1, '{}', now(), {})"
BOUND = "INSERT INTO platform_bounds VALUES (1, now(), {}, 0, {}, {}, {})"
REFUSED = [
    ("ck_history_floors_known", "INSERT INTO history_floors VALUES ('status_changes', 1)"),
    ("ck_history_floors_not_negative", "INSERT INTO history_floors VALUES ('audit_entries', -1)"),
    ("ck_processes_kind_known", PROCESS.format("cat", "now()")),
    ("ck_processes_seen_after_start", PROCESS.format("web", "'2020-01-01'")),
    ("ck_platform_connections_mode_known", CONNECTION.format("on", "env:KEY")),
    ("ck_platform_connections_credentials_by_reference", CONNECTION.format("full", "a-secret")),
    ("ck_platform_credentials_encrypted", "INSERT INTO platform_credentials VALUES (1, 'a-secret', now())"),
    *(
        (f"ck_platform_connections_{rule}", "; ".join([CONNECTED, CHANGE.format(change)]))
        for rule, change in (
            ("failures_not_negative", "failures = -1"),
            ("usage_at_a_moment", "usage_percent = 1"),
            ("usage_not_negative", "usage_percent = -1, usage_at = now()"),
        )
    ),
    (
        "ck_platform_operations_reads_are_operations",
        "INSERT INTO platform_operations (pool, minute, operations, reads) VALUES ('p', now(), 1, 2)",
    ),
    ("ck_platform_statuses_desired_known", CONNECTED + "; " + PLATFORM_STATUS.format("attempts", "paused", 0)),
    (
        "ck_platform_statuses_confirmed_known",
        CONNECTED + "; " + PLATFORM_STATUS.format("confirmed", "active", "'active'"),
    ),
    (
        "ck_platform_statuses_sent_known",
        CONNECTED + "; " + PLATFORM_STATUS.format("sent, sent_at", "active", "'removed', now()"),
    ),
    ("ck_platform_statuses_sent_at_a_moment", CONNECTED + "; " + PLATFORM_STATUS.format("sent", "active", "'paused'")),
    (
        "ck_platform_statuses_only_sent_may_be_applied",
        CONNECTED + "; " + PLATFORM_STATUS.format("may_be_applied", "active", "true"),
    ),
    ("ck_platform_statuses_attempts_not_negative", CONNECTED + "; " + PLATFORM_STATUS.format("attempts", "active", -1)),
    (
        "ck_platform_statuses_enabled_before_sent",
        CONNECTED
        + "; "
        + PLATFORM_STATUS.format("sent, sent_at, enabled_at", "inactive", "'paused', now(), now() + interval '1 s'"),
    ),
    ("ck_platform_confirmations_desired_known", CONFIRMATION.format("paused", "now()")),
    ("ck_platform_confirmations_confirmed_after_decision", CONFIRMATION.format("active", "now() - interval '1 s'")),
    ("ck_platform_bounds_counts_not_negative", BOUND.format(-1, 0, 0, 0)),
    ("ck_platform_bounds_bound_not_negative", BOUND.format(0, -1, 0, 0)),
    ("ck_platform_bounds_growth_not_negative", BOUND.format(0, 0, -1, 0)),
    ("ck_platform_bounds_settling_not_negative", BOUND.format(0, 0, 0, -1)),
    ("ck_platform_bounds_bound_and_growth_together", BOUND.format(0, 0, "NULL", 0)),
    ("ck_platform_operations_operations_not_negative", "INSERT INTO platform_operations VALUES ('p', now(), -1)"),
    ("ck_notices_kind_known", NOTICE.format("('never', 'k', '{}')")),
    ("ck_notices_body_is_an_object", NOTICE.format("('import.failed', 'k', '[]')")),
    ("uq_notices_kind_key", NOTICE.format("('import.failed', 'k', '{}'), ('import.failed', 'k', '{}')")),
    ("ck_webhook_endpoints_types_known", ENDPOINT.format("types", "'{never}'")),
    ("ck_webhook_endpoints_types_known", ENDPOINT.format("types", "'{}'")),
    *(
        (f"ck_webhook_endpoints_{rule}", ENDPOINT.format(f"types, {columns}", f"'{{report.ready}}', {values}"))
        for rule, columns, values in (
            ("old_secret_ends", "previous_secret", "'s'"),
            ("claim_ends", "claimed_until", "now()"),
            ("failures_not_negative", "failures, failing_since", "-1, now()"),
            ("fails_since_a_moment", "failures", "1"),
            ("disabled_has_reason", "enabled", "false"),
        )
    ),
    ("ck_webhook_deliveries_type_known", DELIVERY.format("type, body", "'never', '{}'")),
    (
        "ck_webhook_deliveries_state_known",
        DELIVERY.format("type, body, state, settled_at", "'report.ready', '{}', 'never', now()"),
    ),
    (
        "ck_webhook_deliveries_pending_is_not_settled",
        DELIVERY.format("type, body, state", "'report.ready', '{}', 'delivered'"),
    ),
    (
        "ck_webhook_deliveries_attempts_not_negative",
        DELIVERY.format("type, body, attempts", "'report.ready', '{}', -1"),
    ),
    ("ck_webhook_deliveries_status_names_its_change", DELIVERY.format("type", "'campaign.paused'")),
    ("ck_webhook_deliveries_has_content", DELIVERY.format("type", "'report.ready'")),
    (
        "ck_webhook_deliveries_of_a_brand",
        DELIVERY.format("type, body, status_change_id", "'budget.exhausted', '{}', 1"),
    ),
    (
        "uq_webhook_deliveries_endpoint_id_key",
        "; ".join([DELIVERY.format("type, body, key", "'budget.exhausted', '{}', 'k'")] * 2),
    ),
    ("uq_webhook_deliveries_pending", "; ".join([DELIVERY.format(*STATUS_DELIVERY)] * 2)),
    ("ck_webhook_attempts_status_of_http", ATTEMPT.format("duration_ms, status", "0, 99")),
    ("ck_webhook_attempts_has_outcome", ATTEMPT.format("duration_ms", "0")),
    ("ck_webhook_attempts_duration_not_negative", ATTEMPT.format("duration_ms, status", "-1, 200")),
    *REFUSED_ALERT_ROWS,
    ("ck_imports_status_known", IMPORT.format("gone")),
    ("ck_imports_undone_at_with_status", IMPORT.format("undone")),
    ("ck_feed_epoch_one_row", "INSERT INTO feed_epoch VALUES (false, gen_random_uuid())"),
    ("ck_sequence_runs_runs_forward", "INSERT INTO sequence_runs (source, first, last) VALUES ('bidder', 2, 1)"),
    ("ck_suspect_messages_deaths_counted", "INSERT INTO suspect_messages (message_id, deaths) VALUES ('m', -1)"),
    ("ck_brands_configured_status_known", BRAND + "('b', 'UTC', 'USD', 'gone')"),
    ("ck_brands_currency_is_iso_4217", BRAND + "('b', 'UTC', 'usd', 'enabled')"),
    ("ck_brands_currency_is_iso_4217", BRAND + "('b', 'UTC', 'USDT', 'enabled')"),
    ("ck_brands_name_not_empty", BRAND + "('', 'UTC', 'USD', 'enabled')"),
    ('time zone "Mars/Olympus" not recognized', BRAND + "('b', 'Mars/Olympus', 'USD', 'enabled')"),
    ("ck_campaigns_active_has_no_holds", CAMPAIGN.format("holds", "'{user_paused}'")),
    ("ck_campaigns_active_has_no_holds", CAMPAIGN.format("effective_status", "'inactive'")),
    ("ck_campaigns_configured_status_known", CAMPAIGN.format("configured_status", "'active'")),
    ("ck_campaigns_effective_status_known", CAMPAIGN.format("effective_status, holds", "'paused', '{user_paused}'")),
    ("ck_campaigns_flight_in_order", CAMPAIGN.format("starts_on, ends_on", "'2026-06-18', '2026-06-17'")),
    ("ck_campaigns_starts_within_calendar", CAMPAIGN.format("starts_on", "'1989-12-31'")),
    ("ck_campaigns_ends_within_calendar", CAMPAIGN.format("ends_on", "'2200-01-01'")),
    ("ck_campaigns_name_not_empty", "INSERT INTO campaigns (brand_id, name) VALUES (1, '')"),
    ("fk_campaigns_brands", "INSERT INTO campaigns (brand_id, name) VALUES (404, 'c')"),
    ("uq_campaigns_platform_account_id_external_id", CAMPAIGN.format("platform, external_id", "'meta_ads', '77'")),
    ("fk_campaigns_platform_accounts", CAMPAIGN.format("platform, platform_account_id", "'bing', 1")),
    ("fk_campaigns_platform_account_brands", "UPDATE campaigns SET platform_account_id = 2 WHERE id = 1"),
    (
        "ck_campaigns_account_of_platform",
        "ALTER TABLE campaigns DISABLE TRIGGER USER; UPDATE campaigns SET platform_account_id = NULL",
    ),
    ("ck_platform_accounts_id_or_default", ACCOUNT.format("NULL, NULL")),
    ("ck_platform_accounts_id_or_default", ACCOUNT.format("'556', 1")),
    ("ck_platform_accounts_account_id_not_empty", ACCOUNT.format("'', NULL")),
    ("uq_platform_accounts_platform_account_id", ACCOUNT.format("'555', NULL")),
    ("uq_platform_accounts_platform_default_of_brand_id", ACCOUNT.format("NULL, 1")),
    ("fk_platform_accounts_brands", ACCOUNT.format("NULL, 404")),
    ("fk_platform_account_brands_brands", "INSERT INTO platform_account_brands VALUES (404, 1)"),
    ("fk_platform_account_brands_platform_accounts", "INSERT INTO platform_account_brands VALUES (1, 404)"),
    ("fk_released_external_ids_campaigns", RELEASED.format(1, "meta_ads", 404)),
    ("fk_released_external_ids_platform_accounts", RELEASED.format(1, "bing", 1)),
    ("ck_budgets_limit_not_negative", BUDGET.format("NULL", "daily", "-1")),
    ("ck_budgets_period_known", BUDGET.format("NULL", "hourly", "1")),
    ("fk_budgets_campaigns", BUDGET.format("2", "daily", "1")),
    ("uq_budgets_one_a_period", BUDGET.format("NULL", "monthly", "1")),
    ("uq_budgets_one_a_period", BUDGET.format("1", "monthly", "1")),
    ("ck_dayparts_weekday_known", "INSERT INTO dayparts VALUES (1, 0, 0, 60)"),
    ("ck_dayparts_weekday_known", "INSERT INTO dayparts VALUES (1, 8, 0, 60)"),
    ("ck_dayparts_minutes_in_order", "INSERT INTO dayparts VALUES (1, 1, 60, 60)"),
    ("ck_dayparts_minutes_in_order", "INSERT INTO dayparts VALUES (1, 1, -1, 60)"),
    ("ck_dayparts_minutes_in_order", "INSERT INTO dayparts VALUES (1, 1, 1380, 1441)"),
    ("fk_dayparts_campaigns", "INSERT INTO dayparts VALUES (404, 1, 0, 60)"),
    ("fk_dayparts_campaigns", "INSERT INTO dayparts VALUES (1, 1, 0, 60, 2)"),
    ("ck_status_changes_is_a_toggle", STATUS_CHANGE.format(1, "active", "active", "{}")),
    ("ck_status_changes_active_has_no_holds", STATUS_CHANGE.format(1, "inactive", "active", "{archived}")),
    ("ck_status_changes_active_has_no_holds", STATUS_CHANGE.format(1, "active", "inactive", "{}")),
    ("fk_campaign_days_campaigns", "INSERT INTO campaign_days VALUES (1, 2, '2026-06-17', 1)"),
    ("fk_brand_days_brands", "INSERT INTO brand_days VALUES (404, '2026-06-17', 1)"),
    ("fk_reported_totals_campaigns", "INSERT INTO reported_totals VALUES ('s', 404, '2026-06-17', 1, now())"),
    ("fk_reported_totals_campaigns", "INSERT INTO reported_totals VALUES ('s', 1, '2026-06-17', 1, now(), 0, NULL, 2)"),
    ("ck_brands_fixed_once_spent", "UPDATE brands SET time_zone = 'Asia/Tokyo' WHERE id = 1"),
    ("ck_brands_fixed_once_spent", "UPDATE brands SET currency = 'EUR' WHERE id = 1"),
    ("pk_spend_events_2026_06", "INSERT INTO spend_events SELECT * FROM spend_events"),
    ("ck_users_email_is_lower_case", USER.format("Ops@example.com", "viewer")),
    ("ck_users_email_is_lower_case", USER.format("@", "viewer")),
    ("ck_users_role_known", USER.format("ops@example.com", "root")),
    ("uq_users_email", USER.format("owner@example.com", "viewer")),
    ("fk_user_sessions_users", "INSERT INTO user_sessions VALUES ('', 404, now(), now())"),
    ("ck_api_keys_name_not_empty", KEY.format("", "sg_1", "{read}")),
    ("ck_api_keys_scopes_known", KEY.format("k", "sg_1", "{}")),
    ("ck_api_keys_scopes_known", KEY.format("k", "sg_1", "{read,root}")),
    ("uq_api_keys_prefix", KEY.format("k", "sg_taken", "{read}")),
    ("fk_idempotency_keys_api_keys", "INSERT INTO idempotency_keys VALUES (404, 'k', '', now())"),
    ("ck_brand_hours_hour_of_day", "INSERT INTO brand_hours VALUES (1, '2026-06-17', 24, 1)"),
    ("fk_brand_hours_brands", "INSERT INTO brand_hours VALUES (404, '2026-06-17', 23, 1)"),
    ("fk_hold_changes_campaigns", "INSERT INTO hold_changes VALUES (DEFAULT, 1, 2, now(), '{}', 'test')"),
    ("fk_budgets_brands", "INSERT INTO budgets (brand_id, period, limit_micros) VALUES (404, 'daily', 1)"),
]

HISTORY = ("spend_events", "spend_events_2026_06", "status_changes", "audit_entries", "budget_limits", "hold_changes")
EDITS = ("DELETE FROM {}", "UPDATE {} SET brand_id = brand_id + 1")


@pytest.fixture
def small_world(world: World, noon: datetime) -> World:
    """Two brands with a campaign each; the first has spend, budgets and history."""
    world.set_clock(noon)
    first, second = world.brand(monthly=5), world.brand()
    campaign = world.campaign(first, platform="meta_ads", external_id="77", monthly=5)
    other = world.campaign(second)
    world.spend(campaign, 5)
    world.execute(ACCOUNT.format("'555', NULL"))
    world.execute(USER.format("owner@example.com", "owner"))
    world.execute(KEY.format("k", "sg_taken", "{read}"))
    world.execute(ENDPOINT.format("types", "'{report.ready}'"))
    assert (first, second, campaign, other) == (1, 2, 1, 2)
    return world


def refusal(world: World, statement: str) -> str:
    with psycopg.connect(world.url) as connection:
        try:
            connection.execute(statement.encode())
        except psycopg.Error as error:
            return error.diag.constraint_name or str(error)
    return "taken"


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_constraints_refuse_every_impossible_row_by_name(small_world: World) -> None:
    answers = [(rule, statement, refusal(small_world, statement)) for rule, statement in REFUSED]
    assert [answer for answer in answers if answer[0] not in answer[2]] == []


def test_campaign_with_a_status_change_cannot_be_deleted(small_world: World) -> None:
    small_world.set_status(2, "paused")
    assert [row["to_status"] for row in small_world.rows("SELECT * FROM status_changes WHERE campaign_id = 2")]
    assert "fk_hold_changes_campaigns" in refusal(small_world, "DELETE FROM campaigns WHERE id = 2")


@pytest.mark.on_one_server(Limit.CATALOGS)
def test_every_named_check_constraint_is_tested(small_world: World) -> None:
    query = (
        "SELECT conname FROM pg_constraint WHERE contype IN ('c', 'u') AND connamespace = 'public'::regnamespace"
        " AND conname NOT LIKE '%%not_null' ORDER BY conname"
    )
    never_tried = {row["conname"] for row in small_world.rows(query)} - {rule for rule, _ in REFUSED}
    assert never_tried == {
        "ck_brands_time_zone_known",
        "uq_campaigns_brand_id_id",
        "uq_platform_accounts_id_platform",
    }


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_histories_are_append_only_even_for_the_owner(small_world: World) -> None:
    statements = [f"{edit.format(table)}" for table in HISTORY for edit in EDITS]
    answers = [(statement, refusal(small_world, statement)) for statement in statements]
    assert [answer for answer in answers if "history is append-only" not in answer[1]] == []
    small_world.verify()


def test_time_zone_can_change_until_the_first_spend_and_other_fields_after_it(small_world: World) -> None:
    assert refusal(small_world, "UPDATE brands SET time_zone = 'Asia/Tokyo', currency = 'JPY' WHERE id = 2") == "taken"
    assert refusal(small_world, "UPDATE brands SET name = 'New', time_zone = 'UTC' WHERE id = 1") == "taken"


CONTRACT = """
    INSERT INTO brands (name, time_zone, currency, configured_status) VALUES ('b', 'Asia/Tokyo', 'JPY', 'enabled');
    INSERT INTO campaigns (brand_id, name, platform, external_id, starts_on, ends_on, configured_status,
        effective_status, holds, next_change_at)
        VALUES (1, 'c', 'meta_ads', '77', '2026-06-01', '2026-06-30', 'paused', 'inactive', '{user_paused}', NULL);
    INSERT INTO budgets (brand_id, campaign_id, period, limit_micros) VALUES (1, NULL, 'daily', 5), (1, 1, 'daily', 5);
    INSERT INTO dayparts (campaign_id, weekday, starts_minute, ends_minute) VALUES (1, 7, 0, 1440);
    SELECT ensure_ledger_month('2026-06-01');
    INSERT INTO spend_events (event_id, brand_id, campaign_id, occurred_at, amount_micros, source, received_at)
        VALUES ('5c5f0a3e-1f9e-4d49-b2d8-0c8a5f9f7a10', 1, 1, '2026-06-17T12:00Z', 5, 'hand', '2026-06-17T12:00Z');
    INSERT INTO campaign_days (brand_id, campaign_id, day, spent_micros) VALUES (1, 1, '2026-06-17', 5);
    INSERT INTO brand_days (brand_id, day, spent_micros) VALUES (1, '2026-06-17', 5);
    INSERT INTO status_changes (brand_id, campaign_id, changed_at, from_status, to_status, holds_before, holds_after,
        cause, details) VALUES (1, 1, '2026-06-17T11:00Z', 'active', 'inactive', '{}', '{user_paused}', 'hand', '{}');
    INSERT INTO rejected_events (received_at, source, reason, payload) VALUES (now(), '', 'malformed', '{"a": 1}');
    INSERT INTO reported_totals (source, campaign_id, day, total_micros, as_of)
        VALUES ('meta_ads', 1, '2026-06-16', 0, '2026-06-17T11:00Z')
"""


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_rows_inserted_with_contract_columns_only_are_enforced(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    for statement in CONTRACT.split(";\n"):
        world.execute(statement)
    world.tick()
    assert world.holds(1) == {"user_paused", "outside_schedule", "brand_daily_budget", "campaign_daily_budget"}
    assert world.one("SELECT next_change_at FROM campaigns")["next_change_at"] is not None
    assert failed_checks() == {"status changes match the history of holds"}, "a toggle by hand has no holds beside it"
    world.set_status(1, "enabled")
    world.limit(6, campaign=1)
    assert world.holds(1) == {"outside_schedule", "brand_daily_budget"}
    assert failed_checks() == {"status changes match the history of holds"}


def failed_checks() -> set[str]:
    """The names of the checks of `verify` that find something."""
    from app.proof.verification import verify  # noqa: PLC0415 - after the environment is set

    return {check.name for check in verify() if check.wrong}


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_limits_set_by_sql_are_kept_in_history(small_world: World) -> None:
    small_world.execute("UPDATE budgets SET limit_micros = 7 WHERE campaign_id = 1")
    small_world.execute("UPDATE budgets SET limit_micros = 7 WHERE campaign_id = 1")
    small_world.execute("DELETE FROM budgets WHERE campaign_id = 1")
    rows = small_world.rows("SELECT limit_micros FROM budget_limits WHERE campaign_id = 1 ORDER BY id")
    assert [row["limit_micros"] for row in rows] == [5, 7, None]


def test_ledger_month_is_created_once_and_bounded_by_utc(world: World) -> None:
    month = "SELECT ensure_ledger_month('2031-03-01') AS made"
    assert [world.one(month)["made"] for _ in range(2)] == [True, False]
    insert = "INSERT INTO spend_events VALUES (gen_random_uuid(), 1, 1, %s, 5)"
    world.execute(insert, "2031-03-31T23:59:59.999999Z")
    world.execute(insert, "2031-03-01T00:00:00Z")
    with pytest.raises(psycopg.errors.CheckViolation, match="no partition"):
        world.execute(insert, "2031-02-28T23:59:59.999999Z")
