"""Unsafe settings of a real Redis are logged as concerns."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from delivery import queue_health
from delivery.broker import get_broker
from delivery.queue_health import concerns
from tests.kit import lines, queue
from tests.world import World
from workers.actors.schedule import check_queue

broker = get_broker()


@pytest.fixture
def server(world: World) -> Iterator[Any]:
    """Yields the tests' Redis, whose settings a test may change; restores them at the end."""
    names = ("maxmemory", "maxmemory-policy", "appendonly")
    settings: Any = {name: queue().config_get(name) for name in names}
    yield queue()
    for saved in settings.values():
        for name, value in saved.items():
            queue().config_set(name, value)


def current_concerns() -> dict[str, dict[str, Any]]:
    return {concern.event: concern.fields for concern in concerns(broker.info())}


def test_safe_settings_raise_no_concern(server: Any) -> None:
    for name, value in (("maxmemory", "1gb"), ("maxmemory-policy", "noeviction"), ("appendonly", "yes")):
        server.config_set(name, value)
    assert current_concerns() == {}


def test_eviction_is_logged_as_an_error(server: Any) -> None:
    server.config_set("maxmemory-policy", "allkeys-lru")
    with structlog.testing.capture_logs() as logged:
        check_queue()
    assert lines(logged, "redis.evicts") == [{"maxmemory_policy": "allkeys-lru", "wanted": "noeviction"}]
    assert [line["log_level"] for line in logged if line["event"] == "redis.evicts"] == ["error"]


def test_missing_append_only_file_is_a_concern(server: Any) -> None:
    server.config_set("appendonly", "no")
    assert current_concerns()["redis.forgets"] == {"appendonly": "no", "wanted": "yes"}


def test_missing_memory_limit_and_nearly_full_memory_are_concerns(server: Any) -> None:
    server.config_set("maxmemory", 0)
    assert "redis.unbounded" in current_concerns()
    used = server.info()["used_memory"]
    server.config_set("maxmemory", used * 2)
    assert not current_concerns().keys() & {"redis.unbounded", "redis.nearly_full"}
    server.config_set("maxmemory", used * 5 // 4)
    assert current_concerns()["redis.nearly_full"]["limit_bytes"] == used * 5 // 4


def test_redis_too_old_for_the_scripts_is_a_concern() -> None:
    safe = {"maxmemory_policy": "noeviction", "aof_enabled": 1, "maxmemory": 10, "used_memory": 1}
    assert [concern.event for concern in concerns(safe | {"redis_version": "6.2.14"})] == ["redis.too_old"]
    assert concerns(safe | {"redis_version": "7.0.15"}) == []


def test_unreachable_redis_logs_no_concern(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from delivery.redis.broker import SpendgateBroker  # noqa: PLC0415 - after the environment is set

    unreachable = SpendgateBroker("redis://127.0.0.1:1/0", [])
    monkeypatch.setattr(queue_health, "get_broker", lambda: unreachable)
    with structlog.testing.capture_logs() as logged:
        queue_health.log_concerns()
    assert logged == []


def test_queue_of_few_large_messages_is_logged_before_redis_is_nearly_full(server: Any) -> None:
    for name, value in (("maxmemory-policy", "noeviction"), ("appendonly", "yes")):
        server.config_set(name, value)
    for number in range(20):
        server.hset("dramatiq:spend.msgs", f"large-{number}", b"x" * 1_000_000)
    held = broker.bytes_held()
    assert 20_000_000 <= held["spend"] < 40_000_000
    assert held["schedule"] < 1_000
    server.config_set("maxmemory", held["spend"] * 2)
    with structlog.testing.capture_logs() as logged:
        check_queue()
    (line,) = lines(logged, "redis.queue_large")
    assert line == {"queue": "spend", "used_bytes": held["spend"], "limit_bytes": held["spend"] * 2}
    server.config_set("maxmemory", "1gb")
    assert queue_health.large_queues(broker.info(), broker.bytes_held()) == []
