"""A pause sent long after the last read is Spendgate's only if the platform's history says that nobody paused before.

Law 5: what a person paused on the platform stays paused, also if Spendgate paused it again without knowing.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.platforms import steps
from cli.fake_platforms.state import API
from db.repository.platforms.statuses import StoredStatus
from domain.reconcile import Action, Confirmed, HoldChange, platform_hold_change, reconcile
from runtime import clock
from tests.app.platforms.kit import Connected
from tests.world import World, moment

AT = moment("2026-06-17T12:00")
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.fixture
def connected(on_each_platform: Connected) -> Connected:
    """An account on each platform with two campaigns, which was read at noon and may not be read for ten minutes."""
    for name in ("11", "12"):
        on_each_platform.campaign(name)
    on_each_platform.reconcile()
    on_each_platform.world.execute("UPDATE platform_connections SET wait_until = %s", AT + 10 * MINUTE)
    return on_each_platform


def paused_without_a_read(connected: Connected) -> None:
    """Exhausts the budget and pauses both campaigns, five minutes after the last read."""
    campaign = connected.world.one("SELECT min(id) AS id FROM campaigns")["id"]
    connected.world.set_clock(AT + 5 * MINUTE)
    connected.world.spend(campaign, 100)
    connected.reconcile()
    assert {connected.there("11"), connected.there("12")} == {"paused"}


def released(connected: Connected, minutes: int) -> None:
    """Raises the budget and reconciles twice, so many minutes after noon."""
    connected.world.limit(1_000, brand=connected.brand)
    connected.world.set_clock(AT + minutes * MINUTE)
    connected.reconcile()
    connected.reconcile()


def test_campaign_that_a_person_paused_before_our_unread_pause_stays_paused(connected: Connected) -> None:
    connected.fake.change("11", "paused", "anna@example.com", AT + 2 * MINUTE)
    paused_without_a_read(connected)
    released(connected, 11)
    assert (connected.there("11"), connected.there("12")) == ("paused", "enabled")
    theirs, ours = (row["id"] for row in connected.world.rows("SELECT id FROM campaigns ORDER BY external_id"))
    assert (connected.world.holds(theirs), connected.world.holds(ours)) == ({"platform_paused"}, set())
    connected.world.verify()


def test_unread_pause_waits_until_the_history_can_tell(connected: Connected) -> None:
    paused_without_a_read(connected)
    connected.world.execute("UPDATE platform_connections SET wait_until = NULL")
    released(connected, 6)
    assert {connected.there("11"), connected.there("12")} == {"paused"}
    released(connected, 11)
    assert {connected.there("11"), connected.there("12")} == {"enabled"}


def test_pause_of_which_the_platform_does_not_tell_is_left_and_says_so(connected: Connected, world: World) -> None:
    paused_without_a_read(connected)
    connected.fake.activities.clear()
    released(connected, 11)
    assert {connected.there("11"), connected.there("12")} == {"paused"}
    errors = {row["last_error"] for row in world.rows("SELECT last_error FROM platform_statuses")}
    assert errors == {"a person may have paused it there before Spendgate did: enable it there to release it"}
    connected.set_there("11", "enabled")
    connected.reconcile()
    assert connected.there("11") == "enabled"
    assert world.rows("SELECT FROM platform_statuses WHERE last_error IS NULL AND enabled_at IS NULL")


def test_pause_right_after_a_read_needs_no_history(connected: Connected, world: World) -> None:
    world.execute("UPDATE platform_connections SET wait_until = NULL")
    paused_without_a_read(connected)
    connected.fake.activities.clear()
    released(connected, 11)
    assert {connected.there("11"), connected.there("12")} == {"enabled"}
    assert clock.now() == AT + 11 * MINUTE


@pytest.mark.parametrize("fault", ["hang", "apply_then_hang"])
def test_pause_without_an_answer_is_sent_again_while_the_platform_cannot_be_read(
    connected: Connected, world: World, fault: str
) -> None:
    connected.fake.fail("mutate", fault)
    campaign = world.one("SELECT min(id) AS id FROM campaigns")["id"]
    for minute in (5, 7):
        world.set_clock(AT + minute * MINUTE)
        world.spend(campaign, 100 if minute == 5 else 0)
        connected.reconcile()
    assert {connected.there("11"), connected.there("12")} == {"paused"}
    assert not world.rows("SELECT FROM platform_statuses WHERE may_be_applied")
    assert len(connected.fake.requests("mutate")) == 2
    if fault == "apply_then_hang":
        world.limit(1_000, brand=connected.brand)
        released(connected, 16)
        assert {connected.there("11"), connected.there("12")} == {"enabled"}


def test_release_without_an_answer_is_followed_by_a_pause_while_the_platform_cannot_be_read(
    connected: Connected, world: World
) -> None:
    world.execute("UPDATE platform_connections SET wait_until = NULL")
    paused_without_a_read(connected)
    connected.fake.fail("mutate", "apply_then_hang")
    world.limit(1_000, brand=connected.brand)
    connected.reconcile()
    assert "enabled" in {connected.there("11"), connected.there("12")}
    world.execute("UPDATE platform_connections SET wait_until = %s", AT + 20 * MINUTE)
    world.limit(10, brand=connected.brand)
    world.set_clock(AT + 8 * MINUTE)
    connected.reconcile()
    assert {connected.there("11"), connected.there("12")} == {"paused"}


def test_platform_is_read_after_a_pause_without_an_answer_from_what_is_kept_for_pauses(
    connected: Connected, world: World, platform: str
) -> None:
    world.execute("UPDATE platform_connections SET wait_until = NULL")
    connected.fake.fail("mutate", "apply_then_hang")
    world.spend(world.one("SELECT min(id) AS id FROM campaigns")["id"], 100)
    connected.reconcile()
    assert world.rows("SELECT FROM platform_statuses WHERE may_be_applied")
    world.execute(
        "INSERT INTO platform_operations (pool, minute, operations) VALUES (%s, %s, 2700)"
        " ON CONFLICT (pool, minute) DO UPDATE SET operations = 2700",
        *(platform, AT),
    )
    connected.reconcile()
    assert not world.rows("SELECT FROM platform_statuses WHERE may_be_applied")
    assert len(connected.fake.requests("mutate")) == 1


def lost_release(connected: Connected, fault: str) -> None:
    """Pauses both campaigns at 12:05 and releases them at 12:06, without an answer."""
    connected.world.execute("UPDATE platform_connections SET wait_until = NULL")
    paused_without_a_read(connected)
    connected.world.limit(1_000, brand=connected.brand)
    connected.world.set_clock(AT + 6 * MINUTE)
    connected.fake.fail("mutate", fault)
    connected.reconcile()


@pytest.mark.parametrize("fault", ["apply_then_hang", "apply_then_500"])
def test_pause_after_a_release_whose_answer_was_lost_is_a_persons(connected: Connected, fault: str) -> None:
    lost_release(connected, fault)
    assert {connected.there("11"), connected.there("12")} == {"enabled"}
    connected.fake.change("11", "paused", "anna@example.com", AT + 7 * MINUTE)
    for minutes in (8, 13):
        connected.world.set_clock(AT + minutes * MINUTE)
        connected.reconcile()
    assert (connected.there("11"), connected.there("12")) == ("paused", "enabled")
    theirs = connected.world.one("SELECT id FROM campaigns WHERE external_id = '11'")["id"]
    assert connected.world.holds(theirs) == {"platform_paused"}
    connected.world.verify()


def test_release_that_was_never_applied_is_sent_again_once_the_history_tells_of_no_pause(connected: Connected) -> None:
    lost_release(connected, "500")
    assert {connected.there("11"), connected.there("12")} == {"paused"}
    connected.world.set_clock(AT + 8 * MINUTE)
    connected.reconcile()
    assert {connected.there("11"), connected.there("12")} == {"paused"}
    connected.world.set_clock(AT + 13 * MINUTE)
    connected.reconcile()
    assert {connected.there("11"), connected.there("12")} == {"enabled"}


@dataclass
class Story:
    """One campaign on a platform that reports its history, and Spendgate's row about it."""

    row: StoredStatus
    at: datetime = AT
    there: Confirmed = Confirmed.ENABLED
    history: list[tuple[datetime, str, Confirmed]] = field(default_factory=list)
    read_at: datetime = AT
    unread_changes: int = 0

    def change(self, status: Confirmed, by: str) -> None:
        """A change there, which leaves a trace if it changes something."""
        if self.there is not status:
            self.history.append((self.at, by, status))
        self.there = status

    def visit(self, *, is_read: bool, is_lost: bool = False, is_answered: bool = True) -> None:
        """One visit: reads, clears doubts up, sets or lifts the hold, sends. A pause may be lost, or its answer."""
        if is_read:
            self.read_at, self.unread_changes = self.at, 0
            self.row = steps.seen(self.row, self.there, self.at)
            if steps.is_to_be_cleared_up(self.row):
                pauses = [at for at, _, status in self.history if status is Confirmed.PAUSED]
                self.row = steps.cleared_up(self.row, pauses[-1] if pauses else None, SECOND)
            wanted = platform_hold_change(steps.facts_of(self.row, "full", self.at))
            if wanted is not HoldChange.NONE:
                self.row = self.row._replace(is_held_there=wanted is HoldChange.SET_HOLD)
        desired = "inactive" if self.row.is_held_there else self.row.desired
        facts = steps.facts_of(self.row._replace(desired=desired), "full", self.at, is_unread=not is_read)
        action = reconcile(facts)
        if action not in steps.SENT or (action is Action.ENABLE and not is_read):
            return
        if action is Action.ENABLE:
            assert [by for _, by, status in self.history if status is Confirmed.PAUSED][-1:] == [API]
        unread_since = None if self.at == self.read_at else self.read_at
        sent = steps.sending(self.row, action, unread_since, self.at)
        if not is_lost:
            self.change(steps.SENT[action], API)
        is_seen = action is Action.ENABLE or (is_answered and not is_lost)
        self.row = (
            steps.seen(sent, steps.SENT[action], self.at, is_answer=True)
            if is_seen
            else steps.unanswered(sent, "no answer")
        )


