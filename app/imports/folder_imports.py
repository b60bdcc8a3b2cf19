"""Imports the new and complete files of the spend folder; those that cannot be imported go on a list."""

import json
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from app.imports import spend_folder
from app.imports.answers import Changed, Question
from app.imports.folder_options import FolderOptions, options_of
from app.imports.intake import words
from app.imports.intake.commit import Outcome, commit
from app.imports.intake.plans import Plan
from app.imports.known_content import Found, Known, NotAgreed, plan_of
from app.imports.reading import read_file
from app.imports.spend_folder import LastScan, Skipped, SpendFile, Version
from db.engine import committed, snapshot
from db.failures import TRANSIENT_ERRORS
from db.repository.access.audit import Edit
from db.repository.imports import spend_files
from db.repository.imports.spend_files import FileKey, Seen
from db.repository.notices import notices
from db.repository.notices.notices import NoticeKind
from domain.errors import InvalidValue
from domain.text import storable
from runtime import clock
from runtime.settings import settings

log = structlog.get_logger()

IMPORTED_BY: Final = "spend folder"
AGAIN_AFTER: Final = timedelta(hours=1)
"""Time after which a file with a problem is tried again: brands and known totals may have changed."""

FOLDER_ITSELF: Final[FileKey] = ("", "")
MAX_NOTICE_KEY: Final = 500
"""Characters of the key of a notice; an index entry of Postgres has at most 2,700 bytes."""


def import_folder(folder: Path) -> None:
    """Imports each new version of a complete file, oldest first.

    Figures are as of the file's modification time unless the file states another moment.

    One file's failure does not stop the others. After all files, raises the first error that is transient, such as a
    locked brand, or that could not be recorded as the file's problem.
    """
    passing: list[Exception] = []
    for file, seen in _found(folder):
        try:
            _import_if_due(folder, file, seen)
        except TRANSIENT_ERRORS as error:
            log.warning("export.postponed", file=file.shown(folder), error=type(error).__name__)
            passing.append(error)
        except Exception as error:  # noqa: BLE001 - raised below
            passing.append(error)
    if passing:
        raise passing[0]


def _import_if_due(folder: Path, file: SpendFile, seen: Seen | None) -> None:
    """Imports the file if it is complete, this version was not imported and did not fail within AGAIN_AFTER.

    Records an error as the file's problem, but raises transient errors, and only logs a change of the file while it was
    read. `seen`: the stored row of the file, None for a new one.
    """
    options = None
    try:
        options = options_of(folder, file.platform)
        if _is_due(folder, file, options, seen):
            _import(folder, file, options, seen)
    except TRANSIENT_ERRORS:
        raise
    except Changed:
        log.info("export.waiting", file=file.shown(folder))
    except Exception as error:  # noqa: BLE001 - its words may quote the file, so the log has only a reason
        version = f"{file.version} {error}"[:200] if options is None else _version(file, options)
        key, shown = (file.platform, file.name), file.shown(folder)
        _note_problem(key, shown, version, _words(error), _reason(error), seen)


def _found(folder: Path) -> Iterator[tuple[SpendFile, Seen | None]]:
    """Yields the files of the folder, oldest first, each with its stored row, None for a new one.

    Before the first, deletes the rows of removed files, and records the problems of names that are not read. If the
    folder itself cannot be read, records that as a problem and yields nothing.
    """
    with snapshot() as connection:
        seen = spend_files.all_seen(connection)
    try:
        found = list(spend_folder.listed(folder))
    except OSError as error:
        reason = spend_folder.reason_of(error)
        told = f"the folder cannot be read: {reason}"
        _note_problem(FOLDER_ITSELF, spend_folder.printable(folder), reason, told, reason, seen.get(FOLDER_ITSELF))
        return
    gone = seen.keys() - {(one.platform, one.name) for one in found}
    if gone:
        committed(lambda connection: spend_files.forget(connection, gone))
    for one in found:
        if isinstance(one, Skipped):
            key = one.platform, one.name
            shown = spend_folder.printable(folder / one.platform / one.name)
            told = f"is not read: {one.reason.replace('_', ' ')}"
            _note_problem(key, shown, one.reason, told, one.reason, seen.get(key), is_skipped=True)
    files = [one for one in found if isinstance(one, SpendFile)]
    for file in sorted(files, key=lambda file: file.version.modified_ns):
        yield file, seen.get((file.platform, file.name))


def _version(file: SpendFile, options: FolderOptions) -> str:
    return f"{file.version} {options.version}"


def _is_due(folder: Path, file: SpendFile, options: FolderOptions, seen: Seen | None) -> bool:
    """Whether this version of the file is complete, was not imported, and did not fail within AGAIN_AFTER.

    A failure counts only under the same options. An import that was undone does not count once the options differ from
    those under which the file was read. Records a version that is new. `seen`: the stored row of the file, None for a
    new one.
    """
    version, at = str(file.version), clock.now()
    if seen is not None and seen.imported_version == version and seen.undone_options in {None, options.version}:
        return False
    problem = None if seen is None else seen.problem
    if problem is not None and problem.version == _version(file, options) and at - problem.since < AGAIN_AFTER:
        return False
    last_version = None if seen is None else Version.read(seen.version)
    last = None if seen is None or last_version is None else LastScan(last_version, seen.unchanged_since)
    is_new = seen is None or seen.version != version
    if is_new or (last is not None and last.unchanged_since > at):
        committed(lambda connection: spend_files.keep(connection, (file.platform, file.name), version, at))
    quiet = timedelta(seconds=settings().spend_folder_quiet_seconds)
    is_complete = spend_folder.is_complete(file, last, at, quiet)
    if is_new and not is_complete:
        log.info("export.waiting", file=file.shown(folder))
    return is_complete


