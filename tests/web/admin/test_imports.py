"""Imports in the admin: who may, refusals, and the sentences that a person sees."""

from http import HTTPStatus

import psycopg
import pytest

from app.imports.intake.undo import undo
from db.repository.access.audit import Edit
from domain.access import Role
from runtime import clock
from runtime.settings import settings
from tests.kit import wait_for_locks
from tests.web.admin.conftest import Open
from tests.web.admin.import_pages import PATH, opened, send
from tests.world import UNIT, World

TEXT = b"campaign_id,date,spend\n7,2026-06-17,12.50\n7,2026-06-16,free\n404,2026-06-16,1.00\n"
MODIFIED = "1781686800000"
"""2026-06-17 09:00 UTC."""


@pytest.fixture
def campaign(world: World) -> int:
    """Campaign 7 of Meta."""
    world.set_clock("2026-06-17T12:00:00Z")
    return world.campaign(world.brand(), platform="meta_ads", external_id="7")


def test_a_viewer_sees_imports_and_may_neither_upload_nor_undo(world: World, browser: Open, campaign: int) -> None:
    ours = browser(Role.OPERATOR)
    answer = send(ours, "a.csv", TEXT, MODIFIED)
    address = answer.headers["location"]
    opened(ours, f"{address}?platform=meta_ads").confirm()
    viewer = browser(Role.VIEWER)
    assert "a.csv" in viewer.get(PATH).text
    assert "Show the preview" not in viewer.get(PATH).text
    assert "$13.50" in viewer.get(f"{PATH}/1").text
    assert "Undo" not in viewer.get(f"{PATH}/1").text
    assert send(viewer, "a.csv", TEXT).status_code == HTTPStatus.FORBIDDEN
    assert viewer.get(address).status_code == HTTPStatus.FORBIDDEN
    assert viewer.get(f"{PATH}/1/undo").status_code == HTTPStatus.FORBIDDEN
    assert viewer.post(f"{PATH}/1/undo").status_code == HTTPStatus.FORBIDDEN
    assert world.spent(campaign) == 12_500_000


def test_nobody_uploads_or_confirms_without_the_token(world: World, browser: Open, campaign: int) -> None:
    person = browser(Role.OPERATOR)
    forged = person.client.post(PATH, files={"file": ("a.csv", TEXT)}, follow_redirects=False)
    assert forged.status_code == HTTPStatus.FORBIDDEN
    preview = opened(person, send(person, "a.csv", TEXT, MODIFIED).headers["location"] + "?platform=meta_ads")
    forged = person.client.post(preview.address, data={"agreed": preview.token}, follow_redirects=False)
    assert forged.status_code == HTTPStatus.FORBIDDEN
    assert (world.spent(campaign), world.rows("SELECT FROM imports")) == (0, [])


def test_what_was_left_out_is_listed_and_downloaded(world: World, browser: Open, campaign: int) -> None:
    person = browser(Role.OPERATOR)
    preview = opened(person, send(person, "a.csv", TEXT, MODIFIED).headers["location"] + "?platform=meta_ads")
    assert "1 row left out" in preview.text
    answer = preview.confirm()
    assert answer.headers["location"].endswith(f"{PATH}/1")
    lines = person.get(f"{PATH}/1/skipped.csv").text.splitlines()
    assert lines[0] == "line,cell,reason"
    assert lines[1].startswith("3,free,")
    assert lines[2].startswith("0,404 2026-06-16,unknown_campaign")
    assert world.rows("SELECT FROM import_uploads") == []
    assert world.one("SELECT imported_by FROM imports")["imported_by"] == "user:operator@example.com"


def test_a_cell_that_a_spreadsheet_would_run_is_downloaded_as_text(browser: Open, campaign: int) -> None:
    person = browser(Role.OPERATOR)
    text = b"campaign_id,date,spend\n7,2026-06-17,12.50\n7,2026-06-16, =cmd()\n"
    opened(person, send(person, "a.csv", text, MODIFIED).headers["location"] + "?platform=meta_ads").confirm()
    assert "3,' =cmd()," in person.get(f"{PATH}/1/skipped.csv").text


def test_a_preview_that_would_do_something_else_by_now_is_shown_again(
    world: World, browser: Open, campaign: int
) -> None:
    person = browser(Role.OPERATOR)
    preview = opened(person, send(person, "a.csv", TEXT, MODIFIED).headers["location"] + "?platform=meta_ads")
    world.spend(campaign, 3 * UNIT)
    answer = preview.confirm()
    assert answer.status_code == HTTPStatus.OK
    assert "The effect of the import has changed" in answer.text
    assert world.spent(campaign) == 3 * UNIT
    again = opened(person, preview.address)
    assert "$3.00 from live events" in again.concerns[0]
    assert again.confirm().status_code == HTTPStatus.SEE_OTHER
    assert world.spent(campaign) == 15_500_000


def test_a_file_that_is_discarded_is_gone(world: World, browser: Open, campaign: int) -> None:
    person = browser(Role.OPERATOR)
    preview = opened(person, send(person, "a.csv", TEXT, MODIFIED).headers["location"] + "?platform=meta_ads")
    assert preview.discard().status_code == HTTPStatus.SEE_OTHER
    assert world.rows("SELECT FROM import_uploads") == []
    assert person.get(preview.address).status_code == HTTPStatus.NOT_FOUND


