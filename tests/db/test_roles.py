"""The privileges of each database role, checked by Postgres itself."""

import re
from datetime import date, timedelta

import psycopg
import pytest

import db.models
from db.models.base import Base
from db.repository.access.privileges import READER, TABLES, DatabaseRole
from tests.citus import Limit
from tests.cli.shell import shell
from tests.db.repository_statements import statements
from tests.roles import UrlOf, Urls, roles_of
from tests.world import UNIT, World

HISTORIES = ("spend_events", "status_changes", "hold_changes", "audit_entries", "brand_facts")
LIMITS = "budget_limits"
SECRETS = {
    "users": {"password_hash"},
    "user_sessions": {"token_hash"},
    "api_keys": {"secret_hash"},
    "idempotency_keys": {"key", "request_hash", "headers", "body"},
    "import_uploads": {"content"},
    "platform_credentials": {"secrets"},
    "alert_channels": {"encrypted_url"},
    "webhook_endpoints": {"url", "secret", "previous_secret"},
}
DENIED = psycopg.errors.InsufficientPrivilege
COUNT = "SELECT count(*) FROM {}"
COPY = "INSERT INTO {0} SELECT * FROM {0}"
COLUMNS = "SELECT {1} FROM {0}"
WRITABLE = "SET default_transaction_read_only = off; COMMIT; "
FORBIDDEN = (
    "UPDATE {} SET brand_id = brand_id",
    "DELETE FROM {}",
    "TRUNCATE {}",
    "DROP TABLE {}",
    "ALTER TABLE {} DISABLE TRIGGER ALL",
    "ALTER TABLE {} ADD COLUMN more text",
    "CREATE INDEX ON {} (brand_id)",
)


@pytest.fixture
def urls(url_of: UrlOf) -> Urls:
    """The connection URLs of the roles that `create-roles` created."""
    return {role: url_of(role) for role in DatabaseRole}


def refused(url: str, statement: str) -> bool:
    """Whether Postgres refuses the statement for lack of a privilege."""
    with psycopg.connect(url) as connection:
        try:
            connection.execute(statement.encode())
        except DENIED as error:
            # A trigger may refuse the statement of a role that has the privilege, with another message.
            return "append-only" not in str(error)
        finally:
            connection.rollback()
    return False


def refused_statements(url: str) -> set[str]:
    """The statements of db/repository that this login lacks the privileges for."""
    denied = set()
    with psycopg.connect(url, autocommit=True) as connection:
        for name, text in statements():
            values = len(set(re.findall(r"\$\d+", text)))
            given = f"({', '.join(['NULL'] * values)})" if values else ""
            try:
                connection.execute(f"PREPARE tried AS {text}".encode())
                connection.execute(f"EXPLAIN EXECUTE tried{given}".encode())
            except DENIED:
                denied.add(name)
            connection.execute("DEALLOCATE tried")
    return denied


def test_privileges_name_every_table() -> None:
    tables = {*Base.metadata.tables, "alembic_version"}
    assert db.models.access.User.__tablename__ in tables
    assert db.models.delivery.SequenceRun.__tablename__ in tables
    assert db.models.accounts.PlatformAccount.__tablename__ in tables
    assert db.models.catalog.Brand.__tablename__ in tables
    assert db.models.order.NamedLock.__tablename__ in tables
    assert db.models.proof.HistorySeal.__tablename__ in tables
    assert set(READER) == tables, "a new table needs its privileges in db/repository/access/privileges.py"
    assert all(set(granted) <= tables for granted in TABLES.values())


@pytest.mark.on_one_server(Limit.LOCKS)
def test_web_role_may_run_every_statement_except_deletions_of_history_and_new_epochs(urls: Urls) -> None:
    assert len(dict(statements())) > 120
    assert refused_statements(urls[DatabaseRole.WEB]) == {
        "ledger.DROP_PARTITIONS.0",
        "retention.FORGET.0",
        "status_feed.NEW_EPOCH.0",
    }


