"""Commits a plan: creates campaigns, counts the file's totals in batches as reported totals, and writes the history."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from more_itertools import chunked
from sqlalchemy import Connection

from app.imports.answers import ReadOptions
from app.imports.intake import campaigns
from app.imports.intake.left_out import rows_left_out
from app.imports.intake.lookups import Lookup, campaigns_of, known_of, named_days
from app.imports.intake.plans import Plan
from app.ingest.attempts import Attempt
from app.ingest.batches import TotalsBatch
from app.ingest.by_brand import BrandsTimedOut
from app.ingest.count import Counted, count_totals
from app.ingest.ingest import count_totals_now, log_counted
from db.engine import committed, snapshot
from db.repository.access.audit import Edit, Subject, note
from db.repository.imports import days as day_rows
from db.repository.imports import history, mappings
from domain.causes import Cause
from domain.platforms import canonical_or_lower

TOTALS_A_TRANSACTION: Final = 1_000
JUST_AFTER: Final = timedelta(microseconds=1)

Payload = dict[str, object]
Progress = Callable[[int], None]
"""Called after each batch with the number of totals in it."""


@dataclass
class Outcome:
    """The result of an import. `import_id` is None if the history has no row for it (`Plan.is_kept`).

    `brand_id`: the brand in which campaigns were created; None if none was. `taken`: the number of totals that changed
    something; `nothing_new`: the number of totals that changed nothing. `rejections`: (campaign and day, reason) of
    each rejected total, as texts. `held_up`: the errors of batches that were not wholly counted, because a brand was
    locked.
    """

    import_id: int | None = None
    campaigns_made: int = 0
    brand_id: int | None = None
    taken: int = 0
    nothing_new: int = 0
    rejections: list[tuple[str, str]] = field(default_factory=list)
    held_up: list[BrandsTimedOut] = field(default_factory=list)

    def add(self, counted: Counted) -> None:
        """Adds the result of a batch."""
        self.taken += counted.taken
        self.nothing_new += counted.known
        self.rejections += [(_key_of(one.payload), f"{one.reason}: {one.detail}") for one in counted.rejections]


def commit(
    plan: Plan, edit: Edit, progress: Progress = lambda _: None, *, folder_options: str | None = None
) -> Outcome:
    """Imports a plan, in several transactions, and returns the outcome.

    If a brand stays locked, counts all other totals, marks the import as partial and then raises BrandsTimedOut. Raises
    Refused or InvalidValue, and writes nothing, if missing campaigns cannot be created in the plan's brand any more.

    `progress`: called after each batch with the number of its totals. `folder_options`: the version of the spend
    folder's options; None: a person imports, so an import with a row in the history also adds an audit entry and stores
    the person's choices for the layout.
    """
    outcome = Outcome()
    if plan.missing and plan.target.brand is not None:
        outcome.campaigns_made, outcome.brand_id = campaigns.create_missing(plan, edit)
    if plan.is_kept:
        begin = partial(_begin, plan=plan, outcome=outcome, edit=edit, folder_options=folder_options)
        outcome.import_id = committed(begin)
    for some in chunked(_payloads(plan), TOTALS_A_TRANSACTION):
        _count(some, plan, outcome)
        progress(len(some))
    if outcome.import_id is not None:
        committed(partial(_end, plan=plan, outcome=outcome, import_id=outcome.import_id))
    if outcome.held_up:
        raise outcome.held_up[0]
    return outcome


def settled_by(options: ReadOptions) -> dict[str, object]:
    """The options that a person chose for the file and that also apply to the next file of its layout."""
    chosen: dict[str, object] = {
        "platform": None if options.platform is None else canonical_or_lower(options.platform),
        "columns": dict(options.columns) or None,
        "unit": options.unit,
        "decimal": options.decimal,
        "day_order": options.day_order,
        "sum_rows": options.sum_rows,
        "evening_times": options.evening_times,
        "name_as_id": options.name_as_id or None,
    }
    return {name: value for name, value in chosen.items() if value is not None}


def _begin(connection: Connection, plan: Plan, outcome: Outcome, edit: Edit, *, folder_options: str | None) -> int:
    reading = plan.reading
    settled = settled_by(reading.options)
    switched = {name: True for name in ("delta", "keep_duplicates") if getattr(reading.options, name)}
    brand_ids = {brand.id for brand in plan.brands} | {outcome.brand_id}
    new = history.NewImport(
        platform=plan.platform,
        account=plan.target.account or reading.account,
        brand_ids=sorted(brand_id for brand_id in brand_ids if brand_id is not None),
        source=plan.source,
        file_name=plan.file_name,
        sha256=reading.sha256,
        layout=reading.layout,
        options=settled | switched | ({} if folder_options is None else {history.FOLDER_OPTIONS: folder_options}),
        imported_by=edit.by,
        imported_at=edit.at,
        as_of=plan.as_of,
        rows=reading.rows,
        campaign_days=len(reading.totals),
        first_day=reading.first_day,
        last_day=reading.last_day,
        sum_micros=plan.sum_micros,
        campaigns_made=outcome.campaigns_made,
    )
    import_id = history.begin(connection, new)
    if folder_options is None:
        told = {"file": plan.file_name, "platform": plan.platform, "totals": plan.tally.changes, "sha256": new.sha256}
        note(connection, edit, "import", Subject("import", import_id, _only_brand(new.brand_ids)), None, told)
        if settled:
            mappings.keep(connection, reading.layout, settled, edit.by, edit.at)
    return import_id


def _only_brand(brand_ids: Sequence[int]) -> int | None:
    return brand_ids[0] if len(brand_ids) == 1 else None


def _end(connection: Connection, plan: Plan, outcome: Outcome, import_id: int) -> None:
    left_out = rows_left_out(plan.reading, outcome.rejections)
    if left_out:
        history.add_left_out(connection, import_id, left_out)
    history.end(
        connection,
        import_id,
        "partial" if outcome.held_up else "done",
        taken=day_rows.counts(connection, import_id)[0],
        nothing_new=outcome.nothing_new,
        rejected=len(outcome.rejections),
        skipped_rows=len(plan.reading.bad_rows),
    )


def _payloads(plan: Plan) -> Iterator[Payload]:
    """Yields the file's totals as inputs of reported totals, then a total of 0 for each day that vanished."""
    reading = plan.reading
    common: Payload = {"platform": plan.platform}
    if plan.account is not None:
        common["account"] = plan.account
    said = {"currency": reading.currency}
    for some in campaigns_of(reading):
        with snapshot() as connection:
            lookup = Lookup(connection, plan.platform, plan.account)
            lookup.find(some)
            named = list(named_days(reading, some, lookup))
            known = known_of(connection, plan.sources, named)
        facts = {(one.external_id, one.day): known[one.account.campaign_id, one.day] for one in named}
        for external_id in some:
            for day, micros in sorted(reading.totals.campaigns[external_id].items()):
                fact = facts.get((external_id, day))
                at = plan.as_of if fact is None else _moment(plan.as_of, fact)
                yield common | said | {
                    "source": plan.source if fact is None or fact.source is None else fact.source,
                    "external_id": external_id,
                    "day": day.isoformat(),
                    "total_micros": micros,
                    "as_of": at.isoformat(),
                }  # fmt: skip
    for gone in plan.vanished:
        yield {
            "source": gone.source,
            "campaign_id": gone.campaign_id,
            "day": gone.day.isoformat(),
            "total_micros": 0,
            "as_of": max(plan.as_of, gone.as_of + JUST_AFTER).isoformat(),
        }


