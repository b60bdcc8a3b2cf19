"""Random steps in any order: product and model agree after every single step.

`SPENDGATE_TEST_MODEL_RUNS=500 SPENDGATE_TEST_MODEL_STEPS=200` makes it long; `--hypothesis-seed=N` changes the start.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, ClassVar
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from app.edits import editing
from app.enforcement import edited, enforce_brands
from app.explanations import explained
from app.proof.verification import differences
from db.engine import committed, snapshot
from db.repository.access.audit import Edit
from domain.causes import Cause
from domain.errors import InvalidValue
from domain.periods import Period
from domain.schedules import Daypart
from tests.faults.model import AHEAD, BROKEN, DAY, OLDEST, Campaign, Model, broken, parts, quarters
from tests.faults.stage import add_figures, compare_ledger, empty_database, make_brand, set_limit, without_logs
from tests.kit import at_each_statement
from tests.world import World, moment
from workers.actors import schedule
from workers.actors.ingest import ingest_reported_totals, ingest_spend

RUNS = int(os.environ.get("SPENDGATE_TEST_MODEL_RUNS", "15"))
STEPS = int(os.environ.get("SPENDGATE_TEST_MODEL_STEPS", "40"))
MODEL = settings(
    max_examples=RUNS,
    stateful_step_count=STEPS,
    deadline=None,
    print_blob=True,
    phases=[phase for phase in Phase if phase is not Phase.explain],  # it would trace every line of thousands of steps
    suppress_health_check=[HealthCheck.too_slow],  # a step is a transaction on a real database
)
TO_SHRINK_A_FAILURE = 900 if RUNS * STEPS <= 2_000 else 0

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
WEEK = range(1, 8)
LOOKED_AHEAD = 3 * DAY

STARTS = ("2026-06-17T12:00", "2026-10-24T20:00", "2026-12-31T09:00", "2027-03-13T15:00", "2028-02-28T21:30")
ZONES = (
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/Santiago",
    "Pacific/Chatham",
    "Africa/Cairo",
)
SCHEDULES = (
    (),
    parts(WEEK, (540, 1080)),
    parts(WEEK, (0, 120), (1320, 1440)),
    parts(WEEK, (75, 90), (105, 150), (165, 180), (705, 720)),
    parts((1,), (0, 1440)),
)
number = st.integers(0, 7)
amounts = st.sampled_from((1, 5, 10, 40, 0, -5, -40, 10**15))
ages = st.sampled_from(
    (
        0 * DAY,
        -AHEAD,
        -AHEAD - SECOND,
        HOUR,
        26 * HOUR,
        3 * DAY,
        10 * DAY,
        OLDEST,
        OLDEST + SECOND,
        "midnight",
        "before midnight",
    )
)
statuses = st.sampled_from(("enabled", "enabled", "paused", "archived"))
kills = st.sampled_from((*[None] * 8, "after", "COMMIT", 1, 2, 4, 7, 11))
"""When the connection is killed: never, before the commit, after so many statements, or after the commit ("after")."""


READ = """
    SELECT ARRAY(SELECT json_build_array(campaign_id, day, spent_micros) FROM campaign_days),
        ARRAY(SELECT json_build_array(brand_id, day, spent_micros) FROM brand_days),
        ARRAY(SELECT json_build_array(reason, payload::text, times) FROM rejected_events),
        ARRAY(SELECT json_build_array(
            id, effective_status, holds, next_change_at,
            (SELECT count(*) FROM status_changes WHERE brand_id = campaigns.brand_id AND campaign_id = campaigns.id)
        ) FROM campaigns)
