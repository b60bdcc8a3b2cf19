"""Monthly reports over HTTP."""

import csv
from typing import Any

import pytest
from starlette.testclient import TestClient

from db.repository.platforms.bounds import AccountBound
from domain.access import KeyScope
from domain.reporting.bounds import Bound
from tests.web.api.conftest import Program
from tests.world import UNIT, World

HERE = "/api/reports/monthly/"


@pytest.fixture
def october(world: World) -> World:
    """Brand 1 spent in October, brand 2 in October and in September; it is November."""
    world.set_clock("2026-09-15T12:00:00Z")
    first, second = (world.campaign(world.brand(name=name)) for name in ("Hudson Shoes", "Tokyo Hats"))
    world.spend(second, UNIT)
    world.set_clock("2026-10-15T12:00:00Z")
    world.spend(first, 2 * UNIT)
    world.spend(second, 3 * UNIT)
    world.set_clock("2026-11-05T12:00:00Z")
    return world


def make(client: TestClient, brand: int, month: str) -> int:
    made = client.post(HERE, json={"brand_id": brand, "month": month})
    assert made.status_code == 200
    return int(made.json()["version"])


def test_report_is_generated_once_and_read_as_json_and_csv(october: World, client: TestClient) -> None:
    assert client.get(HERE, params={"brand_id": 1, "month": "2026-10"}).status_code == 404
    assert [make(client, 1, "2026-10") for _ in range(2)] == [1, 1]
    report = client.get(HERE, params={"brand_id": 1, "month": "2026-10"}).json()
    assert (report["brand_id"], report["month"], report["version"]) == (1, "2026-10", 1)
    assert (report["content"]["spent_micros"], report["content"]["complete"]) == (2 * UNIT, True)
    sheet = client.get(HERE, params={"brand_id": 1, "month": "2026-10", "format": "csv"})
    assert sheet.headers["content-type"] == "text/csv; charset=utf-8"
    assert sheet.headers["Content-Disposition"] == 'attachment; filename="brand-1-2026-10-version-1.csv"'
    assert len(list(csv.DictReader(sheet.text.splitlines()))) > 1


def test_a_restated_month_has_versions(october: World, client: TestClient) -> None:
    make(client, 1, "2026-10")
    october.spend(1, -UNIT, "2026-10-15T12:00:00Z")
    assert make(client, 1, "2026-10") == 2
    spent = {
        version: client.get(HERE, params={"brand_id": 1, "month": "2026-10", **version_of(version)}).json()["content"][
            "spent_micros"
        ]
        for version in (None, 1, 2)
    }
    assert spent == {None: UNIT, 1: 2 * UNIT, 2: UNIT}
    missing = client.get(HERE, params={"brand_id": 1, "month": "2026-10", "version": 3})
    shown = {"field": "version", "message": "there is no version 3 of 2026-10 for brand 1"}
    assert (missing.status_code, missing.json()["errors"]) == (404, [shown])


def version_of(version: int | None) -> dict[str, int]:
    return {} if version is None else {"version": version}


def test_report_of_the_running_month_is_returned_and_not_stored(october: World, client: TestClient) -> None:
    october.spend(1, UNIT)
    shown = client.post(HERE, json={"brand_id": 1, "month": "2026-11"}).json()
    assert (shown["version"], shown["content"]["complete"], shown["content"]["spent_micros"]) == (0, False, UNIT)
    assert client.get(HERE).json() == {"items": [], "next_after": None}


def test_read_key_gets_the_running_month_and_stores_nothing(october: World, program: Program) -> None:
    october.spend(1, UNIT)
    reader = program(KeyScope.READ, brand=1)
    asked: dict[str, str | int] = {"brand_id": 1, "month": "2026-11"}
    shown = reader.get(HERE, params=asked).json()
    assert (shown["version"], shown["content"]["complete"], shown["content"]["spent_micros"]) == (0, False, UNIT)
    sheet = reader.get(HERE, params={**asked, "format": "csv"})
    assert sheet.headers["Content-Disposition"] == 'attachment; filename="brand-1-2026-11-so-far.csv"'
    others: list[dict[str, str | int]] = [{"version": 1}, {"month": "2026-12"}, {"month": "2026-10"}]
    assert {reader.get(HERE, params={**asked, **other}).status_code for other in others} == {404}
    assert october.rows("SELECT FROM monthly_reports") == []


