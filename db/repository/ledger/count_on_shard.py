"""Counts spend on one shard of Citus by one call of a function, which the server of the shard runs.

The coordinator passes the call on as it is, so it plans none of the statements and reads none of the rows. The function
runs the statements of one server (`counting`) on the tables of the shard. Citus takes no lock for them, so the function
first takes the one that Citus takes for a write: a move of the shard waits until the commit; if the shard was moved
before, the function fails.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import chain
from typing import Any, Final

from sqlalchemy import Connection, TextClause, text

from db.engine import Query, query_pipelined
from db.repository.ledger.counting import COUNT, LESSEN_HEADROOM, WAIT_FOR_BRANDS, LockTimeouts
from db.repository.spread import on_shard
from db.transaction_settings import settings_of_shards
from runtime.settings import settings

COUNTED: Final = ("brands", "spend_events", "campaign_days", "brand_days")
"""The tables that counting writes. In the text of a statement, `%n$s` stands for the shard number of the n-th table."""

TABLE: Final = re.compile(rf"\b(INTO|FROM|UPDATE) ({'|'.join(COUNTED)})\b( AS \w+)?")
PARAMETER: Final = re.compile(r"(?<!:):(\w+)")


def _on_shard(statement: TextClause) -> str:
    """The quoted text of the statement as a server prepares it on the tables of a shard.

    It is a template for Postgres's function `format`, which puts the shard numbers into the tables' names. The
    parameters of the statement are fields of `$1`, a JSON object.
    """

    def of_shard(found: re.Match[str]) -> str:
        verb, table, alias = found.groups()
        return f"{verb} {{schema}}.{table}_%{COUNTED.index(table) + 1}$s{alias or f' AS {table}'}"

    body = PARAMETER.sub(r"($1->>'\1')", TABLE.sub(of_shard, str(statement)))
    return f"$statement$(jsonb) AS {body}$statement$"


SHARDS: Final = ", ".join(f"get_shard_id_for_distribution_column('{{schema}}.{table}', of_brand)" for table in COUNTED)

WAIT: Final = PARAMETER.sub(r"batch->>'\1'", str(WAIT_FOR_BRANDS).replace("SELECT ", "", 1))

# `sent` is a JSON object with the parameters of the statements. It is text for the coordinator, which need not read it.
COUNT_SPEND: Final = f"""
    CREATE OR REPLACE FUNCTION count_spend(of_brand bigint, sent text) RETURNS TABLE (
        brand_id bigint, time_zone text, currency text, configured_status text, headroom_micros bigint,
        headroom_on date, has_campaign_budgets boolean
    ) LANGUAGE plpgsql AS $count$
    DECLARE
        batch jsonb := sent;
        shards bigint[] := ARRAY[{SHARDS}];
        counting text := 'count_{on_shard.key_of(str(COUNT))}_' || shards[1];
        lessening text := 'lessen_{on_shard.key_of(str(LESSEN_HEADROOM))}_' || shards[1];
    BEGIN
        PERFORM set_config(name, value, true) FROM jsonb_each_text(batch->'limits') AS limits(name, value);
        PERFORM set_config('citus.enable_manual_changes_to_shards', 'on', true),
            set_config('lock_timeout', batch->>'own_ms', true);
        IF NOT {{schema}}.lock_shard_of_brands(shards[1]) OR EXISTS (
            SELECT FROM unnest(CAST(batch->>'brand_ids' AS bigint[])) AS id
            WHERE get_shard_id_for_distribution_column('{{schema}}.brands', id) <> shards[1]
        ) THEN
            RAISE feature_not_supported USING MESSAGE = 'the brands are on another shard or server by now';
        END IF;
        IF current_setting('spendgate.' || lessening, true) IS DISTINCT FROM 'on' THEN
            PERFORM {{schema}}.prepare_once(counting, format({_on_shard(COUNT)}, VARIADIC shards)),
                {{schema}}.prepare_once(lessening, format({_on_shard(LESSEN_HEADROOM)}, VARIADIC shards));
        END IF;
        EXECUTE format('EXECUTE %I(%L)', counting, batch);
        PERFORM {WAIT};
        RETURN QUERY EXECUTE format('EXECUTE %I(%L)', lessening, batch);
        PERFORM set_config('lock_timeout', batch->>'own_ms', true);
    END $count$
"""  # noqa: S608 - of constants

GENERIC_PLANS: Final = {"plan_cache_mode": "force_generic_plan"}
"""The setting with which a server plans a prepared statement once, for all values."""

# Citus finds the server by the brand, which must be a constant of its type: so it is sent as text.
CALL = text("SELECT * FROM count_spend(:of_brand, :sent)")


def create(connection: Connection) -> None:
    """Creates or replaces the SQL function `count_spend` on all servers. Call `create` of on_shard.py first."""
    on_shard.create_run_by_server(connection, COUNT_SPEND, "count_spend(bigint, text)")


def count(
    connection: Connection, parts: Iterable[tuple[int, Mapping[str, object]]], timeouts: LockTimeouts | None
) -> list[tuple[Any, ...]]:
    """Counts the spend of shards, in the given order, and locks their brands; returns each brand's columns LOCKED.

    `parts`: for each shard, the id of one of its brands, and the parameters of COUNT and LESSEN_HEADROOM. `timeouts`
    None: the lock timeout of the settings. Raises IntegrityError if the ledger has one of the events, OperationalError
    on a lock timeout, and NotSupportedError if a shard was moved meanwhile.
    """
    if timeouts is None:
        longest = settings().lock_timeout_ms
        timeouts = LockTimeouts(longest, longest, longest)
    limits = {**settings_of_shards(), **GENERIC_PLANS}
    calls = [_call(brand_id, {**parameters, **timeouts._asdict(), "limits": limits}) for brand_id, parameters in parts]
    return list(chain.from_iterable(query_pipelined(connection, *calls, sets_shards=False)))


def _call(of_brand: int, sent: Mapping[str, object]) -> Query:
    return CALL, {"of_brand": str(of_brand), "sent": json.dumps(sent, default=datetime.isoformat)}
