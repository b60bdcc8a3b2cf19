"""Messages sent by actor name."""

from tests.workers.kit import ACTORS
from workers.broker import get_broker
from workers.queues import QUEUE_OF


def test_every_actor_reads_the_queue_that_senders_use() -> None:
    assert len(ACTORS) == 4
    assert {name: actor.queue_name for name, actor in get_broker().actors.items()} == dict(QUEUE_OF)