@pytest.mark.on_one_server(Limit.LOCKS)
def test_worker_role_may_run_all_statements_except_edits_and_access(urls: Urls) -> None:
    denied = refused_statements(urls[DatabaseRole.WORKER])
    for_people = (
        *(
            "access.",
            "audit.INSERT",
            "catalog.",
            "status_feed.NEW_EPOCH.",
            "idempotency.",
            "overview.READY.",
            "repair.",
        ),
        *("platform_accounts.", "brand_corrections.", "set_holds.", "mappings.KEEP", "uploads.", "days.NOTE_UNDONE"),
        *("written_by_edits.", "connection_edits.", "kept_credentials.", "kept_secrets.", "endpoint_edits."),
        *("channel_edits.", "mute_edits.", "budget_locks."),
    )
    assert denied == {name for name in denied if name.startswith(for_people)}
    assert "access.CREDENTIALS.0" in denied
    assert not {name for name in denied if name.startswith("access.FORGET")}


@pytest.mark.parametrize("role", [DatabaseRole.WORKER, DatabaseRole.WEB, DatabaseRole.READER])
def test_histories_are_append_only_for_every_process(urls: Urls, world: World, role: DatabaseRole) -> None:
    campaign = world.campaign(world.brand(daily=UNIT))
    event = world.spend(campaign, UNIT)
    month = f"spend_events_{event['occurred_at'][:7].replace('-', '_')}"
    for table in (*HISTORIES, LIMITS, month):
        assert world.one(COUNT.format(table))["count"] > 0, table
        for statement in FORBIDDEN:
            assert refused(urls[role], WRITABLE + statement.format(table)), statement.format(table)
    assert refused(urls[role], WRITABLE + COPY.format(month))
    assert refused(urls[role], WRITABLE + "SET session_replication_role = replica")
    assert refused(urls[role], WRITABLE + "CREATE TABLE public.mine ()")
    assert refused(urls[role], WRITABLE + "ALTER FUNCTION refuse_edit_of_history() RENAME TO other")


@pytest.mark.on_one_server(Limit.LOCKS)
def test_worker_cannot_edit_configuration_nor_read_users(urls: Urls, world: World) -> None:
    worker = urls[DatabaseRole.WORKER]
    world.campaign(world.brand(daily=UNIT))
    for statement in (
        "UPDATE brands SET configured_status = 'paused'",
        "UPDATE campaigns SET configured_status = 'paused'",
        "UPDATE budgets SET limit_micros = 0",
        "INSERT INTO budget_limits SELECT * FROM budget_limits",
        "DELETE FROM dayparts",
        "SELECT email FROM users",
        "INSERT INTO users (email, password_hash) VALUES ('me@example.com', '')",
        "SELECT token_hash FROM user_sessions",
        "SELECT secret_hash FROM api_keys",
        "SELECT body FROM idempotency_keys",
    ):
        assert refused(worker, statement), statement
    for statement in ("SELECT * FROM campaigns FOR NO KEY UPDATE", "SELECT * FROM brands FOR NO KEY UPDATE"):
        assert not refused(worker, statement), statement


def test_worker_cannot_end_valid_sessions_nor_write_audit_entries(urls: Urls, world: World) -> None:
    world.execute("INSERT INTO users (email, password_hash) VALUES ('ops@example.com', '')")
    for token, lasts in (("01", "1 hour"), ("02", "-1 second")):
        world.execute(
            "INSERT INTO user_sessions (token_hash, user_id, created_at, expires_at)"
            " VALUES (decode(%s, 'hex'), 1, now(), now() + %s::interval)",
            token,
            lasts,
        )
    worker = urls[DatabaseRole.WORKER]
    for statement in (
        "DELETE FROM user_sessions",
        "DELETE FROM idempotency_keys",
        "UPDATE user_sessions SET expires_at = now()",
        "INSERT INTO audit_entries (changed_by, action, subject) VALUES ('user:ops@example.com', 'edit', 'brand')",
        "SELECT make_owner(1, 'user:ops@example.com', now(), 'edit')",
        "CREATE TABLE mine ()",
    ):
        assert refused(worker, statement), statement
    with psycopg.connect(worker, autocommit=True) as connection:
        connection.execute("SELECT forget_expired('9999-12-31')")
    assert world.one("SELECT encode(token_hash, 'hex') AS token FROM user_sessions") == {"token": "01"}
    for role in (DatabaseRole.READER, DatabaseRole.WORKER):
        assert refused(urls[role], WRITABLE + "SELECT make_owner(1, 'me', now(), 'edit')")
    assert refused(urls[DatabaseRole.READER], WRITABLE + "SELECT forget_expired(now())")