def test_an_upload_is_kept_for_a_day(world: World, browser: Open, campaign: int) -> None:
    person = browser(Role.OPERATOR)
    address = send(person, "a.csv", TEXT, MODIFIED).headers["location"]
    world.execute("UPDATE import_uploads SET uploaded_at = uploaded_at - interval '1 day'")
    assert person.get(address).status_code == HTTPStatus.NOT_FOUND
    send(person, "b.csv", TEXT, MODIFIED)
    assert [row["file_name"] for row in world.rows("SELECT file_name FROM import_uploads")] == ["b.csv"]


def test_a_file_over_the_limit_is_refused(browser: Open, campaign: int, monkeypatch: pytest.MonkeyPatch) -> None:
    person = browser(Role.OPERATOR)
    answer = send(person, "a.csv", b"x" * (settings().max_body_bytes + 1))
    assert answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_a_file_of_more_than_a_forms_size_is_taken(browser: Open, campaign: int) -> None:
    person = browser(Role.OPERATOR)
    rows = b"".join(b"7,2026-06-17,0.01,%d\n" % number for number in range(80_000))
    answer = send(person, "a.csv", b"campaign_id,date,spend,row\n" + rows, MODIFIED)
    assert answer.status_code == HTTPStatus.SEE_OTHER
    assert "$800.00" in opened(person, answer.headers["location"] + "?platform=meta_ads").text


def test_a_file_of_unknown_age_is_refused_until_its_time_is_given(browser: Open, campaign: int) -> None:
    person = browser(Role.OPERATOR)
    preview = opened(person, send(person, "a.csv", TEXT).headers["location"] + "?platform=meta_ads")
    assert "gives the time of its figures" in preview.text
    assert "Import it" not in preview.text
    told = opened(person, preview.address + "&as_of=2026-06-17T08:00Z")
    assert "gives the time of its figures" not in told.text
    assert "2026-06-17 08:00:00 UTC" in told.text


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\reports\\a.csv", "<script>.csv", "\u202ea.csv", ""])
def test_a_name_is_shown_as_text(browser: Open, campaign: int, name: str) -> None:
    person = browser(Role.OPERATOR)
    answer = send(person, name, TEXT, MODIFIED)
    page = person.get(answer.headers["location"]).text
    assert "<script>.csv" not in page
    assert "etc/passwd" not in page


def test_an_unknown_import_is_not_found(browser: Open, campaign: int) -> None:
    person = browser(Role.OPERATOR)
    for path in ("/1", "/x", "/1/undo", "/1/skipped.csv", "/uploads/1", "/uploads/x"):
        assert person.get(f"{PATH}{path}").status_code == HTTPStatus.NOT_FOUND, path


def test_undo_asks_first_and_does_it_once(world: World, browser: Open, campaign: int) -> None:
    person = browser(Role.OPERATOR)
    opened(person, send(person, "a.csv", TEXT, MODIFIED).headers["location"] + "?platform=meta_ads").confirm()
    assert "Puts back 1 total" in person.get(f"{PATH}/1/undo").text
    assert person.post(f"{PATH}/1/undo").status_code == HTTPStatus.SEE_OTHER
    assert world.spent(campaign) == 0
    assert person.get(f"{PATH}/1/undo").status_code == HTTPStatus.NOT_FOUND
    with pytest.raises(ValueError, match=r"was undone by user:operator@example\.com"):
        undo(1, Edit("test", clock.now()))
    world.verify()


def test_undo_says_which_brand_is_locked_and_can_be_repeated(
    world: World, browser: Open, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = browser(Role.OPERATOR)
    opened(person, send(person, "a.csv", TEXT, MODIFIED).headers["location"] + "?platform=meta_ads").confirm()
    spent, brand = world.spent(campaign), world.brand_of(campaign)
    wait_for_locks(300, monkeypatch)
    with psycopg.connect(world.url) as stranger:
        stranger.execute("SELECT FROM brands WHERE id = %s FOR UPDATE", [brand])
        assert person.post(f"{PATH}/1/undo").status_code == HTTPStatus.SEE_OTHER
        assert f"except totals of brand {brand}, which is locked" in person.get(f"{PATH}/1").text
    assert world.spent(campaign) == spent
    assert person.post(f"{PATH}/1/undo").status_code == HTTPStatus.SEE_OTHER
    assert world.spent(campaign) == 0


def test_files_of_the_spend_folder_that_were_not_imported_are_listed(
    world: World, browser: Open, campaign: int
) -> None:
    world.execute(
        "INSERT INTO spend_files (platform, name, version, unchanged_since, problem, problem_version, problem_since)"
        " VALUES ('meta_ads', 'a.csv', '1 2 3 4', now(), 'line 2 has <b>no</b> day', '1', now())"
    )
    person = browser(Role.OPERATOR)
    for page in (PATH, "/"):
        assert "line 2 has &lt;b&gt;no&lt;/b&gt; day" in person.get(page).text
