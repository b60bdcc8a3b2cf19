"""Settings of one transaction reach Postgres, and each shard of Citus, and end with the transaction."""

from collections.abc import Iterator

import pytest
from sqlalchemy import event, text

from db.engine import committed, deferred, engine, query_pipelined, transaction
from db.local_settings import HAS_CITUS, local_setting
from db.transaction_settings import OF_SHARDS, settings_of_transactions
from tests.kit import statements

VALUES = ("it's 12:00:00+02", "", "50%", r"a\:b")
SHOWN = text("SELECT current_setting('spendgate.edited_at', true)")


@pytest.fixture(params=[False, True], ids=["Postgres", "Citus"])
def is_citus(database: str, request: pytest.FixtureRequest) -> Iterator[bool]:
    """Connections that take their server for one with Citus, or for one without."""

    def note(_driver: object, record: object) -> None:
        record.info[HAS_CITUS] = request.param  # type: ignore[attr-defined]

    engine().dispose()
    event.listen(engine(), "connect", note)
    yield request.param
    event.remove(engine(), "connect", note)
    engine().dispose()


@pytest.mark.parametrize("value", VALUES)
def test_setting_holds_until_the_transaction_ends(is_citus: bool, value: str) -> None:
    with transaction() as connection:
        deferred(connection, local_setting(connection, "spendgate.edited_at", value))
        assert connection.scalar(SHOWN) == value
    with transaction() as connection:
        assert not connection.scalar(SHOWN)


def test_transactions_set_their_limits_by_statements_only_where_citus_must_pass_them_on(is_citus: bool) -> None:
    with statements() as sent, transaction() as connection:
        assert connection.scalar(text("SELECT current_setting('lock_timeout')")) == "15s"
    texts = [statement for statement, _ in sent]
    set_here = {name for name, value in settings_of_transactions().items() if f"SET LOCAL {name} = '{value}'" in texts}
    assert set_here == ({*OF_SHARDS} if is_citus else set())


@pytest.mark.parametrize("is_small", [False, True])
def test_transaction_waits_for_locks_as_long_as_it_is_told(is_citus: bool, is_small: bool) -> None:
    shown = text("SELECT current_setting('lock_timeout'), current_setting('plan_cache_mode')")
    ((timeout, mode),) = committed(
        lambda connection: query_pipelined(connection, (shown, {}))[0], lock_timeout_ms=1234, is_small=is_small
    )
    assert timeout == "1234ms"
    assert (mode == "force_generic_plan") == (is_small and not is_citus)
