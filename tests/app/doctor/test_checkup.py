"""The doctor's checks on real servers: each finds the fault that was made, and says what to do."""

import os
from collections.abc import Callable
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from psycopg import sql

from app.doctor import broker, checkup, postgres
from app.doctor.findings import Finding, Verdict
from db.repository.access.privileges import DatabaseRole
from db.repository.spread.citus import Server
from runtime.settings import settings
from tests import citus
from tests.citus import Limit
from tests.roles import UrlOf
from tests.world import World


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    """The findings by check, of which each may occur once."""
    found = {one.check: one for one in findings}
    assert len(found) == len(findings), findings
    return found


def verdict_of(check: str) -> tuple[Verdict, str]:
    """The verdict of one check of Postgres, and all that it says."""
    finding = by_check(list(postgres.findings()))[check]
    return finding.verdict, f"{finding.found}: {finding.advice}"


@pytest.fixture
def altered(database: str) -> Callable[[str, str], None]:
    """A function that sets a setting of Postgres for new connections to this database."""

    def alter(setting: str, value: str) -> None:
        name = urlsplit(database).path[1:]
        with psycopg.connect(database, autocommit=True) as connection:
            change = sql.SQL("ALTER DATABASE {} SET {} = {}")
            connection.execute(change.format(sql.Identifier(name), sql.Identifier(setting), value))

    return alter


def test_every_check_of_a_good_deployment_answers(world: World) -> None:
    found = by_check(checkup.examine())
    expected = {"postgres", "commits", "standby", "connections", "disk", "clock", "tables", "roles", "encryption keys"}
    assert expected <= found.keys()
    for check in ("postgres", "connections", "clock", "tables", "encryption keys"):
        assert found[check].verdict is Verdict.RIGHT, found[check]
    assert found["standby"].verdict is (Verdict.UNSAFE if citus.is_used() else Verdict.RIGHT)
    assert all(bool(one.advice) is (one.verdict is not Verdict.RIGHT) for one in found.values())


def test_commits_that_do_not_wait_for_the_disk_are_wrong(world: World, altered: Callable[[str, str], None]) -> None:
    altered("synchronous_commit", "off")
    verdict, text = verdict_of("commits")
    assert verdict is Verdict.WRONG
    assert "synchronous_commit = off" in text


def test_fewer_connections_than_the_pools_may_open_are_wrong(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPENDGATE_WORKER_PROCESSES", "8")
    settings.cache_clear()
    verdict, text = verdict_of("connections")
    assert verdict is Verdict.WRONG
    assert "up to 302: 280 by 8 worker, 19 by 1 web, 3 by 1 scheduler" in text


def test_connections_of_all_live_processes_are_counted(world: World) -> None:
    (before,) = world.rows("SELECT current_setting('max_connections')::int AS most")
    insert = (
        "INSERT INTO processes (id, kind, version, host, pid, started_at, seen_at)"
        " SELECT gen_random_uuid(), kind, '1', 'elsewhere', 1, now() - interval '1 day',"
        " now() - make_interval(secs => age)"
        " FROM unnest(%s::text[]) AS kinds(kind), unnest(%s::int[]) AS ages(age)"
    )
    world.execute(insert, ["web"], [1, 2, 3_600])
    verdict, text = verdict_of("connections")
    assert "38 by 2 web, 3 by 1 scheduler; the server has" in text
    world.execute(insert, ["worker"], [1] * before["most"])
    verdict, text = verdict_of("connections")
    assert (verdict, "ended within 180 s are counted too" in text) == (Verdict.UNSAFE, True)


def test_tables_of_another_revision_are_wrong(world: World) -> None:
    for revision, advice in (("0004", "run `spendgate migrate`"), ("9999", "a later version")):
        world.execute("UPDATE alembic_version SET version_num = %s", revision)
        verdict, text = verdict_of("tables")
        assert (verdict, advice in text) == (Verdict.WRONG, True)


def test_missing_privilege_of_a_role_is_wrong(world: World, url_of: UrlOf) -> None:
    worker = urlsplit(url_of(DatabaseRole.WORKER)).username or ""
    own = f"{urlsplit(world.url).path[1:]}_worker"
    with psycopg.connect(world.url, autocommit=True) as connection:
        rename = sql.SQL("ALTER ROLE {} RENAME TO {}")
        if own != worker:
            connection.execute(rename.format(sql.Identifier(worker), sql.Identifier(own)))
        try:
            revoke = sql.SQL("REVOKE INSERT ON spend_events FROM {}").format(sql.Identifier(own))
            connection.execute(revoke)
            verdict, text = verdict_of("roles")
        finally:
            if own != worker:
                connection.execute(rename.format(sql.Identifier(own), sql.Identifier(worker)))
    assert verdict is Verdict.WRONG
    assert f"INSERT on spend_events of {own}" in text


@pytest.mark.on_one_server(Limit.DATABASES)
def test_a_database_without_roles_is_unsafe(world: World) -> None:
    verdict, text = verdict_of("roles")
    assert verdict is Verdict.UNSAFE
    assert "create-roles" in text


def test_unreachable_servers_are_findings(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:hidden@127.0.0.1:1/spendgate")
    settings.cache_clear()
    (finding,) = postgres.findings()
    assert (finding.check, finding.verdict) == ("postgres", Verdict.WRONG)
    assert "hidden" not in finding.found
    assert list(postgres.findings_at_start()) == []


def test_a_redis_without_a_memory_limit_that_evicts_is_wrong(world: World) -> None:
    settings_of_redis = {"maxmemory": "0", "maxmemory-policy": "allkeys-lru"}
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        before = {name: client.config_get(name)[name] for name in settings_of_redis}
        try:
            for name, value in settings_of_redis.items():
                client.config_set(name, value)
            found = {one.found: one.verdict for one in broker.findings()}
        finally:
            for name, value in before.items():
                client.config_set(name, value)
    assert found["maxmemory 0: Redis may take all memory"] is Verdict.UNSAFE
    assert found["maxmemory-policy allkeys-lru: a full Redis deletes messages"] is Verdict.WRONG


def test_servers_of_a_cluster_are_listed_with_brands_and_bytes() -> None:
    near, far = Server("10.0.0.1:5432", 4, 88, 3 * 2**20), Server("10.0.0.2:5432", 4, 112, 5 * 2**30)
    (found,) = postgres.of_servers([near, far])
    listed = "10.0.0.1:5432 has 88 brands in 4 parts, 3.0 MiB; 10.0.0.2:5432 has 112 brands in 4 parts, 5.0 GiB"
    assert found == Finding("servers", Verdict.RIGHT, listed)


def test_server_that_does_not_answer_is_named_beside_the_others() -> None:
    (found,) = postgres.of_servers([Server("10.0.0.1:5432", 4, 88, 0), Server("10.0.0.2:5432", 4, 0, None)])
    assert found.verdict is Verdict.WRONG
    assert "10.0.0.1:5432 has 88 brands" in found.found
    assert "10.0.0.2:5432 does not answer, and has 4 parts of the brands" in found.found
