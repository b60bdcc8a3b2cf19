"""Postgres stopped, away, full, out of connections, locked or migrated under load: every event is counted once."""

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from alembic.config import Config

from db import migrations
from runtime.embedded.placement import server_account
from tests import citus
from tests.citus import Limit
from tests.faults.kit import A_MESSAGE, FaultStage, is_ready, progress, size, terminate_backends, until
from tests.faults.load import CAMPAIGNS_A_BRAND, LIMITED, Load
from tests.faults.servers import MAX_CONNECTIONS, filled, small_disk

AWAY_SECONDS = size(8.0, 300.0)
LOCKED_SECONDS = size(4.0, 60.0)
STALL_SECONDS = size(3.0, 10.0)
IN_FLIGHT = 20
"""Messages in progress or about to be, in normal operation."""

DISK_MEGABYTES = size(64, 256)
PAUSED = "SELECT count(*) FROM campaigns WHERE effective_status = 'inactive'"


@pytest.mark.usefixtures("own_postgres")
def test_immediate_stop_of_postgres_loses_no_accepted_message(stage: FaultStage) -> None:
    times = size(2, 20)
    load = stage.load(A_MESSAGE)
    with stage.workers() as master:
        until(lambda: is_ready(master), "the workers are ready")

        def stop() -> bool:
            was_at_work = stage.waiting() > 0
            stage.servers.postgres.end(signal.SIGQUIT)
            stage.servers.postgres.start()
            return was_at_work

        stage.hit(load, times, stop)
        assert not master.logged("worker.died")
    stage.add_to_table("Postgres: immediate stop under load", times, stage.checked(load))


@pytest.mark.usefixtures("own_postgres")
def test_messages_wait_while_postgres_is_away_for_long(stage: FaultStage) -> None:
    load = stage.load(A_MESSAGE)
    with stage.workers() as master:
        until(lambda: is_ready(master), "the workers are ready")
        stage.send(load.batches(20))
        stage.servers.postgres.end(signal.SIGQUIT)
        stage.send(load.batches(20))
        left = stage.waiting()
        with stage.sending(load, left + 100):
            time.sleep(AWAY_SECONDS)
            assert stage.waiting() >= left
            stage.servers.postgres.start()
        stage.wait_for_recovery()
        assert not master.logged("worker.died")
    stage.add_to_table(f"Postgres away for {AWAY_SECONDS:.0f} s", 1, stage.checked(load))


def test_connections_ended_at_random_lose_nothing(stage: FaultStage) -> None:
    times = size(8, 300)
    load = stage.load(A_MESSAGE)
    ended = 0
    with stage.workers() as master:
        until(lambda: is_ready(master), "the workers are ready")
        with stage.sending(load):
            while ended < times:
                ended += terminate_backends(stage.world.url)
                progress(f"seed {stage.seed}: {ended} of {times}, {load.events:,} events")
                time.sleep(size(0.1, 1.0))
        stage.wait_for_recovery()
        assert not master.logged("worker.died")
    stage.add_to_table("busy connection to Postgres ended, one a second", times, stage.checked(load))


@pytest.fixture
def disk(stage: FaultStage) -> Iterator[Path]:
    """A small disk with the stage's database on it; the server's write-ahead log is on another disk."""
    folder = stage.servers.home.parent / "disk"
    with small_disk(folder, DISK_MEGABYTES):
        inner = folder / "tablespace"
        inner.mkdir(mode=0o700)
        account = server_account()
        if account is not None:
            shutil.chown(inner, *account)
        name = stage.world.url.rpartition("/")[2]
        stage.close_connections()
        stage.servers.execute("CREATE TABLESPACE small LOCATION {}", psycopg.sql.Literal(str(inner)))
        stage.servers.execute("ALTER DATABASE {} SET TABLESPACE small", name)
        yield folder
        stage.close_connections()
        stage.servers.execute("DROP DATABASE {} WITH (FORCE)", name)
        stage.servers.execute("DROP TABLESPACE small")


