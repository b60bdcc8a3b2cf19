"""Measures what a dead webhook endpoint costs other endpoints, and what 100 endpoints and alerts cost counting.

`make bench-notices` prints a Markdown table. ARGS="--rounds N --pauses N [dead|ingest|ingest-all]" changes the number
of alternating rounds and of pauses in each, and chooses a measure.
"""

import argparse
import os
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from statistics import median, quantiles
from typing import Any, Final

import psycopg

from benchmarks import ingest, latency, workload
from benchmarks.stage import BenchStage, running, until
from tests.fake_channels.mail import mail_server
from tests.receivers.server import Answer, Received, receiving

ENDPOINTS: Final = 100
DEAD: Final = "/1"
"""The path of the endpoint that dies: it accepts connections and answers none."""

WARM: Final = 3
EVENTS: Final = 1_800_000
"""Events counted in a round: some ten seconds, so that imports at the start of a process weigh little."""

ADDED_SECONDS: Final = 1.0
KEPT_RATE: Final = 0.95

UNREAD: Final = "SELECT count(*) FROM webhook_endpoints WHERE feed_epoch IS NULL"

A_TROUBLE: Final = """
    INSERT INTO spend_files (platform, name, version, unchanged_since, problem, problem_version)
    VALUES ('google_ads', 'a.csv', '1', now(), 'is empty', '1')
"""

# The first endpoint's copies, each with a path of its own; of one brand each if there are brands to give.
COPIES: Final = """
    INSERT INTO webhook_endpoints (brand_id, url, types, description, secret, feed_epoch, after_change_id, created_at)
    SELECT CASE WHEN %(of_brands)s THEN number END, %(url)s || '/' || number, types, description, secret, feed_epoch,
        after_change_id, created_at
    FROM webhook_endpoints CROSS JOIN generate_series(2, %(endpoints)s) AS number WHERE id = 1
"""


def main() -> int:
    """Prints the table; returns the exit code: 1 if a measure misses its bound."""
    options = argparse.ArgumentParser("python -m benchmarks.notices")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--pauses", type=int, default=20)
    options.add_argument("measures", nargs="*", default=["dead", "ingest", "ingest-all"])
    given = options.parse_args()
    print(f"Load of the machine: {os.getloadavg()[0]:.1f}\n")
    print("| measure | ours | reference | to reach | reached |\n|---|---:|---:|---|---|", flush=True)
    is_met = True
    with running() as stage:
        key = urlsafe_b64encode(os.urandom(32)).decode()
        allowed = {"SPENDGATE_WEBHOOK_ALLOW_HTTP": "true", "SPENDGATE_WEBHOOK_ALLOW_PRIVATE": "true"}
        stage.settings = {"SPENDGATE_ENCRYPTION_KEYS": key, **allowed}
        for name in given.measures:
            is_met &= MEASURES[name](stage, given.rounds, given.pauses)
    return int(not is_met)


def dead(stage: BenchStage, rounds: int, pauses: int) -> bool:
    """Measures seconds from an event until 99 endpoints have the pause, while the 100th is dead; reference: it works.

    Prints the 99th percentiles over `rounds` rounds of `pauses` pauses; returns whether the bound is met.
    """
    seconds = {is_dead: list[float]() for is_dead in (True, False)}
    for _ in range(rounds):
        for is_dead, found in seconds.items():
            found.extend(delays(stage, pauses, is_dead=is_dead))
    ours, reference = (quantiles(found, n=100)[98] for found in seconds.values())
    shown = " and ".join(f"{median(found):.2f}" for found in seconds.values())
    name = f"pause at 99 endpoints beside a dead one, s, 99 % (medians {shown})"
    return row(name, ours, reference, f"at most {ADDED_SECONDS:g} s more", is_met=ours - reference <= ADDED_SECONDS)


def delays(stage: BenchStage, pauses: int, *, is_dead: bool) -> list[float]:
    """Measures the seconds from each event until each of the 99 endpoints besides DEAD has its pause.

    `is_dead`: DEAD answers nothing after the first WARM pauses.
    """
    arrived: dict[tuple[str, int], float] = {}
    others = {f"/{number}" for number in range(1, ENDPOINTS + 1)} - {DEAD}
    with receiving() as receiver, stage.copied() as connection:
        for path in {*others, DEAD}:
            receiver.answer(path, partial(_noted, arrived))
        add_endpoints(stage, connection, receiver.url)
        campaigns = latency.add_campaigns(connection, WARM + pauses)
        taken = []
        with stage.workers():
            for number, campaign in enumerate(campaigns):
                if is_dead and number == WARM:
                    receiver.answer(DEAD, Answer(instead=receiver.hang))
                started = _paused(stage, campaign)
                until(lambda: all((path, campaign) in arrived for path in others))  # noqa: B023 - called at once
                if number >= WARM:
                    taken += [arrived[path, campaign] - started for path in others]
    return taken


