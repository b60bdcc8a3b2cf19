"""`python -m benchmarks.stepwise TOGETHER`: processes queue `spend` with each step timed; prints the seconds as JSON.

The steps are the product's functions, called as its workers call them, with stopwatches around them.
"""

import functools
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from dramatiq import MessageProxy

import workers.main  # noqa: F401 - as a worker process begins
from app.ingest import batches, ingest
from app.ingest import count as counting
from db import engine
from db.repository.ledger import ledger_rows, spend
from db.repository.ledger.sums import SpendSums
from delivery import bundles, messages
from delivery.broker import get_broker
from delivery.bundles import EventsOfSeveral
from delivery.redis.broker import SpendgateBroker
from delivery.redis.consumer import SpendgateConsumer
from domain.causes import Cause

broker = get_broker()

FUNCTIONS: Final[tuple[tuple[Any, str, str], ...]] = (
    (SpendgateConsumer, "_fetch", "fetched from Redis"),
    (messages, "read", "message decoded"),
    (batches, "plain_drafts", "events read, by columns"),
    (counting, "find_campaigns_cached", "campaigns found in the cache"),
    (counting, "judge_columns", "events validated, local days found"),
    (ledger_rows, "encoded", "rows encoded"),
    (spend, "_copy", "rows written by COPY"),
    (SpendSums, "by", "spend added up by campaign and day"),
    (spend, "record", "spend added up by campaign and day"),
    (counting, "count_and_enforce", "crossed limits: the rest"),
    (ingest, "log_counted", "logged"),
    (SpendgateConsumer, "ack", "acknowledged"),
)
STATEMENTS: Final = {
    "INTO campaign_days": "days counted, brands locked",
    "WITH judged": "crossed limits searched",
}


class Stopwatch:
    """Measures the seconds of each step, without the seconds of steps nested in it."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._within = [0.0]
        self._begun: list[float] = []

    def begin(self) -> None:
        """Starts a step."""
        self._begun.append(time.perf_counter())
        self._within.append(0.0)

    def end(self, step: str) -> None:
        """Ends the step that was started last."""
        taken = time.perf_counter() - self._begun.pop()
        self.seconds[step] += taken - self._within.pop()
        self._within[-1] += taken

    @contextmanager
    def timing(self, step: str) -> Iterator[None]:
        """Times the block as a step."""
        self.begin()
        yield
        self.end(step)

    def watch(self, owner: Any, name: str, step: str) -> None:
        """Replaces a function of a module or class by one that times it as a step."""
        function: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            with self.timing(step):
                return function(*arguments, **options)

        setattr(owner, name, timed)

    def watch_statements(self) -> None:
        """Makes psycopg and SQLAlchemy time the statements sent to Postgres, and the commits, as steps."""
        execute = psycopg.Cursor.execute

        def timed(cursor: psycopg.Cursor, query: Any, *arguments: Any, **options: Any) -> psycopg.Cursor:
            statement = query.decode() if isinstance(query, bytes) else str(query)
            step = next((step for part, step in STATEMENTS.items() if part in statement), "other statements")
            with self.timing(step):
                return execute(cursor, query, *arguments, **options)

        setattr(psycopg.Cursor, "execute", timed)  # noqa: B010 - mypy knows no other way
        self.watch(engine.engine().dialect, "do_commit", "committed")


def main(together: int) -> int:
    """Processes all waiting messages, `together` in a transaction; prints the seconds, in total and by step."""
    assert isinstance(broker, SpendgateBroker)
    watch = Stopwatch()
    if together == 1:
        bundles.MAX_MESSAGES = 1  # type: ignore[misc]
    consumer = broker.consume("spend", prefetch=together, timeout=50)
    waiting = broker.lengths()["spend", "waiting"]
    _take(consumer, 2 * together, together)  # opens connections, prepares statements and fills the cache of campaigns
    for place in FUNCTIONS:
        watch.watch(*place)
    watch.watch_statements()
    started = time.perf_counter()
    _take(consumer, waiting - 2 * together, together)
    seconds = time.perf_counter() - started
    watch.seconds["the rest"] = seconds - sum(watch.seconds.values())
    share = waiting / (waiting - 2 * together)
    print(json.dumps([seconds * share, {step: taken * share for step, taken in watch.seconds.items()}]))
    return 0


def _take(consumer: Any, number: int, together: int) -> None:
    while number > 0:
        group: list[MessageProxy] = []
        while (taken := len(bundles.all_redis_ids(group))) < min(together, number):
            group.extend(filter(None, [next(consumer)]))
        number -= taken
        events = [message.kwargs["events"] for message in group]
        several = [
            batches.Batch.from_messages(some if isinstance(some, EventsOfSeveral) else [some]) for some in events
        ]
        for message, results in zip(group, ingest._committed_group(several), strict=True):
            counted = counting.sum_of([result.counted for result in results])
            ingest.log_counted("spend.ingested", counted, Cause.SPEND)
            consumer.ack(message)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
