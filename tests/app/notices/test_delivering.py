"""Webhooks go from rows: signed, in order, of each campaign the newest state, pauses first."""

from datetime import timedelta

import pytest
from standardwebhooks import Webhook

from app.edits import moves
from app.notices import runs, webhooks
from db.engine import committed
from db.repository.access.audit import Edit
from db.repository.notices import notices
from runtime import clock
from tests.app.notices.kit import deliver, deliveries, endpoint, states
from tests.receivers.schemas import is_webhook
from tests.receivers.server import Answer, Receiver
from tests.world import World

PAUSED, ACTIVATED, EXHAUSTED = "campaign.paused", "campaign.activated", "budget.exhausted"


def test_pause_is_delivered_with_its_state_and_figures(world: World, receiver: Receiver) -> None:
    brand = world.brand(daily=10, name="Acme")
    campaign = world.campaign(brand, name="Shoes", platform="google_ads", external_id="42")
    made, secret = webhooks.add(f"{receiver.url}/hook", [PAUSED], "", None, Edit("test", clock.now()))
    world.spend(campaign, 10)
    deliver(made)
    (one,) = receiver.received("/hook")
    message = Webhook(secret).verify(one.body.decode(), one.headers)
    change = world.one("SELECT * FROM status_changes WHERE to_status = 'inactive'")
    assert is_webhook(message)
    assert message["type"] == PAUSED
    assert message["schema_version"] == 1
    data = message["data"]
    assert (data["campaign"]["name"], data["campaign"]["brand"]) == ("Shoes", "Acme")
    assert (data["campaign"]["platform"], data["campaign"]["external_id"]) == ("google_ads", "42")
    assert data["campaign"]["effective_status"] == "inactive"
    reason = {"hold": "brand_daily_budget", "because": "the brand's daily budget is spent"}
    assert data["campaign"]["holds"] == [reason]
    assert data["campaign"]["next_change_at"] is not None
    assert data["status_change"]["id"] == change["id"]
    assert data["status_change"]["cause"] == "spend"
    figures = {"spent_micros": 10, "limit_micros": 10}
    assert data["status_change"]["details"]["budgets"] == {"brand_daily_budget": figures}
    assert data["status_change"]["decided_at"] == message["timestamp"]
    assert states(world, made) == [(PAUSED, "delivered")]


def test_undelivered_pause_is_superseded_by_the_release(world: World, receiver: Receiver) -> None:
    campaign = world.campaign(world.brand())
    receiver.answer("/hook", Answer(500))
    made = endpoint(receiver, "/hook", PAUSED, ACTIVATED)
    world.set_status(campaign, "paused")
    deliver(made)
    world.set_status(campaign, "enabled")
    receiver.answer("/hook", Answer())
    deliver(made)
    assert [message["type"] for message in receiver.messages()] == [PAUSED, ACTIVATED]
    assert states(world, made) == [(PAUSED, "superseded"), (ACTIVATED, "delivered")]


def test_release_supersedes_a_pause_also_for_endpoints_of_pauses_alone(world: World, receiver: Receiver) -> None:
    campaign = world.campaign(world.brand())
    receiver.answer("/hook", Answer(500))
    made = endpoint(receiver, "/hook", PAUSED)
    world.set_status(campaign, "paused")
    deliver(made)
    world.set_status(campaign, "enabled")
    deliver(made)
    assert states(world, made) == [(PAUSED, "superseded")]
    assert len(receiver.received()) == 1


def test_pauses_are_sent_before_releases(world: World, receiver: Receiver) -> None:
    brand = world.brand()
    first, second = world.campaign(brand), world.campaign(brand)
    world.set_status(first, "paused")
    made = endpoint(receiver, "/hook", PAUSED, ACTIVATED)
    world.set_status(first, "enabled")
    world.set_status(second, "paused")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "AT_ONCE", 1)
        deliver(made)
    assert [message["type"] for message in receiver.messages()] == [PAUSED, ACTIVATED]


