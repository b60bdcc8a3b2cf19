"""Texts sent by real services' wires: a mail, a Slack hook, a service that refuses, and one that hangs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.alerts import sender
from tests.fake_channels.mail import MailServer, mail_server
from tests.fake_channels.slack import PATH, URL, Slack, slack_server
from tests.world import eventually

CHANNEL = 1


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


def test_mail_arrives_with_title_and_text(mail: MailServer) -> None:
    outcome = sender.send(CHANNEL, mail.url, "Hudson: budget used 80 %", "Raise the limit — €5.", is_good_news=False)
    assert (outcome.is_delivered, outcome.detail) == (True, "")
    assert mail.subjects() == ["Hudson: budget used 80 %"]
    assert "Raise the limit — €5." in mail.body()
    assert mail.mails[0]["To"] == "ops@example.com"


def test_text_arrives_at_a_slack_hook(slack: Slack) -> None:
    outcome = sender.send(CHANNEL, URL, "Hudson: budget used 80 %", "Raise the limit.", is_good_news=False)
    assert outcome.is_delivered, outcome.detail
    ((path, _),) = slack.posted
    assert path == PATH
    assert "Raise the limit." in slack.texts()[0]


def test_refusal_is_told_without_any_part_of_the_url(slack: Slack) -> None:
    slack.status = 404
    outcome = sender.send(CHANNEL, URL, "title", "body", is_good_news=False)
    assert not outcome.is_delivered
    assert "404" in outcome.detail
    assert not [word for word in ("T1JJ3T3L2", "A1BRTD4JD", "TIiajkdnlazkcOXrIdevi7FQ") if word in outcome.detail]


def test_short_password_is_a_secret_and_the_host_is_none() -> None:
    url = "mailtos://ops:p%21x@mail.example.com?to=ops@example.com"
    assert {"p%21x", "p!x"} <= sender._secrets_of(url)
    assert not {"mail.example.com", "mail"} & sender._secrets_of(url)


def test_service_that_hangs_ends_at_the_deadline_with_one_thread(slack: Slack) -> None:
    slack.hangs = True
    outcome = sender.send(CHANNEL, URL, "title", "body", is_good_news=False, seconds=0.5)
    assert (outcome.is_delivered, outcome.detail) == (False, "no answer within 0.5 s")
    again = sender.send(CHANNEL, URL, "title", "body", is_good_news=False, seconds=0.5)
    assert again.detail == "an earlier message is still being sent"
    slack.ends.set()
    slack.hangs = False
    eventually(lambda: sender.send(CHANNEL, URL, "later", "body", is_good_news=False).is_delivered)


def test_mail_server_that_refuses_is_a_failed_attempt(mail: MailServer) -> None:
    mail.refuses = True
    outcome = sender.send(CHANNEL, mail.url, "title", "body", is_good_news=False)
    assert not outcome.is_delivered
    assert outcome.detail


def test_quoted_words_of_a_service_can_be_stored_and_shown() -> None:
    attempt = sender._Attempt(URL, "title", "body", is_good_news=False)
    attempt._warnings.append("refused:\n bad \0 \ud800 \u202e \x9b")
    assert attempt.complaints() == r"refused: bad \u0000 \ud800 \u202e \u009b"
