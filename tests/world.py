"""What tests say: brands, campaigns, limits, spend, a clock; each through the code that the product uses."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

UNIT = 1_000_000


def moment(text: str) -> datetime:
    """An instant from ISO 8601 text; UTC where it says nothing else."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def noon_zone() -> str:
    """A zone in which it is about noon at present: what a test does in real time meets no midnight there."""
    ahead = 12 - datetime.now(UTC).hour  # noqa: TID251 - whatever the test's clock says
    return f"Etc/GMT{-ahead:+d}"


class World:
    """A database, a clock and short words for what people and upstream systems do."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url = url
        self._monkeypatch = monkeypatch
        self._idle: list[psycopg.Connection[dict[str, Any]]] = []
        self._clock_is_stopped = False

    def set_clock(self, at: datetime | str) -> datetime:
        """Stops the process's clock at `at`."""
        from runtime import clock  # noqa: PLC0415 - after the environment is set

        at = moment(at) if isinstance(at, str) else at
        stopped = clock.DrivenClock(at.astimezone(UTC), 0.0, 0.0)
        self._monkeypatch.setattr(clock, "_clock", lambda: stopped)
        self._clock_is_stopped = True
        return at

    def brand(self, zone: str = "", currency: str = "USD", name: str = "Brand", **limits: int) -> int:
        """A brand; `daily=10` and the like set its limits, in micros.

        It lives by UTC where the clock is stopped, and far from midnight where it runs, unless `zone` says otherwise.
        """
        from app.edits import editing  # noqa: PLC0415
        from db.engine import committed  # noqa: PLC0415

        zone = zone or ("UTC" if self._clock_is_stopped else noon_zone())
        brand_id = committed(lambda connection: editing.create_brand(connection, name, zone, currency, self._edit()))
        for period, limit in limits.items():
            self.limit(limit, period, brand=brand_id)
        return brand_id

    def campaign(self, brand: int, name: str = "Campaign", schedule: str = "", **facts: Any) -> int:
        """A campaign; `daily=10` and the like set its own limits, other words are fields of `create_campaign`."""
        from app.edits import editing  # noqa: PLC0415
        from app.enforcement import edited  # noqa: PLC0415

        limits = {period: facts.pop(period) for period in list(facts) if period in PERIODS}
        create = partial(editing.create_campaign, brand_id=brand, name=name, edit=self._edit(), **facts)
        campaign_id = edited(create, brand)
        if schedule:
            self.schedule(campaign_id, schedule)
        for period, limit in limits.items():
            self.limit(limit, period, campaign=campaign_id)
        return campaign_id

    def schedule(self, campaign: int, text: str) -> None:
        """Sets the campaign's dayparts."""
        from app.edits import editing  # noqa: PLC0415
        from domain.schedules import parse_schedule  # noqa: PLC0415

        wanted = parse_schedule(text)
        self._edited(campaign, partial(editing.set_schedule, campaign_id=campaign, schedule=wanted, edit=self._edit()))

    def limit(self, limit_micros: int, period: str = "daily", *, brand: int = 0, campaign: int | None = None) -> None:
        """Sets a limit of a brand or of a campaign."""
        from app.edits import editing  # noqa: PLC0415
        from app.enforcement import edited  # noqa: PLC0415
        from domain.periods import Period  # noqa: PLC0415

        brand = brand or self.brand_of(campaign or 0)
        work = partial(
            editing.set_budget,
            brand_id=brand,
            campaign_id=campaign,
            period=Period(period),
            limit_micros=limit_micros,
            edit=self._edit(),
        )
        edited(work, brand)

    def set_status(self, campaign: int, status: str) -> None:
        """A person pauses, enables or archives the campaign."""
        from app.edits import editing  # noqa: PLC0415

        change = {"configured_status": status}
        self._edited(campaign, partial(editing.edit_campaign, campaign_id=campaign, changes=change, edit=self._edit()))

    def event(self, campaign: int, micros: int, at: datetime | str | None = None, **fields: Any) -> dict[str, Any]:
        """A spend event as upstream writes it, now unless `at` says when."""
        from runtime import clock  # noqa: PLC0415

        occurred = clock.now() if at is None else moment(at) if isinstance(at, str) else at
        return {
            "event_id": str(uuid4()),
            "campaign_id": campaign,
            "occurred_at": occurred.isoformat(),
            "amount_micros": micros,
            **fields,
        }

    def spend(self, campaign: int, micros: int, at: datetime | str | None = None, **fields: Any) -> dict[str, Any]:
        """One event through the actor; returns it as it was sent."""
        event = self.event(campaign, micros, at, **fields)
        self.ingest([event])
        return event

    def ingest(self, events: Sequence[object]) -> None:
        """A batch through the actor `ingest_spend`, in this process."""
        from workers.actors.ingest import ingest_spend  # noqa: PLC0415

        ingest_spend(events=list(events))

    def tick(self) -> None:
        """The minute tick, through its actor."""
        from workers.actors.schedule import apply_dayparting  # noqa: PLC0415

        apply_dayparting()

    def holds(self, campaign: int) -> set[str]:
        """What holds the campaign by its row."""
        return set(self.one("SELECT holds FROM campaigns WHERE id = %s", campaign)["holds"])

    def is_active(self, campaign: int) -> bool:
        """Whether the campaign's row says that it serves."""
        status = self.one("SELECT effective_status FROM campaigns WHERE id = %s", campaign)["effective_status"]
        return bool(status == "active")

    def spent(self, campaign: int, day: date | str | None = None) -> int:
        """The campaign's counter of one day, or of all."""
        total = "SELECT COALESCE(sum(spent_micros), 0)::bigint AS spent FROM campaign_days WHERE campaign_id = %s"
        if day is None:
            return int(self.one(total, campaign)["spent"])
        return int(self.one(f"{total} AND day = %s", campaign, str(day))["spent"])

    def rejected(self) -> list[dict[str, Any]]:
        """What waits in rejected_events, in the order it came."""
        return self.rows("SELECT * FROM rejected_events WHERE replayed_at IS NULL ORDER BY id")

    def brand_of(self, campaign: int) -> int:
        """The campaign's brand."""
        return int(self.one("SELECT brand_id FROM campaigns WHERE id = %s", campaign)["brand_id"])

    def verify(self) -> None:
        """Fails where the database breaks a law, naming the rows."""
        from app.proof.verification import verify  # noqa: PLC0415

        wrong = {check.name: check.wrong for check in verify() if check.wrong}
        assert not wrong, wrong

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        """Rows by SQL, in a transaction of its own."""
        with self._connected() as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def one(self, query: str, *parameters: object) -> dict[str, Any]:
        """The single row of a query."""
        (row,) = self.rows(query, *parameters)
        return row

    def execute(self, statement: str, *parameters: object) -> None:
        """A statement by hand, as nobody should."""
        with self._connected() as connection:
            connection.execute(statement.encode(), parameters)

    def disconnect(self) -> None:
        """Closes the idle connections of `rows` and `execute`; the next call connects anew."""
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[dict[str, Any]]]:
        """An idle connection or a new one, idle afterwards: to connect takes a hundred times as long as a query."""
        connection = self._idle_one()
        if connection is None:
            connection = psycopg.connect(self.url, autocommit=True, row_factory=dict_row, prepare_threshold=None)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def _idle_one(self) -> psycopg.Connection[dict[str, Any]] | None:
        """An idle connection that the server has not ended: on one that it has, there is something to read."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            poll = select.poll()
            poll.register(connection, select.POLLIN)
            if not poll.poll(0):
                return connection
            connection.close()

    def _edited(self, campaign: int, work: Callable[[Any], object]) -> None:
        from app.enforcement import edited  # noqa: PLC0415

        edited(work, self.brand_of(campaign))

    def _edit(self) -> Any:
        from db.repository.access.audit import Edit  # noqa: PLC0415
        from runtime import clock  # noqa: PLC0415

        return Edit("test", clock.now())


PERIODS = ("daily", "weekly", "monthly", "yearly", "lifetime")


@contextmanager
def process(*argv: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    """A process of the product with this environment and `env`; killed at the end if it still runs."""
    started = subprocess.Popen(
        [sys.executable, *argv],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            os.killpg(started.pid, 9)
        if started.stdout and not started.stdout.closed:
            started.communicate()


def eventually(found: Callable[[], bool], seconds: float = 30) -> None:
    """Waits until `found` is true; fails when it is not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)
