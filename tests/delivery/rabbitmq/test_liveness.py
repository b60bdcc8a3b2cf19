"""A worker that lost a connection to RabbitMQ and still lives counts as no death of a suspect message."""

from collections.abc import Iterator

import pytest

from delivery.broker import get_broker
from delivery.broker import suspects as middleware
from delivery.rabbitmq.broker import SpendgateRabbitBroker
from tests import rabbitmq
from tests.queues import ON_RABBITMQ
from tests.world import World, eventually

broker = get_broker()

pytestmark = ON_RABBITMQ

OTHER = "another-worker"


@pytest.fixture
def other() -> Iterator[SpendgateRabbitBroker]:
    """Returns the broker of another worker."""
    (server,) = rabbitmq.servers
    made = SpendgateRabbitBroker(server.url, [])
    made.broker_id = OTHER
    made.declare_queue("spend")
    yield made
    made.close()


def test_worker_is_alive_as_long_as_its_connection(world: World, other: SpendgateRabbitBroker) -> None:
    del world
    assert not broker.is_alive(OTHER)
    delays = other.consume("spend.DQ")
    assert broker.is_alive(OTHER)
    assert other.is_alive(OTHER)
    delays.close()
    eventually(lambda: not broker.is_alive(OTHER))


def test_death_is_counted_only_if_the_worker_that_began_the_suspect_is_gone(
    world: World, other: SpendgateRabbitBroker
) -> None:
    world.execute("INSERT INTO suspect_messages (message_id, begun_by) VALUES ('a', %s), ('b', %s)", OTHER, OTHER)
    delays = other.consume("spend.DQ")
    assert middleware._count_deaths(broker, "a", 0) == 0
    delays.close()
    eventually(lambda: not broker.is_alive(OTHER))
    assert middleware._count_deaths(broker, "b", 0) == 1


def test_worker_without_the_right_to_an_own_queue_moves_delayed_messages(
    world: World, other: SpendgateRabbitBroker
) -> None:
    del world
    (server,) = rabbitmq.servers
    rights = 'rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"/">>, <<"{}">>, <<".*">>, <<".*">>, <<"t">>)'
    server.ask(rights.format("^spend([.]DQ|[.]XQ)?$"))
    try:
        delays = other.consume("spend.DQ")
        next(delays)
        assert not broker.is_alive(OTHER)
        delays.close()
    finally:
        server.ask(rights.format(".*"))
