"""Replays rejected inputs after their fault was corrected: parses them again in batches and counts them as new ones."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final, NamedTuple

from app.ingest.by_brand import BrandsTimedOut
from app.ingest.count import Counted
from app.ingest.ingest import count_events, count_totals, log_counted
from db.engine import committed, snapshot
from db.repository.ledger import rejected
from db.repository.ledger.rejected import Chosen, Waiting, as_json
from delivery.messages import MessageTooLarge
from delivery.outgoing import enqueue
from delivery.queues import QUEUE_OF
from domain.causes import Cause
from domain.inputs.values import MAX_EVENTS_PER_MESSAGE
from runtime import clock

CLAIM: Final = timedelta(minutes=10)
"""Time for which a replay claims inputs, far longer than a batch takes; after a crash, claimed inputs wait so long."""

ALL: Final = Chosen()


class Replayed(NamedTuple):
    """How many inputs a replay counted newly, knew already, rejected again, and did not count because of a lock.

    For stored whole messages: how many it enqueued (`taken`), and how many it could not enqueue (`rejected`).
    """

    taken: int = 0
    known: int = 0
    rejected: int = 0
    held_up: int = 0

    @property
    def total(self) -> int:
        """The number of replayed inputs, without inputs of locked brands."""
        return self.taken + self.known + self.rejected

    def plus(self, other: "Replayed") -> "Replayed":
        """Both results, added up."""
        return Replayed(*map(sum, zip(self, other, strict=True)))


class GroupReplay(NamedTuple):
    """The result of replaying a group of inputs, and the ids of those that are settled and leave the list."""

    replayed: Replayed
    settled_ids: list[int]


ReportProgress = Callable[[int, int], None]
"""Called with the number of inputs done and their total."""


def replay(row: Waiting) -> bool:
    """Replays one input; returns whether it was counted or a duplicate.

    An input that is rejected again stays listed, with its new reason.
    """
    done = replay_chosen(Chosen(ids=[row.id]))
    return done.taken + done.known > 0


def replay_chosen(chosen: Chosen = ALL, progress: ReportProgress = lambda _done, _of: None) -> Replayed:
    """Replays the chosen inputs that are listed now, thousands at a time; returns how many had which outcome.

    Each input is counted before it leaves the list: after a crash between the two it is replayed again, as a duplicate.
    Skips inputs that another process is replaying. Inputs of a locked brand stay listed.
    """
    with snapshot() as connection:
        total, up_to = rejected.extent(connection, chosen)
    done, after = Replayed(), 0
    while rows := _claim(chosen, after, up_to):
        done = done.plus(_replay_claimed(rows))
        after = rows[-1].id
        progress(done.total + done.held_up, total)
    return done


def _claim(chosen: Chosen, after: int, up_to: int) -> list[Waiting]:
    at = clock.now()
    claim = partial(
        rejected.claim,
        chosen=chosen,
        between=(after, up_to),
        limit=MAX_EVENTS_PER_MESSAGE,
        at=at,
        until=at + CLAIM,
    )
    return committed(claim)


def _replay_claimed(rows: Sequence[Waiting]) -> Replayed:
    """Replays claimed inputs, grouped by kind and sender's brand, and releases their claims; returns the result."""
    groups: defaultdict[tuple[str, int | None], list[Waiting]] = defaultdict(list)
    for row in rows:
        groups[row.kind, row.only_brand_id].append(row)
    done, settled_ids = Replayed(), list[int]()
    try:
        for (kind, only_brand_id), some in groups.items():
            result = _send_again(some) if kind == rejected.MESSAGE else _count_again(kind, only_brand_id, some)
            done = done.plus(result.replayed)
            settled_ids += result.settled_ids
    finally:
        ids = [row.id for row in rows]
        committed(lambda connection: rejected.settle(connection, ids, settled_ids, clock.now()))
    return done


def _count_again(kind: str, only_brand_id: int | None, rows: Sequence[Waiting]) -> GroupReplay:
    """Counts each distinct input of one group once, also if it is listed several times.

    Inputs of brands that stay locked still wait to be replayed; `held_up` of the result counts them.
    """
    by_input: defaultdict[str, list[Waiting]] = defaultdict(list)
    for row in rows:
        by_input[as_json(row.payload)].append(row)
    held_up = 0
    try:
        counted = _count(kind, [some[0].payload for some in by_input.values()], only_brand_id)
    except BrandsTimedOut as error:
        counted = error.counted
        held_up = sum(len(by_input.pop(text)) for text in {as_json(one.payload) for one in error.uncounted})
    result = _group_replay(by_input, counted)
    return result._replace(replayed=result.replayed._replace(held_up=held_up))


def _group_replay(by_input: Mapping[str, Sequence[Waiting]], counted: Counted) -> GroupReplay:
    """The result and the settled ids of a counted group. `by_input`: by JSON text, the rows of each distinct input."""
    refused: defaultdict[str, set[str]] = defaultdict(set)
    for rejection in counted.rejections:
        refused[as_json(rejection.payload)].add(str(rejection.reason))
    rejected_again = sum(len(some) for text, some in by_input.items() if text in refused)
    settled_ids = [row.id for text, some in by_input.items() for row in some if row.reason not in refused[text]]
    known = sum(map(len, by_input.values())) - counted.taken - rejected_again
    return GroupReplay(Replayed(counted.taken, known, rejected_again), settled_ids)


def _count(kind: str, payloads: Sequence[Any], only_brand_id: int | None) -> Counted:
    if kind == rejected.REPORTED_TOTAL:
        counted = count_totals(payloads, only_brand_id)
        log_counted("totals.ingested", counted, Cause.REPORTED_TOTAL)
    else:
        counted = count_events(payloads, only_brand_id)
        log_counted("spend.ingested", counted, Cause.SPEND)
    return counted


def _send_again(rows: Sequence[Waiting]) -> GroupReplay:
    settled_ids = [row.id for row in rows if _send(row.payload)]
    return GroupReplay(Replayed(taken=len(settled_ids), rejected=len(rows) - len(settled_ids)), settled_ids)


def _send(payload: Any) -> bool:
    """Enqueues a stored message again, without the options of its failures; returns False if that is impossible."""
    is_sendable = (
        isinstance(payload, dict)
        and isinstance(payload.get("actor_name"), str)
        and payload["actor_name"] in QUEUE_OF
        and isinstance(payload.get("args"), list)
        and isinstance(payload.get("kwargs"), dict)
    )
    if is_sendable:
        try:
            enqueue(payload["actor_name"], payload["args"], payload["kwargs"])
        except MessageTooLarge:
            return False
    return is_sendable
