"""The vocabulary of tests: brands, campaigns, limits, spend and a clock, through the product's own code."""

import re
import select
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

from db.repository.spread import places
from tests import citus

UNIT = 1_000_000
SPREAD = re.compile(rf"\b({'|'.join(places.SPREAD)})\b")
BY_HAND = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM) (brands|campaigns)\b")
Connections = list[psycopg.Connection[dict[str, Any]]]


def moment(text: str) -> datetime:
    """The instant of an ISO 8601 text; UTC if it has no offset."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def noon_zone() -> str:
    """A time zone in which it is about noon now, so that a test in real time does not run over midnight."""
    ahead = 12 - datetime.now(UTC).hour  # noqa: TID251 - real time, even if the test's clock is stopped
    return f"Etc/GMT{-ahead:+d}"


class World:
    """A database, a clock, and short methods for the actions of people and upstream systems."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch, idle: Connections | None = None) -> None:
        """`idle`: open connections that `rows` and `execute` use and leave."""
        self.url = url
        self._monkeypatch = monkeypatch
        self._idle: Connections = [] if idle is None else idle
        self._clock_is_stopped = False
        self._has_noon_brand = False
        self._wrote_by_hand = False

    def set_clock(self, at: datetime | str) -> datetime:
        """Stops this process's clock at `at` and returns that instant.

        Refused once a brand has the zone in which it is about noon now: its days at `at` would follow the hour of the
        test's run.
        """
        from runtime import clock  # noqa: PLC0415 - after the environment is set

        assert not self._has_noon_brand, "stop the clock before brands are created, or name their zone"
        at = moment(at) if isinstance(at, str) else at
        stopped = clock.DrivenClock(at.astimezone(UTC), 0.0, 0.0)
        self._monkeypatch.setattr(clock, "_clock", lambda: stopped)
        self._clock_is_stopped = True
        return at

    def brand(self, zone: str = "", currency: str = "USD", name: str = "Brand", **limits: int) -> int:
        """Creates a brand and returns its id. `daily=10`, `monthly=100` and so on set its limits in micros.

        Without `zone` the brand uses UTC if the clock is stopped, else a zone in which it is about noon.
        """
        from app.edits import editing  # noqa: PLC0415
        from db.engine import committed  # noqa: PLC0415

        self._has_noon_brand |= not (zone or self._clock_is_stopped)
        zone = zone or ("UTC" if self._clock_is_stopped else noon_zone())
        brand_id = committed(lambda connection: editing.create_brand(connection, name, zone, currency, self._edit()))
        for period, limit in limits.items():
            self.limit(limit, period, brand=brand_id)
        return brand_id

    def campaign(self, brand: int, name: str = "Campaign", schedule: str = "", **facts: Any) -> int:
        """Creates a campaign and returns its id.

        `daily=10` and so on set its own limits in micros; other keywords are passed to `create_campaign`.
        """
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
        """Sets the campaign's dayparts from text such as `Mon-Fri 09:00-17:00`."""
        from app.edits import editing  # noqa: PLC0415
        from domain.schedules import parse_schedule  # noqa: PLC0415

        new = parse_schedule(text)
        self._edited(campaign, partial(editing.set_schedule, campaign_id=campaign, schedule=new, edit=self._edit()))

    def limit(self, limit_micros: int, period: str = "daily", *, brand: int = 0, campaign: int | None = None) -> None:
        """Sets a limit, in micros, of a brand or of a campaign."""
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
        """Sets the campaign's configured status: enabled, paused or archived."""
        self.edit_campaign(campaign, configured_status=status)

    def edit_campaign(self, campaign: int, **fields: object) -> None:
        """Sets fields of the campaign."""
        from app.edits import editing  # noqa: PLC0415

        edit = self._edit()
        self._edited(campaign, partial(editing.edit_campaign, campaign_id=campaign, changes=fields, edit=edit))

    def event(self, campaign: int, micros: int, at: datetime | str | None = None, **fields: Any) -> dict[str, Any]:
        """A spend event as upstream sends it, dated `at`, by default now."""
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
        """Sends one spend event through the actor `ingest_spend` and returns it."""
        event = self.event(campaign, micros, at, **fields)
        self.ingest([event])
        return event

    def ingest(self, events: Sequence[object]) -> None:
        """Runs the actor `ingest_spend` with these events in this process."""
        from workers.actors.ingest import ingest_spend  # noqa: PLC0415

        ingest_spend(events=list(events))

    def tick(self) -> None:
        """Runs the actor of the minute tick, `apply_dayparting`, in this process."""
        from workers.actors.schedule import apply_dayparting  # noqa: PLC0415

        apply_dayparting()

    def holds(self, campaign: int) -> set[str]:
        """The holds in the campaign's row."""
        return set(self.one("SELECT holds FROM campaigns WHERE id = %s", campaign)["holds"])

    def is_active(self, campaign: int) -> bool:
        """Whether the campaign's row has the effective status `active`."""
        status = self.one("SELECT effective_status FROM campaigns WHERE id = %s", campaign)["effective_status"]
        return bool(status == "active")

    def spent(self, campaign: int, day: date | str | None = None) -> int:
        """The micros in the campaign's counter of one day, or in all its counters."""
        total = "SELECT COALESCE(sum(spent_micros), 0)::bigint AS spent FROM campaign_days WHERE campaign_id = %s"
        if day is None:
            return int(self.one(total, campaign)["spent"])
        return int(self.one(f"{total} AND day = %s", campaign, str(day))["spent"])

    def rejected(self) -> list[dict[str, Any]]:
        """The rejected inputs that wait to be replayed, in id order."""
        return self.rows("SELECT * FROM rejected_events WHERE replayed_at IS NULL ORDER BY id")

    def brand_of(self, campaign: int) -> int:
        """The id of the campaign's brand."""
        return int(self.one("SELECT brand_id FROM campaigns WHERE id = %s", campaign)["brand_id"])

    def verify(self) -> None:
        """Runs `spendgate verify` and fails, naming the rows, if it finds anything.

        On a cluster the directory lacks what SQL by hand wrote, until it is counted.
        """
        from app.proof.verification import DIRECTORY, verify  # noqa: PLC0415

        left_out = {DIRECTORY} if self._wrote_by_hand and citus.is_used() else set()
        wrong = {check.name: check.wrong for check in verify() if check.wrong and check.name not in left_out}
        assert not wrong, wrong

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        """The rows of an SQL query, run in its own transaction."""
        self._wrote_by_hand |= BY_HAND.search(query) is not None
        with self._connected() as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def one(self, query: str, *parameters: object) -> dict[str, Any]:
        """The single row of an SQL query. Raises ValueError for any other number of rows."""
        (row,) = self.rows(query, *parameters)
        return row

    def execute(self, statement: str, *parameters: object) -> None:
        """Runs an SQL statement, bypassing the product's code."""
        self._wrote_by_hand |= BY_HAND.search(statement) is not None
        with self._connected() as connection:
            connection.execute(statement.encode(), parameters)

    def tamper(self, statement: str) -> None:
        """Runs an SQL statement as an owner who has switched off all triggers."""
        if citus.is_used() and SPREAD.search(statement):
            citus.execute_on_parts(self.url, statement)
        else:
            self.execute("SET LOCAL session_replication_role = replica; " + statement)

    def waits(self, sessions: int = 1) -> bool:
        """Whether so many sessions or more wait for a lock, on any server."""
        locks = "citus_locks" if citus.is_used() else "pg_locks"
        return len(self.rows(f"SELECT FROM {locks} WHERE NOT granted")) >= sessions

    def disconnect(self) -> None:
        """Closes the idle connections of `rows` and `execute`; the next call opens a new one."""
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[dict[str, Any]]]:
        """Yields an idle connection or a new one, and keeps it: connecting takes 100 times as long as a query."""
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
        """An idle connection that the server has not closed; a closed one is readable. None if there is none."""
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


def eventually(is_true: Callable[[], bool], seconds: float = 30) -> None:
    """Polls `is_true` until it returns True. Fails if it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, f"the condition was still false after {seconds} seconds"
        time.sleep(0.05)
