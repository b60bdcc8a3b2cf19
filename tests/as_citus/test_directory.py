"""The directory finds campaigns without asking servers, and corrects itself after edits by SQL."""

from datetime import datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection

from app.edits import editing
from app.enforcement import edited
from app.ingest.http_batches import keep_invalid_events
from app.ingest.ingest import count_events, count_totals
from app.proof import verification
from db.engine import committed
from db.repository.access.audit import Edit
from db.repository.enforcement.facts import lock_brands
from db.repository.ledger import directory_checks
from db.repository.ledger.named_campaigns import clear_campaign_cache
from domain.errors import InvalidValue
from tests.as_citus.driver import tables_in
from tests.kit import statements
from tests.world import World

PLATFORM = "google_ads"


@pytest.fixture
def brand(world: World, noon: datetime) -> int:
    world.set_clock(noon)
    return world.brand()


@pytest.fixture
def campaign(world: World, brand: int) -> int:
    return world.campaign(brand, platform=PLATFORM, external_id="1")


def named(world: World, name: str) -> dict[str, object]:
    """An event of 1 micro of the campaign with this external id."""
    event = {**world.event(0, 1), "platform": PLATFORM, "external_id": name}
    del event["campaign_id"]
    return event


def listed(world: World) -> list[dict[str, object]]:
    return world.rows("SELECT id, brand_id, platform, external_id FROM directory_campaigns ORDER BY id")


def test_edits_keep_the_directory(world: World, noon: datetime, brand: int, campaign: int) -> None:
    row = {"id": campaign, "brand_id": brand, "platform": PLATFORM, "external_id": "1"}
    assert listed(world) == [row]
    assert world.one("SELECT id, currency FROM directory_brands") == {"id": brand, "currency": "USD"}
    rename: dict[str, Any] = {"campaign_id": campaign, "changes": {"external_id": "2"}, "edit": Edit("test", noon)}
    edited(lambda connection: editing.edit_campaign(connection, **rename), brand)
    assert listed(world) == [{**row, "external_id": "2"}]
    with pytest.raises(InvalidValue, match="another campaign in this account already has the id 2 on google_ads"):
        world.campaign(brand, platform=PLATFORM, external_id="2")
    world.verify()


def test_campaigns_that_the_directory_lists_are_found_without_the_servers(world: World, campaign: int) -> None:
    clear_campaign_cache()
    with statements() as sent:
        assert count_events([world.event(campaign, 1), named(world, "1")]).taken == 2
    lookups = [statement for statement, _ in sent if "%(ids)s" in statement or "%(external_ids)s" in statement]
    assert len(lookups) >= 2
    assert not any(map(tables_in, lookups))


def test_campaigns_that_the_directory_lacks_are_found_and_listed(world: World, campaign: int) -> None:
    before = listed(world)
    for statement in ("DELETE FROM directory_campaigns", "DELETE FROM directory_brands"):
        world.execute(statement)
    clear_campaign_cache()
    assert count_events([named(world, "1")]).taken == 1
    assert count_events([world.event(campaign, 1)]).taken == 1
    assert listed(world) == before
    world.verify()


def test_external_id_that_sql_gave_to_another_campaign_is_counted_there(
    world: World, brand: int, campaign: int
) -> None:
    other = world.campaign(brand, platform=PLATFORM)
    world.execute("UPDATE campaigns SET external_id = NULL WHERE id = %s", campaign)
    world.execute("UPDATE campaigns SET external_id = '1' WHERE id = %s", other)
    assert count_events([named(world, "1")]).taken == 1
    assert (world.spent(campaign), world.spent(other)) == (0, 1)
    world.verify()


def test_zone_that_sql_changed_is_read_again(world: World, brand: int, campaign: int) -> None:
    world.execute("UPDATE brands SET time_zone = 'Asia/Tokyo' WHERE id = %s", brand)
    clear_campaign_cache()
    assert count_events([world.event(campaign, 1)]).taken == 1
    assert world.one("SELECT time_zone FROM directory_brands") == {"time_zone": "Asia/Tokyo"}


@pytest.mark.parametrize("count", ["events", "totals", "sent over HTTP"])
def test_no_input_is_rejected_for_a_currency_that_the_directory_alone_has(
    world: World, noon: datetime, brand: int, campaign: int, count: str
) -> None:
    world.execute("UPDATE brands SET currency = 'EUR' WHERE id = %s", brand)
    clear_campaign_cache()
    event = world.event(campaign, 1, currency="EUR")
    if count == "events":
        assert count_events([event]).taken == 1
    elif count == "totals":
        total = {
            **event,
            "source": "test",
            "day": noon.date().isoformat(),
            "total_micros": 1,
            "as_of": noon.isoformat(),
        }
        assert count_totals([total]).taken == 1
    else:
        assert keep_invalid_events([event], None) == {}
    assert world.rejected() == []
    assert world.one("SELECT currency FROM directory_brands") == {"currency": "EUR"}
    assert count_events([world.event(campaign, 1, currency="USD")]).rejections[0].reason == "wrong_currency"


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM directory_campaigns",
        "UPDATE directory_campaigns SET external_id = '9'",
        "INSERT INTO directory_campaigns (id, brand_id) SELECT 99, brand_id FROM directory_campaigns",
        "DELETE FROM directory_brands",
        "UPDATE directory_brands SET currency = 'EUR'",
    ],
)
def test_verify_finds_a_wrong_directory_and_repair_corrects_it(
    world: World, brand: int, campaign: int, damage: str
) -> None:
    world.execute(damage)
    (check,) = verification.verify(only=[verification.DIRECTORY])
    assert {row["brand_id"] for row in check.wrong} == {brand}
    corrected = committed(partial(corrections, brand=brand))
    assert corrected
    assert committed(partial(corrections, brand=brand)) == []
    world.verify()


def corrections(connection: Connection, brand: int) -> list[Any]:
    """The corrections of the brand's rows in the directory."""
    lock_brands(connection, [brand])
    return list(directory_checks.repair_brand(connection, brand))
