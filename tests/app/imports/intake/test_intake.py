"""Plans of imports beside what is known, their commit, and undo."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from app.edits import editing, moves
from app.imports.answers import Choice, Question, ReadOptions, Refused
from app.imports.intake.commit import Outcome, commit
from app.imports.intake.plans import Plan, Target, plan
from app.imports.intake.settled import offered
from app.imports.intake.undo import undo, undoing
from app.imports.intake.words import concerns
from app.imports.reading import read_file
from app.ingest.by_brand import BrandsTimedOut
from app.ingest.count import count_totals
from app.ingest.ingest import count_totals_now
from db.engine import committed
from db.repository.access.audit import Edit
from domain.errors import InvalidValue
from runtime import clock
from tests.kit import wait_for_locks
from tests.world import UNIT, World

HEADER = "campaign_id,date,spend\n"
ADDED = "account_id,campaign_id,date,spend\n"
EARLY, LATE = datetime(2026, 6, 10, tzinfo=UTC), datetime(2026, 6, 12, tzinfo=UTC)


class Files:
    """Files of Meta, imported by one person into one brand with campaigns 7 and 8."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.set_clock("2026-06-17T12:00:00Z")
        self.brand = world.brand()
        self.campaign = world.campaign(self.brand, platform="meta_ads", external_id="7")
        self.other = world.campaign(self.brand, platform="meta_ads", external_id="8")

    def plan(self, text: str, modified_at: datetime = EARLY, target: Target | None = None, **options: Any) -> Plan:
        """The plan of importing the text."""
        read = ReadOptions(platform="meta_ads", **options)
        reading = read_file(io.BytesIO(text.encode()), "a.csv", read, modified_at)
        return plan(reading, "a.csv", target or Target(), modified_at)

    def take(self, text: str, modified_at: datetime = EARLY, target: Target | None = None, **options: Any) -> Outcome:
        """Imports the text, whatever it changes."""
        return commit(self.plan(text, modified_at, target, **options), self.edit())

    def edit(self) -> Edit:
        """The person who imports, and the moment."""
        return Edit("user:ops@example.com", clock.now())

    def spent(self, day: str = "2026-06-01", campaign: int = 0) -> float:
        """Units of campaign 7, or another, on a day."""
        return self.world.spent(campaign or self.campaign, day) / UNIT


@pytest.fixture
def files(world: World) -> Files:
    return Files(world)


def test_an_import_is_kept_with_what_it_changed(world: World, files: Files) -> None:
    outcome = files.take(HEADER + "7,2026-06-01,10\n7,2026-06-02,5\n9,2026-06-01,1\n")
    kept = world.one("SELECT * FROM imports")
    assert (kept["id"], kept["status"], kept["imported_by"]) == (outcome.import_id, "done", "user:ops@example.com")
    assert (kept["taken"], kept["rejected"], kept["rows"], kept["brand_ids"]) == (2, 1, 3, [files.brand])
    assert kept["sum_micros"] == {"USD": 16 * UNIT}
    days = world.rows("SELECT day, before_micros, after_micros FROM import_days ORDER BY day")
    assert [(str(one["day"]), one["before_micros"], one["after_micros"]) for one in days] == [
        ("2026-06-01", None, 10 * UNIT),
        ("2026-06-02", None, 5 * UNIT),
    ]
    (skipped,) = world.rows("SELECT line, cell, reason FROM import_skipped_rows")
    assert (skipped["line"], skipped["cell"]) == (0, "9 2026-06-01")
    assert skipped["reason"].startswith("unknown_campaign")
    assert [row["action"] for row in world.rows("SELECT action FROM audit_entries WHERE subject = 'import'")] == [
        "import"
    ]
    world.verify()


def test_the_same_file_again_changes_nothing_and_is_not_kept_twice(world: World, files: Files) -> None:
    text = HEADER + "7,2026-06-01,10\n"
    files.take(text)
    again = files.plan(text)
    assert again.changes_nothing
    assert again.earlier[0].imported_by == "user:ops@example.com"
    assert (commit(again, files.edit()).import_id, files.spent()) == (None, 10)
    assert len(world.rows("SELECT FROM imports")) == 1


# --- undo


