"""Alerts through four real worker processes with the worker's database role: raised, resolved and mailed once."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from app.alerts import channels
from db.repository.access.audit import Edit
from db.repository.access.privileges import DatabaseRole
from delivery.outgoing import send, send_totals
from tests.cli.shell import Service, serving
from tests.fake_channels.mail import MailServer, mail_server
from tests.kit import is_empty
from tests.roles import UrlOf
from tests.world import UNIT, World, eventually, noon_zone

ENV = {"SPENDGATE_WORKER_PROCESSES": "4", "SPENDGATE_WORKER_THREADS": "2"}
PATIENCE_SECONDS = 180
"""On a busy machine the four processes take minutes to start."""

EVALUATIONS = 8
"""Messages sent at once, so that several processes evaluate the same brands."""

COURSE = ((105, "open", 1), (20, "resolved", 2), (105, "open", 2), (20, "resolved", 2), (105, "open", 2))
"""For each restatement: the units spent of 100, the state of the alert then, and the mails sent by then."""

ALL_EVALUATED = """
    SELECT FROM watermarks WHERE name = 'alerts' AND reached_at >= (SELECT max(spend_received_at) FROM brands)
"""


pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def mail() -> Iterator[MailServer]:
    """A mail server."""
    with mail_server() as server:
        yield server


@pytest.fixture
def workers(world: World, url_of: UrlOf, tmp_path: Path) -> Iterator[Service]:
    """The worker processes."""
    env = {"DATABASE_URL": url_of(DatabaseRole.WORKER), **ENV}
    with serving("-m", "workers", output=tmp_path / "output", env=env) as started:
        yield started


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - real time


class Restated:
    """A campaign whose source restates the spend of a day, each time with a later moment."""

    def __init__(self, world: World) -> None:
        self.world, self.zone = world, ZoneInfo(noon_zone())
        self.brand = world.brand(self.zone.key, name="Hudson", daily=100 * UNIT)
        self.campaign = world.campaign(self.brand)
        self.as_of = now() - timedelta(minutes=30)

    def restate(self, units: int, days_ago: int = 0) -> None:
        """Sends a new total of the day and waits until it is counted."""
        self.as_of += timedelta(seconds=1)
        day = now().astimezone(self.zone).date() - timedelta(days=days_ago)
        total = {
            "source": "meta",
            "campaign_id": self.campaign,
            "day": day.isoformat(),
            "total_micros": units * UNIT,
            "as_of": self.as_of.isoformat(),
        }
        send_totals([total])
        eventually(lambda: self.world.spent(self.campaign, day) == units * UNIT, PATIENCE_SECONDS)

    def states(self) -> list[tuple[int, str]]:
        rows = self.world.rows("SELECT threshold, state FROM alerts WHERE kind = 'budget_threshold' ORDER BY id")
        return [(row["threshold"], row["state"]) for row in rows]

    def notices(self) -> list[str]:
        return [row["kind"] for row in self.world.rows("SELECT kind FROM notices ORDER BY id")]


def evaluated_until(is_true: Callable[[], bool]) -> None:
    """Sends EVALUATIONS messages at once, again whenever all are processed, until `is_true` returns true."""

    def evaluated() -> bool:
        if is_empty("notices"):
            for _ in range(EVALUATIONS):
                send("send_alerts")
        return is_true()

    eventually(evaluated, PATIENCE_SECONDS)


def test_restatement_up_down_and_up_is_raised_resolved_and_mailed_once(
    world: World, workers: Service, mail: MailServer
) -> None:
    restated = Restated(world)
    channels.add("ops", mail.url, Edit("test", now()))
    for units, state, mails in COURSE:
        restated.restate(units)
        evaluated_until(lambda: restated.states() == [(100, state)])  # noqa: B023 - at once
        eventually(lambda: len(mail.mails) >= mails, PATIENCE_SECONDS)  # noqa: B023 - at once
    restated.restate(106)
    evaluated_until(lambda: bool(world.rows(ALL_EVALUATED)))
    assert restated.states() == [(100, "open")]
    assert restated.notices() == ["alert.raised", "alert.resolved"]
    assert mail.subjects() == ["Hudson: budget used 100 %", "Hudson: budget used 100 %, resolved"]
    assert len(world.rows("SELECT FROM alert_messages")) == 2
    world.verify()


def test_backfill_of_sixty_days_raises_nothing(world: World, workers: Service) -> None:
    restated = Restated(world)
    for days_ago in range(1, 61):
        restated.restate(500, days_ago)
    evaluated_until(lambda: bool(world.rows(ALL_EVALUATED)))
    assert world.rows("SELECT FROM alerts") == []
    assert restated.notices() == []
