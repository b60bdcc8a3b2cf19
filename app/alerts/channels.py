"""Channels as people manage them: add, test and remove them, and set their routes, mutes and thresholds."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection

from app.alerts import sender
from app.alerts.sender import Outcome
from db.engine import committed, snapshot
from db.repository.access.audit import Edit
from db.repository.alerts import alert_edits, channel_edits, channels, mute_edits, mutes
from db.repository.alerts.alerts import required
from db.repository.alerts.mute_edits import Muted
from db.repository.catalog import catalog
from domain.alerts.channels import checked_url
from domain.alerts.kinds import Timing, parse_kind
from domain.alerts.thresholds import checked_thresholds
from domain.edits.fields import checked_name
from domain.errors import InvalidValue
from runtime import clock, encryption
from runtime.settings import SettingsError

TEST_TITLE: Final = "Spendgate: a test"
TEST_BODY: Final = "This channel works. Alerts of its routes arrive here."


def add(
    name: str, url: str, edit: Edit, *, brand_id: int | None = None, kind: str | None = None, timing: str = "default"
) -> int:
    """Stores a channel with one route, for one brand and kind or for all (None); returns the id of the channel.

    Encrypts the URL. `timing`: a value of `Timing`. Raises InvalidValue for a name that is invalid or used, a URL that
    is not allowed, an unknown brand or kind, and without an encryption key; ValueError for an unknown timing.
    """
    name, scheme, kept = checked_name(name), checked_url(url), _with_keys(encryption.encrypted, url)

    def work(connection: Connection) -> int:
        made = channel_edits.add(connection, name, scheme, kept, edit)
        _set_route(connection, made, brand_id, kind, timing, edit)
        return made

    return committed(work)


def remove(channel_id: int, edit: Edit) -> None:
    """Removes a channel with its routes, messages and attempts. Raises InvalidValue if there is no such channel."""
    committed(partial(channel_edits.remove, channel_id=channel_id, edit=edit))


def send_test(channel_id: int) -> Outcome:
    """Sends a test text by the channel now, stores the attempt and returns its outcome.

    Raises InvalidValue if there is no such channel, and without a key that decrypts its URL.
    """
    with snapshot() as connection:
        kept = channels.encrypted_url(connection, channel_id)
    url, at = _with_keys(encryption.decrypted, kept), clock.now()
    outcome = sender.send(channel_id, url, TEST_TITLE, TEST_BODY, is_good_news=True)
    note_attempt(channel_id, "test", at, outcome, alerts_sent=0)
    return outcome


def _with_keys(work: Callable[[str], str], value: str) -> str:
    """The result of `work`, which encrypts or decrypts a URL. Raises InvalidValue without a key for it."""
    try:
        return work(value)
    except SettingsError as error:
        raise InvalidValue("url", str(error)) from None


def note_attempt(channel_id: int, purpose: str, at: datetime, outcome: Outcome, *, alerts_sent: int) -> None:
    """Stores one attempt to send by the channel.

    `purpose`: `alerts`, `digest` or `test`. `alerts_sent`: the number of alerts in its text.
    """
    committed(
        partial(
            channels.note_attempt,
            channel_id=channel_id,
            purpose=purpose,
            at=at,
            duration_ms=outcome.duration_ms,
            alerts=alerts_sent,
            is_delivered=outcome.is_delivered,
            detail=outcome.detail,
        )
    )


def set_route(channel_id: int, brand_id: int | None, kind: str | None, timing: str, edit: Edit) -> int:
    """Sets when alerts of the brand and kind (None: all) are sent to the channel; returns the route's id.

    `timing`: a value of `Timing`. Raises InvalidValue for an unknown channel, brand or kind; ValueError for an unknown
    timing.
    """

    def work(connection: Connection) -> int:
        channels.required(connection, channel_id)
        return _set_route(connection, channel_id, brand_id, kind, timing, edit)

    return committed(work)


def _set_route(
    connection: Connection, channel_id: int, brand_id: int | None, kind: str | None, timing: str, edit: Edit
) -> int:
    if brand_id is not None:
        catalog.brand(connection, brand_id)
    known = None if kind is None else parse_kind(kind)
    return channel_edits.set_route(connection, channel_id, brand_id, known, Timing(timing), edit)


def remove_route(route_id: int, edit: Edit) -> None:
    """Removes a route. Raises InvalidValue if there is no such route."""
    committed(partial(channel_edits.remove_route, route_id=route_id, edit=edit))


def mute(muted: Muted, until: datetime, edit: Edit) -> int:
    """Keeps the alerts that match `muted` from being sent before `until`; returns the mute's id.

    Raises InvalidValue for an unknown alert, brand, kind or channel, for an alert of another brand or kind, and if
    `until` is past.
    """

    def work(connection: Connection) -> int:
        if muted.alert_id is not None:
            alert = required(connection, muted.alert_id)
            for name, wanted in (("brand_id", muted.brand_id), ("kind", muted.kind)):
                if wanted is not None and wanted != alert[name]:
                    raise InvalidValue(name, f"alert {muted.alert_id} is not of {name.removesuffix('_id')} {wanted}")
        if muted.brand_id is not None:
            catalog.brand(connection, muted.brand_id)
        if muted.channel_id is not None:
            channels.required(connection, muted.channel_id)
        known = muted if muted.kind is None else muted._replace(kind=parse_kind(muted.kind))
        return mute_edits.mute(connection, known, until, edit)

    return committed(work)


def unmute(mute_id: int, edit: Edit) -> None:
    """Ends a mute. Raises InvalidValue if there is no such mute."""
    committed(partial(mute_edits.unmute, mute_id=mute_id, edit=edit))


def acknowledge(alert_ids: Iterable[int], edit: Edit, *, take_back: bool = False) -> None:
    """Stores the author of `edit` as the person who takes care of those of the alerts that are not acknowledged yet.

    `take_back`: removes the acknowledgements of all instead. Raises InvalidValue for an unknown alert.
    """

    def work(connection: Connection) -> None:
        for alert_id in sorted(set(alert_ids)):
            alert_edits.acknowledge(connection, alert_id, edit, take_back=take_back)

    committed(work)


def set_thresholds(brand_id: int, percents: Sequence[int], edit: Edit) -> tuple[int, ...]:
    """Sets the thresholds of a brand's budgets, in percent; returns them in ascending order, each once.

    Without any, its budgets get no threshold alerts. Raises InvalidValue for an unknown brand and for percents that are
    not allowed.
    """
    checked = checked_thresholds(percents)

    def work(connection: Connection) -> None:
        catalog.brand(connection, brand_id)
        mute_edits.set_thresholds(connection, brand_id, checked, edit)

    committed(work)
    return checked


def listed() -> tuple[list[dict[str, Any]], Sequence[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of all channels, without their URLs, of all routes, and of the mutes in force."""
    with snapshot() as connection:
        return channels.channels(connection), channels.routes(connection), mutes.mutes(connection, clock.now())