def test_undo_puts_back_what_was_known_before_and_is_audited(world: World, files: Files) -> None:
    files.take(HEADER + "7,2026-06-01,10\n")
    second = files.take(HEADER + "7,2026-06-01,25\n8,2026-06-01,3\n", LATE).import_id
    assert second is not None
    undo(second, files.edit())
    assert (files.spent(), files.spent(campaign=files.other)) == (10, 0)
    kept = world.one("SELECT status, undone_by FROM imports WHERE id = %s", second)
    assert kept == {"status": "undone", "undone_by": "user:ops@example.com"}
    assert len(world.rows("SELECT FROM audit_entries WHERE subject = 'import' AND action = 'undo'")) == 1
    with pytest.raises(InvalidValue, match="was undone by"):
        undo(second, files.edit())
    world.verify()


def test_undo_leaves_totals_that_changed_since(world: World, files: Files) -> None:
    first = files.take(HEADER + "7,2026-06-01,10\n7,2026-06-02,10\n").import_id
    files.take(HEADER + "7,2026-06-01,12\n", LATE)
    assert first is not None
    assert (len(undoing(first).restored), undoing(first).kept) == (1, 1)
    undo(first, files.edit())
    assert (files.spent("2026-06-01"), files.spent("2026-06-02")) == (12, 0)
    world.verify()


def test_imports_are_undone_one_after_the_other_the_last_first(world: World, files: Files) -> None:
    ids = [
        files.take(HEADER + f"7,2026-06-01,{units}\n", EARLY + timedelta(days=number)).import_id
        for number, units in enumerate((10, 20, 30))
    ]
    seen = []
    for import_id in reversed(ids):
        undo(import_id or 0, files.edit())
        seen.append(files.spent())
    assert seen == [20, 10, 0]
    world.verify()


def test_a_file_that_was_undone_is_imported_again_with_another_unit(world: World, files: Files) -> None:
    text = HEADER + "7,2026-06-01,1000000\n"
    for unit, units in (("currency", 1_000_000), ("micros", 1), ("currency", 1_000_000)):
        outcome = files.take(text, unit=unit)
        assert files.spent() == units
        undo(outcome.import_id or 0, files.edit())
        assert files.spent() == 0
    world.verify()


def test_undo_enforces(world: World, files: Files) -> None:
    world.limit(5 * UNIT, "lifetime", campaign=files.campaign)
    outcome = files.take(HEADER + "7,2026-06-01,10\n")
    assert not world.is_active(files.campaign)
    undo(outcome.import_id or 0, files.edit())
    assert world.is_active(files.campaign)
    world.verify()


# --- deltas


def test_a_delta_adds_to_what_is_known_and_counts_once(world: World, files: Files) -> None:
    files.take(HEADER + "7,2026-06-01,10\n")
    delta = HEADER + "7,2026-06-01,2.5\n"
    for at in (LATE, LATE, LATE + timedelta(days=1)):
        files.take(delta, at, delta=True)
        assert files.spent() == 12.5
    files.take(HEADER + "7,2026-06-01,1.5\n", LATE, delta=True)
    assert files.spent() == 14
    undo(2, files.edit())
    assert files.spent() == 11.5
    world.verify()


# --- consent


@pytest.mark.parametrize(("units", "is_asked"), [("9.00", False), ("8.99", True), ("10", False), ("11", False)])
def test_a_total_that_falls_by_more_than_a_tenth_needs_consent(files: Files, units: str, is_asked: bool) -> None:
    files.take(HEADER + "7,2026-06-01,10.00\n")
    wanted = files.plan(HEADER + f"7,2026-06-01,{units}\n", LATE)
    assert wanted.needs_consent == is_asked
    assert [one.startswith("falls by more than a tenth") for one in concerns(wanted)] == [True] * is_asked


def test_a_day_with_live_spend_needs_consent_the_first_time(world: World, files: Files) -> None:
    world.spend(files.campaign, 4 * UNIT, "2026-06-01T10:00:00Z")
    text = HEADER + "7,2026-06-01,10\n7,2026-06-02,1\n"
    wanted = files.plan(text)
    assert wanted.tally.elsewhere.count == 1
    (told,) = concerns(wanted)
    assert "$4.00 from live events" in told
    assert "add $10.00" in told
    commit(wanted, files.edit())
    assert files.spent() == 14
    assert not files.plan(text, LATE).needs_consent


