"""Files of the spend folder whose content was imported before: known, imported again, or left to a person."""

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
    """The file would change something that needs consent, which its options do not give."""


@dataclass(frozen=True)
class Found:
    """A file of the folder as it was read. `at`: its modification time. `name`: as the history has it.

    `sha256_before`: the hash of the content that this path had when it was last imported; None if it never was.
    """

    reading: Reading
    name: str
    at: datetime
    sha256_before: str | None


@dataclass(frozen=True)
class Known:
    """A content that is not imported again. `differing`: the number of its totals of which other figures are known."""

    differing: int


def plan_of(found: Found, options: FolderOptions) -> Plan | Known:
    """The plan of importing the file; `Known` if its content was imported before.

    The plan too, if a person undid that import and the options differ since. Raises NotAgreed if a person undid it
    under the same or unknown options; also if the file replaced another content at its path, other figures are known
    since and `options` does not say `restated`. Raises InvalidValue if the import cannot be planned.
    """
    with snapshot() as connection:
        earlier = history.of_content(connection, found.reading.sha256)
    target = Target(account=options.account)
    if not earlier or earlier[0].status not in {"done", "undone"} or _is_undone_otherwise(earlier, options):
        return plan(found.reading, found.name, target, found.at)
    return _as_newer(found, earlier[0], options, target)


def _is_undone_otherwise(earlier: Sequence[Earlier], options: FolderOptions) -> bool:
    """Whether the newest import of the content is undone, and none was undone under these options.

    Raises NotAgreed if one was, or if the options of the undone one are not known.
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
    """Decides about a content that was imported before, in the import `newest`, by the file's modification time.

    Returns the plan as of that time if the file replaced another content at its path, other figures are known since and
    `options` says `restated`; raises NotAgreed if it does not say so. Else returns `Known`: for a content that states
    its own moment or has sums of new spend, for a file not modified since `newest`, for a path that had no other
    content, and if no figure differs.
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
