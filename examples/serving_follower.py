"""A whole follower of the serving feed: Python's standard library, and no import of ours.

It keeps a local set of the campaigns that may serve, which `may_serve` answers from without a request. As a library:

    follower = Follower("https://spendgate.example", key, platform="google_ads", max_stale_seconds=60, policy="stop")
    follower.may_serve("google_ads", "9935249409")

As a command, it prints a JSON line at each change: `SPENDGATE_API_KEY=… python serving_follower.py URL`.
"""

import argparse
import json
import os
import random
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

SILENCE_SECONDS: Final = 15.0
"""Seconds without a byte after which a connection counts as lost; the server sends a heartbeat every 5 s."""

FIRST_BACKOFF_SECONDS: Final = 0.5
MAX_BACKOFF_SECONDS: Final = 15.0
"""Seconds before the next connection: a random share of a time that doubles with each failure."""

STORE_SECONDS: Final = 10.0
LINE_SECONDS: Final = 5.0
"""Seconds between two writes of the kept copy, and between two lines of the command without a change."""

STOP: Final = "stop"
GO_ON: Final = "go-on"

Campaign = dict[str, Any]
"""One campaign of the feed, as its JSON: `campaign_id`, `platform`, `external_id`, `account`, `headroom_micros` …"""

Address = tuple[str | None, str | None, str | None]
"""Platform, account and external id. The default accounts of two brands may each have the same external id."""


