"""The table of queues agrees with the actors."""

from dramatiq import Actor

from delivery.queues import QUEUE_OF
from tests.kit import ACTORS


def test_every_actor_reads_the_queue_in_queue_of() -> None:
    actors = [value for module in ACTORS for value in vars(module).values() if isinstance(value, Actor)]
    assert {actor.actor_name: actor.queue_name for actor in actors} == dict(QUEUE_OF)
