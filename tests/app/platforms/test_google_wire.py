"""Our requests to Google Ads and the fake platform's answers, parsed as Google's own messages."""

import json
import re
from collections.abc import Iterator
from datetime import date, timedelta
from types import ModuleType
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.rpc import code_pb2, status_pb2

from app.platforms.adapters.google_ads import GoogleAds
from app.platforms.protocol import Account, Change, PlatformError
from cli.fake_platforms.state import FakePlatform
from domain.reconcile import Confirmed
from tests.world import moment

GOOGLE = GoogleAds()
DAY = date(2026, 6, 17)
AT = moment("2026-06-17T12:00")
FIELD = re.compile(r"\b(?:customer|campaign|segments|metrics|change_event)\.[a-z_.]+")


def parse(message: Any, content: Any) -> Any:
    """The content as this message of Google's. Raises ParseError for unknown fields and wrong types."""
    return json_format.ParseDict(content, message.pb()(), ignore_unknown_fields=False)


@pytest.fixture
def google() -> ModuleType:
    """The module with Google's own messages."""
    from tests.app.platforms import google_messages  # noqa: PLC0415 - see there

    return google_messages


@pytest.fixture
def used(account: Account, fake: FakePlatform) -> FakePlatform:
    """The fake platform after every kind of request of the adapter."""
    for number, status in enumerate(("enabled", "paused", "removed")):
        fake.add(str(number), status)
    fake.spend("0", DAY, 12_340_000)
    fake.change("0", "paused", "anna@example.com", AT + timedelta(minutes=1))
    fake.refused.add("1")
    changes = [Change(name, Confirmed.PAUSED) for name in ("0", "1")]
    GOOGLE.describe(account)
    GOOGLE.read_spend(account, DAY, DAY)
    GOOGLE.read_hours(account, DAY, DAY)
    GOOGLE.read_statuses(account)
    GOOGLE.set_status(account, changes)
    GOOGLE.who_changed(account, changes, AT)
    return fake


def test_every_request_is_a_message_of_google(used: FakePlatform, google: ModuleType) -> None:
    messages = {
        "search": google.SearchGoogleAdsStreamRequest,
        "mutate": google.MutateCampaignsRequest,
    }
    requests = [one for one in used.received if one.kind != "token"]
    assert len(requests) == 6
    for request in requests:
        assert parse(messages[request.kind], request.body)


def test_every_field_of_a_query_exists(used: FakePlatform, google: ModuleType) -> None:
    row = google.GoogleAdsRow.pb().DESCRIPTOR
    names = {
        name for one in used.requests("search") for name in FIELD.findall(re.sub("'[^']*'", "", one.body["query"]))
    }
    assert len(names) >= 12
    assert not [name for name in names if not exists(row, name.split("."))]


def exists(message: Descriptor, path: list[str]) -> bool:
    found = message.fields_by_name.get(path[0])
    return found is not None and (len(path) == 1 or exists(found.message_type, path[1:]))


def test_every_answer_of_the_fake_is_a_message_of_google(used: FakePlatform, google: ModuleType) -> None:
    answers = [one for one in used.answers if one.status == 200]
    assert len(answers) == 6
    for answer in answers:
        content = json.loads(answer.content)
        if answer.kind == "mutate":
            parsed = parse(google.MutateCampaignsResponse, content)
            assert [bool(result.resource_name) for result in parsed.results] == [True, False]
            failure = google.GoogleAdsFailure.pb()()
            assert parsed.partial_failure_error.details[0].Unpack(failure)
            assert failure.errors[0].location.field_path_elements[0].index == 1
            continue
        for batch in content:
            parsed = parse(google.SearchGoogleAdsStreamResponse, batch)
            assert parsed.results


@pytest.mark.parametrize("fault", ["429", "expired", "500"])
def test_every_error_of_the_fake_is_a_status_of_google(account: Account, fake: FakePlatform, fault: str) -> None:
    fake.fail("search", fault, fault)
    with pytest.raises(PlatformError):
        GOOGLE.read_statuses(account)
    for status in statuses(fake):
        assert code_pb2.Code.Value(status["status"])
        named = {name: value for name, value in status.items() if name != "status"}
        json_format.ParseDict(named, status_pb2.Status(), ignore_unknown_fields=False)


def statuses(fake: FakePlatform) -> Iterator[dict[str, Any]]:
    found = [json.loads(one.content) for one in fake.answers]
    assert found
    yield from (one["error"] for one in found)
