"""Rejected inputs read again, after what was wrong with them was mended: in batches, counted as all spend is."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final, NamedTuple

from app.ingest.by_brand import BrandsHeldUp
from app.ingest.count import Counted
from app.ingest.ingest import count_events, count_totals, report
from db.engine import committed, snapshot
from db.repository.ledger import rejected
from db.repository.ledger.rejected import Chosen, Waiting, as_json
from delivery.messages import MessageTooLarge
from delivery.outgoing import enqueue
from delivery.queues import QUEUE_OF
from domain.causes import Cause
from domain.inputs import MAX_EVENTS_PER_MESSAGE
from runtime import clock

CLAIM: Final = timedelta(minutes=10)
"""For how long inputs are nobody else's to replay: far longer than a batch takes. After a crash they wait that long."""

ALL: Final = Chosen()


class Replayed(NamedTuple):
    """How many inputs were read again: taken, known already, refused again; and left, because their brand is locked."""

    taken: int = 0
    known: int = 0
    rejected: int = 0
    held_up: int = 0

    @property
    def total(self) -> int:
        """How many were read again."""
        return self.taken + self.known + self.rejected

    def plus(self, other: "Replayed") -> "Replayed":
        """Both together."""
        return Replayed(*map(sum, zip(self, other, strict=True)))


class Outcome(NamedTuple):
    """What became of some inputs, and which of them leave the list."""

    replayed: Replayed
    leaving: list[int]


Progress = Callable[[int, int], None]
"""Is told how many inputs are done, and of how many."""


def replay(row: Waiting) -> bool:
    """Replays one input; whether it was taken, or known. One that is refused again waits on, with the reason of now."""
    done = replay_chosen(Chosen(ids=[row.id]))
    return done.taken + done.known > 0


def replay_chosen(chosen: Chosen = ALL, progress: Progress = lambda _done, _of: None) -> Replayed:
    """Replays the chosen inputs that wait now, some thousand at a time, and says what became of them.

    Each input is counted before it is taken off the list, so that a crash between the two loses nothing: it is read
    again, and known. What another process is replaying is left to that one. Inputs of a locked brand wait on.
    """
    with snapshot() as connection:
        total, up_to = rejected.extent(connection, chosen)
    done, after = Replayed(), 0
    while rows := _claimed(chosen, after, up_to):
        done = done.plus(_replayed(rows))
        after = rows[-1].id
        progress(done.total + done.held_up, total)
    return done


def _claimed(chosen: Chosen, after: int, up_to: int) -> list[Waiting]:
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


def _replayed(rows: Sequence[Waiting]) -> Replayed:
    """Replays claimed inputs, those of one kind and one sender's brand together, and gives them back."""
    groups: defaultdict[tuple[str, int | None], list[Waiting]] = defaultdict(list)
    for row in rows:
        groups[row.kind, row.only_brand_id].append(row)
    done, leaving = Replayed(), list[int]()
    try:
        for (kind, only_brand_id), some in groups.items():
            outcome = _sent_again(some) if kind == rejected.MESSAGE else _read_again(kind, only_brand_id, some)
            done = done.plus(outcome.replayed)
            leaving += outcome.leaving
    finally:
        ids = [row.id for row in rows]
        committed(lambda connection: rejected.settle(connection, ids, leaving, clock.now()))
    return done


def _read_again(kind: str, only_brand_id: int | None, rows: Sequence[Waiting]) -> Outcome:
    """Counts the inputs; those of brands that stay locked wait on."""
    try:
        return _counted(kind, only_brand_id, rows)
    except BrandsHeldUp as error:
        locked = {as_json(one.payload) for one in error.left}
    free = [row for row in rows if as_json(row.payload) not in locked]
    outcome = _counted(kind, only_brand_id, free) if free else Outcome(Replayed(), [])
    return outcome._replace(replayed=outcome.replayed._replace(held_up=len(rows) - len(free)))


def _counted(kind: str, only_brand_id: int | None, rows: Sequence[Waiting]) -> Outcome:
    """One input may wait for several reasons, a row each: it is counted once."""
    by_input: defaultdict[str, list[Waiting]] = defaultdict(list)
    for row in rows:
        by_input[as_json(row.payload)].append(row)
    payloads = [some[0].payload for some in by_input.values()]
    counted = _count(kind, payloads, only_brand_id)
    refused: defaultdict[str, set[str]] = defaultdict(set)
    for rejection in counted.rejections:
        refused[as_json(rejection.payload)].add(str(rejection.reason))
    again = sum(len(some) for text, some in by_input.items() if text in refused)
    leaving = [row.id for text, some in by_input.items() for row in some if row.reason not in refused[text]]
    return Outcome(Replayed(counted.taken, len(rows) - counted.taken - again, again), leaving)


def _count(kind: str, payloads: Sequence[Any], only_brand_id: int | None) -> Counted:
    if kind == rejected.REPORTED_TOTAL:
        counted = count_totals(payloads, only_brand_id)
        report("totals.ingested", counted, Cause.REPORTED_TOTAL)
    else:
        counted = count_events(payloads, only_brand_id)
        report("spend.ingested", counted, Cause.SPEND)
    return counted


def _sent_again(rows: Sequence[Waiting]) -> Outcome:
    leaving = [row.id for row in rows if _is_sent(row.payload)]
    return Outcome(Replayed(taken=len(leaving), rejected=len(rows) - len(leaving)), leaving)


def _is_sent(payload: Any) -> bool:
    """Enqueues a kept message anew, without the options that tell of its failures; false where it cannot be."""
    sound = (
        isinstance(payload, dict)
        and isinstance(payload.get("actor_name"), str)
        and payload["actor_name"] in QUEUE_OF
        and isinstance(payload.get("args"), list)
        and isinstance(payload.get("kwargs"), dict)
    )
    if sound:
        try:
            enqueue(payload["actor_name"], payload["args"], payload["kwargs"])
        except MessageTooLarge:
            return False
    return sound
