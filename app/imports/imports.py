"""Exports of ad platforms taken in: as reported totals, with their campaigns made where that is asked for."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from more_itertools import sliced
from sqlalchemy import Connection

from app.decisions import announce
from app.edits import editing
from app.enforcement import enforce_edits
from app.imports.exports import Export
from app.ingest.count import Counted
from app.ingest.ingest import count_totals, log_counted
from db.engine import committed
from db.repository.access.audit import Edit
from db.repository.catalog import catalog
from db.repository.enforcement.enforcement import DecidedChange
from db.repository.ledger.accounts import find_campaigns
from domain.causes import Cause
from domain.errors import InvalidValue
from domain.inputs import CampaignKey, is_held_now
from runtime import clock

TOTALS_A_TRANSACTION: Final = 1_000


def payloads(export: Export, platform: str, as_of: datetime, account: str | None = None) -> list[dict[str, object]]:
    """The export's totals as upstream would send them; `account`: the platform's id of the account that they are of."""
    return [
        {
            "source": platform,
            "platform": platform,
            "external_id": external_id,
            "account": account,
            "day": day.isoformat(),
            "total_micros": micros,
            "as_of": as_of.isoformat(),
            "currency": export.currencies.get(external_id),
        }
        for (external_id, day), micros in sorted(export.totals.items())
    ]


def import_totals(totals: Sequence[object]) -> Iterator[Counted]:
    """Counts the totals, a commit for every TOTALS_A_TRANSACTION of them; yields what became of each."""
    return map(_count, sliced(totals, TOTALS_A_TRANSACTION))


def _count(totals: Sequence[object]) -> Counted:
    counted = count_totals(totals)
    log_counted("totals.ingested", counted, Cause.REPORTED_TOTAL)
    return counted


def create_missing(
    export: Export,
    platform: str,
    brand: str,
    zone: str | None,
    by: str,
    currency: str | None = None,
    account: str | None = None,
) -> int:
    """Makes the campaigns of the export that are not known, and their brand; returns how many it made.

    `account`: the platform's id of the account they are in; None: in any, and made in the brand's default account.

    Raises InvalidValue where a brand has to be made and neither arguments nor file say in which zone and currency, or
    where the file is in another currency than the brand.
    """

    def create(connection: Connection) -> tuple[int, list[DecidedChange]]:
        catalog.lock_catalog(connection)
        edit = Edit(by, clock.now())
        keys: dict[str, CampaignKey] = {
            external_id: (platform, external_id) if account is None else (platform, external_id, account)
            for external_id in export.names
        }
        known = find_campaigns(connection, keys.values())
        missing = [external_id for external_id, key in keys.items() if not is_held_now(known.get(key))]
        if not missing:
            return 0, []
        in_file = _common_currency(export, missing)
        brand_id = catalog.brand_named(connection, brand)
        billed_in = (currency or in_file) if brand_id is None else catalog.brand(connection, brand_id)["currency"]
        if in_file not in {None, billed_in}:
            raise InvalidValue("--currency", f"the file is in {in_file}, not {billed_in}")
        if brand_id is None:
            brand_id = _new_brand(connection, brand, zone, billed_in, edit)
        for external_id in missing:
            name = export.names[external_id]
            editing.create_campaign(
                connection, brand_id, name, edit, platform=platform, external_id=external_id, account=account
            )
        return len(missing), enforce_edits(connection, brand_id)

    made, changes = committed(create)
    announce(changes, Cause.EDIT)
    return made


def _new_brand(connection: Connection, name: str, zone: str | None, currency: str | None, edit: Edit) -> int:
    """Makes the brand. Its first spend, which comes in the same command, fixes both."""
    told = f"say which one the new brand {name!r} has: its first spend fixes it"
    if zone is None:
        raise InvalidValue("--time-zone", told)
    if currency is None:
        raise InvalidValue("--currency", told)
    return editing.create_brand(connection, name, zone, currency, edit)


def _common_currency(export: Export, external_ids: Sequence[str]) -> str | None:
    """The currency of campaigns to be made in one brand, if the file says one. Raises InvalidValue for several."""
    found = sorted({export.currencies[external_id] for external_id in external_ids if external_id in export.currencies})
    if len(found) > 1:
        raise InvalidValue("--create-campaigns", f"they are in {', '.join(found)}, and a brand has one currency")
    return found[0] if found else None
