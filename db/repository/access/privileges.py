"""Database roles: what each process may do in Postgres. They are named after the database: `spendgate_worker`.

The migrator owns every table and function, and migrates. The others own nothing and are granted what is written here,
anew after every migration, so that a privilege that is not written here is gone. No role but the migrator needs a
privilege on a month of the ledger: all go by the table it is a part of.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class DatabaseRole(StrEnum):
    """Who connects: the release, the workers and the scheduler, the web processes, whoever only looks."""

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
        *("brand_facts", "corrections", "history_seals"),
        *("platform_accounts", "platform_account_brands", "released_external_ids"),
    ),
    READ,
)
"""What everyone may read: no secret lies in it."""

READER: Final = {
    **OPEN,
    "users": "SELECT (id, email, role, disabled_at, created_at, signed_in_at)",
    "user_sessions": "SELECT (user_id, created_at, expires_at)",
    "api_keys": "SELECT (id, name, prefix, scopes, brand_id, created_at, created_by, expires_at, revoked_at, used_at)",
    "idempotency_keys": "SELECT (api_key_id, created_at, status)",
}
"""Everything but hashes of passwords, sessions and keys, and the answers kept for programs."""

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
    # To lock a row takes the privilege to update it; a trigger refuses updates.
    "locks": "SELECT, UPDATE (name)",
    "pending_enforcements": KEEP,
}
"""What counts, enforces, reports: what people want, and who they are, is not a worker's to change, and it edits nothing
in anybody's name. Expired sessions and answers go by a function.
"""

WEB: Final = {
    **WORKER,
    "brands": COUNT,
    "campaigns": COUNT,
    "platform_accounts": COUNT,
    "platform_account_brands": APPEND,
    "released_external_ids": APPEND,
    # A corrected time zone gives a brand other days.
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
}
"""What people and programs edit, and all that a worker may: an edit is enforced, and spend may be counted, there."""

TABLES: Final[Mapping[DatabaseRole, Mapping[str, str]]] = {
    DatabaseRole.WORKER: WORKER,
    DatabaseRole.WEB: WEB,
    DatabaseRole.READER: READER,
}
FUNCTIONS: Final = {
    DatabaseRole.WORKER: (
        "ensure_ledger_month(date)",
        "drop_ledger_months(date)",
        "forget_expired(timestamptz)",
    ),
    DatabaseRole.WEB: (
        "ensure_ledger_month(date)",
        "forget_expired(timestamptz)",
        "make_owner(bigint, text, timestamptz, text)",
    ),
    DatabaseRole.READER: (),
}
