"""Bad input, kept whole with its reason until it is replayed."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, text

from domain.inputs import MAX_TEXT, Rejection
from domain.json_text import is_nested_too_deeply

# Keeps inputs; one that waits already for the same reason is counted, not kept twice.
KEEP = text("""
    INSERT INTO rejected_events AS waiting
        (received_at, kind, only_brand_id, receipt, source, reason, detail, payload, times)
    SELECT :at, :kind, CAST(:only_brand_id AS bigint), CAST(:receipt AS text), sent.*
    FROM unnest(
        CAST(:sources AS text[]), CAST(:reasons AS text[]), CAST(:details AS text[]),
        CAST(:payloads AS json[]), CAST(:times AS integer[])
    ) AS sent
    ON CONFLICT (kind, reason, fingerprint, only_brand_id) WHERE replayed_at IS NULL
    DO UPDATE SET times = waiting.times + excluded.times
""")

# What waits, oldest first, one page.
LIST = text("""
    SELECT id, received_at, kind, source, reason, detail, payload, times, only_brand_id
    FROM rejected_events
    WHERE replayed_at IS NULL AND id > :after
        AND (CAST(:reason AS text) IS NULL OR reason = :reason)
        AND (CAST(:ids AS bigint[]) IS NULL OR id = ANY(CAST(:ids AS bigint[])))
    ORDER BY id
    LIMIT :limit
""")

# How many wait for each reason.
COUNTS = text("""
    SELECT reason, count(*), sum(times)::bigint FROM rejected_events WHERE replayed_at IS NULL
    GROUP BY reason ORDER BY reason
""")

# What is replayed next, for nobody else until a moment; what another has claimed is left to that one.
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

# How many wait, and the newest of them.
EXTENT = text("""
    SELECT count(*), COALESCE(max(id), 0) FROM rejected_events
    WHERE replayed_at IS NULL
        AND (CAST(:reason AS text) IS NULL OR reason = :reason)
        AND (CAST(:ids AS bigint[]) IS NULL OR id = ANY(CAST(:ids AS bigint[])))
""")

# What was read again leaves the list; what was refused for the same reason waits on, unclaimed.
SETTLE = text("""
    UPDATE rejected_events SET claimed_until = NULL,
        replayed_at = CASE WHEN id = ANY(CAST(:replayed AS bigint[])) THEN CAST(:at AS timestamptz) ELSE replayed_at END
    WHERE id = ANY(CAST(:claimed AS bigint[]))
""")


SPEND_EVENT: Final = "spend_event"
REPORTED_TOTAL: Final = "reported_total"
MESSAGE: Final = "message"


class Waiting(NamedTuple):
    """A rejected input that waits to be replayed."""

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
    """Keeps each input whole. `kind` says what reads it when it is replayed, `only_brand_id` whose its sender knows."""
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
    """Keeps a whole message that could not be worked on; `receipt`: the name under which its sender waits for it."""
    _write(connection, MESSAGE, {(reason, as_json(payload)): ["", detail, 1]}, at, receipt=receipt)


def _write(
    connection: Connection,
    kind: str,
    inputs: dict[tuple[str, str], list[Any]],
    at: datetime,
    only_brand_id: int | None = None,
    receipt: str | None = None,
) -> None:
    """Writes (source, detail, times) by (reason, payload), in key order so that two batches never wait in a ring."""
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
    connection.execute(KEEP, parameters)


def waiting(
    connection: Connection,
    *,
    after: int = 0,
    reason: str | None = None,
    ids: list[int] | None = None,
    limit: int = 100,
) -> list[Waiting]:
    """One page of what waits, in the order it came; `after` is the last id of the page before."""
    parameters = {"after": after, "reason": reason, "ids": ids, "limit": limit}
    return [Waiting(*row) for row in connection.execute(LIST, parameters)]


def counts(connection: Connection) -> list[tuple[str, int, int]]:
    """For each reason: how many inputs wait, and how often they came."""
    return [(reason, inputs, times) for reason, inputs, times in connection.execute(COUNTS)]


class Chosen(NamedTuple):
    """Which of the waiting inputs are meant: those of a reason, those with given ids, or all."""

    reason: str | None = None
    ids: list[int] | None = None


def extent(connection: Connection, chosen: Chosen) -> tuple[int, int]:
    """How many of the chosen inputs wait, and the largest id among them (0: none)."""
    count, last = connection.execute(EXTENT, chosen._asdict()).one()
    return count, last


def claim(
    connection: Connection, chosen: Chosen, between: tuple[int, int], limit: int, at: datetime, until: datetime
) -> list[Waiting]:
    """The next chosen inputs with after < id <= up to, in id order, claimed until a moment.

    Leaves out what somebody else has claimed at `at`.
    """
    after, up_to = between
    parameters = {"after": after, "up_to": up_to, "limit": limit, "at": at, "until": until}
    return [Waiting(*row) for row in connection.execute(CLAIM, chosen._asdict() | parameters)]


def settle(connection: Connection, claimed: Iterable[int], replayed: Iterable[int], at: datetime) -> None:
    """Gives claimed inputs back; takes those of `replayed` off the list: they were taken, or kept anew."""
    connection.execute(SETTLE, {"claimed": sorted(claimed), "replayed": sorted(replayed), "at": at})


def as_json(payload: object) -> str:
    """The payload as JSON that Postgres can store and every reader read: what is nested deeply becomes a string."""
    try:
        text = json.dumps(payload, allow_nan=False, default=str)
    except (ValueError, RecursionError):
        return json.dumps(_described(payload))
    return json.dumps(text) if is_nested_too_deeply(payload) else text


def _described(payload: object) -> str:
    try:
        return repr(payload)
    except RecursionError:
        return "(nested too deeply to be kept)"


def printable(line: str) -> str:
    """The line without what a text column or a log line cannot hold."""
    return "".join(character if character.isprintable() else "\ufffd" for character in line)


def _source(payload: object) -> str:
    source = payload.get("source") if isinstance(payload, dict) else None
    return printable(source)[:MAX_TEXT] if isinstance(source, str) else ""
