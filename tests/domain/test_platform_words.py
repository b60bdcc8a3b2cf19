"""Sentences about a campaign here and on its platform."""

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from domain.platform_words import Standing, delay, in_words, length
from domain.reconcile import Confirmed, Desired, Mode
from tests.world import moment

AT = moment("2026-06-17T12:09:00")
DECIDED = moment("2026-06-17T12:03:00")
ZONE = ZoneInfo("Europe/Berlin")
HELD = Standing("Google Ads", Mode.FULL, Desired.INACTIVE, Confirmed.ENABLED, desired_at=DECIDED)
PAUSED = replace(HELD, confirmed=Confirmed.PAUSED, paused_by_us=True, confirmed_at=DECIDED + timedelta(seconds=2.1))
SERVING = replace(PAUSED, desired=Desired.ACTIVE, confirmed_at=DECIDED - timedelta(hours=1))


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (PAUSED, "paused here at 14:03; Google Ads confirmed after 2.1 s"),
        (HELD, "paused here at 14:03; not confirmed by Google Ads for 6 min"),
        (
            replace(HELD, error="the token has expired"),
            "paused here at 14:03; not confirmed by Google Ads for 6 min: the token has expired",
        ),
        (
            replace(HELD, waits_until=AT + timedelta(hours=2)),
            "paused here at 14:03; not confirmed by Google Ads for 6 min: it allows no request before 16:09",
        ),
        (
            replace(HELD, mode=Mode.SHADOW),
            "paused here at 14:03; still enabled on Google Ads, where mode shadow changes nothing",
        ),
        (replace(HELD, mode=Mode.OFF), "not watched on Google Ads: the account's mode is off"),
        (replace(HELD, confirmed=Confirmed.REMOVED), "removed on Google Ads"),
        (
            replace(PAUSED, paused_by_us=False, is_held_there=True),
            "someone paused it on Google Ads; seen at 14:03",
        ),
        (
            replace(PAUSED, paused_by_us=False, is_held_there=True, paused_by="ann@example.com"),
            "ann@example.com paused it on Google Ads; seen at 14:03",
        ),
        (
            replace(PAUSED, paused_by_us=False, confirmed_at=DECIDED - timedelta(days=1)),
            "paused on Google Ads, not by Spendgate",
        ),
        (
            SERVING,
            "active here at 14:03; not confirmed by Google Ads for 6 min",
        ),
        (
            replace(SERVING, mode=Mode.PAUSE_ONLY),
            "active here at 14:03; still paused on Google Ads, where mode pause_only enables nothing",
        ),
        (replace(SERVING, paused_by_us=False), "active here at 14:03; paused on Google Ads, not by Spendgate"),
        (replace(SERVING, confirmed=Confirmed.ENABLED), "enabled on Google Ads"),
        (replace(SERVING, confirmed=Confirmed.UNKNOWN, mode=Mode.SHADOW), "Google Ads has not reported its status yet"),
        (
            replace(HELD, confirmed=Confirmed.UNKNOWN, desired_at=None),
            "paused here; not confirmed by Google Ads",
        ),
    ],
)
def test_sentence_names_decision_confirmation_and_reason(standing: Standing, words: str) -> None:
    assert in_words(standing, AT, ZONE) == words


def test_moment_of_another_day_has_its_day() -> None:
    assert "at 17 Jun 14:03" in in_words(HELD, AT + timedelta(days=3), ZONE)


def test_delay_is_known_only_for_a_confirmation_after_the_decision() -> None:
    assert delay(PAUSED) == timedelta(seconds=2.1)
    assert delay(replace(PAUSED, confirmed_at=DECIDED - timedelta(seconds=1))) is None
    assert delay(replace(PAUSED, desired=Desired.ACTIVE)) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.9, "9.9 s"), (42, "42 s"), (60, "1 min"), (3_600, "1 h"), (172_800, "2 days")],
)
def test_length_of_time_is_in_its_largest_unit(seconds: float, words: str) -> None:
    assert length(timedelta(seconds=seconds)) == words
