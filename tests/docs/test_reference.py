"""The pages of docs/reference agree with the code."""

from typing import Any

import jsonschema_rs
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from docs.reference import log_events, make, metric_names, variables, webhook_messages
from docs.reference.messages import EVENT, TOTAL, schemas
from docs.reference.tables import UNDESCRIBED, between, keys_of, refreshed
from domain.inputs.reasons import Rejection
from domain.inputs.spend import read_event
from domain.inputs.totals import read_total
from domain.inputs.values import MAX_EVENTS_PER_MESSAGE
from tests.receivers.schemas import is_webhook

GONE: Any = object()
"""In the place of a field that is left out."""

NAMES = ["google_ads", "x" * 200, "", "x" * 201, "a\u202eb", "a\nb", 7.5, ["x"], GONE]
SPEND_EVENT = {
    "event_id": [EVENT["event_id"], "0B0F7F1E-8F63-4B3B-9D43-0D5D4B1F3C55", "17", "", 17, None, GONE],
    "campaign_id": [17, 2**63 - 1, 2**63, "17", 1.5, True, GONE],
    "platform": NAMES,
    "external_id": NAMES,
    "occurred_at": [EVENT["occurred_at"], "2026-02-29T10:00:00Z", "2026-11-22T10:00:60Z", "2026-11-22T24:00:00Z",
                    "2026-11-22T10:00:00.123456+05:45", "2026-11-22T10:00:00", "soon", 1, GONE],
    "amount_micros": [0, -1, 10**15, 10**15 + 1, -(10**15) - 1, 1.5, "1", True, None, GONE],
    "currency": ["USD", "", 1, GONE],
    "source": ["bidder", "a\u2028b", 1, GONE],
    "sequence": [0, 2**53 - 1, 2**53, -1, "1", 1.5, GONE],
}  # fmt: skip
REPORTED_TOTAL = {
    "source": ["google_ads", "", "a\u0000b", 1, GONE],
    "campaign_id": SPEND_EVENT["campaign_id"],
    "platform": NAMES,
    "external_id": NAMES,
    "day": ["2026-11-22", "2026-02-29", "22.11.2026", "2026-11-22T00:00:00Z", 20261122, GONE],
    "total_micros": SPEND_EVENT["amount_micros"],
    "as_of": SPEND_EVENT["occurred_at"],
    "currency": ["USD", "", 1, GONE],
}


def inputs(fields: dict[str, list[Any]], good: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Inputs that differ from a good one in at most three fields."""
    changes = st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: st.sampled_from(fields[name]) for name in names})
    )
    return changes.map(lambda some: {name: value for name, value in {**good, **some}.items() if value is not GONE})


@pytest.mark.parametrize("name", make.PAGES)
def test_a_page_is_what_make_docs_writes(name: str) -> None:
    page = (make.FOLDER / name).read_text()
    assert page == make.made(name)
    assert UNDESCRIBED not in page


def test_every_setting_log_event_and_metric_has_one_row() -> None:
    for name, facts in (
        ("settings.md", variables.variables()),
        ("log-events.md", log_events.log_events()),
        ("metrics.md", metric_names.metrics()),
    ):
        keys = keys_of((make.FOLDER / name).read_text())
        assert sorted(keys) == sorted(facts)


def test_a_new_row_asks_for_a_description_and_a_row_of_nothing_goes() -> None:
    page = "# Page\n\n| event | level | when |\n|---|---|---|\n| `old` | x | y |\n| `kept` | info | said |\n\nText.\n"
    made = refreshed(page, {"kept", "new"}, lambda _, written: ["error", written[-1] if written else UNDESCRIBED])
    assert made.splitlines()[4:] == ["| `kept` | error | said |", f"| `new` | error | {UNDESCRIBED} |", "", "Text."]


def test_a_made_part_replaces_the_one_before() -> None:
    page = between("a\n<!-- made by `make docs`: x -->\nold\n<!-- end of x -->\nb\n", "x", "new")
    assert page == between(page, "x", "new")
    assert "old" not in page
    assert page.startswith("a\n")
    assert page.endswith("\nb\n")


def test_the_code_logs_events_that_the_page_cannot_miss() -> None:
    found = log_events.log_events()
    assert found["counter.wrong"].levels == {"error"}
    assert {"brand_id", "day", "corrected"} <= found["counter.wrong"].fields.keys()
    assert {"spend.ingested", "day.reset", "redis.evicts", "campaign.paused"} <= found.keys()


@given(inputs(SPEND_EVENT, EVENT))
def test_every_spend_event_that_the_schema_takes_is_well_formed(event: dict[str, Any]) -> None:
    assert not (_is_valid("SpendEvent", event) and isinstance(read_event(event), Rejection))


@given(inputs(REPORTED_TOTAL, TOTAL))
def test_every_reported_total_that_the_schema_takes_is_well_formed(total: dict[str, Any]) -> None:
    assert not (_is_valid("ReportedTotal", total) and isinstance(read_total(total), Rejection))


@pytest.mark.parametrize(("schema", "good", "fields"), [
    ("SpendEvent", EVENT, SPEND_EVENT), ("ReportedTotal", TOTAL, REPORTED_TOTAL)
])  # fmt: skip
def test_the_schema_takes_the_first_value_of_each_field(
    schema: str, good: dict[str, Any], fields: dict[str, list[Any]]
) -> None:
    for name, values in fields.items():
        assert _is_valid(schema, {**good, name: values[0]}), name


def test_examples_of_messages_are_valid_and_a_batch_is_bounded() -> None:
    document = yaml.safe_load((make.FOLDER / "asyncapi.yaml").read_text())
    for message in document["components"]["messages"].values():
        whole = {**message["payload"], "components": document["components"]}
        validator = jsonschema_rs.Draft7Validator(whole, validate_formats=True)
        for example in message["examples"]:
            payload = example["payload"]
            assert validator.is_valid(payload)
            ((name, batch),) = payload["kwargs"].items()
            assert not validator.is_valid({**payload, "kwargs": {name: []}})
            assert not validator.is_valid({**payload, "kwargs": {name: batch * (MAX_EVENTS_PER_MESSAGE + 1)}})


@pytest.mark.parametrize("message_type", sorted(webhook_messages.examples()))
def test_example_of_each_type_of_webhooks_is_valid(message_type: str) -> None:
    message = webhook_messages.examples()[message_type]
    assert is_webhook(message)
    assert not is_webhook({**message, "data": {}})
    assert not is_webhook({**message, "schema_version": 0})


VALIDATORS = {name: jsonschema_rs.Draft7Validator(one, validate_formats=True) for name, one in schemas().items()}


def _is_valid(schema: str, instance: dict[str, Any]) -> bool:
    return VALIDATORS[schema].is_valid(instance)
