"""Decides about files of the spend folder whose content was imported before: skip, import again, or ask a person."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from app.imports.answers import Reading
from app.imports.folder_options import FolderOptions
from app.imports.intake.plans import Plan, Target, plan
from db.engine import snapshot
from db.repository.imports import history
from db.repository.imports.history import Earlier
from domain.edits.words import counted
from domain.errors import InvalidValue
from runtime.formats import instant


class NotAgreed(InvalidValue):
    """The import needs the consent of a person, which the options of the spend folder do not give."""


@dataclass(frozen=True)
class Found:
    """A file of the spend folder as it was read. `name`: its path in the folder.

    `at`: its modification time, or the time of reading if that is earlier.

    `sha256_before`: the hash of the content that this path had when it was last imported; None if it never was.
    """

    reading: Reading
    name: str
    at: datetime
    sha256_before: str | None


@dataclass(frozen=True)
class Known:
    """A content that is not imported again.

    `differing`: the number of totals that another import, as of the file's modification time, would change; 0 also if
    that was not computed.
    """

    differing: int


def plan_of(found: Found, options: FolderOptions) -> Plan | Known:
    """The plan of importing the file; `Known` if its content was imported before and is not imported again.

    Plans another import of a known content if its newest import did not end or was partial; if that import was undone
    and the options differ since; or if the file replaced another content at its path, other figures are known since,
    and `options` says `restated`. Raises NotAgreed if only `restated` is missing, or if the undone import was made
    under the same options or by a person. Raises InvalidValue if the import cannot be planned.
    """
    with snapshot() as connection:
        earlier = history.of_content(connection, found.reading.sha256)
    target = Target(account=options.account)
    if not earlier or earlier[0].status not in {"done", "undone"} or _is_undone_otherwise(earlier, options):
        return plan(found.reading, found.name, target, found.at)
    return _as_newer(found, earlier[0], options, target)


def _is_undone_otherwise(earlier: Sequence[Earlier], options: FolderOptions) -> bool:
    """Whether the newest import of the content is undone and no import under these options was undone.

    `earlier`: the imports, newest first, at least one. Raises NotAgreed if the newest one is undone and was made by a
    person, or if an import under these options was undone too.
    """
    newest = earlier[0]
    if newest.status != "undone":
        return False
    undone = {one.folder_options for one in earlier if one.status == "undone"}
    if newest.folder_options is not None and options.version not in undone:
        return True
    raise NotAgreed(
        "file",
        f"has the content of import {newest.id}, which {newest.undone_by} undid: it is imported again when "
        "spendgate.toml changes, or with spendgate import",
    )


def _as_newer(found: Found, newest: Earlier, options: FolderOptions, target: Target) -> Plan | Known:
    """Decides by the file's modification time about a content that was imported before, by the import `newest`.

    Returns `Known` if the content states its own moment or adds to known totals (a delta), if the file was not modified
    after the `as_of` of `newest`, if its path had no other content before, or if no figure would change. For any other
    file returns the plan as of its modification time if `options` says `restated`, and raises NotAgreed if not. Raises
    InvalidValue if that import cannot be planned.
    """
    reading = found.reading
    if reading.as_of != found.at or reading.is_delta or found.at <= newest.as_of:
        return Known(0)
    as_newer = replace(
        reading,
        as_of=found.at,
        as_of_source="the file's time of change",
        options=replace(reading.options, as_of=found.at),
    )
    was_replaced = found.sha256_before not in {None, reading.sha256}
    if not was_replaced:
        with suppress(InvalidValue):
            return Known(_differing(plan(as_newer, found.name, target, found.at)))
        return Known(0)
    wanted = plan(as_newer, found.name, target, found.at)
    if not _differing(wanted):
        return Known(0)
    if options.restated:
        return wanted
    raise NotAgreed(
        "file",
        f"has the content of import {newest.id} again, as of {instant(newest.as_of)}, and other figures of "
        f"{counted(_differing(wanted), 'total')} are known since: it is a copy of the old file, or its figures were "
        "restated back; restated = true in spendgate.toml imports it as of its time of change",
    )


def _differing(wanted: Plan) -> int:
    return wanted.tally.changes + len(wanted.vanished)
