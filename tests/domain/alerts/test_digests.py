"""Digests are due at 09:00 of the brand's clock, whatever the clock changes do."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.alerts.digests import digest_at, next_digest_at
from tests.domain.facts import QUICK
from tests.world import moment

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("day", "zone", "due"),
    [
        ("2026-03-07", "America/New_York", "2026-03-07T14:00"),
        ("2026-03-08", "America/New_York", "2026-03-08T13:00"),
        ("2026-10-31", "America/New_York", "2026-10-31T13:00"),
        ("2026-11-01", "America/New_York", "2026-11-01T14:00"),
        ("2026-06-17", "Asia/Kathmandu", "2026-06-17T03:15"),
        ("2011-12-29", "Pacific/Apia", "2011-12-29T19:00"),
        ("2011-12-31", "Pacific/Apia", "2011-12-30T19:00"),
    ],
)
def test_digest_is_due_at_nine_local_time(day: str, zone: str, due: str) -> None:
    assert digest_at(date.fromisoformat(day), ZoneInfo(zone)) == moment(due)


def test_next_digest_is_today_before_nine_and_tomorrow_from_nine_on() -> None:
    due = moment("2026-06-17T13:00")
    assert next_digest_at(due - timedelta(microseconds=1), NEW_YORK) == due
    assert next_digest_at(due, NEW_YORK) == due + timedelta(days=1)


@QUICK
@given(
    st.integers(0, 23 * 366 * 24 * 60).map(lambda minutes: moment("2007-01-01") + timedelta(minutes=minutes)),
    st.sampled_from(["America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Cairo", "Asia/Tehran", "UTC"]),
)
def test_next_digest_comes_within_two_days_and_shows_nine(at: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    due = next_digest_at(at, zone)
    assert at < due <= at + timedelta(days=2, hours=1)
    assert due.astimezone(zone).hour == 9 or name == "Pacific/Apia"
