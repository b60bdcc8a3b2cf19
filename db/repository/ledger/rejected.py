"""Stores rejected inputs with the reason; lists and counts those that wait, and claims them for a replay."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, text

from db.engine import deferred
from domain.inputs.json_text import is_nested_too_deeply
from domain.inputs.reasons import Rejection
from domain.inputs.values import MAX_TEXT

# Stores inputs. For an input that waits already with the same reason, only `times` rises, to the largest integer.
KEEP = text("""
    INSERT INTO rejected_events AS waiting
        (received_at, kind, only_brand_id, receipt, source, reason, detail, payload, times)
    SELECT :at, :kind, CAST(:only_brand_id AS bigint), CAST(:receipt AS text), sent.*
    FROM unnest(
        CAST(:sources AS text[]), CAST(:reasons AS text[]), CAST(:details AS text[]),
        CAST(:payloads AS json[]), CAST(:times AS integer[])
    ) AS sent
    ON CONFLICT (kind, reason, fingerprint, only_brand_id) WHERE replayed_at IS NULL
    DO UPDATE SET times = least(CAST(waiting.times AS bigint) + excluded.times, 2147483647)
""")

# One page of waiting inputs, oldest first.
LIST = text("""
    SELECT id, received_at, kind, source, reason, detail, payload, times, only_brand_id
    FROM rejected_events
    WHERE replayed_at IS NULL AND id > :after
        AND (CAST(:reason AS text) IS NULL OR reason = :reason)
        AND (CAST(:ids AS bigint[]) IS NULL OR id = ANY(CAST(:ids AS bigint[])))
    ORDER BY id
    LIMIT :limit
""")

# The number of waiting inputs by reason.
COUNTS = text("""
    SELECT reason, count(*), sum(times)::bigint FROM rejected_events WHERE replayed_at IS NULL
    GROUP BY reason ORDER BY reason
""")

# The number of waiting inputs by reason, for each kind and reason at most :most, read from the index of waiting inputs.
COUNTS_UP_TO = text("""
    WITH RECURSIVE several AS (
        (SELECT kind, reason FROM rejected_events WHERE replayed_at IS NULL ORDER BY kind, reason LIMIT 1)
        UNION ALL
        SELECT next.kind, next.reason FROM several CROSS JOIN LATERAL (
            SELECT waiting.kind, waiting.reason FROM rejected_events AS waiting
            WHERE replayed_at IS NULL AND (waiting.kind, waiting.reason) > (several.kind, several.reason)
            ORDER BY waiting.kind, waiting.reason LIMIT 1
        ) AS next
    )
    SELECT reason, sum(inputs)::bigint FROM several CROSS JOIN LATERAL (
        SELECT count(*) AS inputs FROM (
            SELECT FROM rejected_events AS waiting
            WHERE replayed_at IS NULL AND waiting.kind = several.kind AND waiting.reason = several.reason
            LIMIT :most
        ) AS some_of_them
    ) AS counted
    GROUP BY reason
""")

# Claims the next inputs to replay until :until; skips inputs that another replay has claimed.
CLAIM = text("""
    WITH claimed AS (
        UPDATE rejected_events SET claimed_until = :until
        WHERE id IN (
            SELECT id FROM rejected_events
            WHERE replayed_at IS NULL AND id > :after AND id <= :up_to
                AND (claimed_until IS NULL OR claimed_until <= :at)
                AND (CAST(:reason AS text) IS NULL OR reason = :reason)
                AND (CAST(:ids AS bigint[]) IS NULL OR id = ANY(CAST(:ids AS bigint[])))
            ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
        )
        RETURNING id, received_at, kind, source, reason, detail, payload, times, only_brand_id
    )
    SELECT * FROM claimed ORDER BY id
""")

# The number of waiting inputs, and the largest id among them.
EXTENT = text("""
    SELECT count(*), COALESCE(max(id), 0) FROM rejected_events
    WHERE replayed_at IS NULL
        AND (CAST(:reason AS text) IS NULL OR reason = :reason)
        AND (CAST(:ids AS bigint[]) IS NULL OR id = ANY(CAST(:ids AS bigint[])))
""")

# Ends the claims. Replayed inputs leave the list; inputs rejected again for the same reason go on waiting.
SETTLE = text("""
    UPDATE rejected_events SET claimed_until = NULL,
        replayed_at = CASE WHEN id = ANY(CAST(:replayed AS bigint[])) THEN CAST(:at AS timestamptz) ELSE replayed_at END
    WHERE id = ANY(CAST(:claimed AS bigint[]))
