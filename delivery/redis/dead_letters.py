"""Moves dead letters from Redis, where messages wait that Postgres could not store, to the rejected inputs."""

from typing import Any, Final

from delivery.messages import Fault
from delivery.redis.steps import RedisSteps

A_TIDYING: Final = 20


def keep_some(steps: RedisSteps, queue_name: str, bounds: tuple[int, ...]) -> None:
    """Moves up to A_TIDYING dead letters, the oldest first, from Redis to the rejected inputs in Postgres.

    They are messages that Postgres could not store before, or dead letters of other programs. Stops at the first one
    that Postgres does not store, and moves it to the end of the dead letters. `bounds`: how long Redis keeps a copy of
    moved letters, in milliseconds that do not count outages, and how many bytes of kept messages; empty: it keeps none.
    Raises redis.RedisError.
    """
    key = f"{steps.namespace}:{queue_name}.XQ"
    waiting: Any = steps.client.zrange(key, 0, A_TIDYING - 1)
    for redis_id in waiting:
        if not steps.kept(f"{queue_name}.XQ", redis_id, None, Fault("dead_letter")):
            # moved to the end, because Postgres is unreachable or refuses this message
            seconds, _ = steps.client.time()
            steps.client.zadd(key, {redis_id: seconds * 1000})
            return
        steps.run("REMOVE_DEAD", queue_name, redis_id, *bounds)