def test_days_that_a_complete_file_of_the_account_has_no_more_become_zero(world: World, files: Files) -> None:
    files.take(ADDED + "act1,7,2026-06-01,10\nact1,8,2026-06-01,5\nact1,8,2026-06-09,5\n")
    later = ADDED + "act1,7,2026-06-01,10\nact1,7,2026-06-03,1\n"
    assert files.plan(later, LATE).vanished == ()
    assert files.plan(later.replace("act1", "act2"), LATE, complete=True).vanished == ()
    wanted = files.plan(later, LATE, complete=True)
    assert [(one.external_id, str(one.day)) for one in wanted.vanished] == [("8", "2026-06-01")]
    assert wanted.needs_consent
    outcome = commit(wanted, files.edit())
    assert (files.spent(campaign=files.other), world.spent(files.other, "2026-06-09")) == (0, 5 * UNIT)
    undo(outcome.import_id or 0, files.edit())
    assert files.spent(campaign=files.other) == 5
    world.verify()


THREE_DAYS = "act1,7,2026-06-01,10\nact1,7,2026-06-02,11\nact1,8,2026-06-02,5\n"


@pytest.mark.parametrize("is_moved", [True, False], ids=["moved", "renamed"])
def test_days_before_a_campaigns_id_passed_on_are_not_missing_from_a_complete_file(
    world: World, files: Files, is_moved: bool
) -> None:
    files.take(ADDED + THREE_DAYS)
    if is_moved:
        moved = moves.move(moves.Move(files.campaign, world.brand(name="Other")), files.edit())
        assert str(moved.from_day) == "2026-06-17"
    else:
        changes = {"external_id": "77"}
        committed(lambda connection: editing.edit_campaign(connection, files.campaign, changes, files.edit()))
    wanted = files.plan(ADDED + THREE_DAYS.replace(",5", ",6"), LATE, complete=True)
    assert (wanted.vanished, wanted.needs_consent, wanted.tally.changed.count) == ((), False, 1)
    unreadable = files.plan(ADDED + THREE_DAYS.replace("7,2026-06-02,11", "7,2026-06-02,n/a"), LATE, complete=True)
    assert (unreadable.vanished, len(unreadable.reading.incomplete)) == ((), 1)
    less = files.plan(ADDED + THREE_DAYS.replace("act1,7,2026-06-02,11\n", ""), LATE, complete=True)
    assert [(one.campaign_id, str(one.day)) for one in less.vanished] == [(files.campaign, "2026-06-02")]
    assert "campaign None" not in "".join(concerns(less))
    commit(less, files.edit())
    assert (files.spent("2026-06-01"), files.spent("2026-06-02")) == (10, 0)
    world.verify()


@pytest.mark.parametrize("row", ["act1,8,17 June,5\n", "act1,12.5,2026-06-01,5\n"])
def test_row_of_an_unknown_campaign_or_day_lets_no_day_become_zero(files: Files, row: str) -> None:
    files.take(ADDED + "act1,7,2026-06-01,10\nact1,8,2026-06-01,5\n")
    wanted = files.plan(ADDED + "act1,7,2026-06-01,10\n" + row, LATE, complete=True)
    assert (wanted.vanished, wanted.reading.is_complete) == ((), False)
    assert "no missing day becomes zero" in wanted.warnings[0]


def test_rows_in_another_currency_are_not_missing(world: World, files: Files) -> None:
    headings = "account_id,campaign_id,date,spend,currency\n"
    euros = world.campaign(world.brand(currency="EUR"), platform="meta_ads", external_id="9")
    text = headings + "act1,7,2026-06-01,10,USD\nact1,9,2026-06-01,5,EUR\n"
    for currency in ("EUR", "USD"):
        files.take(text, currency=currency)
    wanted = files.plan(text.replace(",10,", ",11,"), LATE, complete=True, currency="USD")
    assert (wanted.vanished, world.spent(euros, "2026-06-01")) == ((), 5 * UNIT)


# --- which figures are newer


def test_an_older_export_imported_later_changes_nothing(world: World, files: Files) -> None:
    files.take(HEADER + "7,2026-06-01,12\n", LATE)
    wanted = files.plan(HEADER + "7,2026-06-01,10\n", EARLY)
    assert (wanted.tally.older, wanted.changes_nothing) == (1, True)
    commit(wanted, files.edit())
    assert files.spent() == 12


