"""The fake platform spends only while campaigns are enabled there, by its clock, and keeps quota and state."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx2 as httpx
import pytest

from cli.fake_platforms import google
from cli.fake_platforms.server import serving
from cli.fake_platforms.state import PAUSED, FakePlatform
from cli.fake_platforms.store import load, save
from domain.periods import ONE_DAY

START = datetime(2026, 10, 31, 22, tzinfo=UTC)


class Watch:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def platform(watch: Watch) -> FakePlatform:
    """A platform of one campaign that spends 24,000,000 micros a day."""
    platform = FakePlatform(clock=watch)
    platform.add("11").micros_a_day = 24_000_000
    platform.serve()
    return platform


def mutation(status: str) -> dict[str, object]:
    update = {"resourceName": "customers/1234567890/campaigns/11", "status": status}
    return {"operations": [{"updateMask": "status", "update": update}], "partialFailure": True}


def test_campaign_spends_at_its_rate_on_each_local_day(platform: FakePlatform, watch: Watch) -> None:
    watch.at += timedelta(hours=3)
    platform.serve()
    assert platform.campaigns["11"].spend == {date(2026, 10, 31): 2_000_000, date(2026, 11, 1): 1_000_000}


def test_paused_campaign_spends_nothing_until_it_is_enabled(platform: FakePlatform, watch: Watch) -> None:
    watch.at += timedelta(hours=1)
    platform.serve()
    google.mutate(platform, mutation("PAUSED"))
    watch.at += timedelta(hours=10)
    platform.serve()
    google.mutate(platform, mutation("ENABLED"))
    assert sum(platform.campaigns["11"].spend.values()) == 1_000_000
    watch.at += timedelta(hours=1)
    platform.serve()
    assert sum(platform.campaigns["11"].spend.values()) == 2_000_000


def test_quota_asks_to_wait_until_the_oldest_operations_are_a_day_old(platform: FakePlatform, watch: Watch) -> None:
    platform.operations_a_day = 3
    assert platform.wait_for_quota(2) == 0
    watch.at += timedelta(hours=1)
    assert platform.wait_for_quota(1) == 0
    assert platform.wait_for_quota(1) == 23 * 3600
    watch.at = START + ONE_DAY
    assert platform.wait_for_quota(2) == 0


def test_every_second_change_is_refused_once(platform: FakePlatform) -> None:
    platform.refuse_every = 2
    assert "partialFailureError" not in google.mutate(platform, mutation("PAUSED"))
    assert google.mutate(platform, mutation("ENABLED"))["partialFailureError"]["details"][0]["errors"]
    assert platform.campaigns["11"].status == PAUSED
    assert "partialFailureError" not in google.mutate(platform, mutation("ENABLED"))


def test_state_file_restores_status_and_spend(platform: FakePlatform, watch: Watch, tmp_path: Path) -> None:
    watch.at += timedelta(hours=1)
    platform.serve()
    platform.campaigns["11"].status = PAUSED
    save(platform, tmp_path / "state.json")
    again = FakePlatform()
    again.add("11")
    assert load(again, tmp_path / "state.json")
    assert (again.campaigns["11"].status, again.campaigns["11"].spend) == (PAUSED, {date(2026, 10, 31): 1_000_000})


@pytest.mark.parametrize("content", [None, "", "[1]", '{"11": {"status": "paused"}}'])
def test_unreadable_state_file_is_ignored(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "state.json"
    if content is not None:
        path.write_text(content)
    platform = FakePlatform()
    platform.add("11")
    assert not load(platform, path)


def test_person_pauses_a_campaign_on_the_page_of_the_platform(platform: FakePlatform) -> None:
    platform.campaigns["11"].name = "<Shoes> & more"
    with serving(platform) as url:
        assert "&lt;Shoes&gt; &amp; more" in httpx.get(url).text
        answer = httpx.post(f"{url}/campaigns/11/paused", follow_redirects=True)
        assert '<td class="paused">paused</td>' in answer.text
        assert httpx.post(f"{url}/campaigns/12/paused").status_code == 404
    assert platform.campaigns["11"].status == PAUSED