def test_endpoint_of_a_brand_gets_messages_of_this_brand_alone(world: World, receiver: Receiver) -> None:
    mine, other = world.brand(), world.brand()
    campaigns = [world.campaign(mine), world.campaign(other)]
    made = endpoint(receiver, "/hook", brand=mine)
    for campaign in campaigns:
        world.set_status(campaign, "paused")
    for number, brand in enumerate((mine, other, None)):
        committed(lambda connection: notices.add(connection, "import.failed", str(number), brand, {}, clock.now()))  # noqa: B023
    deliver(made)
    assert sorted(message["type"] for message in receiver.messages()) == [PAUSED, "import.failed"]
    assert {message["data"].get("brand_id", mine) for message in receiver.messages()} == {mine}


def test_exhausted_budget_of_a_brand_is_sent_once_for_all_its_campaigns(world: World, receiver: Receiver) -> None:
    brand = world.brand(daily=10)
    campaigns = [world.campaign(brand) for _ in range(3)]
    made = endpoint(receiver, "/hook", EXHAUSTED)
    world.spend(campaigns[0], 11)
    deliver(made)
    world.limit(20, brand=brand)
    world.spend(campaigns[0], 10)
    deliver(made)
    budgets = [message["data"]["budget"] for message in receiver.messages()]
    assert [(one["spent_micros"], one["limit_micros"]) for one in budgets] == [(11, 10), (21, 20)]
    assert {one["hold"] for one in budgets} == {"brand_daily_budget"}
    assert all(map(is_webhook, receiver.messages()))


def test_failed_delivery_is_retried_at_the_times_of_the_schedule(world: World, receiver: Receiver) -> None:
    at = world.set_clock("2026-06-17T12:00:00")
    campaign = world.campaign(world.brand())
    made = endpoint(receiver, "/hook", PAUSED)
    receiver.answer("/hook", Answer(503))
    world.set_status(campaign, "paused")
    pauses = []
    for _ in range(9):
        deliver(made)
        (row,) = deliveries(world, made)
        pauses.append((row["next_attempt_at"] - at).total_seconds())
        at = world.set_clock(row["next_attempt_at"])
    deliver(made)
    expected = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert [base <= pause <= 1.2 * base for base, pause in zip(expected, pauses, strict=True)] == [True] * 9
    assert states(world, made) == [(PAUSED, "failed")]
    assert len(receiver.received()) == 10


def test_retry_after_of_429_is_honoured(world: World, receiver: Receiver) -> None:
    at = world.set_clock("2026-06-17T12:00:00")
    campaign, other = (world.campaign(world.brand()) for _ in range(2))
    made = endpoint(receiver, "/hook", PAUSED)
    receiver.answer("/hook", Answer(429, {"Retry-After": "120"}))
    world.set_status(campaign, "paused")
    deliver(made)
    world.set_status(other, "paused")
    world.set_clock(at + timedelta(seconds=119))
    deliver(made)
    assert len(receiver.received()) == 1
    receiver.answer("/hook", Answer())
    world.set_clock(at + timedelta(seconds=120))
    deliver(made)
    assert states(world, made) == [(PAUSED, "delivered")] * 2


def test_answer_410_disables_the_endpoint_and_is_told(world: World, receiver: Receiver) -> None:
    campaign = world.campaign(world.brand())
    made, other = endpoint(receiver, "/gone", PAUSED), endpoint(receiver, "/other", "endpoint.failing")
    receiver.answer("/gone", Answer(410))
    world.set_status(campaign, "paused")
    deliver(made, other)
    row = world.one("SELECT enabled, disabled_because FROM webhook_endpoints WHERE id = %s", made)
    assert row == {"enabled": False, "disabled_because": "it answered 410 Gone"}
    assert states(world, made) == [(PAUSED, "failed")]
    (told,) = receiver.messages("/other")
    assert (told["data"]["endpoint_id"], told["data"]["reason"]) == (made, "gone")
    assert is_webhook(told)


def test_endpoint_enabled_after_410_gets_the_newest_states_that_it_missed(world: World, receiver: Receiver) -> None:
    before, meanwhile, never = (world.campaign(world.brand()) for _ in range(3))
    made = endpoint(receiver, "/gone", PAUSED, ACTIVATED)
    world.set_status(never, "paused")
    deliver(made)
    receiver.answer("/gone", Answer(410))
    for campaign in (before, meanwhile):
        world.set_status(campaign, "paused")
    deliver(made)
    world.set_status(meanwhile, "enabled")
    receiver.answer("/gone", Answer())
    sent = len(receiver.messages("/gone"))
    webhooks.change(made, Edit("test", clock.now()), enabled=True)
    deliver(made)
    arrived = [(one["type"], one["data"]["campaign"]["id"]) for one in receiver.messages("/gone")[sent:]]
    assert sorted(arrived) == [(ACTIVATED, meanwhile), (PAUSED, before)]