def test_a_copy_of_an_older_export_is_no_newer_for_its_time_of_change(world: World, files: Files) -> None:
    old = HEADER + "7,2026-06-01,10\n"
    files.take(old, EARLY)
    files.take(HEADER + "7,2026-06-01,12\n", LATE)
    copied = files.plan(old, LATE + timedelta(days=1))
    assert (copied.as_of, copied.changes_nothing) == (EARLY, True)
    assert files.plan(old, as_of=LATE + timedelta(days=1)).tally.changed.count == 1


def test_other_figures_of_the_same_moment_are_refused_with_the_way_out(files: Files) -> None:
    files.take(HEADER + "7,2026-06-01,10\n")
    with pytest.raises(Refused, match=r"7 on 2026-06-01 has 11\.00, and 10\.00 is known.*--as-of"):
        files.plan(HEADER + "7,2026-06-01,11\n")


def test_a_time_of_change_ahead_of_our_clock_is_taken_for_now(files: Files) -> None:
    wanted = files.plan(HEADER + "7,2026-06-01,10\n", datetime(2027, 1, 1, tzinfo=UTC))
    assert wanted.as_of == clock.now()


# --- the brand's currency and time zone


def test_another_currency_than_the_brands_is_refused_naming_both(files: Files) -> None:
    with pytest.raises(Refused, match="is in EUR, and brand Brand in USD"):
        files.plan("campaign_id,date,spend,currency\n7,2026-06-01,10,EUR\n")


def test_another_time_zone_than_the_brands_is_refused_naming_both(files: Files) -> None:
    text = "Report time zone: America/New_York\n\ncampaign_id,date,spend\n7,2026-06-01,10.00\n"
    with pytest.raises(Refused, match=r"days in .*America/New_York.*, and brand Brand has them in UTC"):
        files.plan(text)


def test_days_that_begin_at_another_moment_than_the_brands_are_refused(files: Files) -> None:
    text = "campaign_id,start_time,spend\n7,2026-06-01T00:00:00.000-07:00,10.00\n"
    with pytest.raises(Refused, match=r"2026-06-01 begins at 2026-06-01T00:00:00\+00:00 for brand Brand in UTC"):
        files.plan(text)


def test_a_new_brand_takes_the_files_currency(world: World, files: Files) -> None:
    text = "campaign_id,date,spend,currency\nnew,2026-06-01,10,EUR\n"
    files.take(text, target=Target("Fresh", "Europe/Berlin"))
    made = world.one("SELECT currency, time_zone FROM brands WHERE name = 'Fresh'")
    assert made == {"currency": "EUR", "time_zone": "Europe/Berlin"}
    world.verify()


def test_campaigns_are_made_once_with_their_names_cut_and_named_by_id_where_they_have_none(
    world: World, files: Files
) -> None:
    text = (
        f"campaign_id,date,spend,campaign_name\nx1,2026-06-01,1,Shoes\nx2,2026-06-01,2,{'y' * 300}\nx3,2026-06-01,3,\n"
    )
    into = Target("Brand")
    made = [files.take(text, target=into).campaigns_made for _ in range(2)]
    assert made == [3, 0]
    rows = world.rows("SELECT name, external_id FROM campaigns WHERE left(external_id, 1) = 'x' ORDER BY external_id")
    assert [row["name"] for row in rows] == ["Shoes", "y" * 199 + "…", "x3"]
    world.verify()


@pytest.mark.parametrize("spelt", ["facebook_ads", "Meta", "meta_ads"])
def test_campaigns_are_found_however_their_platform_is_spelt(world: World, files: Files, spelt: str) -> None:
    campaign = world.campaign(files.brand, platform=spelt, external_id="55")
    files.take(HEADER + "55,2026-06-01,10\nnew,2026-06-01,1\n", target=Target("Brand"))
    assert world.spent(campaign) == 10 * UNIT
    made = world.one("SELECT platform FROM campaigns WHERE external_id = 'new'")
    assert made == {"platform": "meta_ads"}
    world.verify()


def reported(world: World, source: str, campaign: int, micros: int, day: str = "2026-06-01") -> None:
    """A total that an earlier version reported under another spelling of the platform."""
    total = {
        "source": source,
        "campaign_id": campaign,
        "day": day,
        "total_micros": micros,
        "as_of": "2026-06-02T00:00:00Z",
    }
    count_totals_now([total], count_totals)