def test_web_role_makes_owners_only_through_the_audited_function(urls: Urls, world: World) -> None:
    web = urls[DatabaseRole.WEB]
    world.execute("INSERT INTO users (email, password_hash, role) VALUES ('ops@example.com', '', 'operator')")
    world.execute("INSERT INTO users (email, password_hash, role) VALUES ('old@example.com', '', 'owner')")
    world.execute("UPDATE users SET disabled_at = now() WHERE email = 'old@example.com'")
    add = "INSERT INTO users (email, password_hash, role) VALUES ('me@example.com', '', 'owner')"
    for statement in (
        add,
        f"WITH made AS ({add} RETURNING id) SELECT FROM made",
        "UPDATE users SET role = 'owner'",
        "UPDATE users SET disabled_at = NULL WHERE email = 'old@example.com'",
        f"{add.replace('me@', 'ops@')} ON CONFLICT (email) DO UPDATE SET role = 'owner'",
        "ALTER TABLE users DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
    ):
        assert refused(web, statement), statement
    for statement in (
        "UPDATE users SET role = 'viewer'",
        "UPDATE users SET role = 'owner', disabled_at = now()",
        "INSERT INTO users (email, password_hash, role) VALUES ('me@example.com', '', 'operator')",
    ):
        assert not refused(web, statement), statement
    with psycopg.connect(web, autocommit=True) as connection:
        connection.execute("SELECT make_owner(1, 'user:boss@example.com', now(), 'edit')")
        for no_author in ("''", "NULL"):
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                connection.execute(f"SELECT make_owner(2, {no_author}, now(), 'edit')".encode())
    assert world.one("SELECT role, disabled_at FROM users WHERE id = 1") == {"role": "owner", "disabled_at": None}
    assert world.one("SELECT changed_by, action, subject, subject_id, old, new FROM audit_entries") == {
        "changed_by": "user:boss@example.com",
        "action": "edit",
        "subject": "user",
        "subject_id": 1,
        "old": {"id": 1, "email": "ops@example.com", "role": "operator", "disabled": False},
        "new": {"id": 1, "email": "ops@example.com", "role": "owner", "disabled": False},
    }


@pytest.mark.on_one_server(Limit.DATABASES)
def test_public_cannot_connect_and_reader_sessions_have_limits(database: str) -> None:
    with roles_of(database) as made, psycopg.connect(database, autocommit=True) as connection:
        granted = connection.execute(
            "SELECT array_agg(privilege_type) FROM pg_database, aclexplode(datacl)"
            " WHERE datname = current_database() AND grantee = 0"
        ).fetchone()
        assert granted == (None,)
        for role in (DatabaseRole.WORKER, DatabaseRole.WEB, DatabaseRole.READER):
            assert refused(made[role], WRITABLE + "CREATE TEMP TABLE mine ()")
        reader = f"{connection.info.dbname}_reader"
        limit = connection.execute("SELECT rolconnlimit FROM pg_roles WHERE rolname = %s", [reader]).fetchone()
        assert limit == (20,)
        with psycopg.connect(made[DatabaseRole.READER]) as reading:
            for setting in (
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "idle_session_timeout",
            ):
                assert reading.execute(f"SHOW {setting}".encode()).fetchone() != ("0",), setting


@pytest.mark.on_one_server(Limit.DATABASES)
def test_reader_reads_everything_except_secrets_and_writes_nothing(database: str) -> None:
    with roles_of(database) as made:
        reader = made[DatabaseRole.READER]
        assert_reads_all_but_secrets(reader)
        with psycopg.connect(reader) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("CREATE TABLE mine ()")


