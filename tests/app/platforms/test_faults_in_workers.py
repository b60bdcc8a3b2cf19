"""Every fault of a platform, through real worker processes and a server with the platform's wire, one after the other.

One set of processes serves all faults of a platform: after each fault the account must be read and changed as before.
"""

import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta

import pytest

from cli.fake_platforms.state import ENABLED, PAUSED
from delivery.outgoing import send
from runtime import clock
from tests.app.platforms.kit import Connected
from tests.app.platforms.test_workers import Start, live, start, today
from tests.cli.shell import shell
from tests.fake_platforms.fixtures import META_SECRETS, SECRETS
from tests.workers.test_secrets import assert_no_secret
from tests.world import eventually, noon_zone

__all__ = ["live", "start"]

PATIENCE_SECONDS = 60
ELEVEN_HOURS = timedelta(seconds=40_591)
MADE_DUE = """
    UPDATE platform_connections SET next_read_at = NULL, statuses_read_at = NULL, retry_at = NULL
    WHERE platform_account_id IN (SELECT platform_account_id FROM platform_connections FOR UPDATE SKIP LOCKED)
"""
FORGIVEN = """
    UPDATE platform_connections SET next_read_at = NULL, described_at = NULL, retry_at = NULL, wait_until = NULL,
        pauses_wait_until = NULL, claimed_until = NULL, last_error = NULL, failures = 0
"""


@pytest.fixture(autouse=True)
def short_deadline(monkeypatch: pytest.MonkeyPatch, live: Connected) -> None:
    """Lets requests of the workers end after a second."""
    monkeypatch.setenv("SPENDGATE_PLATFORM_DEADLINE_SECONDS", "1")


class Scene:
    """An account with two campaigns, `ours` for decisions and `theirs` for people, and the workers that visit it."""

    def __init__(self, live: Connected) -> None:
        self.live, self.fake, self.world = live, live.fake, live.world
        self.ours, self.theirs = live.campaign("11"), live.campaign("12")
        self.day: date = today(live.fake.time_zone).date()
        live.reconcile()

    def visited_until(self, is_true: Callable[[], bool]) -> None:
        """Makes the account due and sends the message of the minute, again and again until `is_true` returns true."""

        def visited() -> bool:
            self.world.execute(MADE_DUE)
            send("visit_platforms")
            time.sleep(0.2)
            return is_true()

        try:
            eventually(visited, PATIENCE_SECONDS)
        except AssertionError as late:
            raise AssertionError(f"{late}; the account: {self.live.connection()}") from None

    def healed(self) -> None:
        """Ends the fault; returns once both campaigns are enabled there and here, and spend is read."""
        self.fake.faults.clear()
        self.world.execute(FORGIVEN)
        for campaign in (self.ours, self.theirs):
            self.world.set_status(campaign, "enabled")
        self.visited_until(lambda: self.is_confirmed(ENABLED) and self.error is None and self.has_counted())

    def has_counted(self) -> bool:
        """Whether Spendgate's counter has the platform's spend of today."""
        return self.live.spent(self.ours, self.day) == self.fake.campaigns["11"].spend.get(self.day, 0)

    def is_confirmed(self, status: str, campaign: int = 0, name: str = "11") -> bool:
        """Whether the campaign, by default `ours`, has the status there, and Spendgate knows it."""
        row = self.live.row(campaign or self.ours)
        return row["confirmed"] == self.live.there(name) == status and not row["may_be_applied"]

    def stop(self) -> None:
        """A person pauses `ours` in Spendgate."""
        self.world.set_status(self.ours, PAUSED)

    def mutates(self) -> int:
        """The number of requests that change statuses."""
        return len(self.fake.requests("mutate"))

    @property
    def error(self) -> str | None:
        """The stored error of the account."""
        error: str | None = self.live.connection()["last_error"]
        return error


def read_fails(fault: str, *words: str) -> Callable[[Scene], None]:
    """While reads fail, the account's error says why by one of the words, nothing is counted, and a pause goes out."""

    def play(scene: Scene) -> None:
        before = scene.live.spent(scene.ours, scene.day)
        scene.fake.fail("search", *[fault] * 200)
        scene.fake.spend("11", scene.day, 1)
        scene.visited_until(lambda: any(word in (scene.error or "") for word in words))
        assert scene.live.spent(scene.ours, scene.day) == before
        scene.stop()
        scene.visited_until(lambda: scene.live.there("11") == PAUSED)

    return play


