"""The scheduler on a driven clock sends every job that the clock speeds up."""

import pkgutil

from tests.kit import ACTORS, SCHEDULED
from workers import actors
from workers.scheduler import EVERY_BEAT, EVERY_FEW_BEATS, REAL_TIME


def test_driven_clock_sends_every_scheduled_actor_but_those_of_real_time() -> None:
    names = [*EVERY_BEAT, *EVERY_FEW_BEATS, *REAL_TIME]
    assert sorted(names) == sorted(actor.actor_name for actor in SCHEDULED)


def test_actors_of_tests_are_those_of_workers() -> None:
    assert {module.__name__ for module in ACTORS} == {
        f"workers.actors.{module.name}" for module in pkgutil.iter_modules(actors.__path__)
    }
