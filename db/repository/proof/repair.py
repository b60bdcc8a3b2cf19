"""What `spendgate repair` writes: totals by the ledger, flags, and rows that lead histories to what holds today."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

# Totals that are not there get a row, so that it can be locked.
MAKE_TOTALS = text("""
    INSERT INTO reported_totals (source, campaign_id, day, total_micros, as_of)
    SELECT source, campaign_id, day, 0, as_of FROM unnest(
        CAST(:sources AS text[]), CAST(:campaign_ids AS bigint[]), CAST(:days AS date[]),
        CAST(:as_of AS timestamptz[])
    ) AS sent(source, campaign_id, day, as_of)
    ORDER BY source, campaign_id, day ON CONFLICT (source, campaign_id, day) DO NOTHING
""")

LOCK_TOTALS = text("""
    SELECT brand_id, source, campaign_id, day, total_micros, previous_micros, as_of
    FROM reported_totals JOIN campaigns ON campaigns.id = campaign_id
    WHERE (source, campaign_id, day) IN (
        SELECT * FROM unnest(CAST(:sources AS text[]), CAST(:campaign_ids AS bigint[]), CAST(:days AS date[]))
    )
    ORDER BY source, campaign_id, day FOR NO KEY UPDATE OF reported_totals
""")

SET_TOTAL = text("""
    UPDATE reported_totals SET total_micros = :total_micros, previous_micros = :previous_micros
    WHERE source = :source AND campaign_id = :campaign_id AND day = :day
""")

SET_FLAG = text("""
    UPDATE brands SET has_campaign_budgets = NOT has_campaign_budgets
    WHERE id = :brand_id AND has_campaign_budgets <> EXISTS (
        SELECT FROM budgets WHERE budgets.brand_id = brands.id AND campaign_id IS NOT NULL
    )
    RETURNING has_campaign_budgets
""")

# The history of limits is led to the budgets that there are; of one that is gone, to none.
KEEP_LIMITS = text("""
    WITH latest AS (
        SELECT DISTINCT ON (campaign_id, period) COALESCE(campaign_id, 0) AS campaign_key, period, limit_micros
        FROM budget_limits WHERE brand_id = :brand_id ORDER BY campaign_id, period, id DESC
    ), now AS (
        SELECT COALESCE(campaign_id, 0) AS campaign_key, period, limit_micros FROM budgets WHERE brand_id = :brand_id
    ), unlike AS (
        SELECT campaign_key, period, now.limit_micros, latest.limit_micros AS old_micros
        FROM now FULL JOIN latest USING (campaign_key, period)
        WHERE now.limit_micros IS DISTINCT FROM latest.limit_micros
    ), kept AS (
        INSERT INTO budget_limits (brand_id, campaign_id, period, limit_micros, changed_at)
        SELECT :brand_id, NULLIF(campaign_key, 0), period, limit_micros, :at FROM unlike ORDER BY campaign_key, period
    )
    SELECT NULLIF(campaign_key, 0) AS campaign_id, period, old_micros, limit_micros FROM unlike
    ORDER BY campaign_key, period
""")

# Campaigns that are not what their histories lead to; its brand must be locked.
STRAYED = text("""
    SELECT campaigns.id AS campaign_id, effective_status, campaigns.holds, held.holds AS known_holds,
        told.to_status AS known_status, told.holds_after AS told_holds
    FROM campaigns
    LEFT JOIN LATERAL (
        SELECT holds FROM hold_changes WHERE campaign_id = campaigns.id ORDER BY id DESC LIMIT 1
    ) AS held ON true
    LEFT JOIN LATERAL (
        SELECT to_status, holds_after FROM status_changes WHERE campaign_id = campaigns.id ORDER BY id DESC LIMIT 1
    ) AS told ON true
    WHERE campaigns.brand_id = :brand_id AND (enforced_at IS NOT NULL OR held.holds IS NOT NULL)
        AND (campaigns.holds IS DISTINCT FROM held.holds OR effective_status <> told.to_status)
    ORDER BY campaigns.id
