"""Measures the serving feed with 100,000 campaigns: a snapshot, and how soon a pause reaches a follower.

`make bench-serving` prints a Markdown table. ARGS="--followers N --load N --pauses N --starts N" changes the number of
streams that one web process holds, the events counted a second meanwhile, the pauses measured, and the web processes
started.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from selectors import EVENT_READ, DefaultSelector
from socket import create_connection, socket
from statistics import median, quantiles
from typing import Any, Final

import psycopg

from benchmarks import latency, workload
from benchmarks.stage import BenchStage, running, until
from web.serving.encoding import LEVEL

CAMPAIGNS: Final = 100_000
STARTS: Final = 5
WARM: Final = 5
PORT: Final = 8766
ADDRESS: Final = f"http://127.0.0.1:{PORT}/api/serving/"

# Further campaigns up to 100,000, each known to a platform, toggled twice before, with today's spend; every fourth has
# a budget of its own.
FILL: Final = (
    "INSERT INTO platform_accounts (platform, account_id) VALUES ('google_ads', '8123456')",
    "INSERT INTO platform_account_brands (platform_account_id, brand_id) SELECT 1, id FROM brands",
    """
    INSERT INTO campaigns (brand_id, name, enforced_at, platform, external_id, platform_account_id, next_change_at)
    SELECT 1 + (number - 1) %% %(brands)s, 'Campaign ' || number, now(), 'google_ads',
        (9000000000 + number * 7919)::text, 1, now() + interval '5 hours'
    FROM generate_series(%(present)s + 1, %(campaigns)s) AS number
    """,
    "UPDATE campaigns SET effective_status = 'active', holds = '{}'",
    """
    INSERT INTO budgets (brand_id, campaign_id, period, limit_micros)
    SELECT brand_id, id, 'daily', 1000000000 + id FROM campaigns WHERE id %% 4 = 0
    """,
    """
    INSERT INTO campaign_days SELECT brand_id, id, current_date - ago, 1000 * (id %% 900)
    FROM campaigns CROSS JOIN generate_series(-1, 1) AS ago
    """,
    """
    INSERT INTO status_changes
        (brand_id, campaign_id, changed_at, from_status, to_status, holds_before, holds_after, cause)
    SELECT brand_id, id, now(), 'inactive', 'active', '{user_paused}', '{}', 'edit'
    FROM campaigns CROSS JOIN generate_series(1, 2) ORDER BY id
    """,
)

PLAIN: Final = """
    COPY (
        SELECT row_to_json(campaigns) FROM (
            SELECT id, brand_id, platform, external_id, platform_account_id, next_change_at FROM campaigns
            WHERE effective_status = 'active'
        ) AS campaigns
    ) TO STDOUT
"""


def main() -> None:
    """Prints the table; with the hidden option `--hold`, only holds streams open, in a process of its own."""
    options = argparse.ArgumentParser("python -m benchmarks.serving")
    options.add_argument("--followers", type=int, default=1_000)
    options.add_argument("--load", type=int, default=20_000)
    options.add_argument("--pauses", type=int, default=200)
    options.add_argument("--starts", type=int, default=STARTS)
    options.add_argument("--hold", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.hold:
        hold(given.hold, given.followers)
        return
    with running() as stage, stage.copied(filled(stage)) as connection:
        progress("filled")
        key = api_key(stage)
        print(f"{CAMPAIGNS:,} campaigns; load of the machine: {os.getloadavg()[0]:.1f}\n")
        print("| measure | median | 95 % | reference, median | ratio |\n|---|---:|---:|---:|---:|")
        first, warm, size = snapshots(stage, key, given.starts)
        plain = [plain_snapshot(connection) for _ in range(STARTS)]
        row("first snapshot of a web process, s (reference: COPY as JSON, compressed)", first, plain)
        row(f"further snapshots, {size:,} bytes, s (same reference)", warm, plain)
        reached, visible = pauses(stage, connection, key, given)
    beside = f"beside {given.followers:,} followers and {given.load:,} events a second"
    row(f"pause {beside}: enqueued until a follower has it, s (reference: until it is committed)", reached, visible)


def progress(text: str) -> None:
    """Writes the time and `text`, which says how far the run is, to stderr."""
    sys.stderr.write(f"{time.strftime('%T')} {text}\n")


def row(name: str, ours: list[float], reference: list[float]) -> None:
    """Prints one line of the table: median and 95th percentile of `ours`, median of `reference`, and their ratio."""
    late, plain = quantiles(ours, n=20)[-1], median(reference)
    print(f"| {name} | {median(ours):.3f} | {late:.3f} | {plain:.3f} | {median(ours) / plain:.2f} |", flush=True)


def filled(stage: BenchStage) -> str:
    """Creates the database with 100,000 campaigns at the first call; returns its name."""
    sizes = {"brands": workload.BRANDS, "present": workload.CAMPAIGNS, "campaigns": CAMPAIGNS}
    return stage.kept("serving", *FILL, parameters=sizes)


def api_key(stage: BenchStage) -> str:
    """Creates an API key that may read all brands, and returns it."""
    argv = [sys.executable, "-m", "cli", "create-api-key", "bench", "--scope", "read"]
    return subprocess.run(argv, check=True, capture_output=True, text=True, env=stage.env()).stdout.split()[-1]


@contextmanager
def web(stage: BenchStage) -> Iterator[None]:
    """Runs a web process at PORT during the block, which begins once it answers."""
    env = {**stage.env(), "PORT": str(PORT), "LOG_LEVEL": "ERROR"}
    process = subprocess.Popen([sys.executable, "-m", "web"], env=env)
    try:
        until(answers)
        yield
    finally:
        process.terminate()
        process.wait()


def answers() -> bool:
    """Whether the web process answers."""
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{PORT}/healthz"):
        return True
    return False


def snapshots(stage: BenchStage, key: str, starts: int) -> tuple[list[float], list[float], int]:
    """Measures seconds of the first snapshot of each of `starts` web processes, and of WARM further ones of each.

    Returns both lists, and the bytes of the last first snapshot.
    """
    first, warm = list[float](), list[float]()
    for _ in range(starts):
        with web(stage):
            seconds, size = snapshot(key)
            first.append(seconds)
            warm += [snapshot(key)[0] for _ in range(WARM)]
    return first, warm, size


def snapshot(key: str) -> tuple[float, int]:
    """Requests a compressed snapshot of all campaigns; returns the seconds that it took, and its bytes."""
    request = urllib.request.Request(ADDRESS, headers={"Authorization": f"Bearer {key}", "Accept-Encoding": "gzip"})
    started = time.perf_counter()
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own process
        body = answer.read()
    seconds = time.perf_counter() - started
    campaigns = len(json.loads(zlib.decompress(body, wbits=31))["campaigns"])
    assert campaigns > CAMPAIGNS * 9 // 10, campaigns
    return seconds, len(body)


def plain_snapshot(connection: psycopg.Connection[Any]) -> float:
    """Reads the campaigns' own columns as JSON and compresses them as the feed does; returns the seconds."""
    started = time.perf_counter()
    with connection.cursor().copy(PLAIN) as copy:
        zlib.compress(b"".join(copy), LEVEL)
    return time.perf_counter() - started


