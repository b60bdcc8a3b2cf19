"""Messages sent by actor name."""

from delivery.broker import get_broker
from delivery.queues import QUEUE_OF
from tests.kit import ACTORS


def test_every_actor_reads_the_queue_that_senders_use() -> None:
    assert len(ACTORS) == 4
    assert {name: actor.queue_name for name, actor in get_broker().actors.items()} == dict(QUEUE_OF)
