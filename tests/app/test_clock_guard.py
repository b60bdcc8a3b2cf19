"""A process whose clock differs too much from Postgres's decides nothing, and goes on when it is right again."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from app import clock_guard
from app.clock_guard import offset_between
from db.engine import transaction
from db.failures import is_transient
from runtime import clock
from runtime.clock import ClockIsOff
from runtime.settings import settings
from tests import citus
from tests.world import World

T0 = datetime(2026, 6, 17, 12, tzinfo=UTC)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@pytest.fixture(autouse=True)
def right_at_the_end() -> Iterator[None]:
    """Lets this process decide again."""
    yield
    clock.guard.is_off = False


def shift(world: World, offset: timedelta) -> None:
    """Shows a clock that is `offset` behind, and compares it."""
    world.set_clock(datetime.now(UTC) - offset)  # noqa: TID251 - real time, which the other clock shows
    with transaction() as connection:
        clock_guard.check(connection)


@pytest.mark.parametrize(
    ("before", "server", "after", "offset"),
    [(0, 1, 2, 0), (0, 0, 0, 0), (0, 5, 2, 3), (3, 0, 4, -3), (0, 400, 0, 400)],
)
def test_offset_is_the_least_that_explains_the_readings(before: int, server: int, after: int, offset: int) -> None:
    moments = (T0 + seconds(one) for one in (before, server, after))
    assert offset_between(*moments) == seconds(offset)


def test_bound_itself_is_allowed(world: World) -> None:
    assert not clock_guard.is_too_large(seconds(10))
    assert clock_guard.is_too_large(seconds(10.001))
    assert clock_guard.is_too_large(seconds(-10.001))


@pytest.mark.parametrize("offset", [400, -400])
def test_process_with_a_wrong_clock_rejects_no_event_and_counts_none(world: World, offset: int) -> None:
    campaign = world.campaign(world.brand("UTC", daily=10))
    event = world.event(campaign, 1)
    shift(world, seconds(offset))
    with pytest.raises(ClockIsOff) as refused:
        world.ingest([event])
    assert is_transient(refused.value)
    shift(world, seconds(0))
    world.ingest([event])
    assert (world.rejected(), world.spent(campaign)) == ([], 1)


@pytest.mark.skipif(citus.is_used(), reason="a driven clock works only with embedded servers")
def test_driven_clock_is_right(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPENDGATE_CLOCK_SPEED", "2")
    settings.cache_clear()
    shift(world, seconds(400))
    assert not clock.guard.is_off
