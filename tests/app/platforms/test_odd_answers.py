"""Answers of any form, to every method of every adapter: a result or a PlatformError, never another exception."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import outgoing_http
from app.platforms import http
from app.platforms.adapters import google_login, graph
from app.platforms.credentials import Credentials
from app.platforms.http import Answer
from app.platforms.protocol import Account, Change, Limited, LoginFailed, Platform, PlatformError, Refused, Unanswered
from app.platforms.registry import ADAPTERS
from domain.reconcile import Confirmed
from domain.text import is_sound
from tests.app.platforms.kit import Connected
from tests.world import moment

DAY = date(2026, 6, 17)
AT = moment("2026-06-17T12:00")
SECRETS = dict.fromkeys(
    ("client_id", "client_secret", "refresh_token", "developer_token", "access_token", "app_secret"), "secret-value"
)
CHANGES = [Change("11", Confirmed.PAUSED), Change("12", Confirmed.PAUSED)]
METHODS: Mapping[str, Callable[[Platform, Account], object]] = {
    "describe": lambda platform, account: platform.describe(account),
    "read_spend": lambda platform, account: platform.read_spend(account, DAY, DAY),
    "read_hours": lambda platform, account: platform.read_hours(account, DAY, DAY),
    "read_statuses": lambda platform, account: platform.read_statuses(account),
    "set_status": lambda platform, account: platform.set_status(account, CHANGES),
    "who_changed": lambda platform, account: platform.who_changed(account, CHANGES, AT),
}
GOOGLE_ROW = {
    "customer": {"id": "1", "descriptiveName": "Shop", "timeZone": "UTC", "currencyCode": "USD"},
    "campaign": {"id": "11", "status": "ENABLED"},
    "segments": {"date": "2026-06-17", "hour": 3},
    "metrics": {"costMicros": "5"},
    "changeEvent": {
        "campaign": "customers/1234567890/campaigns/11",
        "changeDateTime": "2026-06-17 12:00:01",
        "userEmail": "anna@example.com",
        "changedFields": "status",
        "newResource": {"campaign": {"status": "PAUSED"}},
    },
}
GOOGLE_ERROR = {
    "code": 429,
    "status": "RESOURCE_EXHAUSTED",
    "message": "quota",
    "details": [
        {
            "errors": [
                {
                    "message": "Not found.",
                    "location": {"fieldPathElements": [{"fieldName": "operations", "index": 1}]},
                    "details": {"quotaErrorDetails": {"rateScope": "ACCOUNT", "retryDelay": "5s"}},
                }
            ]
        }
    ],
}
META_ROW = {
    "id": "11",
    "status": "PAUSED",
    "effective_status": "IN_PROCESS",
    "campaign_id": "11",
    "date_start": "2026-06-17",
    "date_stop": "2026-06-17",
    "spend": "1.23",
    "hourly_stats_aggregated_by_advertiser_time_zone": "03:00:00 - 03:59:59",
    "event_time": "2026-06-17T12:00:01+0000",
    "event_type": "update_campaign_run_status",
    "object_id": "11",
    "actor_name": "Anna",
    "extra_data": '{"new_value": "Inactive"}',
}
ANSWERS: Mapping[str, list[Any]] = {
    "google_ads": [
        [{"results": [GOOGLE_ROW]}],
        [{"results": [GOOGLE_ROW]}, {"error": GOOGLE_ERROR}],
        {"results": [{"resourceName": "customers/1/campaigns/11"}, {}], "partialFailureError": GOOGLE_ERROR},
        {"error": GOOGLE_ERROR},
    ],
    "meta_ads": [
        {"data": [META_ROW], "paging": {"cursors": {"after": "1"}}},
        {"data": [META_ROW], "paging": {"cursors": {"after": "1"}, "next": "more"}},
        {"name": "Shop", "timezone_name": "UTC", "currency": "USD"},
        [{"code": 200, "body": '{"success": true}'}, {"code": 400, "body": '{"error": {"code": 100}}'}],
        {"error": {"code": 80004, "message": "limit", "error_user_msg": "wait", "error_subcode": 1}},
    ],
}
USAGE = {"x-app-usage": '{"call_count": 12, "total_time": 1e999999, "estimated_time_to_regain_access": 1e999}'}
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(["", "error", "5s", "0001-01-01 00:00:00", "2026-06-17T12:00:00", 10**30, Decimal("1e999999")]),
)
JSON = st.recursive(
    SCALARS,
    lambda parts: st.one_of(
        st.lists(parts, max_size=3),
        st.dictionaries(st.sampled_from(["error", "results", "data", "code", "details", "paging"]), parts, max_size=3),
    ),
    max_leaves=6,
)


def places_in(content: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each part of a JSON value."""
    yield place
    parts = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for name, part in parts:
        yield from places_in(part, (*place, name))