@pytest.mark.usefixtures("own_postgres")
def test_full_disk_of_postgres_delays_spend_and_loses_none(stage: FaultStage, disk: Path) -> None:
    times = size(1, 5)
    load = stage.load(A_MESSAGE)
    with stage.workers() as master:
        until(lambda: is_ready(master), "the workers are ready")
        for _ in range(times):
            refusals = disk_refusals(stage)
            with filled(disk):
                stage.send(load.batches(60))
                until(lambda refusals=refusals: disk_refusals(stage) > refusals, "Postgres has no room")  # type: ignore[misc]  # bound now
            assert stage.waiting() > 0
            stage.wait_for_recovery()
        assert not master.logged("worker.died")
    stage.add_to_table("disk of Postgres full", times, stage.checked(load))


def disk_refusals(stage: FaultStage) -> int:
    return (stage.servers.home / "logs/postgres.log").read_text(errors="replace").count("No space left on device")


@pytest.mark.usefixtures("own_postgres")
def test_workers_without_a_connection_wait_for_one(stage: FaultStage) -> None:
    times = size(1, 10)
    load = stage.load(A_MESSAGE)
    for _ in range(times):
        stage.send(load.batches(20))
        stage.close_connections()
        with ExitStack() as strangers:
            with suppress(psycopg.OperationalError):
                for _ in range(MAX_CONNECTIONS):
                    strangers.enter_context(psycopg.connect(stage.servers.database_url("postgres")))
            with pytest.raises(psycopg.OperationalError, match="too many clients"):
                psycopg.connect(stage.world.url)
            before = stage.waiting()
            with stage.workers() as master:
                until(lambda master=master: failures(master.lines()) > 3, "workers get no connection")  # type: ignore[misc]  # bound now
                assert stage.waiting() >= before  # a retry is enqueued before the failed message is acknowledged
                strangers.close()
                stage.wait_for_recovery()
                assert not master.logged("worker.died")
    stage.add_to_table("every connection of Postgres taken by others", times, stage.checked(load))


def failures(lines: list[str]) -> int:
    return sum("too many clients" in line for line in lines)


@pytest.mark.on_one_server(Limit.CATALOGS)
def test_deadlocks_and_serialization_failures_are_retried(stage: FaultStage) -> None:
    times = size(5, 200)
    load = stage.load(size(100, 500))
    name = stage.world.url.rpartition("/")[2]
    stage.servers.execute("ALTER DATABASE {} SET deadlock_timeout = '10ms'", name)
    sometimes_unserializable(stage)
    with stage.workers() as master:
        until(lambda: is_ready(master), "the workers are ready")
        with stage.sending(load), psycopg.connect(stage.world.url, autocommit=True) as stranger:
            while (happened := deadlocks(stage, name)) < times or not failed_to_serialize(stage) > times:
                lock_the_wrong_way_round(stranger, load)
                progress(f"seed {stage.seed}: {happened} deadlocks, {load.events:,} events")
        stage.world.execute("DROP TRIGGER unserializable ON campaign_days")
        stage.wait_for_recovery()
        assert not master.logged("worker.died")
        assert master.logged("transaction.retried")
    stage.add_to_table("deadlocks and serialization failures", times, stage.checked(load))


def sometimes_unserializable(stage: FaultStage) -> None:
    """Makes some writers of counters meet a serialization failure; a sequence counts the failures."""
    stage.world.execute("CREATE SEQUENCE unserializable_at")
    stage.world.execute(
        "CREATE FUNCTION unserializable() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF random() < 0.2 THEN "
        "PERFORM nextval('unserializable_at'); RAISE EXCEPTION 'could not serialize' USING ERRCODE = '40001'; "
        "END IF; RETURN NULL; END $$"
    )
    stage.world.execute(
        "CREATE TRIGGER unserializable AFTER INSERT OR UPDATE ON campaign_days "
        "FOR EACH STATEMENT EXECUTE FUNCTION unserializable()"
    )


