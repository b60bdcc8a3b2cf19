"""Connects platform accounts, and says in plain words which parts a connection still lacks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection

from app.edits import moves
from app.platforms import quota
from app.platforms.credentials import KEPT, encrypted, parts_of
from app.platforms.modes import Check, no_check
from app.platforms.protocol import AccountFacts, PlatformError
from app.platforms.readings import problems_of
from app.platforms.registry import account_of, adapter_of
from db.engine import committed, transaction
from db.repository.access.audit import Edit
from db.repository.platforms import connection_edits, connections, kept_credentials
from db.repository.platforms import spend as rows
from db.repository.platforms.connections import StoredConnection
from db.repository.shared.zones import readable_zones
from domain.errors import InvalidValue
from domain.periods import ONE_DAY, local_day
from domain.platforms import canonical_or_lower
from domain.reconcile import Mode
from runtime import clock
from runtime.formats import first_of

NAMED: Final = 10
"""External ids in a sentence, at most."""

COMPARED_DAYS: Final = 366
"""Days ahead for which the zones of account and brand are compared, so that both clock changes are among them."""


@dataclass
class Checked:
    """The result of a check: the account as the platform describes it, and a sentence about each missing thing.

    `facts`: None if the platform did not describe it. `campaigns_there`: the number of campaigns on the platform; 0 if
    they were not read. `campaigns_here`: how many of Spendgate's campaigns have an external id in the account.
    """

    account_id: int
    facts: AccountFacts | None = None
    campaigns_there: int = 0
    campaigns_here: int = 0
    missing: list[str] = field(default_factory=list)

    def fields(self) -> dict[str, Any]:
        """The result as fields for JSON."""
        return {
            "account": self.account_id,
            "name": self.facts and self.facts.name,
            "time_zone": self.facts and self.facts.time_zone,
            "currency": self.facts and self.facts.currency,
            "campaigns_there": self.campaigns_there,
            "campaigns_here": self.campaigns_here,
            "missing": self.missing,
        }


@dataclass(frozen=True, slots=True)
class NewConnection:
    """A connection to make: the platform in any spelling, its id of the account, and the brands to bind to it.

    `mode`: None for `shadow`, or for the mode of an account that is connected already. `credentials`: a reference.
    `secrets`: names and values to keep encrypted, if `credentials` is `kept`.
    """

    platform: str
    account_id: str
    brand_ids: Sequence[int]
    mode: Mode | None = None
    credentials: str = KEPT
    options: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] | None = field(default=None, repr=False)


def add(new: NewConnection, edit: Edit) -> int:
    """Connects an account, or changes its connection, in a transaction of its own; returns Spendgate's account id.

    Raises InvalidValue for a platform without adapter, an invalid account id, a wrong reference to credentials, secrets
    that cannot be kept, an unknown brand, and another mode of an account that is connected already.
    """
    return committed(partial(connect, new=new, edit=edit))


def connect(connection: Connection, new: NewConnection, edit: Edit) -> int:
    """Connects the account that has this id on the platform, or changes its connection; returns Spendgate's account id.

    Creates the account if it is new, and binds it to the brands. Raises InvalidValue for a platform without adapter, an
    invalid account id, a wrong reference to credentials, secrets that cannot be kept, an unknown brand, and another
    mode of an account that is connected already, because a person must confirm the effect of such a change.
    """
    name = canonical_or_lower(new.platform)
    adapter_of(name)
    parts_of(new.credentials)
    account = connection_edits.account_named(connection, name, new.account_id)
    if account is None:
        account = moves.add_account(connection, name, new.account_id, "", new.brand_ids, edit)
    else:
        for brand_id in new.brand_ids:
            moves.bind_account(connection, account, brand_id, edit)
    mode = _mode(connections.connection_of(connection, account), new.mode)
    connection_edits.connect(connection, account, mode, new.credentials, new.options, edit)
    if new.secrets is not None:
        kept_credentials.keep(connection, account, encrypted(new.secrets), edit)
    return account


def _mode(known: StoredConnection | None, wanted: Mode | None) -> str:
    if known is None:
        return wanted or Mode.SHADOW
    if wanted is not None and wanted != known.mode:
        advice = f"edit its connection, or run spendgate platform mode {known.id} {wanted}"
        raise InvalidValue("mode", f"the account is connected with mode {known.mode}; {advice}")
    return known.mode


def remove(account: int, edit: Edit, *, check: Check = no_check) -> None:
    """Removes the account's connection. Raises InvalidValue if it has none.

    `check` runs before that, while the connection is locked; an exception from it prevents the removal.
    """

    def work(connection: Connection) -> None:
        check(connection, connection_edits.lock(connection, account))
        connection_edits.disconnect(connection, account, edit)

    committed(work)


def check(account: int) -> Checked:
    """Tries the connection with two reads; returns the account's facts and a sentence about each missing thing.

    Raises InvalidValue if the account is not connected.
    """
    with transaction() as connection:
        stored = connections.required_connection(connection, account)
        owners = rows.campaigns_of_account(connection, stored.platform, account)
        wanted = rows.wanted_ids(connection, account)
    found = Checked(account, campaigns_here=sum(one.until_day is None for one in owners))
    if not quota.reserve(stored.platform, 2):
        found.missing.append("the quota of 24 hours is used up, except the part kept for pauses: check again later")
        return found
    try:
        opened = account_of(stored)
        adapter = adapter_of(stored.platform)
        found.facts = adapter.describe(opened)
        there = adapter.read_statuses(opened)
    except (PlatformError, InvalidValue) as error:
        found.missing.append(str(error))
        return found
    found.campaigns_there = len(there)
    found.missing += _missing(stored, owners, found.facts, wanted - there.keys())
    return found


def _missing(
    stored: StoredConnection, owners: Sequence[rows.AccountCampaign], facts: AccountFacts, gone: set[str]
) -> list[str]:
    """Sentences about what is missing for reads and changes, each once.

    They are about: an account without campaigns in Spendgate; brands whose currency or days differ from the account's;
    external ids that do not exist on the platform; a mode that changes nothing. Campaigns that only the platform has
    are not named. `gone`: the external ids of campaigns in use that the platform does not have.
    """
    sentences: dict[str, None] = {}
    if not owners:
        sentences["the account has no campaign in Spendgate: bind a brand and give campaigns their external ids"] = None
    sentences |= dict.fromkeys(_problems(owners, facts, has_hours=adapter_of(stored.platform).has_hours))
    if gone:
        names = first_of(sorted(gone), NAMED)
        advice = "correct their external ids or archive them"
        sentences[f"these campaigns do not exist on the platform: {names}; {advice}"] = None
    if stored.mode in {Mode.OFF, Mode.SHADOW}:
        advice = f"spendgate platform mode {stored.id} pause_only"
        sentences[f"the mode is {stored.mode}: Spendgate changes nothing on the platform until you run {advice}"] = None
    return list(sentences)


def _problems(owners: Sequence[rows.AccountCampaign], facts: AccountFacts, *, has_hours: bool) -> Iterator[str]:
    """A sentence about each reason why the spend of a brand is not read, or not on all days of COMPARED_DAYS.

    `has_hours`: the platform reports spend by the hour.
    """
    brands = {one.brand_id: one for one in owners}
    zones = readable_zones({facts.time_zone, *(one.time_zone for one in brands.values())})
    account = zones.get(facts.time_zone)
    if account is None:
        yield f"the account's time zone {facts.time_zone} is unknown to Spendgate: its spend is not read"
        return
    today = local_day(clock.now(), account)
    days = (today, today + COMPARED_DAYS * ONE_DAY)
    for one in brands.values():
        zone = zones.get(one.time_zone)
        for problem in problems_of(one, account, facts.currency, zone, days, has_hours=has_hours):
            advice = f"; `spendgate brand correct {one.brand_id}` changes the brand" if problem.is_whole else ""
            yield f"{problem.words}{advice}"
