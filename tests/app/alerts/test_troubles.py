"""Alerts about platforms, files and rejected inputs, from the rows that show the present troubles."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from uuid import uuid4

import pytest

from app.alerts.evaluate import evaluate
from app.notices import outcomes, webhooks
from db.engine import committed
from db.repository.access.audit import Edit
from db.repository.notices import endpoints
from db.repository.platforms import connections, reads
from domain.reconcile import OVERRIDDEN
from tests.world import World


class Account:
    """A brand with a stopped campaign in a connected account."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.brand = world.brand()
        self.id = int(
            world.one("INSERT INTO platform_accounts (platform, account_id) VALUES ('google_ads', '1') RETURNING id")[
                "id"
            ]
        )
        world.execute("INSERT INTO platform_account_brands VALUES (%s, %s)", self.brand, self.id)
        world.execute(
            "INSERT INTO platform_connections (platform_account_id, mode, credentials, created_at)"
            " VALUES (%s, 'full', 'env:NONE', '2026-06-17T11:00Z')",
            self.id,
        )
        self.campaign = world.campaign(self.brand, "Shoes", platform="google_ads", external_id="11", account="1")
        world.set_status(self.campaign, "paused")
        world.execute(
            "INSERT INTO platform_statuses (brand_id, campaign_id, platform_account_id, desired, confirmed)"
            " VALUES (%s, %s, %s, 'inactive', 'enabled')",
            *(self.brand, self.campaign, self.id),
        )


@pytest.fixture
def account(world: World, noon: datetime) -> Account:
    """An account at a stopped noon."""
    world.set_clock(noon)
    return Account(world)


def states(world: World, kind: str) -> list[str]:
    """The states of the alerts of a kind, in id order."""
    return [row["state"] for row in world.rows("SELECT state FROM alerts WHERE kind = %s ORDER BY id", kind)]


def test_pause_that_is_not_confirmed_within_a_minute_is_told_also_as_a_notice(
    world: World, account: Account, noon: datetime
) -> None:
    world.set_clock(noon + timedelta(seconds=59))
    evaluate()
    assert states(world, "unconfirmed_pause") == []
    world.set_clock(noon + timedelta(seconds=60))
    evaluate()
    evaluate()
    assert states(world, "unconfirmed_pause") == ["open"]
    kinds = [row["kind"] for row in world.rows("SELECT kind FROM notices ORDER BY kind")]
    assert kinds == ["alert.raised", "platform.unconfirmed"]
    world.execute("UPDATE platform_statuses SET confirmed = 'paused'")
    evaluate()
    assert states(world, "unconfirmed_pause") == ["resolved"]


def test_campaign_that_others_enable_is_told(world: World, account: Account) -> None:
    world.execute("UPDATE platform_statuses SET last_error = %s", OVERRIDDEN)
    evaluate()
    assert states(world, "campaign_overridden") == ["open"]


def note(work: Callable[..., object], account: Account, at: datetime, **values: object) -> None:
    """Stores the outcome of a request to the account's platform at `at`."""
    committed(partial(work, account=account.id, at=at, **values))


def test_account_is_told_when_all_its_requests_fail_for_a_quarter_of_an_hour(
    world: World, account: Account, noon: datetime
) -> None:
    later = {"next_read_at": noon, "retry_at": noon}
    world.set_clock(noon)
    for minutes in (20, 1):
        note(connections.note_failure, account, noon - timedelta(minutes=minutes), error="invalid_grant", **later)
    evaluate()
    assert states(world, "account_failing") == ["open"]
    note(connections.note_statuses_read, account, noon)
    evaluate()
    assert states(world, "account_failing") == ["resolved"]
    note(connections.note_failure, account, noon + timedelta(minutes=40), error="invalid_grant", **later)
    world.set_clock(noon + timedelta(minutes=50))
    evaluate()
    assert states(world, "account_failing") == ["resolved"]


