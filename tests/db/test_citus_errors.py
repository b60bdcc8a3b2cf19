"""Errors that Citus passes on from its shards are read as the errors of Postgres that they are."""

from collections.abc import Callable

import psycopg
import pytest
from psycopg import errors
from psycopg.pq import DiagnosticField
from sqlalchemy import text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError

from app.ingest.ingest import count_events
from db.citus_errors import is_duplicate_in, translated
from db.engine import query_pipelined, transaction
from db.failures import is_timeout, is_transient, sql_state
from tests.citus import Limit
from tests.world import World

SPEND_OF_NOVEMBER = "spend_events_2026_11"
SPEND_OF_A_DAY = "spend_events_2026_11_17"
OF_DAYS = 'insert or update on table "campaign_days_102207"'
FK_OF_DAYS = '"fk_campaign_days_campaigns_102207"'
NODE = "connection to the remote node app@node-2:5432 failed with the following error"


def error_of(state: str, words: str, **fields: str) -> psycopg.Error:
    """The error that psycopg makes of a server's answer."""
    info = {DiagnosticField.SQLSTATE: state, DiagnosticField.MESSAGE_PRIMARY: words}
    info |= {DiagnosticField[name.upper()]: value for name, value in fields.items()}
    return errors.lookup(state)(words, info={field: value.encode() for field, value in info.items()})


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ('duplicate key value violates unique constraint "pk_spend_events_2026_06_102008"', "23505"),
        ('insert or update on table "campaign_days_102207" violates foreign key constraint "fk_a_102207"', "23503"),
        ('null value in column "day" of relation "brand_days_102104" violates not-null constraint', "23502"),
        ('new row for relation "campaigns_102040" violates check constraint "ck_campaigns_a_102040"', "23514"),
        ('no partition of relation "spend_events_102008" found for row', "23514"),
        ("canceling statement due to lock timeout", "55P03"),
        ('could not obtain lock on row in relation "brands_102008"', "55P03"),
        ("canceling statement due to statement timeout", "57014"),
        ("deadlock detected", "40P01"),
        ("canceling the transaction since it was involved in a distributed deadlock", "40P01"),
        ("could not serialize access due to concurrent update", "40001"),
        ("cannot execute INSERT in a read-only transaction", "25006"),
        ("bigint out of range", "22003"),
        (f"{NODE}: Connection refused", "08006"),
        ("failed to complete COPY on node-2:5432", "08006"),
        ("failure on connection marked as essential: node-2:5432", "08006"),
        ("server closed the connection unexpectedly", "08006"),
        ("terminating connection due to administrator command", "08006"),
        ("the database system is starting up", "08006"),
    ],
)
def test_text_of_a_shards_error_gives_its_state(words: str, state: str) -> None:
    known = translated(error_of("XX000", words))
    assert (known.sqlstate, known.diag.sqlstate, str(known)) == (state, state, words)
    assert type(known) is errors.lookup(state)


def test_server_of_a_shard_that_goes_down_is_away_and_not_the_one_we_are_connected_to() -> None:
    words = "terminating connection due to administrator command"
    of_node = error_of("57P01", words, context="while executing command on node-2:5432")
    of_copy = error_of("58030", "failed to complete COPY on node-2:5432")
    assert [translated(one).sqlstate for one in (of_node, of_copy)] == ["08006", "08006"]
    assert translated(error_of("57P01", words)).sqlstate == "57P01"


@pytest.mark.parametrize(
    "error",
    [
        error_of("XX000", "tuple concurrently updated"),
        error_of("22P02", 'invalid input syntax for type uuid: "PG"'),
        error_of("23505", 'duplicate key value violates unique constraint "pk_locks"', table_name="locks"),
        error_of("P0001", "deadlock detected"),
        psycopg.OperationalError("the connection is closed"),
    ],
    ids=str,
)
def test_any_other_error_stays_as_it_is(error: psycopg.Error) -> None:
    assert translated(error) is error


