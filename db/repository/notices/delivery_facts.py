"""The facts of the bodies of deliveries, as SQL: of their status change, their campaign and their brand."""

from typing import Final

from db.repository.shared.served_ids import SERVED_ID

# Citus first reads the spread rows that the deliveries of `due` are about, with all newer changes of their campaigns.
SPREAD: Final = """
    /*citus WITH due AS MATERIALIZED (
        SELECT id, brand_id, campaign_id, status_change_id FROM webhook_deliveries AS delivery
        WHERE {condition}
    ), status_changes AS MATERIALIZED (
        SELECT * FROM status_changes WHERE (brand_id, id) IN (SELECT brand_id, status_change_id FROM due)
        UNION
        SELECT * FROM status_changes
        WHERE (brand_id, campaign_id) IN (SELECT brand_id, campaign_id FROM due)
            AND id >= (SELECT min(status_change_id) FROM due)
    ), campaigns AS MATERIALIZED (
        SELECT * FROM campaigns WHERE (brand_id, id) IN (SELECT brand_id, campaign_id FROM due)
    ), brands AS MATERIALIZED (
        SELECT id, name, currency, time_zone FROM brands WHERE id IN (SELECT brand_id FROM due)
    ) */
"""

# A delivery with the present facts of its campaign, and of its status change or its notice.
FACTS: Final = f"""
    SELECT delivery.id, message_id, delivery.type, attempts, next_attempt_at, delivery.created_at,
        delivery.brand_id, delivery.campaign_id, delivery.notice_id, COALESCE(delivery.body, notices.body) AS body,
        COALESCE(notices.created_at, delivery.created_at) AS noticed_at,
        change.id AS change_id, changed_at, from_status, to_status, holds_before, holds_after, cause, details,
        brands.name AS brand, currency, time_zone, campaigns.name AS campaign, platform,
        {SERVED_ID} AS external_id,
        (SELECT account_id FROM platform_accounts WHERE platform_accounts.id = platform_account_id) AS account,
        starts_on, ends_on, campaigns.configured_status, effective_status, holds, next_change_at
    FROM webhook_deliveries AS delivery
    LEFT JOIN status_changes AS change ON change.brand_id = delivery.brand_id AND change.id = status_change_id
    LEFT JOIN campaigns ON campaigns.id = delivery.campaign_id
    LEFT JOIN brands ON brands.id = delivery.brand_id
    LEFT JOIN notices ON notices.id = notice_id
"""  # noqa: S608 - a constant, put together once