def assert_reads_all_but_secrets(reader: str) -> None:
    for table in Base.metadata.sorted_tables:
        secret = SECRETS.get(table.name, set())
        plain = [column.name for column in table.columns if column.name not in secret]
        assert not refused(reader, COLUMNS.format(table.name, ", ".join(plain))), table.name
        for column in secret:
            assert refused(reader, COLUMNS.format(table.name, column)), column
        for statement in ("INSERT INTO {} DEFAULT VALUES", "DELETE FROM {}"):
            assert refused(reader, WRITABLE + statement.format(table.name)), table.name


@pytest.mark.on_one_server(Limit.DATABASES)
def test_worker_creates_ledger_months_and_drops_only_those_beyond_retention(
    urls: Urls, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, migrator = urls[DatabaseRole.WORKER], urls[DatabaseRole.MIGRATOR]

    def dropped(url: str, before: str) -> list[date]:
        with psycopg.connect(url, autocommit=True) as connection:
            return [month for (month,) in connection.execute("SELECT drop_ledger_months(%s)", [before])]

    with psycopg.connect(worker, autocommit=True) as connection:
        for month in ("2019-12-01", "2020-01-01"):
            assert connection.execute("SELECT ensure_ledger_month(%s)", [month]).fetchone() == (True,)
        for nonsense in ("2020-01-15", "1969-12-01", "2200-01-01", "infinity", None):
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                connection.execute("SELECT ensure_ledger_month(%s)", [nonsense])
    owner = world.one("SELECT pg_get_userbyid(relowner) AS name FROM pg_class WHERE relname = 'spend_events_2019_12'")
    assert owner["name"].endswith("_migrator")
    assert dropped(worker, "2199-01-01") == [], "nothing is dropped where no retention is set"
    assert refused(urls[DatabaseRole.WEB], "SELECT drop_ledger_months('2000-01-01')")

    kept = {"DATABASE_URL": migrator, "SPENDGATE_LEDGER_RETENTION_MONTHS": "24"}
    assert shell("migrate", env=kept).code == 0
    assert dropped(worker, "2020-01-15") == [date(2019, 12, 1)]
    assert dropped(worker, "2199-01-01") == [date(2020, 1, 1)]
    assert world.one("SELECT count(*) FROM pg_inherits WHERE inhparent = 'spend_events'::regclass")["count"] > 12
    by_days = {"DATABASE_URL": migrator, "SPENDGATE_LEDGER_RETENTION_DAYS": "40"}
    assert shell("migrate", env=by_days).code == 0
    edge = "SELECT date_trunc('month', now() AT TIME ZONE 'UTC' - interval '40 days')::date AS month"
    last = world.one(edge)["month"] - timedelta(days=1)
    assert max(dropped(worker, "2199-01-01")) == last.replace(day=1)
    assert refused(
        worker, "CREATE OR REPLACE FUNCTION ledger_retention_months() RETURNS int LANGUAGE sql AS 'SELECT 0'"
    )


@pytest.mark.on_one_server(Limit.DATABASES)
def test_objects_in_a_callers_search_path_do_not_redirect_owner_functions(urls: Urls, world: World) -> None:
    with psycopg.connect(urls[DatabaseRole.WORKER], autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE spend_events (LIKE public.spend_events) PARTITION BY RANGE (occurred_at)")
        connection.execute(
            "CREATE FUNCTION pg_temp.ledger_retention_months() RETURNS integer LANGUAGE sql AS 'SELECT 0'"
        )
        connection.execute("SET search_path = pg_temp, public")
        assert connection.execute("SELECT public.ensure_ledger_month('2019-12-01')").fetchone() == (True,)
        assert connection.execute("SELECT public.drop_ledger_months('2199-01-01')").fetchall() == []
    parent = (
        "SELECT inhparent::regclass::text AS name FROM pg_inherits WHERE inhrelid = 'spend_events_2019_12'::regclass"
    )
    assert world.one(parent)["name"] == "spend_events"
