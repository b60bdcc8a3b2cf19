"""Files in the layouts of real platforms, uploaded in the admin: exact, refused or asked about; counted once."""

import re
from http import HTTPStatus

import pytest

from domain.access import Role
from tests.app.imports.real_files import AT, NEEDS_CONSENT, RealFile, counters, real_files, state
from tests.web.admin.conftest import Browser, Open
from tests.web.admin.import_pages import Preview, upload
from tests.world import World


def imported(browser: Browser, file: RealFile, number: int) -> Preview:
    """Uploads a file that was changed at a second, and confirms it if its preview has a button and no concern."""
    preview = upload(browser, file.path, modified_ms=f"{1796000000 + number}000")
    fields = {"platform": file.platform, "brand": f"{file.currency} {file.zone}", "time_zone": file.zone}
    if file.currency == "USD":
        fields["brand_currency"] = "USD"
    if file.names_are_ids:
        fields["name_as_id"] = "1"
    preview = preview.corrected(**fields)
    if preview.token and not preview.concerns:
        assert preview.confirm().status_code == HTTPStatus.SEE_OTHER
    return preview


@pytest.mark.timeout(600)
def test_takes_each_real_file_exactly_or_not_at_all_and_again_changes_nothing(world: World, browser: Open) -> None:
    world.set_clock(AT)
    person = browser(Role.OPERATOR)
    for number, file in enumerate(real_files()):
        preview = imported(person, file, number)
        if file.is_taken:
            assert file.totals.items() <= counters(world, file.canonical).items(), file.name
        elif file.name in NEEDS_CONSENT:
            assert "falls by more than a tenth" in preview.concerns[0]
        else:
            assert preview.refused or preview.is_question or not file.totals, file.name
        before = state(world)
        imported(person, file, number)
        assert state(world) == before, file.name
    assert not re.search("Traceback", person.get("/admin/imports").text)
    world.verify()
