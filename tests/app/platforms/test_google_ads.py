"""The adapter of Google Ads against the fake platform, over real HTTP."""

import time
from datetime import date

import pytest

from app.platforms import http
from app.platforms.adapters import google_login
from app.platforms.adapters.google_ads import GoogleAds
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
from domain.reconcile import Confirmed
from runtime.settings import SettingsError, settings
from tests.fake_platforms.fixtures import SECRETS

FIRST, SECOND = date(2026, 6, 1), date(2026, 6, 2)
PAUSED = Confirmed.PAUSED
GOOGLE = GoogleAds()


def test_spend_is_read_to_the_micro_for_the_days_asked(account: Account, fake: FakePlatform) -> None:
    fake.add("11").spend = {FIRST: 9_007_199_254_740_993, SECOND: 1, date(2026, 6, 3): 5}
    assert GOOGLE.read_spend(account, FIRST, SECOND) == [
        DaySpend("11", FIRST, 9_007_199_254_740_993),
        DaySpend("11", SECOND, 1),
    ]


def test_account_and_statuses_are_read(account: Account, fake: FakePlatform) -> None:
    for number, status in enumerate(("enabled", "paused", "removed")):
        fake.add(str(number), status)
    assert GOOGLE.describe(account) == AccountFacts("Fake", "UTC", "USD")
    assert GOOGLE.read_statuses(account) == {"0": Confirmed.ENABLED, "1": PAUSED, "2": Confirmed.REMOVED}


def test_changes_have_results_of_their_own(account: Account, fake: FakePlatform) -> None:
    fake.add("11")
    fake.add("12")
    fake.refused.add("12")
    outcomes = GOOGLE.set_status(account, [Change("12", PAUSED), Change("11", PAUSED)])
    assert outcomes["11"] is None
    assert isinstance(outcomes["12"], Refused)
    assert str(outcomes["12"]) == "Google Ads refused it: Resource was not found."
    assert fake.campaigns["11"].status == "paused"
    (request,) = fake.requests("mutate")
    assert request.body == {
        "operations": [
            {
                "updateMask": "status",
                "update": {"resourceName": f"customers/1234567890/campaigns/{one}", "status": "PAUSED"},
            }
            for one in ("12", "11")
        ],
        "partialFailure": True,
    }


def test_one_login_serves_many_requests_and_a_refused_token_is_renewed_once(
    account: Account, fake: FakePlatform
) -> None:
    GOOGLE.read_statuses(account)
    GOOGLE.read_statuses(account)
    assert len(fake.requests("token")) == 1
    fake.fail("search", "expired")
    GOOGLE.read_statuses(account)
    assert len(fake.requests("token")) == 2
    fake.fail("search", "expired", "expired")
    with pytest.raises(LoginFailed):
        GOOGLE.read_statuses(account)


def test_revoked_login_says_so(account: Account, fake: FakePlatform) -> None:
    fake.is_revoked = True
    with pytest.raises(LoginFailed, match="expired or revoked"):
        GOOGLE.read_statuses(account)


def test_used_up_quota_says_how_long_to_wait(account: Account, fake: FakePlatform) -> None:
    fake.fail("search", "429")
    with pytest.raises(Limited) as limited:
        GOOGLE.read_statuses(account)
    assert (limited.value.seconds, limited.value.for_all) == (40_591, True)


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_slow_answer_ends_at_the_deadline(account: Account, fake: FakePlatform, fault: str) -> None:
    for number in range(50):
        fake.add(str(number))
    fake.fail("search", fault)
    began = time.monotonic()
    with pytest.raises(Unanswered) as error:
        GOOGLE.read_statuses(account)
    assert time.monotonic() - began < 10
    assert error.value.may_be_applied


@pytest.mark.parametrize("fault", ["apply_then_hang", "apply_then_500", "500", "hang"])
def test_failed_change_may_be_applied(account: Account, fake: FakePlatform, fault: str) -> None:
    fake.add("11")
    fake.fail("mutate", fault)
    with pytest.raises(Unanswered) as error:
        GOOGLE.set_status(account, [Change("11", PAUSED)])
    assert error.value.may_be_applied
    assert (fake.campaigns["11"].status == "paused") == fault.startswith("apply")


def test_unreachable_platform_has_applied_nothing(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    GOOGLE.read_statuses(account)
    monkeypatch.setenv("SPENDGATE_GOOGLE_ADS_URL", "http://127.0.0.1:9")
    settings.cache_clear()
    with pytest.raises(Unanswered, match="no connection") as error:
        GOOGLE.set_status(account, [Change("11", PAUSED)])
    assert not error.value.may_be_applied


def test_large_answer_is_refused(account: Account, fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    GOOGLE.read_statuses(account)
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 1_000)
    for number in range(100):
        fake.add(str(number))
    with pytest.raises(Unanswered, match="larger"):
        GOOGLE.read_statuses(account)


def test_other_account_is_refused(account: Account, fake: FakePlatform) -> None:
    fake.account_id = "1"
    with pytest.raises(Refused, match="403"):
        GOOGLE.read_statuses(account)


@pytest.mark.parametrize("fault", ["expired", "429", "500", "hang"])
def test_secrets_are_in_no_error_url_or_repr(account: Account, fake: FakePlatform, fault: str) -> None:
    secrets = [*SECRETS.values(), fake.token]
    for kind in ("search", "token"):
        fake.fail(kind, fault, fault)
    google_login.tokens.forget(account)
    for _ in range(3):
        try:
            GOOGLE.read_statuses(account)
        except PlatformError as error:
            seen = f"{error!r} {error} {error.__cause__!r} {error.__context__!r}"
            assert not [secret for secret in secrets if secret in seen]
    assert not [secret for secret in secrets if secret in f"{account!r} {account.credentials!r}"]
    assert not [one.path for one in fake.received if any(secret in one.path for secret in secrets)]


@pytest.mark.parametrize("url", ["http://googleads.example", "ftp://127.0.0.1", "googleads.example"])
def test_urls_without_encryption_are_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("SPENDGATE_GOOGLE_ADS_URL", url)
    settings.cache_clear()
    with pytest.raises(SettingsError, match="SPENDGATE_GOOGLE_ADS_URL: expected https"):
        settings()
    monkeypatch.undo()
    settings.cache_clear()
