"""The status that is wanted for an external id on its platform, while a move of the id is still to come."""

from typing import Final

# The former owner of the campaign's external id, if it moved and its last day has not ended at :at. Until then that
# campaign decides about the id there; its hold for a pause there is the successor's, which lifts it.
FORMER_OWNER: Final = """
    LEFT JOIN LATERAL (
        SELECT former.id AS campaign_id,
            CASE WHEN former.holds = ARRAY['platform_paused'] THEN 'active' ELSE former.effective_status END
                AS effective_status
        FROM released_external_ids AS released
        JOIN campaigns AS former ON former.brand_id = released.brand_id AND former.id = released.campaign_id
        JOIN brands ON brands.id = former.brand_id
        WHERE released.platform_account_id = campaigns.platform_account_id
            AND released.external_id = campaigns.external_id
            AND former.external_id IS NULL AND former.configured_status <> 'archived' AND former.id <> campaigns.id
            AND until_day > CAST(CAST(:at AS timestamptz) AT TIME ZONE brands.time_zone AS date)
        ORDER BY until_day LIMIT 1
    ) AS former_owner ON true
"""

# The status wanted on the platform, in a query that joins FORMER_OWNER to campaigns.
WANTED: Final = "COALESCE(former_owner.effective_status, campaigns.effective_status)"

# The campaign that decides it, and so whose status changes are behind it.
DECIDING: Final = "COALESCE(former_owner.campaign_id, campaigns.id)"
