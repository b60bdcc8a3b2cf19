"""Workers count the events sent by the producers in the guide."""

import re

from tests import rabbitmq
from tests.cli.shell import REPOSITORY, run
from tests.kit import is_empty, working
from tests.queues import ON_RABBITMQ, ON_REDIS, queues
from tests.world import World, eventually

EXAMPLE = (REPOSITORY / "examples/producer.py").read_text()
GUIDE = (REPOSITORY / "docs/guides/producer.md").read_text()
PRODUCER, BY_RABBITMQ, *OTHERS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
AMOUNT_MICROS = 1_250_000
FIRST_CAMPAIGN = 1


def run_producer(program: str, times: int) -> None:
    for _ in range(times):
        result = run("-c", program, by_exec=True)
        assert (result.code, result.err) == (0, "")


def assert_counted(world: World, events: int) -> None:
    with working():
        eventually(lambda: world.spent(FIRST_CAMPAIGN) == events * AMOUNT_MICROS and is_empty())
    assert world.rejected() == []
    world.verify()


def test_guide_shows_the_example_program() -> None:
    assert EXAMPLE.partition("\n\n")[2] == PRODUCER
    assert OTHERS == []


@ON_REDIS
def test_events_of_the_redis_producer_in_the_guide_are_counted(world: World) -> None:
    assert world.campaign(world.brand()) == FIRST_CAMPAIGN
    run_producer(PRODUCER, 2)
    assert queues().count("spend") == 2
    assert_counted(world, 2)


@ON_RABBITMQ
def test_events_of_the_rabbitmq_producer_are_counted_whoever_declares_the_queues(world: World) -> None:
    assert world.campaign(world.brand()) == FIRST_CAMPAIGN
    (server,) = rabbitmq.servers
    until_redis = PRODUCER.partition("# Workers maintain")[0]
    assert until_redis != PRODUCER
    server.delete_queues()
    run_producer(until_redis + BY_RABBITMQ, 1)
    assert queues().count("spend") == 1
    assert_counted(world, 1)
    server.delete_queues()
    with working():
        run_producer(until_redis + BY_RABBITMQ, 1)
    assert_counted(world, 2)