def test_account_whose_spend_cannot_be_counted_is_told_once_until_it_can(
    world: World, account: Account, noon: datetime
) -> None:
    results = {"claimed": noon, "next_read_at": noon, "limit_at": None, "is_history": False}
    for hours in range(3):
        at = noon + timedelta(hours=hours)
        note(reads.note_spend_read, account, at, problem="brand 1 has another currency", **results)
        for minutes in (1, 16, 40):
            world.set_clock(at + timedelta(minutes=minutes))
            note(connections.note_statuses_read, account, at + timedelta(minutes=minutes))
            evaluate()
    assert states(world, "account_failing") == ["open"]
    note(reads.note_spend_read, account, noon + timedelta(hours=4), problem=None, **results)
    evaluate()
    assert states(world, "account_failing") == ["resolved"]


def test_file_that_was_not_imported_is_told_once_a_version(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    world.execute(
        "INSERT INTO spend_files (platform, name, version, unchanged_since, problem, problem_version)"
        " VALUES ('meta', 'june.csv', '1', now(), 'no column holds the day.', '1')"
    )
    evaluate()
    evaluate()
    assert states(world, "failed_import") == ["open"]
    world.execute("UPDATE spend_files SET problem = NULL")
    evaluate()
    world.execute("UPDATE spend_files SET problem = 'no amount', problem_version = '2'")
    evaluate()
    assert states(world, "failed_import") == ["resolved", "open"]


def test_endpoint_that_does_not_take_a_pause_is_told_until_it_takes_messages(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    world.execute(
        "INSERT INTO webhook_endpoints (url, types, secret, description, failures, failing_since, told_failing_at)"
        " VALUES ('https://example.com', '{campaign.paused}', '', 'bidder', 3, %s, %s)",
        *(noon, noon),
    )
    evaluate()
    assert states(world, "endpoint_failing") == ["open"]
    body = world.one("SELECT body FROM notices WHERE kind = 'alert.raised'")["body"]
    assert body["sentence"] == "Webhook endpoint bidder has not accepted messages since 2026-06-17 12:00:00 UTC."
    world.execute("UPDATE webhook_endpoints SET failures = 0, failing_since = NULL, told_failing_at = NULL")
    evaluate()
    assert states(world, "endpoint_failing") == ["resolved"]


def test_endpoint_that_waits_for_a_pause_without_a_failure_is_told(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    world.execute(
        "INSERT INTO webhook_endpoints (url, types, secret, told_failing_at)"
        " VALUES ('https://example.com', '{campaign.paused}', '', %s)",
        noon,
    )
    evaluate()
    assert states(world, "endpoint_failing") == ["open"]


def test_endpoint_that_ended_by_410_is_told_until_a_person_enables_it(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand("America/New_York", name="Hudson")
    made = world.one(
        "INSERT INTO webhook_endpoints (brand_id, url, types, secret, description)"
        " VALUES (%s, 'https://example.com', '{campaign.paused}', '', 'bidder') RETURNING id",
        brand,
    )["id"]
    for hours in (0, 1):
        at = world.set_clock(noon + timedelta(hours=hours))
        committed(partial(endpoints.disable, endpoint_id=made, because=outcomes.GONE, at=at))
        evaluate()
        assert states(world, "endpoint_failing")[hours:] == ["open"]
        webhooks.change(made, Edit("ada", at), enabled=True)
        evaluate()
        assert states(world, "endpoint_failing")[hours:] == ["resolved"]
    body = world.one("SELECT body FROM notices WHERE kind = 'alert.raised' ORDER BY id LIMIT 1")["body"]
    assert body["sentence"] == "Webhook endpoint bidder gets no more messages: it answered 410 Gone."
    webhooks.change(made, Edit("ada", noon), enabled=False)
    evaluate()
    assert states(world, "endpoint_failing") == ["resolved"] * 2


def test_rise_of_rejected_inputs_is_told_and_ends_after_an_hour(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    world.ingest([world.event(999, 1, event_id=str(uuid4())) for _ in range(10)])
    evaluate()
    assert states(world, "rejected_events") == ["open"]
    world.set_clock(noon + timedelta(minutes=61))
    evaluate()
    assert states(world, "rejected_events") == ["resolved"]
