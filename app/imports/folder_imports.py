"""Imports what is new and complete in the spend folder."""

import csv
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from more_itertools import sliced
from sqlalchemy.exc import DBAPIError

from app.imports import spend_folder
from app.imports.exports import Export, columns_for, read_export
from app.imports.imports import TOTALS_A_TRANSACTION, import_totals, payloads
from app.imports.spend_folder import (
    Changed,
    Look,
    Skipped,
    SpendFile,
    Version,
)
from db.engine import TRANSIENT_ERRORS, committed, snapshot
from db.repository.ledger import spend_files
from db.repository.ledger.spend_files import Seen
from domain.errors import InvalidValue
from runtime import clock
from runtime.settings import settings

log = structlog.get_logger()

UNREADABLE: Final = (InvalidValue, OSError, csv.Error, ArithmeticError, ValueError)
"""What a bad file raises. Its words may quote the file, so the log has only a reason."""


def import_folder(folder: Path) -> None:
    """Imports each new version of a complete file, oldest first, its figures as of the file's modification time.

    No file holds up another. A fault that passes, such as a locked brand, is raised when all others are done.
    """
    passing: list[Exception] = []
    for file in _complete(folder):
        shown = file.shown(folder)
        try:
            _import(folder, file)
        except TRANSIENT_ERRORS as error:
            log.warning("export.postponed", file=shown, error=type(error).__name__)
            passing.append(error)
        except Changed:
            log.info("export.waiting", file=shown)
        except (*UNREADABLE, DBAPIError) as error:
            log.error("export.unreadable", file=shown, reason=_reason(error))
    if passing:
        raise passing[0]


def _complete(folder: Path) -> Iterator[SpendFile]:
    """The complete files of which this version was not imported, oldest first. Notes what it sees of all."""
    try:
        found = list(spend_folder.listed(folder))
    except OSError as error:
        log.error("export.unreadable", file=spend_folder.printable(folder), reason=spend_folder.reason_of(error))
        return
    with snapshot() as connection:
        seen = spend_files.all_seen(connection)
    for skipped in (one for one in found if isinstance(one, Skipped)):
        log.warning("export.skipped", **skipped._asdict())
    files = [one for one in found if isinstance(one, SpendFile)]
    gone = seen.keys() - {(file.platform, file.name) for file in files}
    if gone:
        committed(lambda connection: spend_files.forget(connection, gone))
    for file in sorted(files, key=lambda file: file.version.modified_ns):
        if _is_due(folder, file, seen.get((file.platform, file.name))):
            yield file


def _is_due(folder: Path, file: SpendFile, seen: Seen | None) -> bool:
    """Whether this version of the file is complete and was not imported. Notes a version that is new."""
    version, at = str(file.version), clock.now()
    if seen is not None and seen.imported_version == version:
        return False
    last = None if seen is None else Look(Version.read(seen.version), seen.unchanged_since)
    is_new = seen is None or seen.version != version
    if is_new or (last is not None and last.unchanged_since > at):
        committed(lambda connection: spend_files.keep(connection, (file.platform, file.name), version, at))
    quiet = timedelta(seconds=settings().spend_folder_quiet_seconds)
    is_complete = spend_folder.is_complete(file.version, last, at, quiet)
    if is_new and not is_complete:
        log.info("export.waiting", file=file.shown(folder))
    return is_complete


def _import(folder: Path, file: SpendFile) -> None:
    with spend_folder.opened(folder, file) as stream:
        export = read_export(stream, columns_for(file.platform))
    taken = _count_all(export, file.platform, min(file.version.modified_at, clock.now()))
    key = file.platform, file.name
    committed(lambda connection: spend_files.keep_imported(connection, key, str(file.version)))
    shown = file.shown(folder)
    log.info("export.imported", file=shown, totals=len(export.totals), taken=taken, bad_rows=len(export.bad_rows))


def _count_all(export: Export, platform: str, as_of: datetime) -> int:
    """Counts all totals that can be, and returns how many were new; then raises what kept the others from it."""
    passing: list[Exception] = []
    taken = 0
    for some in sliced(payloads(export, platform, as_of), TOTALS_A_TRANSACTION):
        try:
            taken += _taken(some)
        except TRANSIENT_ERRORS as error:
            passing.append(error)
    if passing:
        raise passing[0]
    return taken


def _taken(totals: Sequence[object]) -> int:
    return sum(counted.taken for counted in import_totals(totals))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return spend_folder.reason_of(error)
    return "no_columns" if isinstance(error, InvalidValue) else type(error).__name__
