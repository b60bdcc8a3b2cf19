"""Counts the campaigns that a change of an account's mode would affect, from the statuses that were last read."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from db.repository.platforms.wanted import FORMER_OWNER, WANTED

# `pauses`: held here and enabled there; not those whose only hold is lifted because they are enabled there. `enables`:
# active here and paused there by Spendgate. `holds`: active here and paused there by somebody else.
CONCERNED = text(f"""
    SELECT
        count(*) FILTER (
            WHERE {WANTED} = 'inactive' AND confirmed = 'enabled' AND holds <> ARRAY['platform_paused']
        ) AS pauses,
        count(*) FILTER (
            WHERE {WANTED} = 'active' AND confirmed = 'paused' AND paused_by_us AND enabled_at IS NULL
        ) AS enables,
        count(*) FILTER (
            WHERE {WANTED} = 'active' AND confirmed = 'paused' AND NOT paused_by_us
        ) AS holds,
        count(*) FILTER (WHERE confirmed = 'paused' AND paused_by_us) AS stay_paused
    FROM platform_statuses JOIN campaigns ON campaigns.brand_id = platform_statuses.brand_id
        AND campaigns.id = platform_statuses.campaign_id
    {FORMER_OWNER}
    WHERE platform_statuses.platform_account_id = :account AND NOT may_be_applied
        AND campaigns.external_id IS NOT NULL
""")  # noqa: S608 - a constant, put together once


class Concerned(NamedTuple):
    """Numbers of an account's campaigns that Spendgate would change in a mode that allows it.

    `pauses`, `enables`: campaigns that it would pause, or enable, on the platform. `holds`: campaigns that it would
    hold in Spendgate, because somebody else paused them on the platform. `stay_paused`: campaigns that Spendgate has
    paused on the platform, and that stay paused in a mode that changes nothing.
    """

    pauses: int
    enables: int
    holds: int
    stay_paused: int


def concerned(connection: Connection, account: int, at: datetime) -> Concerned:
    """Counts the account's campaigns that Spendgate would change at `at` in a mode that allows it, by the last read.

    Leaves out campaigns whose last change may or may not have been applied.
    """
    return Concerned(*connection.execute(CONCERNED, {"account": account, "at": at}).one())
