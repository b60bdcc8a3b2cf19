"""The pure rules that bring an ad platform to the desired status and respect what people change there."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.reconcile import (
    REPAUSES_AN_HOUR,
    Action,
    Confirmed,
    Desired,
    HoldChange,
    Mode,
    StatusFacts,
    paused_by_us_after,
    platform_hold_change,
    recent_repauses,
    reconcile,
    would_do,
)
from tests.world import moment

ACTIVE, INACTIVE = Desired.ACTIVE, Desired.INACTIVE
ENABLED, PAUSED, REMOVED, UNKNOWN = Confirmed.ENABLED, Confirmed.PAUSED, Confirmed.REMOVED, Confirmed.UNKNOWN
OURS, THEIRS = True, False

FULL_MODE = [
    (ACTIVE, ENABLED, OURS, Action.NONE),
    (ACTIVE, ENABLED, THEIRS, Action.NONE),
    (ACTIVE, PAUSED, OURS, Action.ENABLE),
    (ACTIVE, PAUSED, THEIRS, Action.LEAVE),
    (ACTIVE, REMOVED, OURS, Action.LEAVE),
    (ACTIVE, REMOVED, THEIRS, Action.LEAVE),
    (ACTIVE, UNKNOWN, OURS, Action.NONE),
    (ACTIVE, UNKNOWN, THEIRS, Action.NONE),
    (INACTIVE, ENABLED, OURS, Action.PAUSE),
    (INACTIVE, ENABLED, THEIRS, Action.PAUSE),
    (INACTIVE, PAUSED, OURS, Action.NONE),
    (INACTIVE, PAUSED, THEIRS, Action.NONE),
    (INACTIVE, REMOVED, OURS, Action.LEAVE),
    (INACTIVE, REMOVED, THEIRS, Action.LEAVE),
    (INACTIVE, UNKNOWN, OURS, Action.NONE),
    (INACTIVE, UNKNOWN, THEIRS, Action.NONE),
]

FACTS = st.builds(
    StatusFacts,
    desired=st.sampled_from(Desired),
    confirmed=st.sampled_from(Confirmed),
    paused_by_us=st.booleans(),
    mode=st.sampled_from(Mode),
    is_repause=st.booleans(),
    repauses=st.integers(0, 5),
    may_be_applied=st.booleans(),
)


def test_the_table_has_a_row_for_each_combination() -> None:
    assert [row[:3] for row in FULL_MODE] == list(product(Desired, Confirmed, (OURS, THEIRS)))


@pytest.mark.parametrize(("desired", "confirmed", "ours", "action"), FULL_MODE)
def test_full_mode_takes_the_step_of_the_table(
    desired: Desired, confirmed: Confirmed, ours: bool, action: Action
) -> None:
    facts = StatusFacts(desired, confirmed, ours, Mode.FULL)
    assert reconcile(facts) is action
    assert would_do(replace(facts, mode=Mode.SHADOW)) is action


@pytest.mark.parametrize(("desired", "confirmed", "ours", "action"), FULL_MODE)
def test_pause_only_mode_leaves_what_full_mode_enables(
    desired: Desired, confirmed: Confirmed, ours: bool, action: Action
) -> None:
    expected = Action.LEAVE if action is Action.ENABLE else action
    assert reconcile(StatusFacts(desired, confirmed, ours, Mode.PAUSE_ONLY)) is expected


def test_a_campaign_enabled_there_while_held_is_paused_three_times_an_hour_then_alerts() -> None:
    facts = StatusFacts(INACTIVE, ENABLED, OURS, Mode.FULL, is_repause=True)
    assert reconcile(replace(facts, repauses=REPAUSES_AN_HOUR - 1)) is Action.PAUSE
    assert reconcile(replace(facts, repauses=REPAUSES_AN_HOUR)) is Action.ALERT


def test_a_new_decision_pauses_after_three_pauses_for_an_older_one() -> None:
    facts = StatusFacts(INACTIVE, ENABLED, mode=Mode.FULL, is_repause=False, repauses=REPAUSES_AN_HOUR)
    assert reconcile(facts) is Action.PAUSE


def test_repauses_older_than_an_hour_do_not_count() -> None:
    at = moment("2026-06-17T12:00")
    moments = [at, at - timedelta(hours=1), at - timedelta(minutes=59), at + timedelta(seconds=1)]
    assert recent_repauses(moments, at) == [at - timedelta(minutes=59), at]


@pytest.mark.parametrize("mode", [Mode.PAUSE_ONLY, Mode.FULL])
def test_a_pause_by_a_person_sets_the_hold_and_an_enabled_campaign_has_none(mode: Mode) -> None:
    assert platform_hold_change(StatusFacts(ACTIVE, PAUSED, THEIRS, mode)) is HoldChange.SET_HOLD
    assert platform_hold_change(StatusFacts(INACTIVE, PAUSED, THEIRS, mode)) is HoldChange.SET_HOLD
    assert platform_hold_change(StatusFacts(INACTIVE, PAUSED, OURS, mode)) is HoldChange.NONE
    assert platform_hold_change(StatusFacts(INACTIVE, ENABLED, OURS, mode)) is HoldChange.LIFT_HOLD
    assert platform_hold_change(StatusFacts(INACTIVE, REMOVED, THEIRS, mode)) is HoldChange.NONE
    assert platform_hold_change(StatusFacts(INACTIVE, UNKNOWN, THEIRS, mode)) is HoldChange.NONE


@given(FACTS)
def test_nothing_is_enabled_that_a_person_paused_or_that_is_not_desired_active(facts: StatusFacts) -> None:
    if reconcile(facts) is Action.ENABLE:
        assert facts.paused_by_us
        assert facts.desired is ACTIVE
        assert facts.mode is Mode.FULL


@given(FACTS)
def test_off_and_shadow_change_nothing(facts: StatusFacts) -> None:
    if facts.mode in {Mode.OFF, Mode.SHADOW}:
        assert reconcile(facts) is Action.NONE
        assert platform_hold_change(facts) is HoldChange.NONE


@given(FACTS)
def test_nothing_is_sent_before_an_unknown_outcome_was_read(facts: StatusFacts) -> None:
    if facts.may_be_applied or facts.confirmed is UNKNOWN:
        assert reconcile(facts) is Action.NONE


@dataclass
class Platform:
    """A platform with one campaign, and who paused it; Spendgate's memory of it; the moments of repeated pauses."""

    status: Confirmed = ENABLED
    paused_by: str = ""
    desired: Desired = ACTIVE
    is_held_there: bool = False
    paused_by_us: bool = False
    has_paused: bool = False
    minute: int = 0
    repauses: list[int] = field(default_factory=list)

    def poll(self, mode: Mode) -> Action:
        """One round: read, set or lift the hold, decide, and change the platform."""
        self.paused_by_us = paused_by_us_after(self.status, paused_by_us=self.paused_by_us)
        recent = [minute for minute in self.repauses if minute > self.minute - 60]
        facts = StatusFacts(
            INACTIVE, self.status, self.paused_by_us, mode, is_repause=self.has_paused, repauses=len(recent)
        )
        self.is_held_there = {HoldChange.SET_HOLD: True, HoldChange.LIFT_HOLD: False}.get(
            platform_hold_change(facts), self.is_held_there
        )
        wanted = INACTIVE if self.is_held_there else self.desired
        facts = replace(facts, desired=wanted)
        action = reconcile(facts)
        if action is Action.PAUSE:
            self.repauses += [self.minute] if facts.is_repause else []
            self.status, self.paused_by, self.paused_by_us, self.has_paused = PAUSED, "us", True, True
        if action is Action.ENABLE:
            assert self.paused_by == "us"
            self.status, self.has_paused, self.paused_by_us = ENABLED, False, False
        return action


