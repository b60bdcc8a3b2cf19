"""Sends alerts to people: the due messages of a channel, a text for each brand or one for many, with retries."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from app.alerts import sender, words
from app.alerts.channels import note_attempt
from app.alerts.sender import Outcome
from db.engine import committed, transaction
from db.repository.alerts import alerts, channels, messages
from db.repository.alerts.messages import Message
from delivery.outgoing import send
from domain.alerts.retries import next_try
from runtime import clock
from runtime.encryption import decrypted
from runtime.formats import instant
from runtime.settings import SettingsError

log = structlog.get_logger()

ALERTS_A_TEXT: Final = 30
TEXTS_A_VISIT: Final = 20
"""Most texts that one call of `send_to_channel` sends; the channel's next message in the queue sends the rest."""

CLAIM_SECONDS: Final = sender.TIMEOUT_SECONDS + 10
"""Seconds that a claim of a channel lasts: longer than TIMEOUT_SECONDS of `sender.py`, in which one text is sent."""


def enqueue_due() -> None:
    """Enqueues a message for each unclaimed channel with due texts, so that one channel delays no other."""
    with transaction() as connection:
        due = messages.channels_due(connection, clock.now())
    for channel_id in due:
        send("send_to_channel", channel_id)


def send_to_channel(channel_id: int) -> None:
    """Sends the channel's due texts, one after the other, at most TEXTS_A_VISIT, until one fails or none is due.

    Claims the channel for each text; does nothing while another worker has claimed it. If a worker dies after a send
    and before its outcome is stored, the text is sent again.
    """
    for _ in range(TEXTS_A_VISIT):
        at = clock.now()
        until = at + clock.passed(CLAIM_SECONDS)
        url = committed(partial(channels.claim, channel_id=channel_id, at=at, until=until))
        if url is None:
            return
        try:
            is_delivered = _send_one(channel_id, url, at)
        finally:
            committed(partial(channels.end_claim, channel_id=channel_id, until=until))
        if not is_delivered:
            return


def _send_one(channel_id: int, kept_url: str, at: datetime) -> bool:
    """Sends the next due text and stores its outcome; returns whether it was delivered. False if no text is due."""
    with transaction() as connection:
        due = messages.due(connection, channel_id, at, ALERTS_A_TEXT)
        rows = alerts.of_ids(connection, sorted({message.alert_id for message in due}))
    if not due:
        return False
    is_digest = due[0].is_digest
    is_good_news = all(row["state"] == "resolved" for row in rows)
    title, body = text_of(rows, is_digest=is_digest)
    outcome = _sent(channel_id, kept_url, title, body, is_good_news=is_good_news)
    purpose = "digest" if is_digest else "alerts"
    note_attempt(channel_id, purpose, at, outcome, alerts_sent=len(rows))
    committed(partial(_note_messages, due=due, is_delivered=outcome.is_delivered))
    fields = {"channel_id": channel_id, "alerts": len(rows), "purpose": purpose, "duration_ms": outcome.duration_ms}
    if outcome.is_delivered:
        log.info("alert.sent", **fields)
    else:
        log.warning("alert.send_failed", detail=outcome.detail, **fields)
    return outcome.is_delivered


def _sent(channel_id: int, kept_url: str, title: str, body: str, *, is_good_news: bool) -> Outcome:
    """Sends one text and returns the outcome: undelivered if no key decrypts the URL.

    `is_good_news`: the text is about ends of alerts; services may show it so.
    """
    try:
        url = decrypted(kept_url)
    except SettingsError as error:
        return Outcome(is_delivered=False, duration_ms=0, detail=str(error))
    return sender.send(channel_id, url, title, body, is_good_news=is_good_news)


def _note_messages(connection: Connection, due: Sequence[Message], is_delivered: bool) -> None:
    at = clock.now()
    if is_delivered:
        messages.note_sent(connection, [message.id for message in due], at)
    else:
        messages.note_failed(connection, {message.id: next_try(message.attempts + 1, at) for message in due}, at)


def text_of(rows: Sequence[dict[str, Any]], *, is_digest: bool) -> tuple[str, str]:
    """The title and the body of a text about these alerts. `is_digest`: the title says so, if all are of one brand.

    If the alerts are of several brands, each has its brand's name in the body, and the title has only the numbers.
    """
    brands = {row["brand_id"] for row in rows}
    if len(brands) > 1:
        paragraphs = (f"{row['brand'] or 'Spendgate'}: {_paragraph(row)}" for row in rows)
        return f"Spendgate: {len(rows)} alerts of {len(brands)} brands", "\n\n".join(paragraphs)
    brand = rows[0]["brand"] or "Spendgate"
    if is_digest:
        title = f"{brand}: digest, {len(rows)} alert{'s' * (len(rows) > 1)}"
    elif len(rows) == 1:
        title = f"{brand}: {words.headline(rows[0])}"
    else:
        title = f"{brand}: {len(rows)} alerts"
    return title, "\n\n".join(map(_paragraph, rows))


def _paragraph(row: dict[str, Any]) -> str:
    if row["state"] == "resolved":
        return f"Resolved at {instant(row['resolved_at'])}: {words.sentence(row)}"
    return f"{words.sentence(row)}\n{words.advice(row)}"
