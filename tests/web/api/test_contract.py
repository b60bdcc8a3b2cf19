"""Every response of the API conforms to its OpenAPI document, for valid and invalid requests."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.alerts import channels
from app.alerts.evaluate import evaluate
from app.notices import webhooks
from cli.fake_platforms.state import FakePlatform
from db.repository.access.audit import Edit
from runtime.clock import now
from tests.fake_platforms.fixtures import SECRETS, fake
from tests.web.api.conftest import Program
from tests.world import UNIT, World, eventually

__all__ = ["fake"]

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
REPEATABLE = settings(
    max_examples=20,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
SELDOM_FULFILLED = {
    "POST /api/campaigns/",
    "POST /api/budgets/",
    "POST /api/reports/monthly/",
    "POST /api/campaigns/{campaign_id}/move/",
    "POST /api/platform-accounts/{account_id}/brands/",
    "POST /api/webhooks/",
    "POST /api/alerts/channels/",
    "POST /api/alerts/routes/",
    "DELETE /api/alerts/routes/{route_id}/",
    "POST /api/alerts/channels/{channel_id}/test/",
    "GET /api/alerts/channels/{channel_id}/attempts/",
    *(f"POST /api/webhooks/{{endpoint_id}}/{name}/" for name in ("rotate", "test", "resend")),
    *(f"GET /api/webhooks/{{endpoint_id}}/{name}/" for name in ("deliveries", "attempts")),
    "POST /api/platform-accounts/{account_id}/connection/",
}
"""Their bodies have a brand's id or a URL, which generated data rarely hits, or their endpoint was removed before.

Other tests cover them.
"""


def _cases(operation: Any) -> st.SearchStrategy[Any]:
    """Inputs that fit the document, inputs that do not, and inputs that fit and name the row with the id 1."""
    first = {parameter.name: 1 for parameter in operation.path_parameters if parameter.name.endswith("_id")}
    brand = {parameter.name: 1 for parameter in operation.query if parameter.name == "brand_id"}
    cases: st.SearchStrategy[Any] = st.one_of(
        operation.as_strategy(GenerationMode.POSITIVE),
        operation.as_strategy(GenerationMode.NEGATIVE),
        operation.as_strategy(GenerationMode.POSITIVE, path_parameters=first, query=brand),
    )
    return cases


@pytest.fixture
def _ended_readers(world: World) -> Iterator[None]:
    """Ends the readers of the serving feed: schemathesis keeps its event loop open, where one would read on."""
    from web.serving.feed import feeds  # noqa: PLC0415 - after the environment is set

    yield
    for loop, feed in list(feeds.items()):
        if loop.is_running():
            loop.call_soon_threadsafe(feed.end)
            eventually(lambda: not feed.is_reading)  # noqa: B023 - called in this round


@pytest.mark.usefixtures("_ended_readers")
def test_every_response_conforms_to_the_openapi_document(
    world: World, program: Program, monkeypatch: pytest.MonkeyPatch, fake: FakePlatform
) -> None:
    from runtime.settings import settings as read  # noqa: PLC0415 - after the environment is set

    monkeypatch.setenv("SPENDGATE_API_REQUESTS_PER_MINUTE", "1000000")
    read.cache_clear()
    campaign = world.campaign(world.brand(daily=5 * UNIT), schedule="Mon 09:00-17:30", lifetime=UNIT)
    world.spend(campaign, UNIT)
    monkeypatch.setenv("FAKE_LOGIN", json.dumps(SECRETS))
    world.execute("INSERT INTO platform_accounts (platform, account_id) VALUES ('google_ads', %s)", fake.account_id)
    world.execute("INSERT INTO platform_connections (platform_account_id, credentials) VALUES (1, 'env:FAKE_LOGIN')")
    world.ingest([{}, world.event(4711, UNIT)])
    evaluate()
    world.execute(
        "INSERT INTO alert_mutes (kind, until, muted_at, muted_by)"
        " VALUES ('overspend', now() + interval '1 day', now(), '')"
    )
    channels.add("ops", "mailto://user:word@127.0.0.1:1?to=ops@example.com", Edit("test", now()))
    webhooks.add("https://127.0.0.1/hook", [], "", None, Edit("test", now()))
    client = program()
    key = {"Authorization": client.headers["Authorization"]}
    answered: dict[str, set[int]] = {}

    def declares_its_answer(case: Any) -> None:
        answer = case.call_and_validate(headers=key, checks=CHECKS)
        answered.setdefault(case.operation.label, set()).add(answer.status_code)

    whole = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    document = whole.include(path_regex="^/api/").exclude(path_regex="/stream$")  # a stream does not end
    for found in document.get_all_operations():
        assert isinstance(found, Ok), found
        REPEATABLE(given(_cases(found.ok()))(declares_its_answer))()
    fulfilled = {operation for operation, statuses in answered.items() if min(statuses) < 300}
    assert answered.keys() - fulfilled <= SELDOM_FULFILLED
    world.verify()