STEPS = st.lists(st.sampled_from(["pause", "enable", "want", "stop", "poll", "minutes"]), max_size=60)


@settings(max_examples=1_000, deadline=None)
@given(STEPS, st.sampled_from([Mode.PAUSE_ONLY, Mode.FULL]))
def test_any_order_of_steps_respects_people_and_the_limit_of_repeated_pauses(steps: list[str], mode: Mode) -> None:
    """Each change by a person is read before the next one: of two changes between two reads only the last is seen."""
    platform = Platform()
    for step in steps:
        platform.minute += 1
        if step == "pause" and platform.status is ENABLED:
            platform.status, platform.paused_by = PAUSED, "a person"
        elif step == "enable":
            platform.status, platform.paused_by = ENABLED, ""
        elif step in {"want", "stop"}:
            wanted = ACTIVE if step == "want" else INACTIVE
            platform.has_paused = platform.has_paused and wanted is platform.desired
            platform.desired = wanted
        elif step == "minutes":
            platform.minute += 20
        if step in {"pause", "enable", "poll"}:
            action = platform.poll(mode)
            assert action is not Action.ENABLE or mode is Mode.FULL
            hour = [minute for minute in platform.repauses if minute > platform.minute - 60]
            assert len(hour) <= REPAUSES_AN_HOUR
