"""Every route of the API, in one router."""

from fastapi import APIRouter

from web.api import (
    accounts,
    brands,
    budgets,
    campaigns,
    docs,
    holds,
    rejected,
    reports,
    schedules,
    spend,
    spent,
    status_changes,
)
from web.api.request.keys import REFUSALS
from web.api.request.queries import KNOWN_ALONE

DESCRIPTION = """
Spendgate enforces advertising budgets. Money is integer micros (millionths of the brand's currency unit), days are
brand-local, instants are ISO 8601.

- **Keys.** Send `Authorization: Bearer …`. A key of one brand sees that brand alone: other brands' objects return 404.
- **Rates.** `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds) are on every answer to a key.
- **Lists** are in id order. `after` is the last id of a page; `next_after`, and a `Link` header, lead to the next one.
- **Status changes** can be followed: their ids are in commit order, so asking again with the last `after` and `epoch`
  misses nothing. Other lists cannot, because a later commit may add a lower id: read such lists again from the start.
- **Edits** are enforced and audited in their own commit. Send the `ETag` you read as `If-Match`: 412 says that somebody
  edited since. Spend and effective status make no edit stale, but `If-None-Match` sees them.
- **Creates** take an `Idempotency-Key`: the same request sent again within a day is made once, and answered alike with
  `Idempotent-Replayed: true`.
- **Unknown** fields of bodies and parameters of queries are refused.
- **Errors** are problem details (RFC 9457, `application/problem+json`); `errors` names the fields at fault.
- Every answer has an `X-Request-ID`, by which the log finds it.
"""

TAGS = [
    {"name": "brands", "description": "The clients that own campaigns and budgets."},
    {"name": "campaigns", "description": "Campaigns: status, schedule and holds."},
    {
        "name": "platform accounts",
        "description": "Accounts on ad platforms, the brands they serve, moves between those.",
    },
    {"name": "budgets", "description": "Limits by period, of a brand or of one campaign."},
    {"name": "status changes", "description": "Every toggle of every campaign, to be followed."},
    {"name": "spend", "description": "Spend that comes in, and what was spent."},
    {"name": "reports", "description": "A brand's month."},
    {"name": "rejected events", "description": "Bad input, kept whole until it is replayed."},
    {"name": "probes", "description": "What operators and their tools ask; no key needed."},
]

RESOURCES = (brands, campaigns, holds, accounts, schedules, budgets, status_changes, spend, spent, reports, rejected)

router = APIRouter()
for resource in RESOURCES:
    router.include_router(resource.router, responses=REFUSALS, dependencies=[KNOWN_ALONE])
router.include_router(docs.router)