def test_totals_reported_under_another_spelling_are_restated_and_not_added(world: World, files: Files) -> None:
    reported(world, "facebook", files.campaign, 8 * UNIT)
    reported(world, "meta_ads", files.other, 3 * UNIT)
    text = HEADER + "7,2026-06-01,10\n8,2026-06-01,4\n7,2026-06-02,1\n"
    assert not files.plan(text).needs_consent
    outcome = files.take(text)
    assert (files.spent(), files.spent(campaign=files.other), files.spent("2026-06-02")) == (10, 4, 1)
    totals = world.rows("SELECT source, campaign_id, day::text, total_micros FROM reported_totals ORDER BY 1, 2, 3")
    assert [tuple(one.values()) for one in totals] == [
        ("facebook", files.campaign, "2026-06-01", 10 * UNIT),
        ("meta_ads", files.campaign, "2026-06-02", UNIT),
        ("meta_ads", files.other, "2026-06-01", 4 * UNIT),
    ]
    assert outcome.import_id is not None
    undo(outcome.import_id, files.edit())
    assert (files.spent(), files.spent(campaign=files.other), files.spent("2026-06-02")) == (8, 3, 0)
    files.take(text, LATE)
    assert (files.spent(), files.spent(campaign=files.other)) == (10, 4)
    world.verify()


def test_a_day_that_two_spellings_reported_wants_consent_once_and_keeps_the_other(world: World, files: Files) -> None:
    reported(world, "facebook", files.campaign, 8 * UNIT)
    reported(world, "meta_ads", files.campaign, 2 * UNIT)
    files.take(HEADER + "7,2026-06-01,2.5\n")
    assert files.spent() == 10.5
    world.verify()


# --- locked brands


def test_a_locked_brand_holds_up_no_other_and_its_totals_come_with_the_file_again(
    world: World, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for_locks(300, monkeypatch)
    held = world.brand(name="Held")
    locked = world.campaign(held, platform="meta_ads", external_id="9")
    text = HEADER + "7,2026-06-01,10\n9,2026-06-01,3\n"
    with psycopg.connect(world.url) as other:
        other.execute("SELECT FROM brands WHERE id = %s FOR UPDATE", [held])
        with pytest.raises(BrandsTimedOut):
            files.take(text)
    assert (files.spent(), world.spent(locked)) == (10, 0)
    assert world.one("SELECT status, taken FROM imports") == {"status": "partial", "taken": 1}
    files.take(text)
    assert (files.spent(), world.spent(locked)) == (10, 3 * UNIT)
    world.verify()


# --- remembered readings


def test_a_reading_that_was_chosen_is_offered_for_the_next_file_of_the_layout(files: Files) -> None:
    def question(text: str) -> Question:
        with pytest.raises(Question) as asked:
            files.plan(text)
        return asked.value

    first, second = "campaign,date,spend\nA,2026-06-01,10\n", "campaign,date,spend\nB,2026-06-02,20\n"
    asked = question(first)

    def offer(text: str) -> Any:
        options = ReadOptions(platform="meta_ads")
        return offered(
            question(text),
            lambda choice: read_file(io.BytesIO(text.encode()), "a.csv", choice.apply(options), EARLY),
        )

    assert offer(first) is None
    chosen = asked.readings[0]
    settles: dict[str, Any] = dict(chosen.settles)
    files.take(first, target=Target("Brand"), **settles)
    found = offer(second)
    assert found is not None
    assert (found.choice.settles, found.settled.by) == (chosen.settles, "user:ops@example.com")


def test_a_reading_chosen_under_an_alias_is_offered_for_a_file_of_an_unknown_platform(files: Files) -> None:
    def reading(text: str, options: ReadOptions) -> Any:
        return read_file(io.BytesIO(text.encode()), "a.csv", options, EARLY)

    chosen = ReadOptions(platform="Facebook", day_order="day_first")
    first = reading("Campaign ID,Day,Cost\n7,03/06/2026,1.50\n", chosen)
    commit(plan(first, "a.csv", Target(), EARLY), files.edit())
    second = "Campaign ID,Day,Cost\n7,04/06/2026,2.50\n"
    for options, label in ((ReadOptions(), "day first"), (ReadOptions(day_order="day_first"), "Meta")):
        with pytest.raises(Question) as asked:
            reading(second, options)

        def read_chosen(choice: Choice, options: ReadOptions = options) -> Any:
            return reading(second, choice.apply(options))

        found = offered(asked.value, read_chosen)
        assert found is not None
        assert found.choice.label == label
