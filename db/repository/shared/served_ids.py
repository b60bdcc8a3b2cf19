"""SQL of the external id under which a campaign serves on its platform, also around its move to another brand."""

from typing import Final

# The external id of the row `campaigns`; of a moved one that still serves, the id that it leaves at its flight's end.
OWN_OR_RELEASED_ID: Final = """
    COALESCE(campaigns.external_id, (
        SELECT released.external_id FROM released_external_ids AS released
        WHERE released.campaign_id = campaigns.id AND released.platform_account_id = campaigns.platform_account_id
            AND released.until_day = campaigns.ends_on + 1
        LIMIT 1
    ))
"""

# OWN_OR_RELEASED_ID, but null for a campaign that takes the id over on a later day: the former owner has it until then.
SERVED_ID: Final = f"""
    CASE WHEN NOT ('flight_not_started' = ANY(campaigns.holds) AND EXISTS (
        SELECT FROM released_external_ids AS released
        WHERE released.platform_account_id = campaigns.platform_account_id
            AND released.external_id = campaigns.external_id AND released.until_day = campaigns.starts_on
    )) THEN {OWN_OR_RELEASED_ID} END
"""
