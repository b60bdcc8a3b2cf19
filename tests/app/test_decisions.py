"""The log lines of committed changes."""

from structlog.testing import capture_logs

from app.decisions import announce
from db.repository.enforcement.changes import DecidedChange
from docs.reference.log_events import EVENT
from docs.reference.make import FOLDER
from docs.reference.tables import cells_of
from tests.world import World

HOLD = "brand_daily_budget"
DETAILS = {"day": "2026-06-17", "budgets": {HOLD: {"spent_micros": 5, "limit_micros": 5}}}
PAUSED = DecidedChange(1, [2], "active", "inactive", (), (HOLD,), None, DETAILS)
ACTIVATED = DecidedChange(1, [3], "inactive", "active", ("archived",), (), None, {})


def documented_fields() -> dict[str, set[str]]:
    """The fields of each event by the reference of log events."""
    rows = [line.removeprefix("| `").partition("` |") for line in (FOLDER / "log-events.md").read_text().splitlines()]
    return {name: set(cells_of(rest)[1].split(", ")) for name, _, rest in rows if EVENT.fullmatch(name)}


def test_each_line_of_a_change_has_the_fields_of_the_reference(world: World) -> None:
    with capture_logs() as lines:
        announce([PAUSED, ACTIVATED], "spend")
    logged = {line["event"]: line.keys() - {"event", "log_level"} for line in lines}
    assert logged.keys() == {"campaign.paused", "campaign.activated", "budget.exhausted"}
    documented = documented_fields()
    assert logged == {event: documented[event] for event in logged}