def _moment(as_of: datetime, known: day_rows.KnownDay) -> datetime:
    """The `as_of` with which a total is reported: the file's, which is the parameter `as_of`.

    If undoing an import put an older figure back under a later `as_of`, returns 1 µs after that later one, so that the
    total counts as newer.
    """
    is_undone = known.as_of != known.true_as_of
    is_newer = known.true_as_of is None or known.true_as_of < as_of
    if is_undone and is_newer and known.as_of is not None and known.as_of >= as_of:
        return known.as_of + JUST_AFTER
    return as_of


def _count(some: Sequence[Payload], plan: Plan, outcome: Outcome) -> None:
    try:
        outcome.add(counted_for(some, partial(_keep, import_id=outcome.import_id, sources=plan.sources)))
    except BrandsTimedOut as error:
        outcome.add(error.counted)
        outcome.held_up.append(error)


Note = Callable[[Connection, Sequence[TotalsBatch], Counted], None]
"""A function that writes rows in the transaction that counts a batch."""


def counted_for(payloads: Sequence[Payload], note_counted: Note) -> Counted:
    """Counts totals, calls `note_counted` in each transaction, announces status changes, and returns the counts.

    If a brand stays locked, raises BrandsTimedOut after all other totals are counted.
    """

    def count(
        connection: Connection,
        checks_ledger: bool,
        *,
        batches: Sequence[TotalsBatch],
        only_brand_id: int | None,
        attempt: Attempt | None = None,
    ) -> list[Counted]:
        counted = count_totals(connection, checks_ledger, batches=batches, only_brand_id=only_brand_id, attempt=attempt)
        for one in counted:
            note_counted(connection, batches, one)
        return counted

    counted = count_totals_now(payloads, count)
    log_counted("totals.ingested", counted, Cause.REPORTED_TOTAL)
    return counted


def _keep(
    connection: Connection,
    batches: Sequence[TotalsBatch],
    counted: Counted,
    import_id: int | None,
    sources: Sequence[str],
) -> None:
    if import_id is not None and counted.campaign_ids:
        days = {draft.day for batch in batches for draft in batch.drafts}
        day_rows.keep_changed(connection, import_id, sources, (counted.brand_ids, counted.campaign_ids), days)


def _key_of(payload: object) -> str:
    """The campaign and day of a rejected total, for people."""
    if not isinstance(payload, dict):
        return ""
    return f"{payload.get('external_id') or payload.get('campaign_id')} {payload.get('day')}"