def _noted(arrived: dict[tuple[str, int], float], one: Received) -> Answer:
    data = one.message["data"]
    if "campaign" in data:
        arrived.setdefault((one.path, data["campaign"]["id"]), time.perf_counter())
    return Answer()


def _paused(stage: BenchStage, campaign: int) -> float:
    """Enqueues the event that pauses the campaign; returns the moment."""
    name = f"crossing-{campaign}"
    message = workload.message({"events": [latency.crossing_event(campaign)]}, name, "ingest_spend")
    started = time.perf_counter()
    stage.put_one(name, message)
    return started


def counted(stage: BenchStage, rounds: int, _pauses: int, *, of_brands: bool = True) -> bool:
    """Measures events a second with 100 endpoints and an alert channel; reference: without any.

    Prints the medians; returns whether the bound is met. `of_brands`: each endpoint is of one brand, else of all
    brands.
    """
    pairs = []
    for number in range(rounds):
        spend = workload.Spend(seed=number)
        warm, batches = spend.batches(ingest.WARM, 200), spend.batches(EVENTS // 1_000, 1_000)
        reference = ingest.ingested(stage, batches, warm)
        with configured(stage, of_brands=of_brands) as (prepare, begin):
            ours = ingest.ingested(stage, batches, warm, prepare=prepare, begin=begin)
        pairs.append((ours, reference))
    ratio = median(ours / reference for ours, reference in pairs)
    ours, reference = (median(side) for side in zip(*pairs, strict=True))
    of = "of one brand each" if of_brands else "of all brands"
    name = f"events a second with {ENDPOINTS} endpoints {of} and alerts, ratio {ratio:.2f}"
    return row(name, ours, reference, f"a ratio of at least {KEPT_RATE}", is_met=ratio >= KEPT_RATE)


Change = Callable[[psycopg.Connection[Any]], None]


@contextmanager
def configured(stage: BenchStage, *, of_brands: bool) -> Iterator[tuple[Change, Change]]:
    """Yields two functions: the first adds 100 endpoints and a mail channel, the second raises a first alert.

    The second waits until the alert is sent and changes are read for all endpoints, so that workers are as in a service
    that has run for a while: they import the library of channels at the first text.
    """
    with receiving() as receiver, mail_server() as mail:

        def prepare(connection: psycopg.Connection[Any]) -> None:
            add_endpoints(stage, connection, receiver.url, of_brands=of_brands)
            _run(stage, "alerts", "channel", "add", "ops", "--url-stdin", "--when", "now", stdin=mail.url)

        def begin(connection: psycopg.Connection[Any]) -> None:
            connection.execute(A_TROUBLE)
            mails = len(mail.subjects())
            for actor in ("send_alerts", "deliver_webhooks"):
                stage.put_one(actor, workload.message({}, actor, actor, "notices"), "notices")
            until(lambda: len(mail.subjects()) > mails and connection.execute(UNREAD).fetchone() == (0,))

        yield prepare, begin


def add_endpoints(stage: BenchStage, connection: psycopg.Connection[Any], url: str, *, of_brands: bool = False) -> None:
    """Adds 100 endpoints that get pauses and releases, of one brand each if `of_brands`, else of all brands."""
    types = [argument for kind in ("paused", "activated") for argument in ("--type", f"campaign.{kind}")]
    brand = ["--brand", "1"] if of_brands else []
    _run(stage, "webhook", "add", f"{url}{DEAD}", *types, *brand)
    connection.execute(COPIES, {"url": url, "endpoints": ENDPOINTS, "of_brands": of_brands})


def _run(stage: BenchStage, *arguments: str, stdin: str = "") -> None:
    argv = [sys.executable, "-m", "cli", *arguments]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, input=stdin, text=True, env=stage.env())


def row(name: str, ours: float, reference: float, to_reach: str, *, is_met: bool) -> bool:
    """Prints one line of the table, and returns whether the bound is met."""
    figures = (f"{figure:,.0f}" if figure > 100 else f"{figure:.3f}" for figure in (ours, reference))
    print(f"| {name} | {' | '.join(figures)} | {to_reach} | {'yes' if is_met else 'no'} |", flush=True)
    return is_met


MEASURES: Final[Mapping[str, Callable[[BenchStage, int, int], bool]]] = {
    "dead": dead,
    "ingest": counted,
    "ingest-all": partial(counted, of_brands=False),
}


if __name__ == "__main__":
    sys.exit(main())
