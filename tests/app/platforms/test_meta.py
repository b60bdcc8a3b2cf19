"""The adapter of Meta against the fake platform, over real HTTP."""

import json
import time
from datetime import date
from pathlib import Path

import pytest

from app.platforms.adapters import graph
from app.platforms.adapters.meta import Meta
from app.platforms.credentials import credentials_at
from app.platforms.protocol import (
    Account,
    AccountFacts,
    Change,
    DaySpend,
    Limited,
    LoginFailed,
    PlatformError,
    Refused,
    Unanswered,
)
from cli.fake_platforms.state import FakePlatform
from domain.errors import InvalidValue
from domain.reconcile import Confirmed
from tests.fake_platforms.fixtures import META_SECRETS

FIRST, SECOND = date(2026, 6, 1), date(2026, 6, 2)
PAUSED = Confirmed.PAUSED
META = Meta()


@pytest.fixture
def account(fake: FakePlatform, meta_credentials_file: Path) -> Account:
    """The account of the fake platform on Meta."""
    return Account(1, "meta_ads", "act_1234567890", credentials_at(f"file:{meta_credentials_file}"))


@pytest.mark.parametrize(
    ("currency", "micros"),
    [
        ("USD", 12_340_000),
        ("USD", 10_000),
        ("JPY", 1_234_000_000),
        ("KWD", 1_234_567),
        ("USD", 999_999_999_990_000),
    ],
)
def test_spend_is_read_to_the_micro_in_each_currency(
    account: Account, fake: FakePlatform, currency: str, micros: int
) -> None:
    fake.currency = currency
    fake.add("11").spend = {FIRST: micros, SECOND: -10_000, date(2026, 6, 3): 5}
    assert META.read_spend(account, FIRST, SECOND) == [DaySpend("11", FIRST, micros), DaySpend("11", SECOND, -10_000)]


def test_spend_of_archived_and_deleted_campaigns_is_read(account: Account, fake: FakePlatform) -> None:
    for number, status in enumerate(("enabled", "paused", "removed")):
        fake.add(str(number), status).spend = {FIRST: 1_000_000}
    assert {row.external_id for row in META.read_spend(account, FIRST, FIRST)} == {"0", "1", "2"}


def test_all_pages_are_read_and_no_url_holds_the_token(account: Account, fake: FakePlatform) -> None:
    for number in range(10):
        fake.add(str(number)).spend = {FIRST: 1_000_000 + number}
    assert len(META.read_spend(account, FIRST, FIRST)) == 10
    assert len(META.read_statuses(account)) == 10
    assert len(fake.requests("search")) == 8
    assert not [one.path for one in fake.received if fake.meta_token in one.path]


def test_range_with_too_many_rows_is_read_in_halves(account: Account, fake: FakePlatform) -> None:
    days = [date(2026, 6, day) for day in range(1, 29)]
    fake.add("11").spend = dict.fromkeys(days, 1_000_000)
    fake.most_days = 4
    assert [row.day for row in META.read_spend(account, days[0], days[-1])] == days
    fake.most_days = 0
    with pytest.raises(Refused, match="reduce the amount of data"):
        META.read_spend(account, FIRST, FIRST)


def test_account_and_statuses_are_read(account: Account, fake: FakePlatform) -> None:
    for number, status in enumerate(("enabled", "paused", "removed", "paused", "enabled")):
        fake.add(str(number), status)
    fake.in_process |= {"3", "4"}
    assert META.describe(account) == AccountFacts("Fake", "UTC", "USD")
    assert META.read_statuses(account) == {
        "0": Confirmed.ENABLED,
        "1": PAUSED,
        "3": Confirmed.UNKNOWN,
        "4": Confirmed.ENABLED,
    }


def test_changes_of_a_batch_have_outcomes_of_their_own(account: Account, fake: FakePlatform) -> None:
    for number in ("11", "12", "13", "14"):
        fake.add(number)
    fake.refused.add("12")
    fake.unanswered.add("13")
    fake.limited.add("14")
    fake.usage_percent = 100
    outcomes = META.set_status(account, [Change(number, PAUSED) for number in ("11", "12", "13", "14")])
    assert outcomes["11"] is None
    kinds = {number: (type(error), error and error.may_be_applied) for number, error in outcomes.items()}
    assert kinds["12"] == (Refused, False)
    assert kinds["13"] == (Unanswered, True)
    assert kinds["14"] == (Limited, False)
    assert fake.campaigns["11"].status == "paused"
    (request,) = fake.requests("mutate")
    assert request.body[0] == {"method": "POST", "relative_url": "11", "body": "status=PAUSED"}


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        (190, 401, LoginFailed),
        (102, 400, LoginFailed),
        (4, 400, Limited),
        (17, 400, Limited),
        (613, 400, Limited),
        (80_000, 400, Limited),
        (80_014, 400, Limited),
        (1, 400, Unanswered),
        (2, 500, Unanswered),
        (100, 400, Refused),
        (10, 403, Refused),
        (200, 403, Refused),
        (368, 400, Refused),
    ],
)
def test_errors_are_named_by_code(account: Account, code: int, status: int, error: type[PlatformError]) -> None:
    content = {"error": {"message": "No.", "code": code}}
    found = graph.error_of(account, status, content, {}, changes_something=True)
    assert type(found) is error
    assert found.may_be_applied == (error is Unanswered)
    assert not isinstance(found, Limited) or found.for_all == (code == 4)


