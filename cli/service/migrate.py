"""`spendgate migrate`: brings the database's tables to this version, or takes them back to an earlier one."""

from typing import Annotated, Final, NamedTuple

import typer

from cli import roles
from cli.output import AsJson, console, print_json, print_rows
from db import migrations, spread_tables
from db.migrations import BASE, HEAD, Revision
from domain.errors import InvalidValue
from runtime.settings import settings

NO_TABLES: Final = "the database has no tables"


class Way(NamedTuple):
    """The revisions from the database's (`stored`) to a target, in the order in which they are applied or undone."""

    stored: str
    target: str
    revisions: list[Revision]


def migrate(
    revision: Annotated[str, typer.Argument(help="The target revision: head, or a revision's id.")] = HEAD,
    down: Annotated[
        str | None,
        typer.Option("--down", metavar="REVISION", help="Undo every revision after this one (base: all of them)."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the revisions to apply or undo, and change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Migrate the database's tables to this version. Safe to run again, and while workers run.

    Each revision is one transaction, and is tried again if a lock times out. --down deletes what the undone revisions
    added, with its data.
    """
    settings().required_database_url()
    if down is not None and revision != HEAD:
        raise InvalidValue("revision", "give either a revision (forward) or --down REVISION (back)")
    stored = migrations.stored()
    way = _way(stored, revision) if down is None else _way_back(stored, down)
    if not dry_run:
        if down is None:
            migrate_to(way.target)
        else:
            migrations.downgrade(way.target)
            roles.grant_again()
    _print_way(way, is_down=down is not None, dry_run=dry_run, as_json=as_json)


def migrate_to(revision: str) -> None:
    """Brings the database at DATABASE_URL forward to a revision, sets its roles' privileges and stores the retentions.

    At the newest revision, spreads tables over the servers of a Citus cluster. Raises InvalidValue if the revision does
    not exist, or if a table is spread otherwise than it must be.
    """
    migrations.upgrade(revision)
    if revision in {HEAD, migrations.revisions()[-1].id}:
        spread_tables.spread()
    roles.grant_again()


def _way(stored: str, target: str) -> Way:
    """The revisions after `stored` up to `target`. Raises InvalidValue if `target` is before `stored`."""
    known = _known(stored)
    if target == HEAD:
        target = known[-1].id
    first, last = _place(known, stored), _place(known, target)
    if last < first:
        back = f"the database is at {stored}, after {target}; `spendgate migrate --down {target}` goes back"
        raise InvalidValue("revision", back)
    return Way(stored, target, known[first:last])


def _way_back(stored: str, target: str) -> Way:
    """The revisions after `target` up to `stored`, the newest first. Raises InvalidValue if there are none."""
    known = _known(stored)
    first, last = _place(known, target), _place(known, stored)
    if first >= last:
        at = NO_TABLES if stored == BASE else f"the database is at {stored}"
        raise InvalidValue("--down", f"{at}: there is no revision after {target} to undo")
    return Way(stored, target, known[first:last][::-1])


def _known(stored: str) -> list[Revision]:
    known = migrations.revisions()
    if stored != BASE and stored not in {one.id for one in known}:
        raise InvalidValue("revision", f"the database is at {stored}, which only a later version of Spendgate knows")
    return known


def _place(known: list[Revision], revision: str) -> int:
    """The place of the revision among all, from 1; 0 for `base`. Raises InvalidValue for an unknown revision."""
    ids = [BASE, *(one.id for one in known)]
    if revision not in ids:
        raise InvalidValue("revision", f"{revision} does not exist; the newest is {ids[-1]}")
    return ids.index(revision)


def _print_way(way: Way, *, is_down: bool, dry_run: bool, as_json: bool) -> None:
    at = way.stored if dry_run else way.target
    if as_json:
        listed = [one._asdict() for one in way.revisions]
        print_json({"at": at, "target": way.target, "down": is_down, "dry_run": dry_run, "revisions": listed})
        return
    if dry_run and way.revisions:
        print_rows("To undo" if is_down else "To do", [one._asdict() for one in way.revisions], empty="")
    already = "" if dry_run or way.revisions else " already"
    console.print(NO_TABLES if at == BASE else f"the database is at {at}{already}", highlight=False)
