"""Zones have equal days when each local midnight falls on the same instant."""

from datetime import date
from zoneinfo import ZoneInfo

from domain.zones import same_days


def same(one: str, other: str, first_day: str, last_day: str) -> bool:
    return same_days(ZoneInfo(one), ZoneInfo(other), date.fromisoformat(first_day), date.fromisoformat(last_day))


def test_zones_with_other_names_for_the_same_place_are_equal() -> None:
    assert same("Asia/Calcutta", "Asia/Kolkata", "2026-01-01", "2026-12-31")


def test_zones_are_equal_only_until_one_changes_its_clocks() -> None:
    assert same("Europe/London", "Africa/Abidjan", "2026-03-01", "2026-03-28")
    assert not same("Europe/London", "Africa/Abidjan", "2026-03-01", "2026-03-29")