def _import(folder: Path, file: SpendFile, options: FolderOptions, seen: Seen | None) -> None:
    key, version, at = (file.platform, file.name), str(file.version), min(file.version.modified_at, clock.now())
    with spend_folder.opened(folder, file) as stream:
        reading = read_file(stream, file.name, options.read, at)
    name = f"{file.platform}/{file.name}" if file.platform else file.name
    wanted = plan_of(Found(reading, name, at, None if seen is None else seen.imported_sha256), options)
    outcome = None if isinstance(wanted, Known) else _imported(wanted, options)
    committed(lambda connection: spend_files.keep_imported(connection, key, version, reading.sha256))
    if isinstance(wanted, Known):
        log.info("export.known", file=file.shown(folder), differing=wanted.differing)
    elif outcome is not None:
        told = {"totals": len(reading.totals), "taken": outcome.taken, "bad_rows": len(reading.bad_rows)}
        codes = sorted({one.code for one in wanted.warned})
        log.info("export.imported", file=file.shown(folder), **told, warnings=codes)


def _imported(wanted: Plan, options: FolderOptions) -> Outcome:
    """Imports a plan and returns the outcome. Raises NotAgreed for doubts and changes that the options do not accept.

    Raises BrandsTimedOut if a brand stays locked, after all other totals are counted.
    """
    doubts = [one for one in wanted.doubts if one.code not in options.accept]
    if doubts:
        accept = sorted(options.accept | {one.code for one in doubts})
        told = "; ".join(one.sentence for one in doubts)
        raise NotAgreed("file", f"{told}; accept = {json.dumps(accept)} in spendgate.toml imports it as it is read")
    if wanted.needs_consent and not options.allow_falls:
        raise NotAgreed("file", f"{'; '.join(words.concerns(wanted))}; allow_falls = true in spendgate.toml imports it")
    return commit(wanted, Edit(IMPORTED_BY, clock.now()), folder_options=options.version)


def _note_problem(
    key: FileKey,
    shown: str,
    version: str,
    told: str,
    reason: str,
    seen: Seen | None,
    *,
    is_skipped: bool = False,
) -> None:
    """Records the problem of a file or name; if it is new, logs it and adds a notice.

    `told`: the problem in words. `is_skipped`: the name is not read at all (`spend_folder.Skipped`); its problem, once
    recorded, is not recorded again, so that it keeps the time of the first scan that found it.
    """
    told, version = storable(told), storable(version)  # they may quote the file
    problem = None if seen is None else seen.problem
    is_noted = problem is not None and (problem.words, problem.version) == (told, version)
    if not is_noted and is_skipped:
        log.warning("export.skipped", file=shown, reason=reason)
    elif not is_noted:
        log.error("export.unreadable", file=shown, reason=reason)
    if not (is_noted and is_skipped):
        committed(partial(spend_files.keep_problem, key=key, version=version, words=told, at=clock.now()))
    if not is_noted:
        _add_notice(shown, version, told, reason)


def _add_notice(shown: str, version: str, told: str, reason: str) -> None:
    """Adds a notice that this version of the file was not imported."""
    body = {"file": shown, "reason": reason, "words": told}
    key = f"{shown}:{version}"[-MAX_NOTICE_KEY:]
    committed(partial(notices.add, kind=NoticeKind.IMPORT_FAILED, key=key, brand_id=None, body=body, at=clock.now()))


def _words(error: Exception) -> str:
    """The problem in words for a person, with the options that answer a question."""
    if isinstance(error, Question):
        ways = "; ".join(f"{_toml(one.settles)}: {one.label}" for one in error.readings[:6])
        return f"{error.why}; in spendgate.toml choose {ways}"
    if isinstance(error, InvalidValue):
        return error.message if error.field == "file" else str(error)
    if isinstance(error, OSError):
        return f"cannot be read: {spend_folder.reason_of(error)}"
    return f"cannot be read: {type(error).__name__}"


def _toml(settles: object) -> str:
    """The settings of spendgate.toml that choose a reading, such as `unit = 'micros'`, separated by commas."""
    assert isinstance(settles, dict)  # noqa: S101 - a choice says what it settles
    told = []
    for name, value in settles.items():
        if isinstance(value, dict):
            told += [f"{name}.{meaning} = {heading!r}" for meaning, heading in value.items()]
        else:
            told.append(f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}")
    return ", ".join(told)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return spend_folder.reason_of(error)
    if isinstance(error, NotAgreed):
        return "needs_consent"
    if isinstance(error, Question):
        return "needs_an_answer"
    if isinstance(error, InvalidValue) and error.field == spend_folder.OPTIONS_FILE:
        return "bad_options"
    return "refused" if isinstance(error, InvalidValue) else type(error).__name__
