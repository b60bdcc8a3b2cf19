"""`spendgate webhook`, against a receiver on this machine."""

import pytest
from standardwebhooks import Webhook

from app.notices import runs
from runtime import encryption
from runtime.settings import settings
from tests.cli.conftest import Spendgate
from tests.receivers.fixtures import local_webhooks, receiver
from tests.receivers.server import Answer, Receiver
from tests.world import World

__all__ = ["local_webhooks", "receiver"]


def add(spendgate: Spendgate, receiver: Receiver, *options: str) -> tuple[str, str]:
    """Adds an endpoint; returns its id and its secret."""
    made = spendgate("webhook", "add", f"{receiver.url}/hook", *options, "--json").data
    return str(made["endpoint"]), made["secret"]


def test_endpoint_is_added_listed_and_removed_and_shows_its_secret_once(
    world: World, spendgate: Spendgate, receiver: Receiver
) -> None:
    assert "There is no webhook endpoint yet" in spendgate("webhook", "list").out
    made, secret = add(spendgate, receiver, "--type", "campaign.paused", "--description", "Ad server")
    assert secret.startswith("whsec_")
    listed = spendgate("webhook", "list", "--json")
    assert (listed.data[0]["types"], listed.data[0]["description"]) == (["campaign.paused"], "Ad server")
    assert secret not in listed.out + spendgate("webhook", "list").out
    kept = world.one("SELECT secret FROM webhook_endpoints")["secret"]
    assert secret.removeprefix("whsec_") not in kept
    assert "is removed" in spendgate("webhook", "remove", made).out
    assert spendgate("webhook", "remove", made).code == 2
    entries = world.rows("SELECT * FROM audit_entries WHERE subject = 'webhook' ORDER BY id")
    assert [entry["action"] for entry in entries] == ["create", "remove"]
    assert secret not in str(entries)


def test_test_message_prints_the_answer_and_is_kept_as_an_attempt(
    world: World, spendgate: Spendgate, receiver: Receiver
) -> None:
    made, _ = add(spendgate, receiver)
    assert "Nothing was sent" in spendgate("webhook", "attempts", made).out
    assert "answered 200" in spendgate("webhook", "test", made).out
    receiver.answer("/hook", Answer(500, body=b"out of order" * 200))
    failed = spendgate("webhook", "test", made, "--json")
    assert (failed.code, failed.data["status"]) == (1, 500)
    assert [message["type"] for message in receiver.messages()] == ["endpoint.test"] * 2
    rows = spendgate("webhook", "attempts", made, "--json").data
    assert [(row["status"], row["state"]) for row in rows] == [(500, "failed"), (200, "delivered")]
    assert rows[0]["answer"] == ("out of order" * 200)[:1024]


def test_messages_are_sent_again_as_one_as_a_range_and_since_a_change(
    world: World, spendgate: Spendgate, receiver: Receiver
) -> None:
    brand = world.brand()
    campaigns = [world.campaign(brand) for _ in range(3)]
    made, _ = add(spendgate, receiver)
    for campaign in campaigns:
        world.set_status(campaign, "paused")
    runs.deliver(int(made))
    world.set_status(campaigns[0], "enabled")
    runs.deliver(int(made))
    first, *_, last = world.rows("SELECT id FROM webhook_deliveries ORDER BY id")
    since = world.one("SELECT min(id) AS id FROM status_changes WHERE to_status = 'inactive'")["id"]
    for options, count in (
        (("--delivery", first["id"]), 1),
        (("--delivery", first["id"], "--until", last["id"]), 3),
        (("--since-change", since), 3),
    ):
        before = len(receiver.received())
        assert spendgate("webhook", "resend", made, *map(str, options), "--json").data["messages"] == count
        runs.deliver(int(made))
        sent = receiver.messages()[before:]
        assert len(sent) == count
        statuses = {one["data"]["campaign"]["id"]: one["type"] for one in sent}
        assert statuses[campaigns[0]] == "campaign.activated"
    assert spendgate("webhook", "resend", made).code == 2


def test_disabled_endpoint_gets_the_newest_states_once_it_is_enabled(
    world: World, spendgate: Spendgate, receiver: Receiver
) -> None:
    campaign = world.campaign(world.brand())
    made, _ = add(spendgate, receiver)
    spendgate("webhook", "disable", made)
    for status in ("paused", "enabled", "paused"):
        world.set_status(campaign, status)
    runs.deliver(int(made))
    assert receiver.received() == []
    spendgate("webhook", "enable", made)
    runs.deliver(int(made))
    assert [message["type"] for message in receiver.messages()] == ["campaign.paused"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.com/hook", "expected https://host/path"),
        ("https://user:pass@example.com/", "no user and no password"),
        ("ftp://example.com/", "expected https://host/path"),
        ("https://", "expected https://host/path"),
    ],
)
def test_wrong_address_is_refused(world: World, spendgate: Spendgate, url: str, words: str) -> None:
    refused = spendgate("webhook", "add", url)
    assert refused.code == 2
    assert words in refused.err


def test_secrets_are_re_encrypted_after_a_new_key_and_sign_as_before(
    world: World, spendgate: Spendgate, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def use_keys(*keys: str) -> None:
        monkeypatch.setenv("SPENDGATE_ENCRYPTION_KEYS", ",".join(keys))
        settings.cache_clear()

    old, new = encryption.new_key(), encryption.new_key()
    use_keys(old)
    made, first = add(spendgate, receiver)
    second = spendgate("webhook", "rotate", made, "--json").data["secret"]
    use_keys(new, old)
    assert spendgate("secrets", "re-encrypt", "--json").data["re_encrypted"] == 2
    use_keys(new)
    assert "answered 200" in spendgate("webhook", "test", made).out
    (one,) = receiver.received()
    for secret in (first, second):
        assert Webhook(secret).verify(one.body.decode(), one.headers)
    use_keys(old)
    assert spendgate("webhook", "test", made).code == 2
