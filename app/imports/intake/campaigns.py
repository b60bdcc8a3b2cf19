"""Creates the campaigns of a file that are not known, and their brand if it is new."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection

from app.decisions import announce
from app.edits import editing
from app.enforcement import enforce_edits
from app.imports.answers import Refused
from app.imports.intake.lookups import Lookup
from app.imports.intake.plans import Plan
from db.engine import committed
from db.repository.access.audit import Edit
from db.repository.catalog import catalog
from db.repository.enforcement.changes import DecidedChange
from db.repository.imports import brands as brand_rows
from db.repository.imports.brands import BrandFacts
from domain.causes import Cause
from domain.inputs.campaign_names import is_owned_now
from domain.inputs.values import MAX_TEXT

CUT: Final = "…"


def create_missing(plan: Plan, edit: Edit) -> tuple[int, int | None]:
    """Creates the plan's campaigns that are still missing, and their brand if it is new; enforces the brand.

    `plan.target` must name the brand. Returns the number of campaigns created and their brand's id (None if none was
    missing). Raises Refused if the brand now has another currency than the file, InvalidValue if several brands have
    its name or a field is not valid.
    """
    assert plan.target.brand is not None  # noqa: S101 - the plan says in which brand
    name = plan.target.brand

    def create(connection: Connection) -> tuple[int, int | None, list[DecidedChange]]:
        catalog.lock_catalog(connection)
        lookup = Lookup(connection, plan.platform, plan.account)
        found = lookup.find(list(plan.missing))
        missing = [external_id for external_id in plan.missing if not is_owned_now(found.get(lookup.key(external_id)))]
        if not missing:
            return 0, None, []
        brand_id = _brand(connection, plan, name, edit)
        for external_id in missing:
            editing.create_campaign(
                connection, brand_id, shown(plan.missing[external_id], external_id), edit,
                platform=plan.platform, external_id=external_id, account=plan.account,
            )  # fmt: skip
        return len(missing), brand_id, enforce_edits(connection, brand_id)

    made, brand_id, changes = committed(create)
    announce(changes, Cause.EDIT)
    return made, brand_id


def shown(name: str, external_id: str) -> str:
    """The campaign's name, its id if the name is empty; cut to MAX_TEXT characters."""
    kept = name.strip() or external_id
    return kept if len(kept) <= MAX_TEXT else f"{kept[: MAX_TEXT - 1]}{CUT}"


def _brand(connection: Connection, plan: Plan, name: str, edit: Edit) -> int:
    """Returns the id of the brand with this name; creates the brand if there is none.

    Raises Refused if an existing brand, perhaps created after the plan was made, has another currency than the file.
    """
    brand_id = catalog.brand_named(connection, name)
    if brand_id is None:
        wanted = plan.new_brand
        assert wanted is not None  # noqa: S101 - the plan has it where campaigns are missing
        return editing.create_brand(connection, name, wanted.time_zone, wanted.currency, edit)
    now: Mapping[int | None, BrandFacts] = {one.id: one for one in brand_rows.brands(connection, [brand_id])}
    if plan.reading.currency not in {None, now[brand_id].currency}:
        raise Refused(f"is in {plan.reading.currency}, and brand {name} in {now[brand_id].currency}")
    return brand_id