def test_key_of_one_brand_gets_no_bounds_of_the_shared_account(
    october: World, client: TestClient, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = AccountBound(1, "google_ads", "1234567890", "USD", Bound(30, 30, 7, 60, 0))
    monkeypatch.setattr("app.reports.content.bounds_of_brand", lambda _connection, _brand: [bound])
    wanted: dict[str, str | int] = {"brand_id": 1, "month": "2026-10"}
    shown = {
        is_of_brand: [
            reader.post(HERE, json=wanted).json()["content"]["bounds"],
            reader.get(HERE, params=wanted).json()["content"]["bounds"],
            [row for row in reader.get(HERE, params={**wanted, "format": "csv"}).text.splitlines() if "bound" in row],
        ]
        for is_of_brand, reader in ((False, client), (True, program(KeyScope.MANAGE, brand=1)))
    }
    assert all(shown[False])
    assert shown[True] == [[], [], [shown[False][2][0]]], "the heading alone names bound_micros"


def test_reports_are_listed_newest_month_first_page_by_page(
    october: World, client: TestClient, program: Program
) -> None:
    for brand, month in ((2, "2026-09"), (1, "2026-10"), (2, "2026-10")):
        make(client, brand, month)
    listed = client.get(HERE).json()["items"]
    assert [(item["month"], item["brand_id"]) for item in listed] == [("2026-10", 1), ("2026-10", 2), ("2026-09", 2)]
    assert (listed[0]["brand"], listed[0]["version"], listed[0]["spent_micros"]) == ("Hudson Shoes", 1, 2 * UNIT)
    seen: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    for _ in listed:
        page = client.get(HERE, params={"limit": 1, **after}).json()
        seen += page["items"]
        after = {"after": page["next_after"]}
    assert (seen, page["next_after"]) == (listed, None)
    assert client.get(HERE, params={"brand_id": 2}).json()["items"] == listed[1:]
    assert program(brand=2).get(HERE).json()["items"] == listed[1:]


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ({"brand_id": 9, "month": "2026-10"}, 404),
        ({"brand_id": 1, "month": "2026-12"}, 422),
        ({"brand_id": 1, "month": "2026-08"}, 422),
        ({"brand_id": 1, "month": "2026-13"}, 422),
        ({"brand_id": 1, "month": "2026-1"}, 422),
        ({"brand_id": 1, "month": "0000-01"}, 422),
        ({"brand_id": 1, "month": "1989-12"}, 422),
        ({"brand_id": 1, "month": "2200-01"}, 422),
        ({"brand_id": 1, "month": "２０２６-10"}, 422),
        ({"brand_id": 1}, 422),
        ({"month": "2026-10"}, 422),
    ],
)
def test_a_month_that_cannot_be_reported_is_refused(
    october: World, client: TestClient, wanted: dict[str, object], status: int
) -> None:
    assert client.post(HERE, json=wanted).status_code == status


@pytest.mark.parametrize(
    "params",
    [
        {"month": "2026-10"},
        {"brand_id": 1, "month": "2026-10", "format": "pdf"},
        {"brand_id": 1, "month": "2026-10", "version": 0},
        {"brand_id": 1, "month": "2026-10", "version": 2**31},
        {"after": "2026-10"},
        {"after": "2026-10.0"},
        {"after": "0000-01.1"},
    ],
)
def test_report_query_without_brand_or_with_bad_month_is_refused(
    october: World, client: TestClient, params: dict[str, Any]
) -> None:
    assert client.get(HERE, params=params).status_code == 422
