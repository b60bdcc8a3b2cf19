"""The queues and the queue of each actor."""

from collections.abc import Mapping
from typing import Final

QUEUE_OF: Final[Mapping[str, str]] = {
    "ingest_spend": "spend",
    "ingest_reported_totals": "spend",
    "evaluate_budgets": "enforcement",
    "continue_enforcement": "enforcement",
    "apply_dayparting": "schedule",
    "reset_daily_budgets": "schedule",
    "reset_monthly_budgets": "schedule",
    "refresh_spend": "schedule",
    "roll_up_hours": "schedule",
    "maintain_ledger": "schedule",
    "seal_histories": "schedule",
    "check_queue": "schedule",
    "import_exports": "platforms",
    "visit_platforms": "platforms",
    "wake_platforms": "platforms",
    "pull_spend": "platforms",
    "reconcile_account": "platforms",
    "generate_monthly_reports": "reports",
    "send_alerts": "notices",
    "send_to_channel": "notices",
    "deliver_webhooks": "notices",
    "deliver": "notices",
}
"""The queue of each actor, by actor name."""

QUEUES: Final = frozenset(QUEUE_OF.values())