def failed_to_serialize(stage: FaultStage) -> int:
    return int(stage.world.one("SELECT last_value FROM unserializable_at")["last_value"])


def deadlocks(stage: FaultStage, name: str) -> int:
    found = stage.world.one("SELECT deadlocks FROM pg_stat_database WHERE datname = %s", name)
    return int(found["deadlocks"])


def lock_the_wrong_way_round(stranger: psycopg.Connection[tuple[object, ...]], load: Load) -> None:
    """Locks the brands' counters slowly, in the order opposite to the product's; may be the deadlock's victim."""
    with suppress(psycopg.errors.DeadlockDetected, psycopg.errors.QueryCanceled), stranger.transaction():
        for brand in reversed(load.brands):
            stranger.execute("SELECT FROM brand_days WHERE brand_id = %s FOR UPDATE", [brand])
            time.sleep(0.002)


def test_locked_brand_delays_no_other_brand(stage: FaultStage) -> None:
    load = stage.load(A_MESSAGE)
    stuck = load.brands[-1]
    with stage.workers() as master:
        stage.send(load.batches(2))
        until(stage.is_done, "every brand has spent")
        with psycopg.connect(stage.world.url) as stranger:
            stranger.execute("SELECT FROM brands WHERE id = %s FOR UPDATE", [stuck])
            since = time.monotonic()
            stage.send(load.batches(30))
            until(lambda: others_are_counted(stage, load, stuck), "all other brands are counted")
            while time.monotonic() < since + LOCKED_SECONDS:
                stage.send(load.batches(1))
                time.sleep(0.2)
            assert stage.waiting() > 0
            assert spent(stage, [stuck]) < brand_micros(load, [stuck])
            until(lambda: others_are_counted(stage, load, stuck), "all other brands are counted")
        stage.wait_for_recovery()
        assert stuck in {line["brand_id"] for line in master.logged("brand.locked")}
    stage.add_to_table(f"one brand's row locked for {LOCKED_SECONDS:.0f} s", 1, stage.checked(load))


@pytest.mark.parametrize(
    ("locked", "busy_loops", "is_hot"),
    [(1, 0, False), (4, 0, False), (1, 2, False), (1, 0, True)],
    ids=["one brand", "most brands", "one brand, busy machine", "the brand of all spend"],
)
def test_counting_recovers_from_a_stall_while_the_producer_keeps_sending(
    stage: FaultStage, locked: int, busy_loops: int, is_hot: bool
) -> None:
    load = stage.load(size(100, 1_000))
    stuck = load.brands[-locked:]
    with stage.workers() as master, busy(busy_loops), producing(stage, load) as sent:
        until(lambda: spent(stage, stuck) > 0, "the brands have spent")
        if is_hot:
            until(lambda: stage.world.one(PAUSED)["count"] == LIMITED * CAMPAIGNS_A_BRAND, "the limits are crossed")
            (load.hot_brand,) = stuck
        with psycopg.connect(stage.world.url) as stranger:
            for brand in sorted(stuck):  # one by one: a statement cannot lock rows of several shards
                stranger.execute("SELECT FROM brands WHERE id = %s FOR UPDATE", [brand])
            before, since = len(sent), time.monotonic()
            while time.monotonic() < since + STALL_SECONDS:
                time.sleep(0.1)
                assert stage.delayed() <= len(sent) - before + IN_FLIGHT, "a split makes no more messages than it had"
        seen = len(sent)
        until(lambda: stage.waiting() <= IN_FLIGHT and len(sent) > seen, "the backlog is gone, and more was sent")
    with stage.workers():
        stage.wait_for_recovery()
    assert {line["brand_id"] for line in master.logged("brand.locked")} == set(stuck)
    brands = "the brand of all spend" if is_hot else f"{locked} of {len(load.brands)} brands"
    fault = f"{brands} locked for {STALL_SECONDS:.0f} s, {busy_loops} busy loops"
    stage.add_to_table(f"{fault}, producer going on", 1, stage.checked(load))


