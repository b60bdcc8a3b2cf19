"""The producers that the guide shows, as their readers run them: their events are counted."""

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


def sends(program: str, times: int) -> None:
    for _ in range(times):
        told = run("-c", program)
        assert (told.code, told.err) == (0, "")


def counts(world: World, events: int) -> None:
    with working():
        eventually(lambda: world.spent(FIRST_CAMPAIGN) == events * AMOUNT_MICROS and is_empty())
    assert world.rejected() == []
    world.verify()


def test_the_example_is_what_the_guide_shows() -> None:
    assert EXAMPLE.partition("\n\n")[2] == PRODUCER
    assert OTHERS == []


@ON_REDIS
def test_the_producer_of_the_guide_is_counted(world: World) -> None:
    assert world.campaign(world.brand()) == FIRST_CAMPAIGN
    sends(PRODUCER, 2)
    assert queues().count("spend") == 2
    counts(world, 2)


@ON_RABBITMQ
def test_the_producer_by_rabbitmq_is_counted_whether_it_or_a_worker_makes_the_queues(world: World) -> None:
    assert world.campaign(world.brand()) == FIRST_CAMPAIGN
    (server,) = rabbitmq.servers
    until_redis = PRODUCER.partition("# Tending")[0]
    assert until_redis != PRODUCER
    server.delete_queues()
    sends(until_redis + BY_RABBITMQ, 1)
    assert queues().count("spend") == 1
    counts(world, 1)
    server.delete_queues()
    with working():
        sends(until_redis + BY_RABBITMQ, 1)
    counts(world, 2)
