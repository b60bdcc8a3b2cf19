"""Exports of ad platforms taken in: as reported totals, with their campaigns made where that is asked for."""

import csv
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import Connection

from db.engine import PASSING_FAULTS, committed, transaction
from db.repository import catalog, watermarks
from db.repository.accounts import accounts
from db.repository.audit import Edit
from db.repository.enforcement import Applied
from domain.errors import InvalidValue
from runtime import clock
from workers.counting import Counted
from workers.enforcement import Cause, announce, chunks, enforce
from workers.exports import Export, columns_for, read_export
from workers.ingest import count_totals, report

log = structlog.get_logger()

TOTALS_A_TRANSACTION: Final = 1_000


def payloads(export: Export, platform: str, as_of: datetime) -> list[dict[str, object]]:
    """The export's totals as upstream would send them."""
    return [
        {
            "source": platform,
            "platform": platform,
            "external_id": external_id,
            "day": day.isoformat(),
            "total_micros": micros,
            "as_of": as_of.isoformat(),
            "currency": export.currencies.get(external_id),
        }
        for (external_id, day), micros in sorted(export.totals.items())
    ]


def import_totals(totals: Sequence[object]) -> Iterator[Counted]:
    """Counts the totals, a commit for every TOTALS_A_TRANSACTION of them; yields what became of each."""
    for some in chunks(totals, TOTALS_A_TRANSACTION):
        counted = count_totals(some)
        report("totals.ingested", counted, Cause.REPORTED_TOTAL)
        yield counted


def create_missing(export: Export, platform: str, brand: str, zone: str, by: str) -> int:
    """Makes the campaigns of the export that are not known, and their brand; returns how many it made."""

    def create(connection: Connection) -> tuple[int, list[Applied]]:
        catalog.lock_catalog(connection)
        edit = Edit(by, clock.now())
        known = accounts(connection, {(platform, external_id) for external_id in export.names})
        missing = [external_id for external_id in export.names if (platform, external_id) not in known]
        if not missing:
            return 0, []
        currency = _common_currency(export, missing)
        brand_id = catalog.brand_named(connection, brand) or catalog.create_brand(
            connection, brand, zone, currency, edit
        )
        for external_id in missing:
            name = export.names[external_id]
            catalog.create_campaign(connection, brand_id, name, edit, platform=platform, external_id=external_id)
        return len(missing), enforce(connection, [brand_id], Cause.EDIT)

    made, changes = committed(create)
    announce(changes, Cause.EDIT)
    return made


def _common_currency(export: Export, external_ids: Sequence[str]) -> str:
    """The currency of campaigns to be made in one brand. Raises InvalidValue where they have several."""
    found = sorted({export.currencies[external_id] for external_id in external_ids if external_id in export.currencies})
    if len(found) > 1:
        raise InvalidValue("--create-campaigns", f"they are in {', '.join(found)}, and a brand has one currency")
    return found[0] if found else "USD"


def import_folder(folder: Path) -> None:
    """Imports what is new in `folder`/<platform>/*.csv, oldest first, its figures as of the file's modification time.

    A file that cannot be read is logged and holds up no other. A fault that passes is raised when all are done.
    """
    passing: list[Exception] = []
    for path in sorted(folder.glob("*/*.csv"), key=lambda path: path.stat().st_mtime):
        changed_at = datetime.fromtimestamp(path.stat().st_mtime, clock.now().tzinfo)
        name = f"export:{path.parent.name}/{path.name}"
        with transaction() as connection:
            reached = watermarks.reached(connection, name)
        if reached is not None and reached >= changed_at:
            continue
        try:
            _import_file(path, min(changed_at, clock.now()))
        except (InvalidValue, OSError, csv.Error) as error:
            log.error("export.unreadable", file=str(path), error=str(error))
            continue
        except PASSING_FAULTS as error:
            log.warning("export.postponed", file=str(path), error=type(error).__name__)
            passing.append(error)
            continue
        with transaction() as connection:
            watermarks.raise_to(connection, name, changed_at)
    if passing:
        raise passing[0]


def _import_file(path: Path, as_of: datetime) -> None:
    platform = path.parent.name
    with path.open("rb") as stream:
        export = read_export(stream, columns_for(platform))
    taken = sum(counted.taken for counted in import_totals(payloads(export, platform, as_of)))
    log.info("export.imported", file=str(path), totals=len(export.totals), taken=taken, bad_rows=len(export.bad_rows))