""")

ADD_HOLDS = text("""
    INSERT INTO hold_changes (brand_id, campaign_id, changed_at, holds, cause, from_status)
    VALUES (:brand_id, :campaign_id, :at, :holds, 'repair', :from_status)
""")

ADD_TOGGLE = text("""
    INSERT INTO status_changes
        (brand_id, campaign_id, changed_at, from_status, to_status, holds_before, holds_after, cause, details)
    VALUES (:brand_id, :campaign_id, :at, :from_status, :to_status, :holds_before, :holds, 'repair', '{}')
""")


class Strayed(NamedTuple):
    """A campaign's row, and what its histories lead to: holds, status, the holds of its last status change."""

    campaign_id: int
    effective_status: str
    holds: list[str]
    known_holds: list[str] | None
    known_status: str | None
    told_holds: list[str] | None


class Total(NamedTuple):
    """One reported total, by its key."""

    source: str
    campaign_id: int
    day: date


def make_totals(connection: Connection, missing: Iterable[tuple[Total, datetime]]) -> None:
    """Makes rows, of 0, for totals that are not there, as of the given moments."""
    rows = sorted(missing)
    if rows:
        connection.execute(MAKE_TOTALS, _columns([total for total, _ in rows]) | {"as_of": [at for _, at in rows]})


def lock_totals(connection: Connection, totals: Iterable[Total]) -> Sequence[Any]:
    """Locks the totals in the order in which reported totals are taken; their rows, with the brand of each."""
    chosen = sorted(set(totals))
    return connection.execute(LOCK_TOTALS, _columns(chosen)).all() if chosen else []


def _columns(totals: Sequence[Total]) -> dict[str, Any]:
    return {
        "sources": [total.source for total in totals],
        "campaign_ids": [total.campaign_id for total in totals],
        "days": [total.day for total in totals],
    }


def set_total(connection: Connection, total: Total, total_micros: int, previous_micros: int) -> None:
    """Sets a locked total, and what it was before its last figure."""
    connection.execute(SET_TOTAL, {**total._asdict(), "total_micros": total_micros, "previous_micros": previous_micros})


def set_flag(connection: Connection, brand_id: int) -> bool | None:
    """Lets spend look at the budgets of the brand's campaigns where there are any; the flag where it was wrong."""
    flag: bool | None = connection.scalar(SET_FLAG, {"brand_id": brand_id})
    return flag


def keep_limits(connection: Connection, brand_id: int, at: datetime) -> list[dict[str, Any]]:
    """Appends each of the brand's limits that its history does not end with; the old and the new."""
    return [dict(row) for row in connection.execute(KEEP_LIMITS, {"brand_id": brand_id, "at": at}).mappings()]


def strayed(connection: Connection, brand_id: int) -> list[Strayed]:
    """The campaigns of a locked brand that are not what their histories lead to."""
    return [Strayed(*row) for row in connection.execute(STRAYED, {"brand_id": brand_id})]


def lead_to_now(connection: Connection, brand_id: int, campaign: Strayed, at: datetime) -> None:
    """Appends to the histories what leads them from where they end to the campaign's row."""
    known = campaign.known_status or _status_of(campaign.known_holds)
    from_status = known or campaign.effective_status
    row = {
        "brand_id": brand_id,
        "campaign_id": campaign.campaign_id,
        "at": at,
        "holds": campaign.holds,
        "from_status": from_status,
    }
    connection.execute(ADD_HOLDS, row)
    if from_status != campaign.effective_status:
        before = campaign.known_holds if _status_of(campaign.known_holds) == from_status else campaign.told_holds
        toggle = {"to_status": campaign.effective_status, "holds_before": before or []}
        connection.execute(ADD_TOGGLE, row | toggle)


def _status_of(holds: list[str] | None) -> str | None:
    return None if holds is None else "inactive" if holds else "active"
