"""Alerts sent to people: routes, digests, mutes, retries, and a channel that hangs beside one that works."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from app.alerts import channels
from app.alerts.evaluate import evaluate
from app.alerts.send import enqueue_due, send_to_channel
from db.repository.access.audit import Edit
from db.repository.alerts.mute_edits import Muted
from domain.errors import InvalidValue
from runtime.encryption import new_key
from runtime.settings import settings
from tests.fake_channels.mail import MailServer, mail_server
from tests.fake_channels.slack import URL, Slack, slack_server
from tests.kit import working
from tests.world import World, eventually

UNIT = 1_000_000


@pytest.fixture
def mail() -> Iterator[MailServer]:
    """A mail server."""
    with mail_server() as server:
        yield server


@pytest.fixture
def slack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slack]:
    """Slack's hooks, reached by this process through a proxy."""
    with slack_server(tmp_path) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        yield server


class Shop:
    """A brand in New York with one campaign and a daily limit of 100, at 08:00 of its clock."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.at = world.set_clock("2026-06-17T12:00")
        self.brand = world.brand("America/New_York", name="Hudson", daily=100 * UNIT)
        self.campaign = world.campaign(self.brand)

    def edit(self) -> Edit:
        return Edit("test", self.at)

    def spend(self, units: int) -> None:
        self.world.spend(self.campaign, units * UNIT, self.at)
        evaluate()

    def later(self, **by: int) -> datetime:
        self.at = self.world.set_clock(self.at + timedelta(**by))
        return self.at

    def fail_import(self) -> None:
        self.world.execute(
            "INSERT INTO spend_files (platform, name, version, unchanged_since, problem, problem_version)"
            " VALUES ('meta', 'june.csv', '1', now(), 'no column holds the day', '1')"
        )
        evaluate()


@pytest.fixture
def shop(world: World) -> Shop:
    """The brand."""
    return Shop(world)


def test_urgent_alert_is_mailed_at_once_and_its_end_too(shop: Shop, mail: MailServer) -> None:
    channel = channels.add("ops", mail.url, shop.edit())
    shop.spend(100)
    for _ in range(2):
        send_to_channel(channel)
    assert mail.subjects() == ["Hudson: budget used 100 %"]
    assert "Hudson has spent 100 % of today's budget: $100.00 of $100.00." in " ".join(mail.body().split())
    shop.spend(-50)
    for _ in range(2):
        send_to_channel(channel)
    assert mail.subjects()[1:] == ["Hudson: budget used 100 %, resolved"]
    shop.spend(50)
    send_to_channel(channel)
    assert len(mail.mails) == 2


@pytest.mark.parametrize(
    ("more", "subjects"),
    [
        (2, ["Hudson: budget used 100 %", "Brand 1: budget used 100 %", "Brand 2: budget used 100 %"]),
        (3, ["Spendgate: 4 alerts of 4 brands"]),
    ],
)
def test_alerts_of_many_brands_at_once_are_one_mail(
    shop: Shop, mail: MailServer, more: int, subjects: list[str]
) -> None:
    channel = channels.add("ops", mail.url, shop.edit())
    for number in range(1, more + 1):
        other = shop.world.campaign(shop.world.brand(name=f"Brand {number}", daily=UNIT))
        shop.world.spend(other, UNIT, shop.at)
    shop.spend(100)
    send_to_channel(channel)
    assert sorted(mail.subjects()) == sorted(subjects)
    if len(subjects) == 1:
        body = " ".join(mail.body().split())
        assert "Hudson: Hudson has spent 100 %" in body
        assert "Brand 3: Brand 3 has spent 100 %" in body


def test_end_of_a_window_is_not_mailed(shop: Shop, mail: MailServer) -> None:
    channel = channels.add("ops", mail.url, shop.edit())
    shop.spend(100)
    send_to_channel(channel)
    shop.later(days=1)
    evaluate()
    send_to_channel(channel)
    assert len(mail.mails) == 1


def test_alert_that_is_not_urgent_waits_for_the_digest_at_nine(shop: Shop, mail: MailServer) -> None:
    channel = channels.add("ops", mail.url, shop.edit(), timing="digest")
    shop.spend(80)
    shop.fail_import()
    shop.later(minutes=59, seconds=59)
    send_to_channel(channel)
    assert mail.mails == []
    shop.later(seconds=1)
    send_to_channel(channel)
    assert mail.subjects() == ["Hudson: digest, 1 alert"]
    shop.later(hours=20)
    send_to_channel(channel)
    assert mail.subjects()[1:] == ["Spendgate: digest, 1 alert"]


def test_route_that_names_the_brand_and_kind_wins(shop: Shop, mail: MailServer) -> None:
    channel = channels.add("ops", mail.url, shop.edit())
    other = shop.world.brand("America/New_York", name="Other", daily=UNIT)
    channels.set_route(channel, shop.brand, None, "digest", shop.edit())
    channels.set_route(channel, shop.brand, "budget_threshold", "never", shop.edit())
    shop.world.spend(shop.world.campaign(other), UNIT, shop.at)
    shop.spend(120)
    send_to_channel(channel)
    assert mail.subjects() == ["Other: budget used 100 %"]
    shop.later(hours=2)
    send_to_channel(channel)
    assert mail.subjects()[1:] == ["Hudson: digest, 1 alert"]
    assert "overspent today's budget by $20.00" in mail.body()


def test_muted_alert_is_told_after_the_mute_if_it_is_still_open(shop: Shop, mail: MailServer) -> None:
    channel = channels.add("ops", mail.url, shop.edit())
    channels.mute(Muted(brand_id=shop.brand, channel_id=channel), shop.at + timedelta(hours=1), shop.edit())
    shop.spend(80)
    send_to_channel(channel)
    assert mail.mails == []
    shop.later(hours=1, minutes=1)
    send_to_channel(channel)
    assert mail.subjects() == ["Hudson: budget used 80 %"]


def test_end_of_a_told_alert_is_told_after_the_mute(shop: Shop, mail: MailServer) -> None:
    channel = channels.add("ops", mail.url, shop.edit())
    shop.spend(80)
    send_to_channel(channel)
    channels.mute(Muted(brand_id=shop.brand), shop.at + timedelta(hours=1), shop.edit())
    shop.spend(-70)
    send_to_channel(channel)
    assert mail.subjects() == ["Hudson: budget used 80 %"]
    shop.later(hours=1)
    send_to_channel(channel)
    assert mail.subjects()[1:] == ["Hudson: budget used 80 %, resolved"]


def test_alert_that_ends_while_muted_is_never_told(shop: Shop, mail: MailServer) -> None:
    channel = channels.add("ops", mail.url, shop.edit())
    muted = Muted(kind="budget_threshold")
    channels.mute(muted, shop.at + timedelta(hours=1), shop.edit())
    shop.spend(80)
    send_to_channel(channel)
    shop.spend(-70)
    send_to_channel(channel)
    shop.later(hours=2)
    send_to_channel(channel)
    assert mail.mails == []


def test_failed_message_is_tried_again_later_and_the_log_says_why(shop: Shop, mail: MailServer) -> None:
    channel = channels.add("ops", mail.url, shop.edit())
    mail.refuses = True
    shop.spend(80)
    send_to_channel(channel)
    send_to_channel(channel)
    mail.refuses = False
    send_to_channel(channel)
    assert mail.mails == []
    assert shop.world.one("SELECT failing_since FROM alert_channels")["failing_since"] == shop.at
    shop.later(seconds=30)
    send_to_channel(channel)
    assert mail.subjects() == ["Hudson: budget used 80 %"]
    attempts = shop.world.rows("SELECT is_delivered, detail <> '' AS has_detail FROM alert_attempts ORDER BY id")
    assert [tuple(row.values()) for row in attempts] == [(False, True), (True, False)]
    assert shop.world.one("SELECT failing_since FROM alert_channels")["failing_since"] is None


def test_url_that_no_key_decrypts_is_a_failed_attempt(
    shop: Shop, mail: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = channels.add("ops", mail.url, shop.edit())
    shop.spend(80)
    monkeypatch.setenv("SPENDGATE_ENCRYPTION_KEYS", new_key())
    settings.cache_clear()
    send_to_channel(channel)
    attempt = shop.world.one("SELECT is_delivered, detail FROM alert_attempts")
    assert not attempt["is_delivered"]
    assert "no key decrypts" in attempt["detail"]


def test_claimed_channel_is_left_to_its_worker_until_the_claim_ends(shop: Shop, mail: MailServer) -> None:
    channel = channels.add("ops", mail.url, shop.edit())
    shop.spend(80)
    shop.world.execute("UPDATE alert_channels SET claimed_until = %s", shop.at + timedelta(seconds=30))
    send_to_channel(channel)
    assert mail.mails == []
    shop.later(seconds=30)
    send_to_channel(channel)
    assert len(mail.mails) == 1


def test_channel_that_hangs_delays_no_other(shop: Shop, mail: MailServer, slack: Slack) -> None:
    slack.hangs = True
    channels.add("slack", URL, shop.edit())
    channels.add("ops", mail.url, shop.edit())
    shop.spend(80)
    with working():
        enqueue_due()
        eventually(lambda: len(mail.mails) == 1)
        assert shop.world.rows("SELECT FROM alert_attempts WHERE NOT is_delivered") == []
        eventually(lambda: len(shop.world.rows("SELECT FROM alert_attempts WHERE NOT is_delivered")) == 1)


def test_url_is_stored_encrypted_and_shown_nowhere(shop: Shop) -> None:
    channels.add("slack", URL, shop.edit())
    (stored,) = shop.world.rows("SELECT * FROM alert_channels")
    audited = shop.world.rows("SELECT * FROM audit_entries WHERE subject LIKE 'alert%%'")
    listed = channels.listed()
    assert "TIiajkdnlazkcOXrIdevi7FQ" not in f"{stored}{audited}{listed}"
    assert stored["scheme"] == "slack"


def test_channel_with_a_used_name_or_a_forbidden_url_is_refused(shop: Shop) -> None:
    channels.add("ops", URL, shop.edit())
    for name, url in (("ops", URL), ("other", "json://10.0.0.1"), ("", URL)):
        with pytest.raises(InvalidValue):
            channels.add(name, url, shop.edit())
    assert len(shop.world.rows("SELECT FROM alert_channels")) == 1


def test_removed_channel_takes_its_messages_and_attempts_along(shop: Shop, mail: MailServer) -> None:
    channel = channels.add("ops", mail.url, shop.edit())
    assert channels.send_test(channel).is_delivered
    assert mail.subjects() == ["Spendgate: a test"]
    shop.spend(80)
    channels.remove(channel, shop.edit())
    for table in ("alert_channels", "alert_routes", "alert_messages", "alert_attempts"):
        assert shop.world.rows(f"SELECT FROM {table}") == []
    send_to_channel(channel)
