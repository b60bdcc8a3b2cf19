"""`spendgate send --wait`: until all that was sent is committed, and what became of it."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from cli.output import console, errors, progress
from db.engine import snapshot
from db.repository.delivery.given_up import given_up
from delivery import receipts
from runtime import clock
from runtime.settings import settings

TIME_UP_EXIT: Final = 4
SHORTEST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 0.5
GIVEN_UP_EVERY_SECONDS: Final = 2.0
SILENCE_SECONDS: Final = 5.0
CLOCKS_APART: Final = timedelta(hours=1)
NO_WORKER: Final = "no worker has looked at the queue lately: start one with `spendgate up`, or the Procfile's `worker`"


@dataclass
class Names:
    """The receipts that are waited for: a name for each message of one submission."""

    submission: str
    since: datetime
    pending: set[str] = field(default_factory=set)

    def another(self) -> str:
        """The name of one more."""
        name = receipts.another(self.submission)
        self.pending.add(name)
        return name


@dataclass
class Outcome:
    """What became of the inputs that were sent; those that are not in the figures are on their way."""

    sent: int
    taken: int = 0
    known: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    given_up: int = 0
    is_time_up: bool = False

    @property
    def on_the_way(self) -> int:
        """How many are neither committed nor given up yet."""
        return self.sent - self.taken - self.known - self.rejected.total() - self.given_up

    @property
    def found_something(self) -> bool:
        """Whether a person has to look at some of them."""
        return bool(self.rejected or self.given_up)

    def add(self, receipt: receipts.Receipt) -> None:
        """Adds what became of one message."""
        self.taken += receipt.taken
        self.known += receipt.known
        self.rejected.update(receipt.rejected)

    def fields(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "taken": self.taken,
            "known": self.known,
            "rejected": dict(sorted(self.rejected.items())),
            "given_up": self.given_up,
            "on_the_way": self.on_the_way,
        }


def new_names() -> Names:
    """Names for a new submission. Raises SettingsError where there is no Redis: receipts lie there."""
    settings().required_redis_url()
    return Names(receipts.new_submission(), clock.now() - CLOCKS_APART)


def wait(names: Names, sent: int, seconds: float) -> Outcome:
    """Waits until every message's outcome is known, or the time is up; shows on a terminal how far it is."""
    outcome = Outcome(sent)
    started = time.monotonic()
    looked_for_given_up = started
    pause = SHORTEST_PAUSE_SECONDS
    with progress() as shown:
        task = shown.add_task("Counting", total=sent)
        warn = _warning(started)
        while _collect(names, outcome):
            shown.update(task, completed=sent - outcome.on_the_way)
            now = time.monotonic()
            if now - started >= seconds:
                outcome.is_time_up = True
                break
            if now - looked_for_given_up >= GIVEN_UP_EVERY_SECONDS:
                looked_for_given_up = now
                _collect_given_up(names, outcome)
            warn(outcome)
            time.sleep(min(pause, max(0.0, started + seconds - now)))
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
    return outcome


def _collect(names: Names, outcome: Outcome) -> bool:
    """Takes in the receipts that have come since; whether some are still missing."""
    for name, receipt in receipts.read(sorted(names.pending)).items():
        outcome.add(receipt)
        names.pending.remove(name)
        names.pending.update(receipt.later)
    return bool(names.pending)


def _collect_given_up(names: Names, outcome: Outcome) -> None:
    """Takes in the messages that were kept as rejected, where there is a Postgres to look into."""
    if settings().database_url is None:
        return
    with snapshot() as connection:
        found = given_up(connection, names.submission, names.since)
    for name in names.pending & found.keys():
        outcome.given_up += found[name]
        names.pending.remove(name)


def _warning(started: float) -> Callable[[Outcome], None]:
    """Says once that no worker is there, when nothing has come back for a while."""
    told: list[bool] = []

    def warn(outcome: Outcome) -> None:
        silent = outcome.on_the_way == outcome.sent and time.monotonic() - started > SILENCE_SECONDS
        if silent and not told:
            told.append(True)
            if receipts.is_worker_seen() is False:
                errors.print(f"[yellow]{NO_WORKER}[/yellow]", soft_wrap=True)

    return warn


def tell(outcome: Outcome) -> None:
    """The summary for people."""
    console.print(f"{outcome.taken} taken, {outcome.known} known already, {outcome.rejected.total()} rejected")
    for reason, inputs in sorted(outcome.rejected.items()):
        console.print(f"   {reason}: {inputs}")
    if outcome.found_something:
        console.print("[dim]spendgate rejected list shows what was not taken[/dim]")
    if outcome.given_up:
        errors.print(f"[red]{outcome.given_up} are in messages that kept failing, and were kept as rejected[/red]")
    if outcome.is_time_up:
        errors.print(
            f"[red]the time is up: {outcome.on_the_way} of {outcome.sent} are still on the way[/red]", soft_wrap=True
        )
        if receipts.is_worker_seen() is False:
            errors.print(NO_WORKER, soft_wrap=True)