class Follower:
    """A local copy of the serving feed, kept up to date by a thread; its methods may be called from any thread.

    `max_stale_seconds`: the age above which the copy counts as stale. `policy`: a stale copy serves nothing (`stop`)
    or serves as it last was (`go-on`). `keep`: a file that keeps the copy over restarts of this process.
    `on_change`: called after each change, from the follower's thread.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        brand_id: int | None = None,
        platform: str | None = None,
        max_stale_seconds: float = 60.0,
        policy: str = STOP,
        keep: str | os.PathLike[str] | None = None,
        on_change: Callable[[], object] = lambda: None,
    ) -> None:
        if policy not in {STOP, GO_ON}:
            raise ValueError(f"policy: neither {STOP!r} nor {GO_ON!r}")
        self._url = urlsplit(url)
        self._key = key
        chosen = {"brand_id": brand_id, "platform": platform}
        self._query = urlencode({name: value for name, value in chosen.items() if value is not None})
        self._max_stale_seconds, self._policy = max_stale_seconds, policy
        self._keep = None if keep is None else Path(keep)
        self._on_change = on_change
        self._lock = threading.Lock()
        self._campaigns: dict[int, Campaign] = {}
        self._by_address: dict[Address, set[int]] = {}
        self._snapshot_id: str | None = None
        self._true_at: float | None = None
        """The time in `_seconds` at which the copy was last known to equal the server's data."""
        self._stored_at = self._heard_at = self._retry_after = 0.0
        self._is_closing = threading.Event()
        self._socket: socket.socket | None = None
        self.last_error: str | None = None
        self._restore()
        self._thread = threading.Thread(target=self._run, name="serving-follower", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def age_seconds(self) -> float:
        """How old the copy is; infinite before the first snapshot."""
        with self._lock:
            return self._age()

    def is_stale(self) -> bool:
        """Whether the copy is older than `max_stale_seconds`."""
        return self.age_seconds() > self._max_stale_seconds

    def serving(self) -> dict[int, Campaign]:
        """The campaigns that may serve, by campaign id; none if the copy is stale and the policy is `stop`."""
        with self._lock:
            return dict(self._campaigns) if self._may_answer() else {}

    def may_serve(self, platform: str, external_id: str, account: str | None = None) -> bool:
        """Whether the campaign with this id on the platform may serve, in this account or the brand's default one."""
        with self._lock:
            return self._may_answer() and (platform, account, external_id) in self._by_address

    def headroom_micros(self, campaign_id: int) -> int | None:
        """The micros left under the campaign's budgets; None if it has no budget or may not serve."""
        with self._lock:
            campaign = self._campaigns.get(campaign_id) if self._may_answer() else None
        return campaign and campaign["headroom_micros"]

    def close(self) -> None:
        """Stops following; the answers go on ageing."""
        self._is_closing.set()
        with suppress(OSError, AttributeError):
            self._socket.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]  # None before the first connection
        self._thread.join()
        self._store()

    def _age(self) -> float:
        return float("inf") if self._true_at is None else _seconds() - self._true_at

    def _may_answer(self) -> bool:
        return self._true_at is not None and (self._policy == GO_ON or self._age() <= self._max_stale_seconds)

    def _run(self) -> None:
        failures = 0
        while not self._is_closing.is_set():
            self._retry_after = 0.0
            try:
                for name, event_id, data in self._events():
                    failures = 0
                    self._take(name, event_id, data)
                self.last_error = "the server closed the stream"
            except Exception as error:  # noqa: BLE001 - whatever fails, the thread connects again
                self.last_error = f"{type(error).__name__}: {error}"
            backoff = min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2**failures)
            failures = min(failures + 1, 10)
            self._is_closing.wait(self._retry_after + random.uniform(0, backoff))  # noqa: S311 - jitter, no secret

    def _events(self) -> Iterator[tuple[str, str | None, Any]]:
        """Connects, and yields (event, id, data) until the stream ends or nothing arrives for SILENCE_SECONDS."""
        kind = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=SILENCE_SECONDS)
        headers = {"Authorization": f"Bearer {self._key}", "Accept-Encoding": "gzip"}
        if self._snapshot_id is not None:
            headers["Last-Event-ID"] = self._snapshot_id
        try:
            connection.connect()
            self._socket, self._heard_at = connection.sock, _seconds()
            connection.request("GET", f"{self._url.path.rstrip('/')}/api/serving/stream?{self._query}", headers=headers)
            answer = connection.getresponse()
            if answer.status != 200:
                self._retry_after = float(answer.headers.get("Retry-After") or 0)
                raise HTTPException(f"status {answer.status}")
            yield from _parsed(_lines(answer))
        finally:
            connection.close()

    def _take(self, name: str, event_id: str | None, data: Any) -> None:
        """Applies one event. Events of names that this version does not know are skipped."""
        with self._lock:
            since, self._heard_at = self._heard_at, _seconds()
            if "age_seconds" in data:  # a snapshot may have been on its way ever since the event before it
                self._true_at = (since if name == "snapshot" else self._heard_at) - data["age_seconds"]
                self.last_error = None
            if name == "snapshot":
                self._replace(event_id, data["campaigns"])
            elif name == "difference":
                for one in (*data["removed"], *data["changed"]):
                    self._remove(one["campaign_id"])
                for one in (*data["added"], *data["changed"]):
                    self._add(one)
                self._snapshot_id = event_id
        if name in {"snapshot", "difference"}:
            self._on_change()
        if _seconds() >= self._stored_at + STORE_SECONDS:
            self._store()

    def _replace(self, snapshot_id: str | None, campaigns: list[Campaign]) -> None:
        self._campaigns, self._by_address = {}, {}
        for one in campaigns:
            self._add(one)
        self._snapshot_id = snapshot_id

    def _add(self, campaign: Campaign) -> None:
        self._remove(campaign["campaign_id"])
        self._campaigns[campaign["campaign_id"]] = campaign
        self._by_address.setdefault(_address(campaign), set()).add(campaign["campaign_id"])

    def _remove(self, campaign_id: int) -> None:
        campaign = self._campaigns.pop(campaign_id, None)
        if campaign is None:
            return
        same = self._by_address[_address(campaign)]
        same.discard(campaign_id)
        if not same:
            del self._by_address[_address(campaign)]

    def _store(self) -> None:
        """Writes the copy to the file `keep`, with the time at which it was true."""
        self._stored_at = _seconds()
        with self._lock:
            if self._keep is None or self._true_at is None:
                return
            kept = {"snapshot_id": self._snapshot_id, "true_at": time.time() - self._age()}
            kept["campaigns"] = list(self._campaigns.values())
        written = self._keep.with_name(f"{self._keep.name}.new")
        try:
            written.write_text(json.dumps(kept))
            written.replace(self._keep)
        except OSError as error:
            self.last_error = f"{self._keep}: {error.strerror}"

    def _restore(self) -> None:
        """Begins with the copy in the file `keep`, as old as it is; without one, or with a broken one, begins empty."""
        if self._keep is None:
            return
        try:
            kept = json.loads(self._keep.read_text())
            self._replace(kept["snapshot_id"], kept["campaigns"])
            self._true_at = _seconds() - max(0.0, time.time() - kept["true_at"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.last_error = f"{self._keep}: {type(error).__name__}"
            self._replace(None, [])


def _seconds() -> float:
    """Seconds on a clock that nobody sets, and that goes on while the machine is suspended, where there is one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _address(campaign: Campaign) -> Address:
    return campaign["platform"], campaign["account"], campaign["external_id"]


def _lines(answer: HTTPResponse) -> Iterator[bytes]:
    """The lines of the answer as they arrive, decompressed, without their ends."""
    unpack = zlib.decompressobj(wbits=31).decompress if answer.headers.get("Content-Encoding") == "gzip" else bytes
    parts: list[bytes] = []
    while received := answer.read1(65_536):
        *ended, rest = unpack(received).split(b"\n")
        for line in ended:
            yield b"".join([*parts, line])
            parts.clear()
        parts.append(rest)


def _parsed(lines: Iterator[bytes]) -> Iterator[tuple[str, str | None, Any]]:
    """The server-sent events of these lines: (event, id, JSON data)."""
    fields: dict[bytes, bytes] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(b": ")
            fields[name] = value
        elif b"data" in fields:
            event_id = fields.get(b"id")
            yield fields.get(b"event", b"").decode(), event_id and event_id.decode(), json.loads(fields[b"data"])
            fields = {}


def main() -> None:
    """Follows until interrupted, and prints the number of campaigns and the age of the copy at each change."""
    options = argparse.ArgumentParser(description="Follow which campaigns may serve. The key is in SPENDGATE_API_KEY.")
    options.add_argument("url", help="the address of Spendgate, such as https://spendgate.example")
    options.add_argument("--brand-id", type=int, help="only campaigns of this brand")
    options.add_argument("--platform", help="only campaigns on this platform")
    options.add_argument("--max-stale-seconds", type=float, default=60.0, help="age above which the copy is stale")
    options.add_argument("--policy", choices=(STOP, GO_ON), default=STOP, help="what a stale copy does")
    options.add_argument("--keep", help="a file that keeps the copy over restarts")
    options.add_argument("--lines", type=int, help="end after so many lines")
    chosen = options.parse_args()
    changed = threading.Event()
    given = {name: value for name, value in vars(chosen).items() if name not in {"url", "lines"}}
    with Follower(chosen.url, os.environ["SPENDGATE_API_KEY"], **given, on_change=changed.set) as follower:
        while chosen.lines is None or chosen.lines > 0:
            changed.wait(LINE_SECONDS)
            changed.clear()
            print(json.dumps(_state(follower)), flush=True)
            chosen.lines = None if chosen.lines is None else chosen.lines - 1


def _state(follower: Follower) -> dict[str, Any]:
    age_seconds, serving = follower.age_seconds(), sorted(follower.serving())
    age = None if age_seconds == float("inf") else round(age_seconds, 1)
    return {"serving": serving, "age_seconds": age, "is_stale": follower.is_stale(), "error": follower.last_error}


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
