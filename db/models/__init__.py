"""The tables. Importing this package completes the metadata of `db.models.base.Base`."""

from db.models import (
    access,
    accounts,
    alerts,
    catalog,
    delivery,
    enforcement,
    imports,
    ledger,
    notices,
    order,
    platform_history,
    platforms,
    processes,
    proof,
    reports,
    webhooks,
)

__all__ = [
    "access",
    "accounts",
    "alerts",
    "catalog",
    "delivery",
    "enforcement",
    "imports",
    "ledger",
    "notices",
    "order",
    "platform_history",
    "platforms",
    "processes",
    "proof",
    "reports",
    "webhooks",
]