def pauses(
    stage: BenchStage, connection: psycopg.Connection[Any], key: str, given: argparse.Namespace
) -> tuple[list[float], list[float]]:
    """Measures seconds from an event that crosses a limit until a follower has the pause, and until it is committed."""
    campaigns = latency.add_campaigns(connection, latency.WARM + given.pauses)
    with ExitStack() as stack:
        stack.enter_context(web(stage))
        stack.enter_context(stage.workers())
        stack.enter_context(held(key, given.followers - 1))
        follower = Watcher(key)
        progress("all follow")
        stack.enter_context(latency.loaded(stage, given.load))
        both = [one_pause(stage, connection, follower, campaign) for campaign in campaigns][latency.WARM :]
    return [reached for reached, _ in both], [visible for _, visible in both]


def one_pause(
    stage: BenchStage, connection: psycopg.Connection[Any], follower: "Watcher", campaign: int
) -> tuple[float, float]:
    """Enqueues an event that crosses the campaign's limit.

    Returns the seconds until the follower has the pause, and until other connections see it in Postgres.
    """
    kwargs = {"events": [latency.crossing_event(campaign)]}
    name = f"crossing-{campaign}"
    started = time.perf_counter()
    visible = latency.timed(stage, kwargs, "ingest_spend", name, lambda: latency.is_inactive(connection, campaign))
    until(lambda: campaign in follower.removed_at)
    return follower.removed_at[campaign] - started - latency.BETWEEN_SECONDS, visible


def opened(key: str) -> socket:
    """Opens a stream of the serving feed; returns its socket, from which nothing was read."""
    stream = create_connection(("127.0.0.1", PORT))
    lines = (
        "GET /api/serving/stream HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {key}",
        "Accept-Encoding: gzip",
    )
    stream.sendall("\r\n".join([*lines, "", ""]).encode())
    return stream


class Watcher:
    """A follower of the serving feed. `removed_at`: when it lost each campaign, by `time.perf_counter`."""

    def __init__(self, key: str) -> None:
        from examples.serving_follower import Follower  # noqa: PLC0415 - only here

        self.removed_at: dict[int, float] = {}
        self._known: set[int] = set()
        self._follower = Follower(f"http://127.0.0.1:{PORT}", key, on_change=self._note)
        until(lambda: bool(self._known))

    def _note(self) -> None:
        now, serving = time.perf_counter(), set(self._follower.serving())
        self.removed_at |= dict.fromkeys(self._known - serving, now)
        self._known = serving


@contextmanager
def held(key: str, followers: int) -> Iterator[None]:
    """Holds `followers` streams open in another process during the block, which begins once all streams have begun."""
    argv = [sys.executable, "-m", "benchmarks.serving", "--hold", key, "--followers", str(followers)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "the streams ended"
        yield
    finally:
        process.terminate()
        process.wait()


def hold(key: str, followers: int) -> None:
    """Opens the streams, prints a line once all have begun, and reads them until the process is ended."""
    begun = set[Any]()
    with DefaultSelector() as selector:
        for _ in range(followers):
            selector.register(opened(key), EVENT_READ)
        while True:
            for ready, _ in selector.select(1):
                stream = ready.fileobj
                assert isinstance(stream, socket)
                with suppress(OSError):
                    if stream.recv(1 << 20):
                        begun.add(stream)
                        continue
                selector.unregister(stream)  # refused: too many connections at once, as a follower's own retry meets
                stream.close()
                begun.discard(stream)
                selector.register(opened(key), EVENT_READ)
            if len(begun) == followers and not sys.stdout.closed:
                print("all have begun", flush=True)
                sys.stdout.close()


if __name__ == "__main__":
    main()