def test_message_names_the_external_id_under_which_a_moving_campaign_serves(world: World, receiver: Receiver) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    brand, other = world.brand(daily=10), world.brand(name="Other")
    campaign = world.campaign(brand, platform="google_ads", external_id="42")
    made = endpoint(receiver, "/hook", PAUSED, ACTIVATED)
    world.spend(campaign, 1)
    moved = moves.move(moves.Move(campaign, other, None), Edit("test", clock.now()))
    deliver(made)
    world.spend(campaign, 9)
    deliver(made)
    world.set_clock("2026-06-18T00:00:00Z")
    world.tick()
    deliver(made)
    sent = [(one["type"], one["data"]["campaign"]) for one in receiver.messages("/hook")]
    assert [(kind, of["id"], of["external_id"]) for kind, of in sent] == [
        (PAUSED, moved.new_campaign_id, None),
        (PAUSED, campaign, "42"),
        (ACTIVATED, moved.new_campaign_id, "42"),
    ]


def test_pause_undelivered_for_a_minute_is_told_once_to_other_endpoints(world: World, receiver: Receiver) -> None:
    at = world.set_clock("2026-06-17T12:00:00")
    campaign = world.campaign(world.brand())
    dead = endpoint(receiver, "/dead", PAUSED, "endpoint.failing")
    other = endpoint(receiver, "/other", "endpoint.failing")
    receiver.answer("/dead", Answer(500))
    world.set_status(campaign, "paused")
    deliver(dead)
    for seconds in (59, 60, 120):
        runs.enqueue_due(world.set_clock(at + timedelta(seconds=seconds)))
        deliver(other)
        assert len(receiver.received("/other")) == (seconds >= 60)
    (told,) = receiver.messages("/other")
    assert told["data"]["endpoint_id"] == dead
    assert told["data"]["campaign_id"] == campaign
    assert is_webhook(told)
    deliver(dead)
    assert {message["type"] for message in receiver.messages("/dead")} == {PAUSED}


def test_pause_that_a_waiting_endpoint_does_not_get_is_told_to_other_endpoints(
    world: World, receiver: Receiver
) -> None:
    at = world.set_clock("2026-06-17T12:00:00")
    campaign, other_campaign = (world.campaign(world.brand()) for _ in range(2))
    waiting = endpoint(receiver, "/waits", PAUSED)
    other = endpoint(receiver, "/other", "endpoint.failing")
    receiver.answer("/waits", Answer(503, {"Retry-After": "3600"}))
    world.set_status(other_campaign, "paused")
    deliver(waiting)
    world.set_status(other_campaign, "enabled")
    world.set_status(campaign, "paused")
    for minutes in (1, 2, 3):
        runs.enqueue_due(world.set_clock(at + timedelta(minutes=minutes)))
        deliver(other)
    (told,) = receiver.messages("/other")
    assert (told["data"]["endpoint_id"], told["data"]["campaign_id"]) == (waiting, campaign)
    assert len(receiver.received("/waits")) == 1


def test_pause_that_no_worker_is_free_to_send_is_told_to_other_endpoints(world: World, receiver: Receiver) -> None:
    at = world.set_clock("2026-06-17T12:00:00")
    brand = world.brand()
    campaign = world.campaign(brand)
    starved = [endpoint(receiver, path, PAUSED, brand=of) for path, of in (("/all", None), ("/own", brand))]
    other = endpoint(receiver, "/other", "endpoint.failing")
    world.set_status(campaign, "paused")
    for minutes in (1, 2, 3):
        runs.enqueue_due(world.set_clock(at + timedelta(minutes=minutes)))
        deliver(other)
    assert {one["data"]["endpoint_id"] for one in receiver.messages("/other")} == set(starved)
    deliver(*starved)
    runs.enqueue_due(clock.now())
    assert world.rows("SELECT FROM webhook_endpoints WHERE told_failing_at IS NOT NULL") == []


