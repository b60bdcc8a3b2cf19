"""Messages sent by actor name."""

from dramatiq import Actor

from delivery.queues import QUEUE_OF
from tests.kit import ACTORS


def test_every_actor_reads_the_queue_that_senders_use() -> None:
    actors = [one for module in ACTORS for one in vars(module).values() if isinstance(one, Actor)]
    assert {actor.actor_name: actor.queue_name for actor in actors} == dict(QUEUE_OF)
