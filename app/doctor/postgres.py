"""Checks of Postgres: version, safety of commits, tables, roles, connections, clock and disk."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from sqlalchemy import Connection, NullPool
from sqlalchemy.exc import DBAPIError, ProgrammingError

from app import clock_guard
from app.doctor.findings import Finding, right, unsafe, wrong
from db import migrations
from db.connections import ProcessKind, most_connections, processes_of_settings
from db.pool import make_engine
from db.repository.access.privileges import DatabaseRole
from db.repository.health import processes, servers
from db.repository.health.processes import Process
from db.repository.health.servers import ServerFacts
from db.repository.spread import citus
from db.repository.spread.citus import Server
from runtime.formats import first_of
from runtime.settings import is_embedded, settings

OLDEST_VERSION: Final = 150_000
SAFE_COMMITS: Final = frozenset({"on", "remote_apply", "local", "remote_write"})
STANDBY_COMMITS: Final = frozenset({"on", "remote_apply", "remote_write"})
MIN_FREE_SHARE: Final = 0.1
NAMED: Final = 3
"""Missing privileges that a finding names, at most."""

CLOCK_ADVICE: Final = "set both clocks by NTP: until then the process decides nothing"
FEWER_CONNECTIONS: Final = (
    "raise max_connections, or lower SPENDGATE_WORKER_THREADS, SPENDGATE_WORKER_PROCESSES or SPENDGATE_WEB_THREADS"
)
GIB: Final = 2**30
MIB: Final = 2**20

FactCheck = Callable[[ServerFacts], Iterator[Finding]]


@contextmanager
def _connected() -> Iterator[Connection]:
    """Opens a connection outside the process's pool for the block, so that a master can check before it forks."""
    engine = make_engine(settings().required_database_url(), pool_size=1, pool_class=NullPool)
    with engine.connect() as connection:
        yield connection


def findings() -> Iterator[Finding]:
    """Runs all checks of Postgres and yields their findings; the last one says if it cannot be reached."""
    try:
        with _connected() as connection:
            facts = servers.facts(connection)
            for check in AT_START:
                yield from check(facts)
            yield from _connections(connection, facts)
            yield from _disk(facts)
            yield from _clock(connection)
            yield from _tables(connection)
            yield from _spread(connection)
            yield from _roles(connection, facts)
            yield from _processes(connection)
    except DBAPIError as error:
        yield _unreachable(error)


def findings_at_start() -> Iterator[Finding]:
    """Yields the findings of the checks that a process repeats at its start; none if Postgres cannot be reached."""
    try:
        with _connected() as connection:
            facts = servers.facts(connection)
            found = [finding for check in AT_START for finding in check(facts)]
            found += _connections(connection, facts)
    except DBAPIError:
        return
    yield from found


def _unreachable(error: DBAPIError) -> Finding:
    line = str(error.orig).strip().partition("\n")[0]
    is_refused = isinstance(error.orig, psycopg.errors.InsufficientPrivilege)
    advice = "use a login of `spendgate create-roles`" if is_refused else "check DATABASE_URL, and that Postgres runs"
    if "startup parameter" in line:
        advice = "set ignore_startup_parameters = options in PgBouncer's configuration"
    return wrong("postgres", line, advice)


def _version(facts: ServerFacts) -> Iterator[Finding]:
    found = f"Postgres {facts['version']}, database {facts['database']}, login {facts['login']}"
    if facts["version_number"] < OLDEST_VERSION:
        yield wrong("postgres", found, "upgrade to Postgres 15 or later")
    elif facts["is_replica"]:
        yield wrong("postgres", f"{found}: a replica, which takes no writes", "name the primary in DATABASE_URL")
    else:
        yield right("postgres", found)


def _commits(facts: ServerFacts) -> Iterator[Finding]:
    names = ("fsync", "full_page_writes")
    off = [f"{name} = off" for name in names if facts[name] == "off"]
    if facts["synchronous_commit"] not in SAFE_COMMITS:
        off.append(f"synchronous_commit = {facts['synchronous_commit']}")
    if off:
        yield wrong("commits", ", ".join(off), "turn it on: a crash would lose spend that was acknowledged")
    else:
        yield right("commits", "on disk before they are acknowledged")


_AFTER_A_FAILOVER: Final = {
    True: "set synchronous_standby_names; else run `spendgate replay` after a failover, and repeat people's last edits",
    False: "set synchronous_standby_names or SPENDGATE_KEEP_MESSAGES_MINUTES; else let producers send again",
}
"""The advice without a synchronous standby, by whether messages are kept after their commit."""


def _standby(facts: ServerFacts) -> Iterator[Finding]:
    names = facts["synchronous_standbys"]
    if is_embedded(settings()):
        yield right("standby", "none: an embedded server is for one machine")
    elif not names:
        yield unsafe(
            "standby",
            "no synchronous standby: if this server is lost, so are its last commits",
            _AFTER_A_FAILOVER[settings().keep_messages_minutes > 0],
        )
    elif facts["synchronous_commit"] not in STANDBY_COMMITS:
        found = f"{names}, but synchronous_commit = {facts['synchronous_commit']} does not wait for it"
        yield unsafe("standby", found, "set synchronous_commit = on")
    else:
        yield right("standby", f"synchronous_standby_names = {names}")


