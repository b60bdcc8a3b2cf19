"""One status for many brands or campaigns: each brand by itself, so that one that cannot be changed stops no other."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

import structlog
from sqlalchemy import Connection, func, select
from starlette.requests import Request
from starlette_admin import flash

from db.engine import PASSING_FAULTS, snapshot
from db.models import Campaign
from db.repository.audit import Edit
from domain.campaigns import ConfiguredStatus, EffectiveStatus
from web.admin.views import write
from workers.enforcement import chunks, edited

log = structlog.get_logger()

EDITS_A_TRANSACTION: Final = 500

Change = Callable[[Connection, int, dict[str, str], Edit], None]


class Outcome(NamedTuple):
    """How many things were changed, were not because a server was busy, and how many of their campaigns serve now."""

    changed: int
    postponed: int
    serving: int


async def change_statuses(
    request: Request,
    noun: str,
    change: Change,
    pairs: Sequence[tuple[int, int]],
    chosen: int,
    status: ConfiguredStatus,
) -> None:
    """Sets the status of things given as (brand id, own id) and tells what came of it; `chosen` counts all picked."""
    work = partial(_set_all, change=change, pairs=pairs, status=status, of_brands=noun == "brand")
    outcome = await write(request, lambda edit: work(edit=edit))
    same = chosen - len(pairs)
    already = f" ({same} {'was' if same == 1 else 'were'} already)" if same else ""
    told = f"{_counted(outcome.changed, noun)} {status}{already}; {_serving_now(outcome, noun)}."
    flash(request, told, "success")
    if outcome.postponed:
        flash(request, f"{_counted(outcome.postponed, noun)} could not be changed just now; try again.", "warning")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _serving_now(outcome: Outcome, noun: str) -> str:
    serve = "serves" if outcome.serving == 1 else "serve"
    if noun == "brand":
        return f"of {'its' if outcome.changed == 1 else 'their'} campaigns {outcome.serving} {serve} now"
    if outcome.changed == 1:
        return "it serves now" if outcome.serving else "it does not serve now"
    return f"of them {outcome.serving} {serve} now"


def _set_all(
    *, edit: Edit, change: Change, pairs: Sequence[tuple[int, int]], status: ConfiguredStatus, of_brands: bool
) -> Outcome:
    by_brand: defaultdict[int, list[int]] = defaultdict(list)
    for brand_id, own_id in pairs:
        by_brand[brand_id].append(own_id)
    done: list[int] = []
    postponed = 0
    for brand_id, ids in sorted(by_brand.items()):
        for some in chunks(ids, EDITS_A_TRANSACTION):
            try:
                edited(partial(_set_some, change=change, ids=some, status=status, edit=edit), brand_id)
                done += some
            except PASSING_FAULTS as error:
                log.warning("enforcement.postponed", brand_id=brand_id, error=type(error).__name__)
                postponed += len(some)
    return Outcome(len(done), postponed, _serving(done, of_brands=of_brands))


def _set_some(
    connection: Connection, *, change: Change, ids: Sequence[int], status: ConfiguredStatus, edit: Edit
) -> None:
    for own_id in ids:
        change(connection, own_id, {"configured_status": status.value}, edit)


def _serving(ids: Sequence[int], *, of_brands: bool) -> int:
    column = Campaign.brand_id if of_brands else Campaign.id
    serving = select(func.count()).where(column.in_(ids), Campaign.effective_status == EffectiveStatus.ACTIVE)
    with snapshot() as connection:
        return int(connection.execute(serving).scalar_one())