@pytest.mark.parametrize(
    ("state", "words", "table"),
    [
        ("23505", 'duplicate key value violates unique constraint "pk_spend_events_2026_11_102175"', SPEND_OF_NOVEMBER),
        ("23505", 'duplicate key value violates unique constraint "pk_spend_events_2026_11_17_102175"', SPEND_OF_A_DAY),
        ("23503", f"{OF_DAYS} violates foreign key constraint {FK_OF_DAYS}", "campaign_days"),
        ("23514", 'no partition of relation "spend_events_102063" found for row', "spend_events"),
        ("23514", 'new row for relation "campaigns_102031" violates check constraint "ck_campaigns_a"', "campaigns"),
    ],
)
def test_violated_constraint_of_a_shard_names_its_table_without_the_shard(state: str, words: str, table: str) -> None:
    with_state = translated(error_of(state, words, context="while executing command on 127.0.0.1:6601"))
    assert [one.diag.table_name for one in (with_state, translated(error_of("XX000", words)))] == [table] * 2


def test_repeated_key_of_a_shard_of_the_ledger_is_a_duplicate_event() -> None:
    words = 'duplicate key value violates unique constraint "{}"'
    shard = translated(error_of("XX000", words.format("pk_spend_events_2026_06_102008")))
    with_state = translated(error_of("23505", words.format("pk_spend_events_2026_06_102008")))
    other = translated(error_of("XX000", words.format("pk_brand_days_102104")))
    assert [one.diag.table_name for one in (shard, with_state)] == ["spend_events_2026_06"] * 2
    assert [is_duplicate_in(one, "spend_events") for one in (shard, with_state, other)] == [True, True, False]


@pytest.mark.parametrize(
    "error",
    [
        error_of("22P02", 'invalid input syntax for type bigint: "PGCOPY"'),
        error_of("22P04", "COPY file signature not recognized"),
        error_of("22P03", "incorrect binary data format", context="SQL function read_intermediate_result"),
    ],
    ids=str,
)
def test_error_in_rows_that_servers_copied_is_not_a_bad_value(error: psycopg.Error) -> None:
    assert translated(error).sqlstate == "XX000"


RAISED = "DO $$ BEGIN RAISE EXCEPTION '{}' USING ERRCODE = '{}'; END $$"


@pytest.mark.parametrize("is_pipelined", [False, True])
@pytest.mark.parametrize(
    ("words", "kind", "state"),
    [
        ("canceling statement due to lock timeout", OperationalError, "55P03"),
        ('duplicate key value violates unique constraint "pk_brands_102008"', IntegrityError, "23505"),
        ("bigint out of range", DataError, "22003"),
    ],
)
def test_error_of_a_shard_is_raised_with_the_class_of_the_error_it_passes_on(
    database: str, words: str, kind: type[DBAPIError], state: str, is_pipelined: bool
) -> None:
    statement = text(RAISED.format(words, "XX000"))
    with pytest.raises(kind) as raised, transaction() as connection:
        query_pipelined(connection, (statement, {})) if is_pipelined else connection.execute(statement)
    assert is_transient(raised.value) == is_timeout(raised.value) == (kind is OperationalError)
    assert sql_state(raised.value) == state


@pytest.fixture
def fail_ledger(world: World) -> Callable[[str, str], None]:
    """Makes the ledger refuse new events with an error of the given text and SQLSTATE."""

    def fail(words: str, state: str) -> None:
        world.execute(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{words}' USING ERRCODE = '{state}'; END $$"
        )
        world.execute("CREATE TRIGGER fail BEFORE INSERT ON spend_events FOR EACH ROW EXECUTE FUNCTION fail()")

    return fail


@pytest.mark.on_one_server(Limit.TRIGGERS)
@pytest.mark.parametrize("events", [1, 101])
def test_event_is_not_rejected_for_an_error_in_rows_that_servers_copied(
    world: World, fail_ledger: Callable[[str, str], None], events: int
) -> None:
    campaign = world.campaign(world.brand())
    fail_ledger('invalid input syntax for type bigint: "PGCOPY"', "22P02")
    with pytest.raises((psycopg.Error, DBAPIError), match="PGCOPY"):
        count_events([world.event(campaign, 1) for _ in range(events)])
    assert world.rejected() == []
    world.execute("DROP TRIGGER fail ON spend_events")
    assert count_events([world.event(campaign, 1)]).taken == 1
