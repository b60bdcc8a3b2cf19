"""Conditions that only Citus needs are comments for Postgres."""

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import psycopg

from db.statements import for_citus, for_driver

STATEMENT = text("""SELECT 1 FROM brands WHERE id = :id /*citus AND id = ANY(CAST(:ids AS bigint[]))
    AND name <> '' */ /*plain*/ LIMIT 1 /*end*/""")


def test_citus_gets_the_conditions_in_comments_and_not_the_words_for_postgres_alone() -> None:
    dialect = psycopg.dialect()  # type: ignore[no-untyped-call]
    plain, citus = (for_driver(STATEMENT, dialect, is_citus).decode() for is_citus in (False, True))
    assert "/*citus AND" in plain
    assert plain.endswith("LIMIT 1 /*end*/")
    assert " ".join(citus.split()) == (
        "SELECT 1 FROM brands WHERE id = %(id)s AND id = ANY(CAST(%(ids)s AS bigint[])) AND name <> ''"
    )


def test_statement_without_such_comments_stays_as_it_is() -> None:
    statement = "SELECT /* a comment */ 1"
    assert for_citus(statement) == statement
