"""The statements that count spend: they write events and counters, then lock the brands, in this order."""

from typing import Final, NamedTuple

from sqlalchemy import text

# Inserts events, then adds their spend to the counters of campaigns, then of brands. Each step reads the count of the
# step before, which fixes the order: all transactions that count must lock in this order, and by key within a step.
COUNT = text("""
    WITH written AS (
        INSERT INTO spend_events (brand_id, event_id, campaign_id, occurred_at, amount_micros, received_at, source)
        SELECT brand_id, event_id, campaign_id, occurred_at, amount_micros, CAST(:at AS timestamptz), source
        FROM unnest(
            CAST(:event_brand_ids AS bigint[]), CAST(:event_ids AS uuid[]), CAST(:event_campaign_ids AS bigint[]),
            CAST(:event_moments AS timestamptz[]), CAST(:event_amounts AS bigint[]), CAST(:event_sources AS text[])
        ) AS sent(brand_id, event_id, campaign_id, occurred_at, amount_micros, source)
        ORDER BY brand_id, event_id
        RETURNING event_id
    ), campaigns_counted AS (
        INSERT INTO campaign_days AS counter (brand_id, campaign_id, day, spent_micros)
        SELECT sent.* FROM (SELECT count(*) FROM written) AS before, unnest(
            CAST(:campaign_brand_ids AS bigint[]), CAST(:campaign_ids AS bigint[]), CAST(:campaign_days AS date[]),
            CAST(:campaign_amounts AS bigint[])
        ) AS sent
        ON CONFLICT (brand_id, campaign_id, day)
        DO UPDATE SET spent_micros = counter.spent_micros + excluded.spent_micros
        RETURNING campaign_id
    )
    INSERT INTO brand_days AS counter (brand_id, day, spent_micros)
    SELECT sent.* FROM (SELECT count(*) FROM campaigns_counted) AS before, unnest(
        CAST(:counted_brand_ids AS bigint[]), CAST(:brand_days AS date[]), CAST(:brand_amounts AS bigint[])
    ) AS sent
    ON CONFLICT (brand_id, day)
    DO UPDATE SET spent_micros = counter.spent_micros + excluded.spent_micros
""")

LOCKED: Final = "brands.id, time_zone, currency, configured_status, headroom_micros, headroom_on, has_campaign_budgets"
"""The columns of a locked brand that counting returns."""

# Locks brands in id order and subtracts the counted spend from their headroom; a headroom that is less becomes null.
LESSEN_HEADROOM = text(f"""
    WITH locked AS MATERIALIZED (
        SELECT id FROM brands WHERE id = ANY(CAST(:brand_ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE brands
    SET headroom_micros = CASE WHEN headroom_micros >= spent_micros THEN headroom_micros - spent_micros END,
        spend_received_at = greatest(spend_received_at, CAST(:at AS timestamptz))
    FROM locked JOIN unnest(CAST(:brand_ids AS bigint[]), CAST(:spent AS bigint[])) AS sent(brand_id, spent_micros)
        ON sent.brand_id = locked.id
    WHERE brands.id = locked.id
    RETURNING {LOCKED}
""")  # noqa: S608 - a constant, put together once

# Sets the timeout for locks on brands: the allowed time minus the transaction's duration so far.
WAIT_FOR_BRANDS = text("""
    SELECT set_config('lock_timeout', greatest(CAST(:least_brands_ms AS bigint), CAST(:brands_ms AS bigint)
        - CAST(1000 * extract(epoch FROM clock_timestamp() - transaction_timestamp()) AS bigint))::text, true)
""")


class LockTimeouts(NamedTuple):
    """Lock timeouts in milliseconds of a transaction that counts spend.

    `own_ms`: for locks that only other counting transactions hold (the ledger's keys, counters), which end soon.
    `brands_ms`: for the rows of brands, which any program may lock for long; the transaction's duration so far is
    subtracted, down to `least_brands_ms`.
    """

    own_ms: int
    brands_ms: int
    least_brands_ms: int