def _connections(connection: Connection, facts: ServerFacts) -> Iterator[Finding]:
    """Yields one finding: whether Postgres has enough connections, if all processes have the settings of this one."""
    read, free = settings(), facts["free_for_all"]
    planned = processes_of_settings(read)
    live = Counter(one.kind for one in _live(connection))
    counts = {kind: max(count, live[kind]) for kind, count in planned.items()}
    most = most_connections(read, counts)
    parts = ", ".join(f"{most[kind]} by {counts[kind]} {kind}" for kind in counts)
    found = f"up to {sum(most.values())}: {parts}; the server has {free}"
    if sum(most_connections(read, planned).values()) > free:
        yield wrong("connections", found, FEWER_CONNECTIONS)
    elif sum(most.values()) > free:
        ended = f"processes that ended within {processes.LIVE_SECONDS:.0f} s are counted too"
        yield unsafe("connections", found, f"{FEWER_CONNECTIONS}, or stop some processes; {ended}")
    else:
        yield right("connections", found)


def _live(connection: Connection) -> list[Process]:
    """The processes that reported lately; none without their table, or without the right to read it."""
    try:
        with connection.begin_nested():
            return processes.live(connection)
    except ProgrammingError:
        return []


def _disk(facts: ServerFacts) -> Iterator[Finding]:
    size = f"the database has {facts['database_bytes'] / GIB:.1f} GiB"
    folder = facts["data_directory"]
    try:
        usage = shutil.disk_usage(Path(folder)) if folder else None
    except OSError:
        usage = None
    if usage is None:
        yield right("disk", f"{size}; the free space of its disk cannot be read from here")
    elif usage.free < MIN_FREE_SHARE * usage.total:
        yield wrong(
            "disk", f"{size}, its disk {usage.free / GIB:.1f} GiB free", "make room: a full disk stops counting"
        )
    else:
        yield right("disk", f"{size}, its disk {usage.free / GIB:.1f} GiB free")


AT_START: Final[tuple[FactCheck, ...]] = (_version, _commits, _standby)


def _clock(connection: Connection) -> Iterator[Finding]:
    if settings().clock_is_driven:
        yield right("clock", "driven by SPENDGATE_CLOCK_START or SPENDGATE_CLOCK_SPEED")
        return
    offset = clock_guard.measured_offset(connection)
    found = clock_guard.in_words(offset)
    if clock_guard.is_too_large(offset):
        yield wrong("clock", found, CLOCK_ADVICE)
    else:
        yield right("clock", found)


def _processes(connection: Connection) -> Iterator[Finding]:
    try:
        live = processes.live(connection)
    except ProgrammingError:  # tables of an earlier revision, which another check names
        return
    counts = Counter(one.kind for one in live)
    found = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "none"
    found = f"{found} reported within {processes.LIVE_SECONDS:.0f} s"
    off = [one for one in live if one.clock_offset is not None and clock_guard.is_too_large(one.clock_offset)]
    versions = sorted({one.version for one in live})
    if off:
        named = ", ".join(
            f"{one.kind} {one.pid} on {one.host}: {clock_guard.in_words(one.clock_offset)}" for one in off
        )
        yield wrong("processes", f"{found}; {named}", CLOCK_ADVICE)
    elif len(versions) > 1:
        found = f"{found}, of versions {', '.join(versions)}"
        yield unsafe("processes", found, "restart the processes of the older version")
    elif not counts[ProcessKind.WORKER]:
        yield unsafe("processes", found, "start a worker: nothing is counted without one")
    else:
        yield right("processes", f"{found}, version {versions[0]}")


def _tables(connection: Connection) -> Iterator[Finding]:
    stored, known = servers.revision(connection), [one.id for one in migrations.revisions()]
    if stored is None:
        yield wrong("tables", "the database has none", "run `spendgate migrate`")
    elif stored == known[-1]:
        yield right("tables", f"at revision {stored}, as this version needs them")
    elif stored in known:
        yield wrong("tables", f"at revision {stored}, this version needs {known[-1]}", "run `spendgate migrate`")
    else:
        advice = "install that version, or go back with its `spendgate migrate --down`"
        yield wrong("tables", f"at revision {stored}, of a later version than this, which needs {known[-1]}", advice)


def _spread(connection: Connection) -> Iterator[Finding]:
    if not citus.has_citus(connection):
        return
    known = citus.tables(connection)
    unlike = [*citus.drift(known), *(f"{name} is not spread" for name in citus.missing(known))]
    if unlike:
        yield wrong("servers", "; ".join(unlike[:NAMED]), "run `spendgate migrate`; undo what was spread by hand")
        return
    yield from of_servers(citus.servers(connection))


def of_servers(found: Sequence[Server]) -> Iterator[Finding]:
    """Yields one finding: the brands and bytes on each server of a Citus cluster, and which servers do not answer."""
    listed = "; ".join(
        f"{one.name} does not answer, and has {one.parts} parts of the brands"
        if one.bytes is None
        else f"{one.name} has {one.brands} brands in {one.parts} parts, {_size(one.bytes)}"
        for one in found
    )
    if any(one.bytes is None for one in found):
        yield wrong("servers", listed, "start that server, or its standby: its brands wait in the queue")
    else:
        yield right("servers", listed)


def _size(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.1f} MiB"


def _roles(connection: Connection, facts: ServerFacts) -> Iterator[Finding]:
    roles = servers.roles_of_database(connection, facts["database"])
    missing = servers.missing_privileges(connection, roles)
    if missing:
        named = first_of([f"{one.privilege} on {one.table} of {one.role}" for one in missing], NAMED)
        yield wrong("roles", f"missing: {named}", "run `spendgate migrate` as the migrator: it grants them")
    elif not set(DatabaseRole) <= roles.keys():
        found = "every process may change and delete everything"
        yield unsafe("roles", found, "run `spendgate create-roles`, and give each process its own login")
    elif facts["is_superuser"]:
        yield unsafe("roles", f"{facts['login']} is a superuser", "give each process its role's login")
    else:
        yield right("roles", f"{len(roles)} roles have the privileges that this version needs")
