"""The dashboard's list of what needs a person: worst first, each with what to do, empty when nothing is wrong."""

from datetime import datetime, timedelta

import pytest
from starlette.testclient import TestClient

from app.alerts import channels
from app.alerts.evaluate import evaluate
from db.repository.access.audit import Edit
from db.repository.alerts.mute_edits import Muted
from tests.web.test_dashboard import text
from tests.world import UNIT, World


@pytest.fixture
def hudson(world: World, noon: datetime) -> int:
    """A brand of 100 a day, at a stopped noon."""
    world.set_clock(noon)
    return world.brand(name="Hudson", daily=100 * UNIT)


def test_dashboard_says_that_nothing_needs_you(world: World, hudson: int, open_pages: TestClient) -> None:
    for page in ("/", "/alerts"):
        assert "No open alerts." in text(open_pages, page)


def test_alerts_are_listed_worst_first_with_advice_and_a_link(
    world: World, hudson: int, open_pages: TestClient
) -> None:
    world.spend(world.campaign(hudson), 120 * UNIT)
    evaluate()
    for page in ("/", "/alerts"):
        shown = text(open_pages, page)
        overspend = "Hudson has overspent today's budget by $20.00: $120.00 of $100.00. Wed 17 Jun 12:00 See in the"
        assert overspend in shown
        assert shown.index("See in the monthly report") < shown.index("Raise the limit")
    assert 'href="/admin/budgets/edit?pk=1"' in open_pages.get("/").text


def test_acknowledged_and_muted_alerts_leave_the_list_and_stay_on_the_page(
    world: World, hudson: int, noon: datetime, open_pages: TestClient
) -> None:
    world.spend(world.campaign(hudson), 120 * UNIT)
    evaluate()
    edit = Edit("user:ops@example.com", noon)
    channels.acknowledge([1], edit)
    channels.mute(Muted(kind="overspend"), noon + timedelta(hours=1), edit)
    assert "No open alerts." in text(open_pages, "/")
    page = text(open_pages, "/alerts")
    assert "acknowledged by user:ops@example.com" in page
    assert "muted until 2026-06-17 13:00:00 UTC" in page


def test_links_of_alerts_lead_to_pages(world: World, hudson: int, open_pages: TestClient) -> None:
    from app.alerts.reading import shown  # noqa: PLC0415 - after the environment is set

    campaign = world.campaign(hudson)
    row = {"brand": "Hudson", "campaign": "", "brand_id": hudson, "campaign_id": campaign, "budget_id": 1}
    figures = {"platform": "p", "since": "2026-06-17T12:00:00+00:00", "held_since": "2026-06-17T12:00:00+00:00"}
    for kind in ("unconfirmed_pause", "held_but_spending", "campaign_overridden"):
        found = shown({**row, "kind": kind, "figures": figures})
        assert open_pages.get(found.path).status_code == 200, found.path
    amounts = {"period": "daily", "spent_micros": 2, "limit_micros": 1}
    found = shown({**row, "kind": "overspend", "currency": "USD", "campaign_id": None, "figures": amounts})
    assert open_pages.get(found.path).status_code == 200