def with_part(content: Any, place: tuple[Any, ...], part: Any) -> Any:
    """A copy of the content with another part at this place."""
    if not place:
        return part
    copied = copy.deepcopy(content)
    inner = copied
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = part
    return copied


def asked(platform: str, method: str, answer: Answer) -> object:
    """The result of the method when every request gets this answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "send", lambda *_, **__: answer)
        patch.setattr(graph, "near_limits", {})
        patch.setattr(google_login, "tokens", google_login.Tokens())
        patch.setattr(google_login, "_new_token", lambda _: ("token", 3_600.0))
        account = Account(1, platform, "1234567890", Credentials("env:LOGIN", SECRETS))
        return METHODS[method](ADAPTERS[platform], account)


@settings(max_examples=1_000, deadline=None)
@given(st.data())
def test_answer_with_an_odd_part_is_a_result_or_one_clear_error(data: st.DataObject) -> None:
    platform = data.draw(st.sampled_from(list(ADAPTERS)))
    content = data.draw(st.sampled_from(ANSWERS[platform]))
    place = data.draw(st.sampled_from(list(places_in(content))))
    odd = with_part(content, place, data.draw(JSON))
    headers = data.draw(st.sampled_from([{}, USAGE]))
    answer = Answer(data.draw(st.sampled_from([200, 200, 200, 400, 401, 429, 503])), headers, odd)
    method = data.draw(st.sampled_from(list(METHODS)))
    try:
        found = asked(platform, method, answer)
    except PlatformError:
        return
    assert answer.status == 200
    if method == "set_status":
        assert isinstance(found, dict)
        assert all(one is None or isinstance(one, PlatformError) for one in found.values())


@pytest.mark.parametrize(("code", "kind"), [(503, Unanswered), (401, LoginFailed), (400, Refused), (429, Limited)])
@pytest.mark.parametrize("method", ["read_spend", "read_hours", "read_statuses", "describe", "who_changed"])
def test_error_that_ends_a_stream_of_google_is_no_answer(method: str, code: int, kind: type[PlatformError]) -> None:
    error = {"code": code, "message": "The stream broke."}
    with pytest.raises(kind, match=f"Google Ads answered {code}: The stream broke"):
        asked("google_ads", method, Answer(200, {}, [{"results": [GOOGLE_ROW]}, {"error": error}]))


@pytest.mark.parametrize("content", [[None], ["text"], [{"results": None}], [{"results": [None]}], {"results": []}, 5])
def test_stream_of_another_form_is_no_answer(content: Any) -> None:
    with pytest.raises(Unanswered, match="documented form"):
        asked("google_ads", "read_statuses", Answer(200, {}, content))


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("platform", list(ADAPTERS))
def test_error_in_words_alone_is_an_error(platform: str, status: int) -> None:
    with pytest.raises(Unanswered):
        asked(platform, "read_statuses", Answer(status, {}, {"error": "down"}))


def test_null_parts_of_a_row_are_no_spend_of_zero() -> None:
    for name in ("campaign", "segments", "metrics"):
        with pytest.raises(Unanswered):
            asked("google_ads", "read_spend", Answer(200, {}, [{"results": [{**GOOGLE_ROW, name: None}]}]))


def test_answer_that_is_nested_too_deeply_is_no_json() -> None:
    assert http.decoded(b"[" * 1_000_000) is None
    assert http.decoded(json.dumps(GOOGLE_ROW).encode()) == GOOGLE_ROW


@pytest.mark.parametrize("text", ["\\u0000", "\\ud800", "\\uDFFF", "\\ud83d\\ude00 \\ud83d", b"\xed\xa0\x80", "plain"])
@pytest.mark.parametrize("wrapped", [False, True], ids=["answer", "answer within an answer"])
def test_texts_of_answers_can_be_stored(text: str | bytes, wrapped: bool) -> None:
    word = text if isinstance(text, bytes) else text.encode()
    content = b'{"' + word + b'": [{"message": "' + word + b'"}]}'
    if wrapped and isinstance(text, str):
        content = http.decoded(json.dumps({"body": content.decode()}).encode())["body"]
    (name, (found,)), *_ = http.decoded(content).items()
    assert is_sound(name)
    assert is_sound(found["message"])
    assert ("\U0001f600" in name) == ("ude00" in str(text))


@pytest.mark.parametrize("word", [r"\u0000", r"\ud800"])
def test_failure_whose_words_cannot_be_stored_is_stored_with_its_wait(on_each_platform: Connected, word: str) -> None:
    error = {"message": "odd", "code": 100, "status": "INVALID_ARGUMENT"}
    content = json.dumps({"error": error, "error_description": "odd"}).replace("odd", f"odd {word}").encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            outgoing_http, "request", lambda *_, **__: outgoing_http.RawAnswer(400, {}, content, is_cut=False)
        )
        on_each_platform.reconcile()
    stored = on_each_platform.connection()
    assert f"odd {word}" in stored["last_error"]
    assert stored["failures"] == 1
    assert stored["retry_at"] is not None