def limited_for_eleven_hours(scene: Scene) -> None:
    """Nothing is read before the platform allows it, and a pause goes out of what is kept for pauses."""
    scene.fake.fail("search", "429")
    before = clock.now()
    scene.visited_until(lambda: scene.live.connection()["wait_until"] is not None)
    stored = scene.live.connection()
    assert stored["wait_until"] - before >= ELEVEN_HOURS - timedelta(minutes=1)
    assert stored["pauses_wait_until"] is None
    reads = len(scene.fake.requests("search"))
    scene.stop()
    scene.visited_until(lambda: scene.is_confirmed(PAUSED))
    assert len(scene.fake.requests("search")) == reads


def change_fails(fault: str, *, is_applied: bool) -> Callable[[Scene], None]:
    """After a change without an answer the platform is read, and the change is sent again only if it was lost."""

    def play(scene: Scene) -> None:
        before = scene.mutates()
        scene.fake.fail("mutate", fault)
        scene.stop()
        scene.visited_until(lambda: scene.is_confirmed(PAUSED))
        assert scene.mutates() - before == (1 if is_applied else 2)
        kinds = [one.kind for one in scene.fake.received if one.kind != "token"]
        first = kinds.index("mutate", len(kinds) - kinds[::-1].index("mutate") - 1)
        assert is_applied or "search" in kinds[:first]
        assert scene.world.holds(scene.ours) == {"user_paused"}
        assert scene.live.row(scene.ours)["paused_by_us"]

    return play


def change_is_limited(scene: Scene) -> None:
    """A limit on changes stops pauses too, for as long as the platform says."""
    scene.fake.fail("mutate", "429")
    scene.stop()
    scene.visited_until(lambda: scene.live.connection()["pauses_wait_until"] is not None)
    before = scene.mutates()
    reads = len(scene.fake.requests("search"))
    scene.world.execute("UPDATE platform_connections SET wait_until = NULL")
    scene.visited_until(lambda: len(scene.fake.requests("search")) > reads + 1)
    assert scene.mutates() == before
    assert scene.live.there("11") == ENABLED


def partial_failure(scene: Scene) -> None:
    """One campaign that the platform refuses stops no other, and its error is kept."""
    scene.fake.refused.add("12")
    scene.world.set_status(scene.theirs, PAUSED)
    scene.stop()
    scene.visited_until(lambda: scene.is_confirmed(PAUSED))
    eventually(lambda: bool(scene.live.row(scene.theirs)["last_error"]))
    assert scene.live.there("12") == ENABLED
    scene.fake.refused.clear()


def in_process(scene: Scene) -> None:
    """A pause that Meta still processes is not confirmed."""
    scene.fake.in_process.add("11")
    scene.stop()
    scene.visited_until(lambda: scene.live.row(scene.ours)["confirmed"] == "unknown")
    assert scene.live.row(scene.ours)["unconfirmed_since"] is not None
    scene.fake.in_process.clear()
    scene.visited_until(lambda: scene.is_confirmed(PAUSED))


def vanished_day(scene: Scene) -> None:
    """A day that was credited to nothing vanishes from the answer, and is counted as zero."""
    scene.fake.spend("11", scene.day, 30)
    scene.visited_until(lambda: scene.live.spent(scene.ours, scene.day) >= 30)
    scene.fake.campaigns["11"].spend.clear()
    scene.fake.campaigns["11"].hours.clear()
    scene.visited_until(lambda: scene.live.spent(scene.ours, scene.day) == 0)


def wrong_zone(scene: Scene) -> None:
    """Spend of days that cannot be put together from the account's hours is not read, and the error says so."""
    scene.fake.time_zone = "Asia/Kolkata"
    _described_otherwise(scene, "Asia/Kolkata")
    scene.fake.time_zone = noon_zone()


def wrong_currency(scene: Scene) -> None:
    """Spend in another currency than the brand's is not read, and the error says so."""
    scene.fake.currency = "EUR"
    _described_otherwise(scene, "counts in USD, the account in EUR")
    scene.fake.currency = "USD"


def _described_otherwise(scene: Scene, words: str) -> None:
    before = scene.live.spent(scene.ours, scene.day)
    scene.world.execute("UPDATE platform_connections SET described_at = NULL")
    scene.visited_until(lambda: words in (scene.error or ""))
    scene.fake.spend("11", scene.day, 1)  # not before: a visit that began with the old description would count it
    failed_at = scene.live.connection()["failed_at"]
    scene.visited_until(lambda: scene.live.connection()["failed_at"] not in {None, failed_at})
    assert scene.live.spent(scene.ours, scene.day) == before


