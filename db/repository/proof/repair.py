"""Writes for `spendgate repair`: sets reported totals and budget flags, appends missing rows to histories."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from db.repository.spread.written_by_edits import order_status_changes

# Creates missing totals, so that they can be locked.
MAKE_TOTALS = text("""
    INSERT INTO reported_totals (brand_id, source, campaign_id, day, total_micros, as_of)
    SELECT :brand_id, source, campaign_id, day, 0, as_of FROM unnest(
        CAST(:sources AS text[]), CAST(:campaign_ids AS bigint[]), CAST(:days AS date[]),
        CAST(:as_of AS timestamptz[])
    ) AS sent(source, campaign_id, day, as_of)
    ORDER BY source, campaign_id, day ON CONFLICT ON CONSTRAINT pk_reported_totals DO NOTHING
""")

LOCK_TOTALS = text("""
    SELECT brand_id, source, campaign_id, day, total_micros, previous_micros, as_of
    FROM reported_totals
    WHERE brand_id = :brand_id AND (source, campaign_id, day) IN (
        SELECT * FROM unnest(CAST(:sources AS text[]), CAST(:campaign_ids AS bigint[]), CAST(:days AS date[]))
    )
    ORDER BY source, campaign_id, day FOR NO KEY UPDATE
""")

SET_TOTAL = text("""
    UPDATE reported_totals SET total_micros = :total_micros, previous_micros = :previous_micros
    WHERE brand_id = :brand_id AND source = :source AND campaign_id = :campaign_id AND day = :day
""")

SET_FLAG = text("""
    UPDATE brands SET has_campaign_budgets = NOT has_campaign_budgets
    WHERE id = :brand_id AND has_campaign_budgets <> EXISTS (
        SELECT FROM budgets WHERE budgets.brand_id = brands.id AND campaign_id IS NOT NULL
    )
    RETURNING has_campaign_budgets
""")

# Appends to the history of limits, so that it ends with the present budgets; null for a removed budget.
APPEND_LIMITS = text("""
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

# Campaigns of a brand that differ from the ends of their histories; leaves out those never enforced without a change.
CAMPAIGNS_OFF_HISTORY = text("""
    SELECT campaigns.id AS campaign_id, effective_status, campaigns.holds, held.holds AS known_holds,
        last_change.to_status AS known_status, last_change.holds_after AS change_holds
    FROM campaigns
    LEFT JOIN LATERAL (
        SELECT holds FROM hold_changes
        WHERE brand_id = campaigns.brand_id AND campaign_id = campaigns.id ORDER BY id DESC LIMIT 1
    ) AS held ON true
    LEFT JOIN LATERAL (
        SELECT to_status, holds_after FROM status_changes
        WHERE brand_id = campaigns.brand_id AND campaign_id = campaigns.id ORDER BY id DESC LIMIT 1
    ) AS last_change ON true
    WHERE campaigns.brand_id = :brand_id AND (enforced_at IS NOT NULL OR held.holds IS NOT NULL)
        AND (campaigns.holds IS DISTINCT FROM held.holds OR effective_status <> last_change.to_status)
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


class CampaignOffHistory(NamedTuple):
    """A campaign whose row differs from the ends of its histories.

    `known_holds`: the holds of its last hold change. `known_status`, `change_holds`: the new status and holds of its
    last status change. Each is None if there is no such change.
    """

    campaign_id: int
    effective_status: str
    holds: list[str]
    known_holds: list[str] | None
    known_status: str | None
    change_holds: list[str] | None


class Total(NamedTuple):
    """The key of one reported total of a brand."""

    source: str
    campaign_id: int
    day: date


def make_totals(connection: Connection, brand_id: int, missing: Iterable[tuple[Total, datetime]]) -> None:
    """Creates missing totals of a brand with a figure of 0 and the given `as_of`."""
    rows = sorted(missing)
    if rows:
        columns = _columns(brand_id, [total for total, _ in rows]) | {"as_of": [at for _, at in rows]}
        connection.execute(MAKE_TOTALS, columns)


def lock_totals(connection: Connection, brand_id: int, totals: Iterable[Total]) -> Sequence[Any]:
    """Locks the brand's totals that exist, in the order in which ingest locks them; returns their rows.

    A row has the columns of LOCK_TOTALS, figures in micros.
    """
    keys = sorted(set(totals))
    return connection.execute(LOCK_TOTALS, _columns(brand_id, keys)).all() if keys else []


def _columns(brand_id: int, totals: Sequence[Total]) -> dict[str, Any]:
    return {
        "brand_id": brand_id,
        "sources": [total.source for total in totals],
        "campaign_ids": [total.campaign_id for total in totals],
        "days": [total.day for total in totals],
    }


def set_total(connection: Connection, brand_id: int, total: Total, total_micros: int, previous_micros: int) -> None:
    """Sets a total's figure and its previous figure, in micros. Call `lock_totals` first."""
    figures = {"total_micros": total_micros, "previous_micros": previous_micros}
    connection.execute(SET_TOTAL, {**total._asdict(), **figures, "brand_id": brand_id})


def set_flag(connection: Connection, brand_id: int) -> bool | None:
    """Corrects the brand's flag `has_campaign_budgets`; returns the new value, None if it was right.

    Counting reads budgets of campaigns only if the flag is true.
    """
    flag: bool | None = connection.scalar(SET_FLAG, {"brand_id": brand_id})
    return flag


def append_limits(connection: Connection, brand_id: int, at: datetime) -> list[dict[str, Any]]:
    """Appends a row to each limit history of the brand that does not end with its budget's limit.

    Returns `campaign_id` (None: the brand's budget), `period`, `old_micros` (the last limit before) and `limit_micros`
    (the appended limit) of each; the limits are None if there was, or is, no budget.
    """
    return [dict(row) for row in connection.execute(APPEND_LIMITS, {"brand_id": brand_id, "at": at}).mappings()]


def campaigns_off_history(connection: Connection, brand_id: int) -> list[CampaignOffHistory]:
    """The brand's campaigns whose rows differ from the ends of their histories. Lock the brand first.

    Leaves out campaigns that were never enforced and have no hold change.
    """
    return [CampaignOffHistory(*row) for row in connection.execute(CAMPAIGNS_OFF_HISTORY, {"brand_id": brand_id})]


def append_to_histories(connection: Connection, brand_id: int, campaign: CampaignOffHistory, at: datetime) -> None:
    """Appends a hold change, and a status change if needed, so that the histories end with the campaign's row."""
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
        before = campaign.known_holds if _status_of(campaign.known_holds) == from_status else campaign.change_holds
        order_status_changes(connection)
        toggle = {"to_status": campaign.effective_status, "holds_before": before or []}
        connection.execute(ADD_TOGGLE, row | toggle)


def _status_of(holds: list[str] | None) -> str | None:
    return None if holds is None else "inactive" if holds else "active"
