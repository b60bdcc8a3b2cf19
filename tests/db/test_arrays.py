"""Arrays sent as one parameter reach Postgres unchanged."""

from datetime import date
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from db.engine import transaction
from db.repository.shared.arrays import array_of, text_array_of
from tests.world import World

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["", "NULL", "null", '"', "\\", "{a,b}", " a ", "a\nb", "\\x41", "'"]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(TEXTS | st.none(), max_size=20))
def test_text_arrays_reach_postgres_unchanged(world: World, values: list[str | None]) -> None:
    with transaction() as connection:
        assert connection.scalar(text("SELECT CAST(:sent AS text[])"), {"sent": text_array_of(values)}) == values


def test_number_day_and_id_arrays_reach_postgres_unchanged(world: World) -> None:
    for values, kind in (
        ([0, -1, 2**63 - 1, -(2**63)], "bigint"),
        ([date(2026, 11, 22), date(1990, 1, 1)], "date"),
        ([UUID(int=7)], "uuid"),
        ([], "bigint"),
    ):
        with transaction() as connection:
            sent = array_of(map(str, values))
            assert connection.scalar(text(f"SELECT CAST(:sent AS {kind}[])"), {"sent": sent}) == values
