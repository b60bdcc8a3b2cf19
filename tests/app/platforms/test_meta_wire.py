"""Our requests to Meta and the fake platform's answers, compared with Meta's own client."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.adactivity import AdActivity
from facebook_business.adobjects.adsinsights import AdsInsights
from facebook_business.adobjects.campaign import Campaign
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from app.platforms.adapters.meta import Meta
from app.platforms.credentials import credentials_at
from app.platforms.protocol import Account, Change, DaySpend
from cli.fake_platforms.state import FakePlatform
from domain.reconcile import Confirmed
from runtime.settings import settings
from tests.world import moment

META = Meta()
DAY = date(2026, 6, 17)
AT = moment("2026-06-17T12:00")


@pytest.fixture
def account(fake: FakePlatform, meta_credentials_file: Path) -> Account:
    """The account of the fake platform, with campaigns, spend, and a change that a person made."""
    for number, status in enumerate(("enabled", "paused", "removed", "enabled", "enabled")):
        fake.add(str(number), status)
        fake.campaigns[str(number)].spend = {DAY: (number + 1) * 1_230_000}
    fake.change("3", "paused", "anna@example.com", AT + timedelta(minutes=1))
    return Account(1, "meta_ads", fake.account_id, credentials_at(f"file:{meta_credentials_file}"))


@pytest.fixture
def client(fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> Iterator[FacebookAdsApi]:
    """Meta's client with the login of the fake account. It puts the token into URLs."""
    monkeypatch.setattr(FacebookSession, "GRAPH", settings().meta_url)
    session = FacebookSession("app", fake.app_secret, fake.meta_token)
    yield FacebookAdsApi(session, api_version=settings().meta_version)
    session.requests.close()


@pytest.fixture
def official(fake: FakePlatform, client: FacebookAdsApi) -> AdAccount:
    """The fake account in Meta's client."""
    return AdAccount(f"act_{fake.account_id}", api=client)


def test_every_parameter_and_field_is_known_to_metas_client(
    account: Account, fake: FakePlatform, official: AdAccount
) -> None:
    """Meta's client warns of unknown parameters and values, and warnings fail tests."""
    META.read_spend(account, DAY, DAY)
    META.read_hours(account, DAY, DAY)
    META.read_statuses(account)
    META.who_changed(account, [Change("3", Confirmed.PAUSED)], AT)
    edges = {
        "insights": (official.get_insights, AdsInsights),
        "campaigns": (official.get_campaigns, Campaign),
        "activities": (official.get_activities, AdActivity),
    }
    seen = set()
    for request in fake.requests("search"):
        edge = request.path.partition("?")[0].rpartition("/")[2]
        method, kind = edges[edge]
        params = {name: decoded(value) for name, value in request.body.items()}
        fields = params.pop("fields").split(",")
        assert not set(fields) - set(kind.Field.__dict__.values())
        assert set(params.pop("appsecret_proof")) <= set("0123456789abcdef")
        paging = {params.pop(name, None) for name in ("limit", "after")}
        assert paging
        method(fields=fields, params=params, pending=True)
        seen.add((edge, "breakdowns" in params))
    assert seen == {("insights", False), ("insights", True), ("campaigns", False), ("activities", False)}


def decoded(value: str) -> Any:
    return json.loads(value) if value[0] in "[{" else value


def test_metas_client_reads_from_the_fake_what_our_adapter_reads(
    account: Account, fake: FakePlatform, official: AdAccount
) -> None:
    ours = META.read_spend(account, DAY, DAY)
    params = dict(fake.requests("search")[0].body)
    fields = params.pop("fields").split(",")
    params = {name: decoded(value) for name, value in params.items() if name not in {"appsecret_proof", "limit"}}
    theirs = [
        DaySpend(row["campaign_id"], date.fromisoformat(row["date_start"]), round(float(row["spend"]) * 1_000_000))
        for row in official.get_insights(fields=fields, params=params)
    ]
    assert theirs == ours
    assert len(ours) == 5
    listed = official.get_campaigns(fields=["id", "status"], params={"effective_status": ["ACTIVE", "PAUSED"]})
    words = {"ACTIVE": Confirmed.ENABLED, "PAUSED": Confirmed.PAUSED}
    assert {one["id"]: words[one["status"]] for one in listed} == META.read_statuses(account)


def test_our_batch_is_the_one_that_metas_client_sends(
    account: Account, fake: FakePlatform, client: FacebookAdsApi
) -> None:
    META.set_status(account, [Change("0", Confirmed.PAUSED), Change("3", Confirmed.ENABLED)])
    outcomes: list[bool] = []
    batch = client.new_batch()
    for name, status in (("0", Campaign.Status.paused), ("3", Campaign.Status.active)):
        campaign = Campaign(name, api=client)
        campaign.api_update(params={"status": status}, batch=batch, success=lambda _: outcomes.append(True))
    assert batch.execute() is None
    ours, theirs = fake.requests("mutate")
    assert outcomes == [True, True]
    assert [normal(item) for item in ours.body] == [normal(item) for item in theirs.body]
    assert fake.meta_token not in ours.path
    assert fake.meta_token in theirs.path


def normal(item: dict[str, str]) -> tuple[str, str, dict[str, list[str]]]:
    return item["method"], item["relative_url"].strip("/"), parse_qs(item["body"])


@pytest.mark.parametrize(("fault", "code"), [("429", 80_004), ("expired", 190), ("500", 2)])
def test_metas_client_reads_the_errors_of_the_fake(
    fake: FakePlatform, official: AdAccount, fault: str, code: int
) -> None:
    fake.fail("search", *[fault] * 5)
    with pytest.raises(FacebookRequestError) as error:
        official.api_get(fields=["name"])
    assert error.value.api_error_code() == code
