"""The Postgres roles of each kind of process, and their privileges. Names begin with the database: `spendgate_worker`.

The migrator owns all tables and functions, and runs migrations. The other roles own nothing; after every migration
their privileges on tables are set to exactly the listed ones, and the listed functions are granted. Only the migrator
needs privileges on the ledger's partitions: the other roles use the partitioned table.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class DatabaseRole(StrEnum):
    """The database roles: for releases (migrator), workers and scheduler, web processes, and read-only access."""

    MIGRATOR = "migrator"
    WORKER = "worker"
    WEB = "web"
    READER = "reader"


READ: Final = "SELECT"
APPEND: Final = "SELECT, INSERT"
COUNT: Final = "SELECT, INSERT, UPDATE"
KEEP: Final = "SELECT, INSERT, UPDATE, DELETE"

OPEN: Final = dict.fromkeys(
    (
        *("alembic_version", "brands", "campaigns", "budgets", "budget_limits", "dayparts"),
        *("spend_events", "campaign_days", "brand_days", "brand_hours", "reported_totals", "monthly_reports"),
        *("status_changes", "hold_changes", "audit_entries", "rejected_events", "watermarks"),
        *("suspect_messages", "sequence_runs", "locks", "feed_epoch", "spend_files", "pending_enforcements"),
        *("brand_facts", "corrections", "history_seals", "history_floors"),
        *("platform_accounts", "platform_account_brands", "released_external_ids"),
        *("imports", "import_days", "import_skipped_rows", "import_mappings"),
        *("platform_connections", "platform_statuses", "platform_operations", "processes"),
        *("notices", "webhook_deliveries", "webhook_attempts"),
        *("platform_confirmations", "platform_bounds"),
        *("alerts", "alert_settings", "alert_routes", "alert_mutes", "alert_messages", "alert_attempts"),
        "spend_hours",
    ),
    READ,
)
"""Tables that every role may read: none contains secrets."""

READER: Final = {
    **OPEN,
    "users": "SELECT (id, email, role, disabled_at, created_at, signed_in_at)",
    "user_sessions": "SELECT (user_id, created_at, expires_at)",
    "api_keys": "SELECT (id, name, prefix, scopes, brand_id, created_at, created_by, expires_at, revoked_at, used_at)",
    "idempotency_keys": "SELECT (api_key_id, created_at, status)",
    "import_uploads": "SELECT (id, file_name, modified_at, uploaded_by, uploaded_at)",
    "platform_credentials": "SELECT (platform_account_id, changed_at)",
    "alert_channels": "SELECT (id, name, scheme, created_at, created_by, claimed_until, failing_since)",
    "webhook_endpoints": (
        "SELECT (id, brand_id, types, description, previous_secret_until, enabled, disabled_because, after_change_id, "
        "feed_epoch, after_notice_id, claimed_by, claimed_until, failures, failing_since, told_failing_at, "
        "wait_until, created_at)"
    ),
}
"""The reader's privileges: all columns but hashes of passwords, sessions and keys, stored answers, uploads, encrypted
credentials, URLs of channels, and the addresses and secrets of webhooks.
"""

WORKER: Final = {
    **OPEN,
    "brands": "SELECT, UPDATE (headroom_micros, headroom_on, enforced_budget_holds, spend_received_at)",
    "campaigns": "SELECT, UPDATE (effective_status, holds, next_change_at, enforced_at)",
    "spend_events": APPEND,
    "status_changes": APPEND,
    "hold_changes": APPEND,
    "monthly_reports": APPEND,
    "corrections": APPEND,
    "history_seals": APPEND,
    "campaign_days": COUNT,
    "brand_days": COUNT,
    "reported_totals": COUNT,
    "rejected_events": COUNT,
    "watermarks": COUNT,
    "brand_hours": KEEP,
    "suspect_messages": KEEP,
    "sequence_runs": KEEP,
    "spend_files": KEEP,
    "imports": COUNT,
    "import_days": "SELECT, INSERT, DELETE",
    "import_skipped_rows": APPEND,
    # Locking a row needs the privilege to update it; a trigger refuses actual updates.
    "locks": "SELECT, UPDATE (name)",
    "pending_enforcements": KEEP,
    "platform_connections": (
        "SELECT, UPDATE (time_zone, currency, described_at, next_read_at, last_read_at, history_read_at, "
        "statuses_read_at, claimed_until, woken_at, wait_until, pauses_wait_until, limit_at, usage_percent, usage_at, "
        "last_error, failed_at, failures, failing_since, problem_since, retry_at, statuses_epoch)"
    ),
    "platform_credentials": READ,
    "platform_statuses": COUNT,
    "platform_operations": KEEP,
    "notices": "SELECT, INSERT, DELETE",
    "processes": KEEP,
    "platform_confirmations": "SELECT, INSERT, DELETE",
    "platform_bounds": COUNT,
    "alerts": KEEP,
    "alert_channels": "SELECT, UPDATE (claimed_until, failing_since)",
    "alert_messages": KEEP,
    "alert_mutes": "SELECT, DELETE",
    "alert_attempts": KEEP,
    "spend_hours": KEEP,
    "webhook_endpoints": (
        "SELECT, UPDATE (enabled, disabled_because, after_change_id, feed_epoch, after_notice_id, claimed_by, "
        "claimed_until, failures, failing_since, told_failing_at, wait_until, previous_secret, "
        "previous_secret_until)"
    ),
    "webhook_deliveries": KEEP,
    "webhook_attempts": KEEP,
}
"""The worker's privileges: counting, enforcement and reports. Workers may not edit configuration, users or the audit;
they delete expired sessions and answers through a function.
"""

WEB: Final = {
    **WORKER,
    "brands": COUNT,
    "campaigns": COUNT,
    "platform_accounts": COUNT,
    "platform_account_brands": APPEND,
    "platform_connections": KEEP,
    "platform_credentials": KEEP,
    "platform_statuses": KEEP,
    "released_external_ids": APPEND,
    # Correcting a brand's time zone recounts its days.
    "campaign_days": KEEP,
    "brand_days": KEEP,
    "audit_entries": APPEND,
    "budgets": KEEP,
    "budget_limits": APPEND,
    "brand_facts": APPEND,
    "dayparts": KEEP,
    "users": COUNT,
    "user_sessions": KEEP,
    "api_keys": COUNT,
    "idempotency_keys": KEEP,
    "import_days": KEEP,
    "import_mappings": COUNT,
    "import_uploads": KEEP,
    "alert_channels": KEEP,
    "alert_routes": KEEP,
    "alert_mutes": KEEP,
    "alert_settings": KEEP,
    "webhook_endpoints": KEEP,
}
"""The web role's privileges: edits by people and programs, and all of the worker's, since edits are enforced here."""

TABLES: Final[Mapping[DatabaseRole, Mapping[str, str]]] = {
    DatabaseRole.WORKER: WORKER,
    DatabaseRole.WEB: WEB,
    DatabaseRole.READER: READER,
}
IF_SPREAD: Final[Mapping[DatabaseRole, Mapping[str, str]]] = {
    DatabaseRole.WORKER: {
        "directory_brands": COUNT,
        "directory_campaigns": COUNT,
        # A trigger refuses all holds but that of a platform.
        "campaigns": "UPDATE (set_holds)",
    },
    DatabaseRole.WEB: {"directory_brands": KEEP, "directory_campaigns": KEEP},
    DatabaseRole.READER: {"directory_brands": READ, "directory_campaigns": READ},
}
"""More privileges than TABLES gives, by role and table, if Citus spreads the brands over several servers."""

FUNCTIONS: Final = {
    DatabaseRole.WORKER: (
        "ensure_ledger_month(date)",
        "ensure_ledger_partition(date)",
        "make_whole_ledger_month(date)",
        "drop_ledger_months(date)",
        "forget_expired(timestamptz)",
        "forget_history(text, integer)",
        "set_platform_hold(bigint, boolean, text, timestamptz)",
        "note_platform_hold(bigint, bigint, boolean, text[], text, timestamptz)",
        "lock_shard_of_brands(bigint)",
        "prepare_once(text, text)",
        "run_on_shard(bigint, text[], text, text, text)",
        "count_spend(bigint, text)",
    ),
    DatabaseRole.WEB: (
        "ensure_ledger_month(date)",
        "ensure_ledger_partition(date)",
        "make_whole_ledger_month(date)",
        "forget_expired(timestamptz)",
        "make_owner(bigint, text, timestamptz, text)",
        "set_platform_hold(bigint, boolean, text, timestamptz)",
        "note_platform_hold(bigint, bigint, boolean, text[], text, timestamptz)",
        "lock_shard_of_brands(bigint)",
        "prepare_once(text, text)",
        "run_on_shard(bigint, text[], text, text, text)",
        "count_spend(bigint, text)",
    ),
    DatabaseRole.READER: (),
}
