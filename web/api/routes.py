"""Every route of the API, in one router."""

from fastapi import APIRouter

from web.api import (
    accounts,
    alert_channels,
    alerts,
    brands,
    budgets,
    campaigns,
    connections,
    docs,
    holds,
    rejected,
    reports,
    schedules,
    serving,
    spend,
    spent,
    status_changes,
    status_stream,
    webhooks,
)
from web.api.request.keys import REFUSALS
from web.api.request.queries import KNOWN_ALONE

DESCRIPTION = """
Spendgate enforces advertising budgets. Money is integer micros (millionths of the brand's currency unit), days are
brand-local, instants are ISO 8601.

- **Keys.** Send `Authorization: Bearer …`. A key of one brand sees only that brand: other brands' objects return 404.
- **Rates.** `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds) are on every answer to a key.
- **Lists** are in id order, but reports, deliveries and attempts have the newest first, mutes are in the order in which
  they end, and routes in the order of their channels. `after` is the last id of a page; `next_after`, and a `Link`
  header, lead to the next one.
- **Status changes and alerts** can be followed: their ids are in commit order, so a request with the last `after` and
  `epoch` misses nothing, and 410 means that a backup was restored. Other lists cannot, because a later commit may add
  a lower id: read such lists again from the start.
- **Edits** are enforced and audited in their own commit. Send an `ETag` that you read as `If-Match`: 412 means that the
  row was edited meanwhile. Changes of spend and effective status never cause a 412, but they change the ETag for
  `If-None-Match`.
- **Creates** of brands, campaigns, budgets, platform accounts and connections take an `Idempotency-Key`: a request
  repeated within a day has its effect once, and gets the first answer with `Idempotent-Replayed: true`.
- **Unknown** fields of bodies and parameters of queries are refused.
- **Errors** are problem details (RFC 9457, `application/problem+json`); `errors` names the fields at fault.
- Every answer has an `X-Request-ID`; the log has the same id.
"""

TAGS = [
    {"name": "brands", "description": "The clients that own campaigns and budgets."},
    {"name": "campaigns", "description": "Campaigns: status, schedule and holds."},
    {
        "name": "platform accounts",
        "description": "Accounts on ad platforms: brands, connections, and moves of campaigns between brands.",
    },
    {"name": "budgets", "description": "Limits by period, of a brand or of one campaign."},
    {
        "name": "serving",
        "description": "Which campaigns may serve now, for ad servers and bidders: once, by long poll, or as a stream.",
    },
    {"name": "status changes", "description": "Every toggle of every campaign, in commit order."},
    {"name": "webhooks", "description": "Endpoints that get status changes and notices."},
    {"name": "alerts", "description": "Conditions that need a person: acknowledge, mute, and route them to channels."},
    {"name": "spend", "description": "Send spend, and read spend."},
    {"name": "reports", "description": "A brand's monthly reports."},
    {"name": "rejected events", "description": "Rejected inputs, kept until they are replayed."},
    {"name": "probes", "description": "Probes and metrics for operators; no key needed."},
]

RESOURCES = (
    brands,
    campaigns,
    holds,
    accounts,
    connections,
    schedules,
    budgets,
    serving,
    status_changes,
    status_stream,
    webhooks,
    alert_channels,
    alerts,
    spend,
    spent,
    reports,
    rejected,
)

router = APIRouter()
for resource in RESOURCES:
    router.include_router(resource.router, responses=REFUSALS, dependencies=[KNOWN_ALONE])
router.include_router(docs.router)