def test_endpoint_whose_last_attempt_failed_stays_reported_until_it_takes_a_message(
    world: World, receiver: Receiver
) -> None:
    at = world.set_clock("2026-06-17T12:00:00")
    campaign = world.campaign(world.brand())
    made = endpoint(receiver, "/hook", PAUSED, ACTIVATED)
    receiver.answer("/hook", Answer(500))
    world.set_status(campaign, "paused")
    deliver(made)
    runs.enqueue_due(world.set_clock(at + timedelta(minutes=2)))
    world.execute("UPDATE webhook_deliveries SET attempts = 9, next_attempt_at = created_at")
    deliver(made)
    assert states(world, made) == [(PAUSED, "failed")]
    told = "SELECT told_failing_at IS NOT NULL AS is_told FROM webhook_endpoints"
    runs.enqueue_due(world.set_clock(at + timedelta(minutes=10)))
    assert world.one(told)["is_told"]
    receiver.answer("/hook", Answer())
    world.set_status(campaign, "enabled")
    deliver(made)
    runs.enqueue_due(world.set_clock(at + timedelta(minutes=11)))
    assert not world.one(told)["is_told"]


def test_test_message_that_an_endpoint_takes_sends_what_waited_for_it(world: World, receiver: Receiver) -> None:
    campaign = world.campaign(world.brand())
    made = endpoint(receiver, "/hook", PAUSED)
    receiver.answer("/hook", Answer(500))
    world.set_status(campaign, "paused")
    deliver(made)
    webhooks.send_test(made)
    failing = "SELECT failing_since IS NOT NULL AS is_failing FROM webhook_endpoints"
    assert world.one(failing)["is_failing"]
    receiver.answer("/hook", Answer())
    webhooks.send_test(made)
    assert not world.one(failing)["is_failing"]
    deliver(made)
    assert states(world, made)[0] == (PAUSED, "delivered")


def test_endpoint_that_is_enabled_after_410_gets_the_newest_status_of_each_failed_campaign(
    world: World, receiver: Receiver
) -> None:
    brand = world.brand()
    paused, released = world.campaign(brand), world.campaign(brand)
    made = endpoint(receiver, "/hook", PAUSED, ACTIVATED)
    receiver.answer("/hook", Answer(410))
    for campaign in (paused, released):
        world.set_status(campaign, "paused")
    deliver(made)
    world.set_status(released, "enabled")
    receiver.answer("/hook", Answer())
    before = len(receiver.received())
    webhooks.change(made, Edit("test", clock.now()), enabled=True)
    deliver(made)
    sent = receiver.messages()[before:]
    assert sorted((one["data"]["campaign"]["id"], one["type"]) for one in sent) == [
        (paused, PAUSED),
        (released, ACTIVATED),
    ]


def test_restored_backup_sends_every_campaigns_present_status(world: World, receiver: Receiver) -> None:
    brand = world.brand()
    paused, released = world.campaign(brand), world.campaign(brand)
    made = endpoint(receiver, "/hook", PAUSED, ACTIVATED)
    for campaign, status in ((paused, "paused"), (released, "paused"), (released, "enabled")):
        world.set_status(campaign, status)
    deliver(made)
    before = len(receiver.received())
    world.execute("UPDATE feed_epoch SET epoch = gen_random_uuid()")
    world.execute("UPDATE webhook_endpoints SET after_change_id = 999999, after_notice_id = 999999")
    deliver(made)
    sent = receiver.messages()[before:]
    assert {one["data"]["campaign"]["id"]: one["type"] for one in sent} == {paused: PAUSED, released: ACTIVATED}
    world.set_status(released, "paused")
    deliver(made)
    assert receiver.messages()[-1]["type"] == PAUSED


def test_rotated_secret_and_the_old_one_sign_for_24_hours(world: World, receiver: Receiver) -> None:
    at = world.set_clock("2026-06-17T12:00:00")
    made, old = webhooks.add(f"{receiver.url}/hook", [], "", None, Edit("test", at))
    new = webhooks.rotate(made, Edit("test", at))
    for hours in (23, 24):
        world.set_clock(at + timedelta(hours=hours))
        webhooks.send_test(made)
        signatures = receiver.received()[-1].headers["webhook-signature"].split(" ")
        assert len(signatures) == (2 if hours == 23 else 1)
    assert new != old