@contextmanager
def producing(stage: FaultStage, load: Load) -> Iterator[list[int]]:
    """A producer sends at a steady rate during the block; the list grows by one with each message."""
    stopping, sent = threading.Event(), list[int]()

    def send() -> None:
        while not stopping.wait(1 / size(10, 20)):
            stage.send(load.batches(1))
            sent.append(load.events)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield sent
    finally:
        stopping.set()
        sender.join()


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many processes compute during the block, to load the machine."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def others_are_counted(stage: FaultStage, load: Load, stuck: int) -> bool:
    others = [brand for brand in load.brands if brand != stuck]
    return spent(stage, others) == brand_micros(load, others)


def spent(stage: FaultStage, brands: list[int]) -> int:
    total = "SELECT COALESCE(sum(spent_micros), 0)::bigint AS micros FROM brand_days WHERE brand_id = ANY(%s)"
    return int(stage.world.one(total, brands)["micros"])


def brand_micros(load: Load, brands: list[int]) -> int:
    return sum(micros for campaign, micros in load.micros.items() if load.brand_of(campaign) in brands)


EXTRA_REVISION = '''"""One more column, index and table, as a next version may bring"""

from alembic import op

revision = "9999"
down_revision = "{head}"


def upgrade() -> None:
    op.execute("ALTER TABLE spend_events ADD COLUMN extra text DEFAULT 'none'")
    op.execute("ALTER TABLE campaign_days ADD COLUMN extra bigint")
    op.execute("CREATE INDEX ix_campaign_days_extra ON campaign_days (day)")
    op.execute("CREATE TABLE extra (id bigint PRIMARY KEY, brand_id bigint{reference})")


def downgrade() -> None:
    op.execute("DROP TABLE extra")
    op.execute("DROP INDEX ix_campaign_days_extra")
    op.execute("ALTER TABLE campaign_days DROP COLUMN extra")
    op.execute("ALTER TABLE spend_events DROP COLUMN extra")
'''


@pytest.fixture
def scripts(tmp_path: Path) -> Config:
    """The migrations with one more."""
    folder = tmp_path / "alembic"
    shutil.copytree(migrations.SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    head = migrations.revisions()[-1].id
    reference = "" if citus.is_used() else " REFERENCES brands"  # a table of the coordinator has none to a spread table
    (folder / "versions/9999_extra.py").write_text(EXTRA_REVISION.format(head=head, reference=reference))
    config = Config()
    config.set_main_option("script_location", str(folder))
    return config


def test_workers_count_during_migrations_up_and_down_without_a_deadlock(stage: FaultStage, scripts: Config) -> None:
    times = size(2, 20)
    load = stage.load(A_MESSAGE)
    with stage.workers() as master:
        until(lambda: is_ready(master), "the workers are ready")
        with stage.sending(load):
            for _ in range(times):
                migrated_under_load(stage, load, lambda: migrations.upgrade("9999", scripts))
                migrated_under_load(stage, load, lambda: migrations.downgrade(migrations.revisions()[-1].id, scripts))
        stage.wait_for_recovery()
        assert not master.logged("worker.died")
        assert not master.logged("message.failed")
    deadlocks = stage.world.one("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert deadlocks == {"deadlocks": 0}
    stage.add_to_table("a migration up and down under load", times, stage.checked(load))


@contextmanager
def under_load(load: Load, stage: FaultStage) -> Iterator[None]:
    """Sends spend before, during and after the block."""
    before = load.events
    until(lambda: load.events >= before + 5 * load.a_message and stage.waiting() > 0, "spend comes in")
    yield
    since = load.events
    until(lambda: load.events >= since + 5 * load.a_message, "spend still comes in")


def migrated_under_load(stage: FaultStage, load: Load, migrate: Callable[[], object]) -> None:
    """Runs the migration while spend is counted."""
    with under_load(load, stage):
        migrate()