def login_ends(scene: Scene) -> None:
    """An expired or revoked login is named, and nothing is sent with it until it is valid again."""
    token = scene.fake.token
    scene.fake.is_revoked, scene.fake.token = True, "ya29.another-token"
    scene.visited_until(lambda: "expired or" in (scene.error or "") or "error 190" in (scene.error or ""))
    scene.stop()
    scene.visited_until(lambda: scene.live.connection()["failures"] > 0)
    assert scene.live.there("11") == ENABLED
    scene.fake.is_revoked, scene.fake.token = False, token


def person_pauses_there(scene: Scene) -> None:
    """A pause that a person made there is never undone, whatever is decided here."""
    scene.live.set_there("12", PAUSED)
    scene.visited_until(lambda: scene.world.holds(scene.theirs) == {"platform_paused"})
    scene.world.set_status(scene.theirs, PAUSED)
    scene.world.set_status(scene.theirs, ENABLED)
    scene.stop()
    scene.visited_until(lambda: scene.is_confirmed(PAUSED))
    scene.world.set_status(scene.ours, ENABLED)
    scene.visited_until(lambda: scene.is_confirmed(ENABLED))
    assert scene.live.there("12") == PAUSED
    scene.live.set_there("12", ENABLED)
    scene.visited_until(lambda: scene.world.holds(scene.theirs) == set())


def enabled_there_while_held(scene: Scene) -> None:
    """A held campaign that is enabled there is paused again by the next poll."""
    scene.stop()
    scene.visited_until(lambda: scene.is_confirmed(PAUSED))
    scene.live.set_there("11", ENABLED)
    scene.world.execute(MADE_DUE)
    send("visit_platforms")
    eventually(lambda: scene.live.there("11") == PAUSED, PATIENCE_SECONDS)


SCENES: dict[str, Callable[[Scene], None]] = {
    "a read hangs": read_fails("hang", "within 1 s"),
    "a read drips": read_fails("drip", "within 1 s"),
    "a read fails with 500": read_fails("500", "500", "error 2: Service temporarily unavailable"),
    "a change hangs": change_fails("hang", is_applied=False),
    "a change was applied and hangs": change_fails("apply_then_hang", is_applied=True),
    "a change fails with 500": change_fails("500", is_applied=False),
    "a change was applied and fails with 500": change_fails("apply_then_500", is_applied=True),
    "the answer to a change drips": change_fails("drip", is_applied=True),
    "changes are limited": change_is_limited,
    "one change of several is refused": partial_failure,
    "a change is in process": in_process,
    "a day vanishes": vanished_day,
    "the account has another zone": wrong_zone,
    "the account has another currency": wrong_currency,
    "the login expired or was revoked": login_ends,
    "a person pauses a campaign there": person_pauses_there,
    "a held campaign is enabled there": enabled_there_while_held,
}
OF_META = {in_process}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("live", ["google_ads", "meta_ads"], indirect=True)
def test_account_recovers_from_every_fault(live: Connected, start: Start, subtests: pytest.Subtests) -> None:
    live.fake.rows_a_page = 100
    scene = Scene(live)
    scene.world.limit(1_000_000, brand=live.brand)
    with start() as worker:
        scene.healed()
        for name, play in SCENES.items():
            if play in OF_META and live.platform != "meta_ads":
                continue
            with subtests.test(name):
                play(scene)
                scene.healed()
        with subtests.test("reads are limited for eleven hours"):
            limited_for_eleven_hours(scene)  # last, because worker processes remember Meta's limit for as long
        output = "\n".join(worker.lines())
    for text in (output, *_told(live)):
        assert_no_secret(text, *SECRETS.values(), *META_SECRETS.values(), live.fake.token)
    live.world.verify()


def _told(live: Connected) -> Iterator[str]:
    """Everything that people and programs see of the account: tables, paths of requests, commands."""
    for table in ("platform_connections", "platform_statuses", "audit_entries", "status_changes", "rejected_events"):
        yield str(live.world.rows(f"SELECT * FROM {table}"))  # noqa: S608 - constants
    yield str([one.path for one in live.fake.received])
    for command in (("list",), ("status",), ("check", str(live.account))):
        result = shell("platform", *command)
        yield result.out + result.err
