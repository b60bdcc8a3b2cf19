"""SQL for the status that is wanted for a campaign's external id on its platform.

It is the campaign's effective status. If another campaign owns the id until a later day, because a move of the id to
this campaign is still to come, it is that campaign's.
"""

from typing import Final

_FORMER: Final = """
        FROM released_external_ids AS released
        JOIN campaigns AS former ON former.brand_id = released.brand_id AND former.id = released.campaign_id
        JOIN brands AS owner ON owner.id = former.brand_id
        LEFT JOIN LATERAL (
            SELECT id, changed_at FROM status_changes
            WHERE {of_brand} campaign_id = former.id ORDER BY id DESC LIMIT 1
        ) AS newest ON true
        WHERE former.external_id IS NULL AND former.configured_status <> 'archived'
            AND until_day > CAST(CAST(:at AS timestamptz) AT TIME ZONE owner.time_zone AS date)
"""

_FORMER_FIELDS: Final = """
            former.id AS campaign_id, newest.id AS change_id, newest.changed_at,
            CASE WHEN former.holds = ARRAY['platform_paused'] THEN 'active' ELSE former.effective_status END
                AS effective_status
"""

# The former owner of the campaign's external id, if it moved and its last day has not ended at :at. Until then that
# campaign decides about the id there; its hold for a pause there is the successor's, which lifts it. Citus cannot look
# up other servers for each campaign: it reads the few such owners first.
FORMER_OWNER: Final = f"""
    /*plain*/ LEFT JOIN LATERAL (
        SELECT {_FORMER_FIELDS} {_FORMER.format(of_brand="")}
            AND released.platform_account_id = campaigns.platform_account_id
            AND released.external_id = campaigns.external_id
        ORDER BY until_day LIMIT 1
    ) AS former_owner ON true /*end*/
    /*citus LEFT JOIN (
        SELECT DISTINCT ON (released.platform_account_id, released.external_id)
            released.platform_account_id AS of_account, released.external_id AS of_external_id, {_FORMER_FIELDS}
        {_FORMER.format(of_brand="status_changes.brand_id = former.brand_id AND")}
        ORDER BY released.platform_account_id, released.external_id, until_day
    ) AS former_owner ON former_owner.of_account = campaigns.platform_account_id
        AND former_owner.of_external_id = campaigns.external_id */
"""

# The status wanted on the platform, in a query that joins FORMER_OWNER to campaigns.
WANTED: Final = "COALESCE(former_owner.effective_status, campaigns.effective_status)"

_OF_CHANGE: Final = """
    CASE WHEN former_owner.campaign_id IS NULL THEN (
        SELECT {column} FROM status_changes
        WHERE campaign_id = campaigns.id /*citus AND status_changes.brand_id = campaigns.brand_id */
        ORDER BY id DESC LIMIT 1
    ) ELSE former_owner.{of_former} END
"""

# The newest status change of the campaign that decides it, in such a query.
CHANGE_ID: Final = _OF_CHANGE.format(column="id", of_former="change_id")
CHANGED_AT: Final = _OF_CHANGE.format(column="changed_at", of_former="changed_at")
