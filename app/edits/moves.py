"""Moves a campaign's external id to another brand from a given day on; earlier spend stays with the old campaign."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection

from app.decisions import announce
from app.edits.effects import toggled, token_of
from app.edits.preview import Agree, agree_to_all, agreed
from app.enforcement import enforce
from app.passes import chosen_of_large
from db.dry_runs import run_dry
from db.engine import committed
from db.repository.access.audit import Edit
from db.repository.catalog import catalog, platform_accounts
from db.repository.enforcement.changes import DecidedChange
from db.repository.enforcement.facts import lock_brands
from db.repository.platforms import statuses
from domain.campaigns import ConfiguredStatus
from domain.causes import Cause
from domain.edits.fields import checked_external_name, checked_name, checked_platform
from domain.edits.words import toggle_lines
from domain.errors import InvalidValue
from domain.periods import FIRST_DAY, LAST_DAY, ONE_DAY, local_day
from domain.zones import time_zone


class Move(NamedTuple):
    """A requested move.

    `from_day`: the first day whose spend counts in the new brand; None: today, or the day after the campaign's last
    counted spend if that is later. `copies`: whether the new campaign gets copies of the budgets and the schedule.
    """

    campaign_id: int
    to_brand_id: int
    from_day: date | None = None
    copies: bool = False


class Moved(NamedTuple):
    """A move that was made, or tried in a dry run.

    `old_ends_on`: the last day of the old campaign's flight; None: the old campaign was archived. `copied_budgets`: how
    many budgets were copied. `changes`: the changed holds and statuses of both brands' campaigns. `copies`: whether
    budgets and schedule were to be copied.
    """

    campaign_id: int
    from_brand_id: int
    new_campaign_id: int
    to_brand_id: int
    from_day: date
    old_ends_on: date | None
    copied_budgets: int
    changes: tuple[DecidedChange, ...]
    copies: bool = False

    def fields(self) -> dict[str, Any]:
        """The move as JSON-ready fields; `stops` and `starts` list ids of toggled campaigns."""
        plain = {name: value for name, value in self._asdict().items() if name not in {"changes", "copies"}}
        return plain | toggled(self.changes)._asdict()

    @property
    def needs_consent(self) -> bool:
        """True: a move changes which brand pays."""
        return True

    @property
    def token(self) -> str:
        """A hash of the effect, the same for a dry run and for the move, whose new campaigns have different ids."""
        return token_of(self.lines())

    @property
    def stopped(self) -> int:
        """How many campaigns stop."""
        return len(toggled(self.changes).stops)

    def lines(self, *, is_done: bool = False) -> list[str]:
        """The move in words, a line for each of its effects; `is_done`: it was made."""
        new = f"campaign {self.new_campaign_id}" if is_done else "a new campaign"
        counts = f"{new} of brand {self.to_brand_id} counts spend from {self.from_day}"
        ends = f"ends on {self.old_ends_on}" if self.old_ends_on else "is archived"
        copied = f"{self.copied_budgets} budgets and the schedule are copied"
        names = {} if is_done else {self.new_campaign_id: "the new one"}
        stops, starts = ([names.get(one, str(one)) for one in ids] for ids in toggled(self.changes))
        return [
            f"{counts}; earlier spend stays with campaign {self.campaign_id} of brand {self.from_brand_id}",
            f"campaign {self.campaign_id} {ends}",
            copied if self.copies else "budgets and schedule are not copied; add --copy to copy them",
            *toggle_lines(stops, starts, is_done=is_done),
        ]

    def sentence(self, *, is_done: bool = False) -> str:
        """The move in words, in one line; `is_done`: it was made."""
        return "; ".join(self.lines(is_done=is_done))


def add_account(
    connection: Connection, platform: str, account_id: str, name: str, brand_ids: Iterable[int], edit: Edit
) -> int:
    """Creates a platform account, binds it to the brands and returns its id.

    Raises InvalidValue for an account that exists already, an invalid name or id, and an unknown brand.
    """
    checked_external_name("account_id", account_id)
    canonical = checked_platform(platform)
    if canonical is None:
        raise InvalidValue("platform", "is empty")
    made = platform_accounts.add(connection, canonical, account_id, checked_name(name) if name else "", edit)
    for brand_id in sorted(set(brand_ids)):
        bind_account(connection, made, brand_id, edit)
    return made


def bind_account(connection: Connection, platform_account_id: int, brand_id: int, edit: Edit) -> None:
    """Allows the brand to have campaigns in the account. Raises InvalidValue for an unknown brand or account."""
    catalog.brand(connection, brand_id)
    platform_accounts.account(connection, platform_account_id)
    platform_accounts.bind(connection, platform_account_id, brand_id, edit)


def move(
    asked: Move,
    edit: Edit,
    *,
    dry_run: bool = False,
    check: Callable[[Connection], object] | None = None,
    agree: Agree = agree_to_all,
) -> Moved:
    """Moves the campaign's external id and enforces both brands in one transaction, which a dry run rolls back.

    Returns the move, made or tried. `check`, if given, runs before any change, while both brands are locked. Raises
    Unconfirmed, and moves nothing, if `agree` does not allow the effect. Raises InvalidValue for an unknown campaign or
    brand, a campaign without platform and external id, a move to its own brand, and copies of budgets to a brand with
    another currency. Raises InvalidValue too for a `from_day` on or before the last day with counted spend, because the
    spend would count twice if a platform reported that day again; and for one after the end of a flight that has not
    ended yet.
    """
    work = partial(_move, asked=asked, edit=edit, check=check)
    if dry_run:
        return run_dry(work)
    moved = committed(lambda connection: agreed(work(connection), agree))
    announce(moved.changes, Cause.EDIT)
    return moved


def _move(connection: Connection, asked: Move, edit: Edit, check: Callable[[Connection], object] | None) -> Moved:
    brand_ids = [catalog.brand_of(connection, asked.campaign_id), asked.to_brand_id]
    lock_brands(connection, brand_ids)
    if check is not None:
        check(connection)
    campaign = catalog.campaign(connection, asked.campaign_id)
    brand, to_brand = (catalog.brand(connection, brand_id) for brand_id in brand_ids)
    _check(asked, campaign, brand, to_brand)
    today = local_day(edit.at, time_zone(brand["time_zone"]))
    from_day = _from_day(asked, platform_accounts.last_counted_day(connection, brand["id"], campaign["id"]), today)
    old, new = _facts(campaign, from_day, today)
    account = campaign["platform_account_id"]
    known = statuses.of_campaigns(connection, account, [campaign["id"]], edit.at).get(campaign["id"])
    platform_accounts.release_id(connection, campaign, from_day, old, edit)
    made = platform_accounts.take_over(connection, campaign, new | {"brand_id": to_brand["id"]}, edit)
    statuses.carry(connection, account, known, to_brand["id"], made)
    limits = (
        platform_accounts.copy_budgets_and_schedule(connection, campaign, (to_brand["id"], made), edit)
        if asked.copies
        else []
    )
    changes = _enforce(connection, {brand["id"]: campaign["id"], to_brand["id"]: made})
    ends_on: date | None = old.get("ends_on")
    ids = (campaign["id"], brand["id"], made, to_brand["id"])
    return Moved(*ids, from_day, ends_on, len(limits), tuple(changes), asked.copies)


def _enforce(connection: Connection, moved: Mapping[int, int]) -> list[DecidedChange]:
    """Enforces both locked brands and returns the changes of holds. `moved`: the edited campaign's id by brand id.

    If a brand is too large for one transaction, enforces only this campaign and campaigns that were never enforced.
    """
    changes: list[DecidedChange] = []
    for brand_id, campaign_id in sorted(moved.items()):
        chosen = chosen_of_large(connection, brand_id, [campaign_id])
        changes += enforce(connection, [brand_id], Cause.EDIT, campaign_ids=chosen)
    return changes


def _check(asked: Move, campaign: dict[str, Any], brand: dict[str, Any], to_brand: dict[str, Any]) -> None:
    if campaign["platform"] is None or campaign["external_id"] is None:
        raise InvalidValue("campaign", f"campaign {campaign['id']} has no platform and external id to move")
    if brand["id"] == to_brand["id"]:
        raise InvalidValue("to_brand_id", f"campaign {campaign['id']} already belongs to brand {brand['id']}")
    if asked.copies and brand["currency"] != to_brand["currency"]:
        brands = f"brand {brand['id']} uses {brand['currency']} and brand {to_brand['id']} uses {to_brand['currency']}"
        raise InvalidValue("copy", f"{brands}: limits cannot be copied between currencies")
    if asked.from_day is not None and not FIRST_DAY <= asked.from_day <= LAST_DAY:
        raise InvalidValue("from_day", f"{asked.from_day} is not between {FIRST_DAY} and {LAST_DAY}")


def _from_day(asked: Move, last_counted: date | None, today: date) -> date:
    earliest = None if last_counted is None else last_counted + ONE_DAY
    if asked.from_day is None:
        return today if earliest is None else max(today, earliest)
    if earliest is not None and asked.from_day < earliest:
        raise InvalidValue(
            "from_day",
            f"campaign {asked.campaign_id} has counted spend on {last_counted}: the earliest day is {earliest}",
        )
    return asked.from_day


def _facts(campaign: dict[str, Any], from_day: date, today: date) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields to change on the old campaign, and the fields of the new one that differ from the old one's.

    For a future day the old campaign's flight ends the day before and the new one's starts on it. Otherwise, and if the
    old campaign's flight has ended, the old campaign is archived. Raises InvalidValue if the flight will end before
    that day: the old campaign would be archived while it serves, and the new one would never serve.
    """
    last_day, starts_on, ends_on = from_day - ONE_DAY, campaign["starts_on"], campaign["ends_on"]
    serves_until_then = from_day > today and (starts_on is None or starts_on <= last_day)
    if serves_until_then and ends_on is not None and today <= ends_on < from_day:
        raise InvalidValue(
            "from_day",
            f"the flight of campaign {campaign['id']} ends on {ends_on}, so it would not serve from {from_day} on: "
            "extend its flight first, or move the campaign once its flight has ended",
        )
    if not serves_until_then or (ends_on is not None and ends_on < from_day):
        return {"configured_status": ConfiguredStatus.ARCHIVED.value}, {}
    return {"ends_on": last_day}, {"starts_on": from_day}