"""


@contextmanager
def killed(point: str | int | None) -> Iterator[list[int]]:
    """Kills the connection's server process once, at the point; yields a list with its id once it was killed.

    Never right after COMMIT was sent: the server may have committed or not, and the model could not know which.
    """
    statements, dead = iter(range(1, 1_000_000)), list[int]()

    def kill(driver: Any) -> None:
        if not dead:
            dead.append(driver.info.backend_pid)
            Enforcement.reader.execute("SELECT pg_terminate_backend(%s)", dead)
            while Enforcement.reader.execute("SELECT FROM pg_stat_activity WHERE pid = %s", dead).fetchone():
                pass

    def kill_before_commit(cursor: psycopg.Cursor, statement: str, _: object) -> None:
        if point == statement == "COMMIT":
            kill(cursor.connection)

    def count(cursor: psycopg.Cursor, statement: str, _: object) -> None:
        if statement != "COMMIT" and next(statements) == point:
            kill(cursor.connection)

    with at_each_statement(before=kill_before_commit, after=count):
        yield dead


class Enforcement(RuleBasedStateMachine):
    """Random steps on two brands of two campaigns each: edits, spend, clock changes and killed connections."""

    world: ClassVar[World]
    reader: ClassVar[psycopg.Connection]
    figures: ClassVar[Counter[str]] = Counter()

    @initialize(start=st.sampled_from(STARTS), zones=st.tuples(st.sampled_from(ZONES), st.sampled_from(ZONES)))
    def begin(self, start: str, zones: tuple[str, str]) -> None:
        empty_database(self.world)
        self.model = Model()
        self.sent: list[Any] = []
        self.toggles: Counter[int] = Counter()
        self.latest = self.now = self.world.set_clock(start)
        self.is_in_step, self.went_back, self.is_sound = True, False, False
        for zone in zones:
            make = partial(make_brand, model=self.model, at=self.now, zone=zone, campaigns=[Campaign(), Campaign()])
            committed(make)
        committed(self.limit_some)
        enforce_brands(self.model.brands, Cause.CHECK)
        self.status = dict.fromkeys(self.model.campaigns, "active")

    def limit_some(self, connection: Connection) -> None:
        for brand, campaign, period, limit in ((1, None, "weekly", 40), (1, 1, "weekly", 10), (2, 4, "yearly", 40)):
            set_limit(connection, self.model, self.now, brand, campaign, period, limit)

    # Spend

    @rule(events=st.lists(st.tuples(number, amounts, ages), min_size=1, max_size=3), kill=kills)
    def spend(self, events: list[tuple[int, int, timedelta | str]], kill: str | int | None) -> None:
        payloads = [self.event(*facts) for facts in events]
        self.sent += payloads
        self.ingest(payloads, kill)

    @rule(picks=st.lists(st.integers(0, 30), min_size=1, max_size=4), kill=kills)
    def deliver_again(self, picks: list[int], kill: str | int | None) -> None:
        self.ingest([self.sent[-1 - pick % len(self.sent)] for pick in picks] if self.sent else [], kill)

    @rule(
        pick=st.integers(0, 30), other=number, change=st.sampled_from(("amount_micros", "campaign_id", "occurred_at"))
    )
    def contradict(self, pick: int, other: int, change: str) -> None:
        if self.sent:
            payload = self.sent[-1 - pick % len(self.sent)]
            self.ingest([{**payload, change: self.event(other % 6, 77, HOUR)[change]}, payload], None)

    @rule(campaign=number, what=st.sampled_from(BROKEN), kill=kills)
    def send_bad(self, campaign: int, what: Any, kill: str | int | None) -> None:
        good = self.event(campaign, 1, HOUR)
        self.sent.append(good)
        self.ingest([broken(self.event(campaign, 5, HOUR), what), good], kill)

    @rule(
        campaign=number,
        source=st.sampled_from(("meta", "csv")),
        back=st.sampled_from((0, 1, 40, -1)),
        micros=st.sampled_from((0, 10, 40, 45, -5)),
        age=st.sampled_from((0 * DAY, HOUR, DAY, -AHEAD - SECOND)),
        kill=kills,
    )
    def report_total(
        self, campaign: int, source: str, back: int, micros: int, age: timedelta, kill: str | int | None
    ) -> None:
        payload = {
            "source": source,
            "campaign_id": self.campaign(campaign),
            "day": (self.today(self.brand_of(campaign)) - back * DAY).isoformat(),
            "total_micros": micros,
            "as_of": (self.now - age).isoformat(),
        }
        at = self.now
        self.do_step(
            lambda: ingest_reported_totals(totals=[payload]), lambda: self.model.take_totals([payload], at), kill
        )

    # People

    @rule(
        of_brand=st.booleans(),
        campaign=number,
        period=st.sampled_from(tuple(Period)),
        limit=st.sampled_from((10, 1, 0, 40, 100, None)),
        kill=kills,
    )
    def limit(self, of_brand: bool, campaign: int, period: Period, limit: int | None, kill: str | int | None) -> None:
        brand, owner = self.brand_of(campaign), None if of_brand else self.campaign(campaign)
        key = (brand, owner, str(period))
        named: dict[str, Any] = {"brand_id": brand, "campaign_id": owner, "period": period}
        if limit is not None:
            change = partial(editing.set_budget, **named, limit_micros=limit)
            self.edit(brand, change, partial(self.model.limits.update, {key: limit}), kill)
        elif key in self.model.limits:
            remove = partial(editing.remove_budget, **named)
            self.edit(brand, remove, partial(self.model.limits.pop, key), kill if kill != "after" else None)

    @rule(campaign=number, wanted=st.sampled_from(SCHEDULES), kill=kills)
    def schedule(self, campaign: int, wanted: tuple[tuple[int, int, int], ...], kill: str | int | None) -> None:
        dayparts = tuple(Daypart(*part) for part in wanted)
        change = partial(editing.set_schedule, campaign_id=self.campaign(campaign), schedule=dayparts)
        self.edit(self.brand_of(campaign), change, partial(self.update_model, campaign, parts=wanted), kill)

    @rule(
        campaign=number,
        starts=st.sampled_from((None, -2, 0, 1, 3)),
        length=st.sampled_from((None, 0, 2)),
        kill=kills,
    )
    def flight(self, campaign: int, starts: int | None, length: int | None, kill: str | int | None) -> None:
        today = self.today(self.brand_of(campaign))
        facts = {
            "starts_on": None if starts is None else today + starts * DAY,
            "ends_on": None if length is None else today + ((starts or 0) + length) * DAY,
        }
        self.edit_campaign(campaign, facts, partial(self.update_model, campaign, **facts), kill)

    @rule(campaign=number, status=statuses, kill=kills)
    def configure(self, campaign: int, status: str, kill: str | int | None) -> None:
        update_model = partial(self.update_model, campaign, status=status)
        self.edit_campaign(campaign, {"configured_status": status}, update_model, kill)

    @rule(campaign=number, status=statuses)
    def configure_brand(self, campaign: int, status: str) -> None:
        brand = self.brand_of(campaign)
        change = partial(editing.edit_brand, brand_id=brand, changes={"configured_status": status})
        self.edit(brand, change, lambda: setattr(self.model.brands[brand], "status", status), None)

    @rule(campaign=number, field=st.sampled_from(("zone", "currency")), zone=st.sampled_from(ZONES))
    def move_brand(self, campaign: int, field: str, zone: str) -> None:
        brand = self.brand_of(campaign)
        change, value = ("time_zone", zone) if field == "zone" else ("currency", "EUR")
        work = partial(editing.edit_brand, brand_id=brand, changes={change: value})
        update_model = partial(setattr, self.model.brands[brand], field, value)
        if self.model.brand_days[brand] and value != getattr(self.model.brands[brand], field):
            with pytest.raises(InvalidValue, match="has spend"):
                self.edit(brand, work, lambda: None, None)
        else:
            self.edit(brand, work, update_model, None)

    # Time

    @rule(by=st.sampled_from((MINUTE, SECOND, 17 * MINUTE, HOUR, 9 * HOUR, DAY, 8 * DAY, 24 * DAY)))
    def clock_runs(self, by: timedelta) -> None:
        self.set_clock(self.now + by)

    @rule(
        campaign=number,
        edge=st.sampled_from(("change", "day", "week", "month", "year", "clock change")),
        off=st.sampled_from((0 * SECOND, -SECOND, SECOND)),
    )
    def clock_runs_to_an_edge(self, campaign: int, edge: str, off: timedelta) -> None:
        brand = self.brand_of(campaign)
        today = self.today(brand)
        if edge == "change":
            at = self.model.changes_at(self.campaign(campaign), self.now, self.now + 2 * DAY)
        elif edge == "clock change":
            at = clock_change_after(self.now, ZoneInfo(self.model.brands[brand].zone))
        else:
            first = {
                "day": today + DAY,
                "week": today + (7 - today.weekday()) * DAY,
                "month": (today.replace(day=1) + 32 * DAY).replace(day=1),
                "year": today.replace(year=today.year + 1, month=1, day=1),
            }[edge]
            at = self.model.midnight(brand, first)
        self.set_clock(max(self.now, at + off))

    @rule(by=st.sampled_from((SECOND, 2 * MINUTE, HOUR)))
    def clock_is_put_back(self, by: timedelta) -> None:
        self.set_clock(max(self.now - by, self.latest - HOUR))

    @rule(jobs=st.sampled_from(("tick", "refresh", "resets twice", "all")), kill=kills)
    def settle(self, jobs: str, kill: str | int | None) -> None:
        resets = [schedule.reset_daily_budgets, schedule.reset_monthly_budgets]
        work = {
            "tick": [schedule.apply_dayparting],
            "refresh": [schedule.refresh_spend],
            "resets twice": [*resets, *resets, schedule.apply_dayparting],
            "all": [*resets, schedule.roll_up_hours, schedule.refresh_spend, schedule.apply_dayparting],
        }[jobs]
        self.do_step(lambda: [job() for job in work], lambda: None, kill)
        self.went_back = self.went_back and jobs in {"tick", "resets twice"}
        self.is_in_step = not self.went_back
        if jobs == "all":
            with snapshot() as connection:
                assert not [found.row() for found in differences(connection, self.now)]

    # Invariants

    @rule(campaign=number)
    def explain(self, campaign: int) -> None:
        number, until = self.campaign(campaign), self.now + LOOKED_AHEAD
        with snapshot() as connection:
            explanation = explained(connection, number, self.now).explanation
        assert {str(hold.hold) for hold in explanation.holds} == self.model.holds(number, self.now)
        serves_at = self.model.serves_at(number, self.now, until)
        assert explanation.serves_at == serves_at or (
            serves_at is None and (explanation.serves_at or until + DAY) > until
        )

    @invariant()
    def agrees(self) -> None:
        """Compares spend, rejections, holds and the number of toggles with the model."""
        self.is_sound = False
        model = self.model
        (read,) = self.reader.execute(READ).fetchall()
        assert counters(read[0]) == filled(model.campaign_days)
        assert counters(read[1]) == filled(model.brand_days)
        assert {(reason, payload): times for reason, payload, times in read[2]} == model.rejected
        for campaign, status, holds, next_change_at, toggles in read[3]:
            self.toggles[campaign] += status != self.status[campaign]
            self.status[campaign] = status
            assert toggles == self.toggles[campaign], campaign
            is_due = next_change_at is not None and moment(next_change_at) <= self.now
            if self.is_in_step or not (self.went_back or is_due):
                assert set(holds) == model.holds(campaign, self.now), campaign
        self.is_sound = True

    def teardown(self) -> None:
        """Runs only after the last step of a run without failure."""
        if not getattr(self, "is_sound", False):
            return
        self.settle("all", None)
        self.agrees()
        self.world.verify()
        figures = compare_ledger(self.model, self.world)
        self.figures.update(figures)
        assert not figures["lost"] + figures["doubled"]

    # Helpers

    def campaign(self, number: int) -> int:
        return sorted(self.model.campaigns)[number % len(self.model.campaigns)]

    def brand_of(self, number: int) -> int:
        return self.model.campaigns[self.campaign(number)].brand

    def today(self, brand: int) -> Any:
        return self.now.astimezone(ZoneInfo(self.model.brands[brand].zone)).date()

    def event(self, campaign: int, micros: int, age: timedelta | str) -> dict[str, Any]:
        if isinstance(age, str):
            brand = self.brand_of(campaign)
            occurred = self.model.midnight(brand, self.today(brand))
            occurred -= timedelta(microseconds=age == "before midnight")
        else:
            occurred = self.now - age
        self.figures["sent"] += 1
        named = self.model.campaigns[self.campaign(campaign)].external_id
        by_name = {"platform": "meta", "external_id": named}
        return {
            "event_id": str(UUID(int=self.figures["sent"])),
            **({"campaign_id": self.campaign(campaign)} if campaign < 6 else by_name),
            "occurred_at": occurred.isoformat(),
            "amount_micros": micros,
        }

    def ingest(self, payloads: list[Any], kill: str | int | None) -> None:
        at = self.now
        self.do_step(lambda: ingest_spend(events=payloads), lambda: self.model.take_events(payloads, at), kill)

    def edit_campaign(
        self, campaign: int, changes: dict[str, Any], update_model: Callable[[], object], kill: str | int | None
    ) -> None:
        work = partial(editing.edit_campaign, campaign_id=self.campaign(campaign), changes=changes)
        self.edit(self.brand_of(campaign), work, update_model, kill)

    def edit(
        self, brand: int, work: Callable[..., object], update_model: Callable[[], object], kill: str | int | None
    ) -> None:
        self.do_step(lambda: edited(partial(work, edit=Edit("test", self.now)), brand), update_model, kill)

    def update_model(self, campaign: int, **facts: Any) -> None:
        for name, value in facts.items():
            setattr(self.model.campaigns[self.campaign(campaign)], name, value)

    def do_step(self, work: Callable[[], object], update_model: Callable[[], object], kill: str | int | None) -> None:
        """Does the work, again if its connection was killed, and updates the model after each commit."""
        with killed(kill) as dead:
            try:
                work()
            except (DBAPIError, psycopg.OperationalError):
                assert dead
                self.figures["crashes"] += 1
                self.agrees()
            else:
                update_model()
                if kill != "after":
                    return
        work()
        update_model()

    def set_clock(self, at: datetime) -> None:
        self.went_back = self.went_back or at < self.now
        self.is_in_step = self.is_in_step and at == self.now
        self.now = self.world.set_clock(at)
        self.latest = max(self.latest, at)


def clock_change_after(at: datetime, zone: ZoneInfo) -> datetime:
    """The next quarter hour at which the zone's offset changes, or half a year later."""
    offset = at.astimezone(zone).utcoffset()
    days = (at + n * DAY for n in range(183))
    day = next((day for day in days if (day + DAY).astimezone(zone).utcoffset() != offset), None)
    if day is None:
        return at + 183 * DAY
    return next(quarter for quarter in quarters(day, day + DAY) if quarter.astimezone(zone).utcoffset() != offset)


def counters(rows: list[tuple[int, str, int]]) -> dict[int, dict[date, int]]:
    found: dict[int, dict[date, int]] = {}
    for owner, day, micros in rows:
        found.setdefault(owner, {})[date.fromisoformat(day)] = micros
    return found


def filled(days: dict[int, dict[date, int]]) -> dict[int, dict[date, int]]:
    return {owner: spent for owner, spent in days.items() if spent}


@pytest.mark.timeout(TO_SHRINK_A_FAILURE)
def test_product_equals_the_model_after_every_random_step(world: World) -> None:
    with without_logs(), psycopg.connect(world.url, autocommit=True) as reader:
        Enforcement.world, Enforcement.reader = world, reader
        Enforcement.figures.clear()
        run_state_machine_as_test(Enforcement, settings=MODEL)
    add_figures(f"runs of {STEPS} random steps, each compared with a model", RUNS, Enforcement.figures)
    add_figures("connection killed in a random step", Enforcement.figures["crashes"], Enforcement.figures)
