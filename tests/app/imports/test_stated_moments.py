"""Moments in the lines around a table, in the zone that the file states."""

import pytest

from app.imports.cells import NumberCell
from app.imports.evidence.amounts import AmountReader
from app.imports.evidence.preamble import stated_moment


@pytest.mark.parametrize(
    ("text", "zone", "moment"),
    [
        ("2026-11-20 10:00", None, "2026-11-20T10:00:00+00:00"),
        ("2026-11-20 10:00", "America/Los_Angeles", "2026-11-20T18:00:00+00:00"),
        ("2026-11-20 10:00", "(GMT-08:00) Pacific Time", "2026-11-20T18:00:00+00:00"),
        ("2026-11-20 10:00", "UTC+5:45", "2026-11-20T04:15:00+00:00"),
        ("2026-11-20 10:00 GMT", "(GMT-08:00) Pacific Time", "2026-11-20T10:00:00+00:00"),
        ("2026-11-20 10:00 (UTC)", "America/Los_Angeles", "2026-11-20T10:00:00+00:00"),
        ("2026-11-20T10:00:00Z", "America/Los_Angeles", "2026-11-20T10:00:00+00:00"),
        ("2026-11-20 10:00 AM Z", "America/Los_Angeles", "2026-11-20T10:00:00+00:00"),
        ("2026-11-20 10:00 (GMT+02:00)", "America/Los_Angeles", "2026-11-20T08:00:00+00:00"),
        ("2026-11-20 10:00 UTC-3", None, "2026-11-20T13:00:00+00:00"),
        ("2026-11-20 10:00", "Pacific Time", "2026-11-20T10:00:00+00:00"),
    ],
)
def test_moment_is_in_the_stated_zone_or_offset(text: str, zone: str | None, moment: str) -> None:
    found = stated_moment(text, zone, day_first=None)
    assert found is not None
    assert found.isoformat() == moment


def test_smallest_difference_of_a_number_cell_follows_its_point_in_any_column() -> None:
    reader = AmountReader("comma", 2)
    assert [reader.step(cell) for cell in ("12,5", "12,50", "12", NumberCell("12.5"), NumberCell("12"))] == [
        *(10, 1, 100),
        *(10, 100),
    ]
