"""Edits of a connection: its mode, after a person agreed to the effect, and its credentials."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection

from app.edits.effects import token_of
from app.edits.preview import Agree, agree_to_all, agreed
from app.platforms.credentials import encrypted, parts_of
from db.dry_runs import run_dry
from db.engine import committed
from db.repository.access.audit import Edit
from db.repository.platforms import connection_edits, kept_credentials
from db.repository.platforms.connections import StoredConnection
from db.repository.platforms.mode_effects import Concerned, concerned
from domain.edits.words import counted
from domain.platforms import label
from domain.reconcile import ACTING, Mode
from runtime.formats import instant

Check = Callable[[Connection, StoredConnection], object]
"""Runs before a change, while the connection is locked; an exception from it prevents the change."""


def no_check(_connection: Connection, _stored: StoredConnection) -> None:
    """Checks nothing."""


@dataclass(frozen=True, slots=True)
class ModeEffect:
    """The effect of a change of an account's mode, by the statuses last read from the platform.

    `read_at`: when they were read; None: never.
    """

    account: int
    platform: str
    old: Mode
    new: Mode
    campaigns: Concerned
    read_at: datetime | None

    @property
    def pauses(self) -> int:
        """How many campaigns Spendgate will pause on the platform because of the change."""
        return self.campaigns.pauses if self.new in ACTING and self.old not in ACTING else 0

    @property
    def enables(self) -> int:
        """How many campaigns Spendgate will enable on the platform because of the change."""
        return self.campaigns.enables if self.new is Mode.FULL and self.old is not Mode.FULL else 0

    @property
    def holds(self) -> int:
        """How many campaigns the change will stop in Spendgate, because somebody paused them on the platform."""
        return self.campaigns.holds if self.new in ACTING and self.old not in ACTING else 0

    @property
    def stopped(self) -> int:
        """How many campaigns the change will stop, on the platform or in Spendgate."""
        return self.pauses + self.holds

    @property
    def needs_consent(self) -> bool:
        """Whether a person must confirm the change: it allows Spendgate to change more on the platform."""
        return (self.new in ACTING and self.old not in ACTING) or (self.new is Mode.FULL and self.old is not Mode.FULL)

    @property
    def token(self) -> str:
        """A hash (24 hex digits) of the change and its counts; sent back to confirm the change."""
        return token_of(self.account, self.old, self.new, self.pauses, self.enables, self.holds)

    def sentence(self, *, is_done: bool = False) -> str:
        """The change and its effect: `Mode shadow → full: Spendgate will pause 12 campaigns on Google Ads`.

        `is_done`: the change was made; alters only the sentence for a mode that stays the same.
        """
        if self.old is self.new:
            return f"Mode {self.new}: nothing changes" if not is_done else f"Mode {self.new}: nothing was changed"
        return f"Mode {self.old} → {self.new}: {self._effect()}"

    def _effect(self) -> str:
        there = label(self.platform)
        if self.new not in ACTING:
            stays = self.campaigns.stay_paused if self.old in ACTING else 0
            left = f"; {counted(stays)} that it paused there {'stays' if stays == 1 else 'stay'} paused"
            return f"Spendgate changes nothing on {there}{left if stays else ''}"
        if self.read_at is None:
            return f"the statuses on {there} are not known yet; Spendgate will act once it has read them"
        done = [
            f"{verb} {counted(number)} {where}"
            for verb, number, where in (
                ("pause", self.pauses, f"on {there}"),
                ("enable", self.enables, f"on {there}"),
                ("stop", self.holds, f"in Spendgate, because somebody paused them on {there}"),
            )
            if number
        ]
        will = f"Spendgate will {', '.join(done)}" if done else "Spendgate will change no campaign now"
        return f"{will} (statuses as read at {instant(self.read_at)})"


def effect_of(connection: Connection, stored: StoredConnection, mode: Mode, at: datetime) -> ModeEffect:
    """The effect that a change of the connection's mode would have at `at`."""
    counts = concerned(connection, stored.id, at)
    return ModeEffect(stored.id, stored.platform, Mode(stored.mode), mode, counts, stored.statuses_read_at)


def change(
    account: int, changes: Mapping[str, Any], edit: Edit, agree: Agree, *, check: Check = no_check
) -> ModeEffect:
    """Sets fields of the connection (`mode`, `credentials`, `options`, `secrets`) if `agree` allows the effect.

    Returns the effect. `secrets`: names and values, which are kept encrypted. `check` runs before the change, while the
    connection is locked; an exception from it prevents the change. Raises Unconfirmed if `agree` does not allow the
    effect, and InvalidValue for an account without a connection, a wrong reference to credentials, and secrets that
    cannot be kept.
    """
    return committed(partial(_change, account=account, changes=changes, edit=edit, agree=agree, check=check))


def previewed(account: int, changes: Mapping[str, Any], edit: Edit, *, check: Check = no_check) -> ModeEffect:
    """The effect that the change would have now: it is made and rolled back.

    Raises InvalidValue for an account without a connection, a wrong reference to credentials, and secrets that cannot
    be kept; and the errors of `check`.
    """
    return run_dry(partial(_change, account=account, changes=changes, edit=edit, agree=agree_to_all, check=check))


def _change(
    connection: Connection, account: int, changes: Mapping[str, Any], edit: Edit, agree: Agree, check: Check
) -> ModeEffect:
    stored = connection_edits.lock(connection, account)
    check(connection, stored)
    effect = agreed(effect_of(connection, stored, Mode(changes.get("mode", stored.mode)), edit.at), agree)
    plain = {name: value for name, value in changes.items() if name != "secrets"}
    if "credentials" in plain:
        parts_of(plain["credentials"])
    connection_edits.change(connection, stored, plain, edit)
    if "secrets" in changes:
        kept_credentials.keep(connection, account, encrypted(changes["secrets"]), edit)
    return effect