""")


SPEND_EVENT: Final = "spend_event"
REPORTED_TOTAL: Final = "reported_total"
MESSAGE: Final = "message"


class Waiting(NamedTuple):
    """A rejected input that waits to be replayed. `times`: how often it was received.

    `only_brand_id`: the only brand whose campaigns its sender may name; None: all brands.
    """

    id: int
    received_at: datetime
    kind: str
    source: str
    reason: str
    detail: str
    payload: Any
    times: int
    only_brand_id: int | None = None


def keep(
    connection: Connection,
    kind: str,
    rejections: Iterable[Rejection],
    at: datetime,
    only_brand_id: int | None = None,
) -> None:
    """Stores rejected inputs, received at `at`. For one that waits already with the same reason, only `times` rises.

    Call it last in a transaction: it locks the rows of inputs that repeat, and every other transaction with such an
    input then waits. Its statement is sent with the transaction's next round trip, or its commit, ahead of statements
    that are queued already, such as status changes, for whose lock all transactions with status changes wait.

    `kind`: the kind of input, such as SPEND_EVENT, which decides how a replay parses it. `only_brand_id`: the only
    brand that the sender may see; None: all brands.
    """
    waiting: dict[tuple[str, str], list[Any]] = {}
    for rejection in rejections:
        payload = as_json(rejection.payload)
        row = waiting.setdefault((rejection.reason, payload), [_source(rejection.payload), rejection.detail, 0])
        row[2] += 1
    if waiting:
        _write(connection, kind, waiting, at, only_brand_id)


def keep_message(
    connection: Connection, reason: str, detail: str, payload: object, at: datetime, receipt: str | None = None
) -> None:
    """Stores a whole message that could not be processed; if it waits already with this reason, only `times` rises.

    `receipt`: the name under which its sender waits for the result; None: the sender does not wait. The statement is
    sent with the transaction's next round trip, or with its commit.
    """
    _write(connection, MESSAGE, {(reason, as_json(payload)): ["", detail, 1]}, at, receipt=receipt)


def _write(
    connection: Connection,
    kind: str,
    inputs: dict[tuple[str, str], list[Any]],
    at: datetime,
    only_brand_id: int | None = None,
    receipt: str | None = None,
) -> None:
    """Queues the statement that writes rejected inputs, in the order of their keys so that two batches cannot deadlock.

    `inputs`: [source, detail, times] by (reason, payload as JSON).
    """
    rows = sorted(inputs.items())
    parameters = {
        "at": at,
        "kind": kind,
        "only_brand_id": only_brand_id,
        "receipt": receipt,
        "reasons": [str(reason) for (reason, _), _ in rows],
        "payloads": [payload for (_, payload), _ in rows],
        "sources": [source for _, (source, _, _) in rows],
        "details": [printable(detail) for _, (_, detail, _) in rows],
        "times": [times for _, (_, _, times) in rows],
    }
    deferred(connection, (KEEP, parameters), come_first=True)


def waiting(
    connection: Connection,
    *,
    after: int = 0,
    reason: str | None = None,
    ids: list[int] | None = None,
    limit: int = 100,
) -> list[Waiting]:
    """One page of at most `limit` rejected inputs that were not replayed, in id order.

    `after`: the last id of the previous page. `reason`, `ids`: only inputs with these; None: all.
    """
    parameters = {"after": after, "reason": reason, "ids": ids, "limit": limit}
    return [Waiting(*row) for row in connection.execute(LIST, parameters)]


def counts(connection: Connection) -> list[tuple[str, int, int]]:
    """For each reason: the reason, the number of waiting inputs, and how often they were received in total."""
    return [(reason, inputs, times) for reason, inputs, times in connection.execute(COUNTS)]


def counts_up_to(connection: Connection, most: int) -> dict[str, int]:
    """At least how many inputs wait, by reason: counts at most `most` of each kind and reason, to bound its time."""
    return {str(reason): int(inputs) for reason, inputs in connection.execute(COUNTS_UP_TO, {"most": most})}


class Chosen(NamedTuple):
    """A selection of waiting inputs: those with this reason (None: any reason) and one of these ids (None: any id)."""

    reason: str | None = None
    ids: list[int] | None = None


def extent(connection: Connection, chosen: Chosen) -> tuple[int, int]:
    """The number of selected inputs that wait, and the largest id among them (0 for none)."""
    count, last = connection.execute(EXTENT, chosen._asdict()).one()
    return count, last


def claim(
    connection: Connection, chosen: Chosen, between: tuple[int, int], limit: int, at: datetime, until: datetime
) -> list[Waiting]:
    """Claims the next selected inputs until `until` and returns them in id order, `limit` at most.

    `between` is (after, up to): ids above the first, up to and including the second. Skips inputs that another replay
    has claimed beyond `at`, and inputs whose row is locked.
    """
    after, up_to = between
    parameters = {"after": after, "up_to": up_to, "limit": limit, "at": at, "until": until}
    return [Waiting(*row) for row in connection.execute(CLAIM, chosen._asdict() | parameters)]


def settle(connection: Connection, claimed: Iterable[int], replayed: Iterable[int], at: datetime) -> None:
    """Ends the claims on the inputs with the ids `claimed`. Inputs also in `replayed` no longer wait from `at` on.

    These were accepted, or sent to the queue again, or rejected for another reason and stored as new rows.
    """
    connection.execute(SETTLE, {"claimed": sorted(claimed), "replayed": sorted(replayed), "at": at})


def as_json(payload: object) -> str:
    """The payload as JSON that Postgres can store.

    A payload nested too deeply for readers, or with NaN or infinity, becomes a JSON string of its text.
    """
    try:
        text = json.dumps(payload, allow_nan=False, default=str)
    except (ValueError, RecursionError):
        return json.dumps(_repr(payload))
    return json.dumps(text) if is_nested_too_deeply(payload) else text


def _repr(payload: object) -> str:
    try:
        return repr(payload)
    except RecursionError:
        return "(nested too deeply to be kept)"


def printable(line: str) -> str:
    """The line with each unprintable character, such as a line break, replaced by U+FFFD."""
    return "".join(character if character.isprintable() else "\ufffd" for character in line)


def _source(payload: object) -> str:
    source = payload.get("source") if isinstance(payload, dict) else None
    return printable(source)[:MAX_TEXT] if isinstance(source, str) else ""
