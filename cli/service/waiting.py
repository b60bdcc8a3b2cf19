"""`spendgate send --wait`: waits until every message is committed, and reports how many inputs were counted."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from cli.output import console, errors, progress
from db.engine import snapshot
from db.repository.delivery.submissions import rejected_messages
from delivery import receipts
from runtime import clock
from runtime.settings import settings

TIMEOUT_EXIT: Final = 4
SHORTEST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 0.5
DEAD_LETTER_POLL_SECONDS: Final = 2.0
NO_RECEIPT_SECONDS: Final = 5.0
MAX_CLOCK_DIFFERENCE: Final = timedelta(hours=1)
NO_WORKER: Final = "no worker has polled the queue lately: start one with `spendgate up`, or the Procfile's `worker`"


@dataclass
class PendingReceipts:
    """The names of the receipts of one submission that have not arrived yet, one for each message.

    `since`: the earliest time at which one of its messages can have become a dead letter.
    """

    submission: str
    since: datetime
    pending: set[str] = field(default_factory=set)

    def another(self) -> str:
        """Returns a new receipt name for one more message, and adds it to `pending`."""
        name = receipts.new_name(self.submission)
        self.pending.add(name)
        return name


@dataclass
class SendOutcome:
    """How many of the `sent` inputs were counted (`taken`), known already, rejected (by reason) or dead-lettered."""

    sent: int
    taken: int = 0
    known: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    dead_lettered: int = 0
    is_timed_out: bool = False

    @property
    def on_the_way(self) -> int:
        """Returns how many inputs are neither committed nor dead-lettered yet."""
        return self.sent - self.taken - self.known - self.rejected.total() - self.dead_lettered

    @property
    def needs_attention(self) -> bool:
        """Returns whether inputs were rejected or dead-lettered, so that a person has to check them."""
        return bool(self.rejected or self.dead_lettered)

    def add(self, receipt: receipts.Receipt) -> None:
        """Adds the counts of one message's receipt."""
        self.taken += receipt.taken
        self.known += receipt.known
        self.rejected.update(receipt.rejected)

    def fields(self) -> dict[str, Any]:
        """Returns the counts as a dict for JSON."""
        return {
            "taken": self.taken,
            "known": self.known,
            "rejected": dict(sorted(self.rejected.items())),
            "given_up": self.dead_lettered,
            "on_the_way": self.on_the_way,
        }


def new_submission() -> PendingReceipts:
    """A new submission without messages. Raises SettingsError without REDIS_URL, since Redis stores receipts."""
    settings().required_redis_url()
    return PendingReceipts(receipts.new_submission(), clock.now() - MAX_CLOCK_DIFFERENCE)


def wait(receipts_left: PendingReceipts, sent: int, seconds: float) -> SendOutcome:
    """Waits until every message has a receipt or is dead-lettered, at most `seconds`; shows a progress bar.

    Returns the outcome.
    """
    outcome = SendOutcome(sent)
    started = time.monotonic()
    dead_letters_read = started
    pause = SHORTEST_PAUSE_SECONDS
    with progress() as shown:
        task = shown.add_task("Counting", total=sent)
        warn = _warning(started)
        while _collect(receipts_left, outcome):
            shown.update(task, completed=sent - outcome.on_the_way)
            now = time.monotonic()
            if now - started >= seconds:
                outcome.is_timed_out = True
                break
            if now - dead_letters_read >= DEAD_LETTER_POLL_SECONDS:
                dead_letters_read = now
                _collect_dead_letters(receipts_left, outcome)
            warn(outcome)
            time.sleep(min(pause, max(0.0, started + seconds - now)))
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
    return outcome


def _collect(receipts_left: PendingReceipts, outcome: SendOutcome) -> bool:
    """Reads the receipts that have arrived and adds them to the outcome; returns whether some are still missing."""
    for name, receipt in receipts.read(sorted(receipts_left.pending)).items():
        outcome.add(receipt)
        receipts_left.pending.remove(name)
        receipts_left.pending.update(receipt.later)
    return bool(receipts_left.pending)


def _collect_dead_letters(receipts_left: PendingReceipts, outcome: SendOutcome) -> None:
    """Reads the submission's dead letters and adds them to the outcome; without DATABASE_URL does nothing."""
    if settings().database_url is None:
        return
    with snapshot() as connection:
        inputs_of = rejected_messages(connection, receipts_left.submission, receipts_left.since)
    for name in receipts_left.pending & inputs_of.keys():
        outcome.dead_lettered += inputs_of[name]
        receipts_left.pending.remove(name)


def _warning(started: float) -> Callable[[SendOutcome], None]:
    """Returns a function that warns once if no receipt has arrived for a while and no worker polls the queue."""
    is_checked = False

    def warn(outcome: SendOutcome) -> None:
        nonlocal is_checked
        no_receipt = outcome.on_the_way == outcome.sent and time.monotonic() - started > NO_RECEIPT_SECONDS
        if no_receipt and not is_checked:
            is_checked = True
            if receipts.is_worker_seen() is False:
                errors.print(f"[yellow]{NO_WORKER}[/yellow]", soft_wrap=True)

    return warn


def print_outcome(outcome: SendOutcome) -> None:
    """Prints the outcome for people."""
    console.print(f"{outcome.taken} counted, {outcome.known} known already, {outcome.rejected.total()} rejected")
    for reason, inputs in sorted(outcome.rejected.items()):
        console.print(f"   {reason}: {inputs}")
    if outcome.needs_attention:
        console.print("[dim]`spendgate rejected list` shows the inputs that were not counted[/dim]")
    if outcome.dead_lettered:
        errors.print(
            f"[red]{outcome.dead_lettered} were in messages that failed every retry, and are kept as rejected[/red]",
            soft_wrap=True,
        )
    if outcome.is_timed_out:
        errors.print(
            f"[red]timeout: {outcome.on_the_way} of {outcome.sent} inputs are not counted yet[/red]", soft_wrap=True
        )
        if receipts.is_worker_seen() is False:
            errors.print(NO_WORKER, soft_wrap=True)