ROW = StoredStatus(
    *(1, 1, "11", "active", False, 1, AT, "enabled", AT, False, None, None, None, False, None, 0, (), None, None, True)
)
VISITS = {
    "read": {"is_read": True},
    "unread": {"is_read": False},
    "lost": {"is_read": False, "is_lost": True},
    "unanswered": {"is_read": False, "is_answered": False},
    "read, lost": {"is_read": True, "is_lost": True},
    "read, unanswered": {"is_read": True, "is_answered": False},
}
STEPS = st.lists(st.sampled_from(["pause", "enable", "want", "stop", *VISITS]), max_size=40)


@settings(max_examples=2_000, deadline=None)
@given(STEPS)
def test_in_any_order_nothing_is_enabled_that_a_person_paused(story: list[str]) -> None:
    """Reads may be missing for any time; a person changes a campaign that Spendgate had read as paused, or has
    paused right after a read, once at most.

    Of two changes between two reads that leave a campaign paused as before, nothing is seen without doubt.
    """
    told = Story(ROW)
    for step in story:
        told.at += 10 * SECOND
        is_sent = told.row.confirmed == Confirmed.PAUSED or told.row.may_be_applied
        is_known_as_paused = is_sent and told.row.enabled_at is None
        if step in {"pause", "enable"}:
            if is_known_as_paused:
                told.unread_changes += 1
            if told.unread_changes <= 1:
                told.change(Confirmed.PAUSED if step == "pause" else Confirmed.ENABLED, "a person")
        elif step in {"want", "stop"}:
            told.row = told.row._replace(desired="active" if step == "want" else "inactive")
        else:
            told.visit(**VISITS[step])