@pytest.mark.parametrize(("status", "content"), [(500, None), (502, "text"), (200, []), (400, {"error": "text"})])
def test_answers_in_another_form_leave_the_outcome_open(account: Account, status: int, content: object) -> None:
    found = graph.error_of(account, status, content, {}, changes_something=True)
    assert (type(found), found.may_be_applied) == (Unanswered, True)


@pytest.mark.parametrize(
    ("headers", "percent", "seconds"),
    [
        (
            {"x-business-use-case-usage": '{"1": [{"call_count": 28, "estimated_time_to_regain_access": 19}]}'},
            28,
            1_140,
        ),
        ({"x-ad-account-usage": '{"acc_id_util_pct": 9.67, "reset_time_duration": 100}'}, 9.67, 100),
        ({"x-app-usage": '{"call_count": 28, "total_time": 95}'}, 95, 0),
        ({"x-app-usage": "not JSON", "x-ad-account-usage": "[]"}, 0, 0),
        ({"x-business-use-case-usage": '{"1": {"call_count": "x"}, "2": ["x"], "3": null}'}, 0, 0),
        ({}, 0, 0),
    ],
)
def test_use_of_limits_is_read_from_headers(headers: dict[str, str], percent: float, seconds: float) -> None:
    usage = graph.usage_of(headers)
    assert (float(usage.percent), usage.wait_seconds) == (percent, seconds)


def test_used_up_limit_says_how_long_to_wait(account: Account, fake: FakePlatform) -> None:
    fake.fail("search", "429")
    with pytest.raises(Limited) as limited:
        META.read_statuses(account)
    assert (limited.value.seconds, limited.value.for_all) == (677 * 60, False)


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_slow_answer_ends_at_the_deadline(account: Account, fake: FakePlatform, fault: str) -> None:
    for number in range(3):
        fake.add(str(number))
    fake.fail("search", fault)
    began = time.monotonic()
    with pytest.raises(Unanswered):
        META.read_statuses(account)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("fault", ["apply_then_hang", "apply_then_500", "500", "hang"])
def test_failed_batch_may_be_applied(account: Account, fake: FakePlatform, fault: str) -> None:
    fake.add("11")
    fake.fail("mutate", fault)
    with pytest.raises(Unanswered) as error:
        META.set_status(account, [Change("11", PAUSED)])
    assert error.value.may_be_applied
    assert (fake.campaigns["11"].status == "paused") == fault.startswith("apply")


def test_other_account_is_refused(account: Account, fake: FakePlatform) -> None:
    fake.account_id = "1"
    with pytest.raises(Refused, match="NOT granted"):
        META.read_statuses(account)


def test_wrong_secret_of_the_app_is_refused(account: Account, fake: FakePlatform) -> None:
    fake.app_secret = "another"  # noqa: S105 - a fake one
    with pytest.raises(LoginFailed):
        META.read_statuses(account)


@pytest.mark.parametrize("missing", ["access_token", "app_secret"])
def test_missing_secret_is_named(fake: FakePlatform, tmp_path: Path, missing: str) -> None:
    path = tmp_path / "part.json"
    path.write_text(json.dumps({name: value for name, value in META_SECRETS.items() if name != missing}))
    account = Account(1, "meta_ads", "1234567890", credentials_at(f"file:{path}"))
    with pytest.raises(InvalidValue, match=f"has no {missing}"):
        META.describe(account)
    assert fake.received == []


@pytest.mark.parametrize("fault", ["expired", "429", "500", "hang"])
def test_secrets_are_in_no_error_url_or_repr(account: Account, fake: FakePlatform, fault: str) -> None:
    fake.add("11")
    for kind in ("search", "mutate"):
        fake.fail(kind, fault)
    for attempt in (lambda: META.read_statuses(account), lambda: META.set_status(account, [Change("11", PAUSED)])):
        with pytest.raises(PlatformError) as caught:
            attempt()
        error = caught.value
        seen = f"{error!r} {error} {error.__cause__!r} {error.__context__!r}"
        assert not [secret for secret in META_SECRETS.values() if secret in seen]
    assert not [secret for secret in META_SECRETS.values() if secret in f"{account!r} {account.credentials!r}"]
    assert not [one.path for one in fake.received if any(secret in one.path for secret in META_SECRETS.values())]


def test_limits_used_but_for_a_tenth_stop_reads_and_no_pause(account: Account, fake: FakePlatform) -> None:
    for number in range(10):
        fake.add(str(number))
    fake.usage_percent = 90
    assert len(META.read_statuses(account)) == 10
    requests = len(fake.received)
    with pytest.raises(Limited, match="except the part kept for pauses") as limited:
        META.read_spend(account, FIRST, SECOND)
    assert (len(fake.received), limited.value.for_all) == (requests, False)
    assert 0 < limited.value.seconds <= 300
    assert META.set_status(account, [Change("1", PAUSED)]) == {"1": None}
