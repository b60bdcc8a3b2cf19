"""Counts spend on one shard of Citus by one call of a function, which the server of the shard runs.

The coordinator passes the call on as it is, so it plans none of the statements and reads none of the rows. The function
runs the statements of one server (`counting`) on the tables of the shard. Citus sees no write in them, so the function
first takes the lock of Citus that a write takes: a shard that is moved waits for it, or is found to be moved.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import chain
from typing import Any, Final

from sqlalchemy import Connection, TextClause, text

from db.engine import Query, before_next, query_pipelined
from db.local_settings import local_setting
from db.repository.ledger.counting import COUNT, LESSEN_HEADROOM, WAIT_FOR_BRANDS, LockTimeouts
from runtime.settings import settings

SPREAD: Final = ("brands", "spend_events", "campaign_days", "brand_days")
"""The tables that counting writes."""

TABLE: Final = re.compile(rf"\b(INTO|FROM|UPDATE) ({'|'.join(SPREAD)})\b( AS \w+)?")
PARAMETER: Final = re.compile(r"(?<!:):(\w+)")

SHARE_LOCK: Final = 5
"""Postgres's number of the lock that excludes those who change a shard, and not those who write rows of it."""

# Locks where a shard of `brands` is until the transaction ends; returns whether it is on this server. Its caller need
# not own the table.
LOCK_SHARD: Final = f"""
    CREATE OR REPLACE FUNCTION lock_shard_of_brands(shard bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $lock$
    BEGIN
        PERFORM lock_shard_metadata({SHARE_LOCK}, ARRAY[shard]);
        RETURN EXISTS (
            SELECT FROM pg_dist_placement JOIN pg_dist_local_group USING (groupid) WHERE shardid = shard
        );
    END $lock$
"""

# `sent` is a JSON object with the parameters of the statements. It is text for the coordinator, which need not read it.
COUNT_SPEND: Final = """
    CREATE OR REPLACE FUNCTION count_spend(of_brand bigint, sent text) RETURNS TABLE (
        brand_id bigint, time_zone text, currency text, configured_status text, headroom_micros bigint,
        headroom_on date, has_campaign_budgets boolean
    ) LANGUAGE plpgsql AS $count$
    DECLARE
        batch jsonb := sent;
        shards bigint[] := ARRAY[{shards}];
    BEGIN
        PERFORM set_config('lock_timeout', batch->>'own_ms', true),
            set_config('citus.enable_manual_changes_to_shards', 'on', true);
        IF NOT {schema}.lock_shard_of_brands(shards[1]) OR EXISTS (
            SELECT FROM unnest(CAST(batch->>'brand_ids' AS bigint[])) AS id
            WHERE get_shard_id_for_distribution_column('{schema}.brands', id) <> shards[1]
        ) THEN
            RAISE feature_not_supported USING MESSAGE = 'the brands are on another shard or server by now';
        END IF;
        EXECUTE format({count}, VARIADIC shards) USING batch;
        PERFORM {wait};
        RETURN QUERY EXECUTE format({lessen}, VARIADIC shards) USING batch;
    END $count$
"""

DISTRIBUTE_LOCK: Final = "SELECT create_distributed_function('lock_shard_of_brands(bigint)')"

# Citus lets the server that has the brand run the function, also within a transaction.
DISTRIBUTE_COUNT: Final = """
    SELECT create_distributed_function(
        'count_spend(bigint, text)', 'of_brand', colocate_with => 'brands', force_delegation => true
    )
"""

# Citus finds the server by the brand, which must be a constant of its type: so it is sent as text.
CALL = text("SELECT * FROM count_spend(:of_brand, :sent)")


def create(connection: Connection) -> None:
    """Creates the functions on all servers, or replaces them. The tables are spread already."""
    schema = connection.exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    connection.execute(text(LOCK_SHARD))
    connection.exec_driver_sql("REVOKE EXECUTE ON FUNCTION lock_shard_of_brands FROM PUBLIC")
    connection.execute(text(count_spend(schema)))
    for statement in (DISTRIBUTE_LOCK, DISTRIBUTE_COUNT):
        connection.exec_driver_sql(statement)


def count_spend(schema: str) -> str:
    """The statement that creates the function that counts."""
    shards = (f"get_shard_id_for_distribution_column('{schema}.{table}', of_brand)" for table in SPREAD)
    return COUNT_SPEND.format(
        schema=schema,
        shards=", ".join(shards),
        count=_on_shard(COUNT, schema),
        wait=PARAMETER.sub(r"batch->>'\1'", str(WAIT_FOR_BRANDS).replace("SELECT ", "", 1)),
        lessen=_on_shard(LESSEN_HEADROOM, schema),
    )


def _on_shard(statement: TextClause, schema: str) -> str:
    """The statement on the tables of a shard, as a format for the numbers of these tables, in quotes.

    Its parameters are fields of $1.
    """

    def of_shard(found: re.Match[str]) -> str:
        verb, table, alias = found.groups()
        return f"{verb} {schema}.{table}_%{SPREAD.index(table) + 1}$s{alias or f' AS {table}'}"

    body = PARAMETER.sub(r"($1->>'\1')", TABLE.sub(of_shard, str(statement)))
    return f"$statement${body}$statement$"


def count(
    connection: Connection, parts: Iterable[tuple[int, Mapping[str, object]]], timeouts: LockTimeouts | None
) -> list[tuple[Any, ...]]:
    """Counts spend of shards of one server, in this order, and locks its brands; returns the rows of LESSEN_HEADROOM.

    `parts`: one of the brands, and the parameters of the statements, for each shard. `timeouts` None: the setting's
    lock timeout.
    """
    if timeouts is None:
        longest = settings().lock_timeout_ms
        timeouts = LockTimeouts(longest, longest, longest)
    calls = [_call(brand_id, {**parameters, **timeouts._asdict()}) for brand_id, parameters in parts]
    locked = query_pipelined(connection, *calls, sets_limits_of_shards=False)
    before_next(connection, local_setting(connection, "lock_timeout", str(timeouts.own_ms)))
    return list(chain.from_iterable(locked))


def _call(of_brand: int, sent: Mapping[str, object]) -> Query:
    return CALL, {"of_brand": str(of_brand), "sent": json.dumps(sent, default=datetime.isoformat)}
