"""Budgets: limits typed in currency units, shown with the spend of the current window."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Final

from anyio.to_thread import run_sync
from sqlalchemy import Connection, select
from starlette.requests import Request
from starlette_admin import HasOne, IntegerField, StringField, flash

from app.edits import editing
from db.engine import snapshot
from db.repository.access.audit import Edit
from db.repository.catalog import catalog
from db.repository.reading import overview
from domain.budgets import is_exhausted, parse_limit
from domain.edits.fields import BUDGET_FIELDS
from domain.errors import InvalidValue
from domain.periods import Period
from domain.typed_money import typed_units
from runtime import clock
from runtime.formats import exact_money
from web.admin import bulk, consent
from web.admin.bulk import Action, Verbs
from web.admin.fields import RELATED, Choice, MomentField, as_id, computed
from web.admin.rows import BrandRow, BudgetRow, CampaignRow
from web.admin.views import View, errors_shown, may_edit

PERIODS: Final = [(period.value, period.value) for period in Period]
Key = tuple[int, int | None, str]
"""Identifies a budget: the brand's id, the campaign's id (None: the budget is the brand's own), and the period."""


def key_of(row: Any) -> Key:
    """The Key of a row of budgets."""
    return row.brand_id, row.campaign_id, row.period


def _limit(request: Request, row: Any) -> str:
    """The limit as text: in a form units of the currency that a person can edit, elsewhere with the currency too."""
    if request.state.action.is_form():
        return typed_units(row.limit_micros, row.brand.currency)
    return exact_money(row.limit_micros, row.brand.currency)


def _spent(request: Request, row: Any) -> str | None:
    spent = getattr(request.state, "spent", {}).get(key_of(row))
    if spent is None:
        return None
    return exact_money(spent, row.brand.currency) + (": exhausted" if is_exhausted(spent, row.limit_micros) else "")


def _whose(row: Any) -> str:
    return f"{row.brand.name}: {row.campaign.name}" if row.campaign else f"{row.brand.name}, all its campaigns"


class BudgetView(View):
    """The list and forms of budgets, the limits of brands and campaigns."""

    key = "budgets"
    menu_label = "Budgets"
    display_name = "budget"
    icon = "fa fa-wallet"
    fields = (
        IntegerField("id", label="Id"),
        computed(
            "whose",
            "Whose",
            lambda _, row: _whose(row),
            exclude_from_list=True,
            exclude_from_detail=True,
            exclude_from_edit=False,
        ),
        HasOne("brand", key="brands", filters=RELATED, help_text="Leave empty if you choose a campaign."),
        HasOne("campaign", key="campaigns", filters=RELATED, help_text="Empty: all campaigns of the brand together."),
        Choice("period", choices=PERIODS, required=True, help_text="Weeks begin on Monday."),
        StringField(
            "limit_micros",
            label="Limit",
            required=True,
            getter=_limit,
            filters=[],
            help_text="In units of the brand's currency, such as 250 or 99.50. A limit of 0 stops campaigns at once.",
        ),
        computed("spent", "Spent in the current window", _spent, exclude_from_edit=False),
        MomentField("changed_at", label="Changed"),
    )
    exclude_fields_from_create = ("changed_at",)
    exclude_fields_from_edit = ("brand", "campaign", "period", "changed_at")
    searched = ("brand", "campaign", "period")
    searchable_fields = ("id", *searched, "changed_at")
    sortable_fields = ("id", "brand", "campaign", "period", "limit_micros", "changed_at")
    sortable_field_mapping: ClassVar = {
        "brand": BrandRow.name,  # type: ignore[attr-defined]  # a column of the table
        "campaign": CampaignRow.name,  # type: ignore[attr-defined]  # the same
    }
    fields_default_sort = ("brand", "campaign", "period")
    actions = ("delete",)
    set_by_people = BUDGET_FIELDS
    row_actions = ("view", "edit", "delete")
    error_names: ClassVar = {"amount": "limit_micros"}

    def can_delete(self, request: Request) -> bool:
        """Whether the person's role allows removing budgets."""
        return may_edit(request)

    def name_of(self, row: Any) -> str:
        """The budget's name, by its period and owner."""
        return f"{row.period} budget of {_whose(row)}"

    def attach(self, request: Request, rows: Sequence[Any]) -> None:
        """Reads the spend of each budget's current window into `request.state.spent`: micros by Key."""
        at = clock.now()
        with snapshot() as connection:
            budgets = [
                budget
                for brand_id in sorted({row.brand_id for row in rows})
                for budget in overview.budgets(connection, at, brand_id=brand_id)
            ]
        request.state.spent = {
            (budget["brand_id"], budget["campaign_id"], budget["period"]): budget["spent_micros"] for budget in budgets
        }

    async def create(self, request: Request, data: dict[str, Any]) -> Any:
        """Creates a budget and enforces its brand in one commit, once the effect is confirmed.

        Returns the budget's row, and warns the person if the limit is spent already. Raises FormValidationError for an
        invalid value, such as a period of which the brand or campaign has a budget, and without a needed confirmation.
        """
        period = data["period"]

        def work(edit: Edit) -> Key:
            campaign_id = as_id(data["campaign"])
            brand_id = _brand(as_id(data["brand"]), campaign_id)
            limit_micros = parse_limit(data["limit_micros"], _currency(brand_id))

            def set_first(connection: Connection) -> None:
                if catalog.budget_of(connection, brand_id, campaign_id, Period(period)) is not None:
                    raise InvalidValue("period", f"there is a {period} budget already; edit that one")
                _set(connection, (brand_id, campaign_id, period), limit_micros, edit)

            consent.make(request, set_first, brand_id)
            return brand_id, campaign_id, period

        key = await self.write(request, work)
        row = await run_sync(partial(_row, request, key))
        return await self._warn_if_exhausted(request, row.id)

    async def edit(self, request: Request, pk: Any, data: dict[str, Any]) -> Any:
        """Changes the limit, for the whole current window, and enforces the brand, once the effect is confirmed.

        Keeps the stored limit to the micro if the person left the shown text as it was. Returns the budget's row, and
        warns the person if the limit is spent already. Raises FormValidationError for an invalid value, without a
        needed confirmation, and if somebody edited the budget since the form was opened.
        """
        row = await self.find_by_pk(request, pk)
        key, typed = key_of(row), data["limit_micros"].strip()
        is_as_shown = typed == _limit(request, row)

        def work(edit: Edit) -> None:
            limit_micros = row.limit_micros if is_as_shown else parse_limit(typed, row.brand.currency)

            def change(connection: Connection) -> None:
                self.check_seen(request, connection, catalog.budget(connection, int(pk)))
                _set(connection, key, limit_micros, edit)

            consent.make(request, change, key[0])

        await self.write(request, work)
        return await self._warn_if_exhausted(request, pk)

    async def _warn_if_exhausted(self, request: Request, pk: Any) -> Any:
        row = await self.find_by_pk(request, pk)
        await run_sync(partial(self.attach, request, [row]))
        if is_exhausted(request.state.spent.get(key_of(row), 0), row.limit_micros):
            spent = _spent(request, row)
            flash(request, f"The limit is spent already ({spent}): it pauses campaigns at once.", "warning")
        return row

    async def delete(self, request: Request, pks: list[Any]) -> int:
        """Removes the budgets and enforces their brands, once the effect is confirmed; returns how many were removed.

        Raises ActionFailed for a request for a preview, without a needed confirmation, and for a budget that is gone.
        """
        keys = {row.id: key_of(row) for row in await self.find_by_pks(request, pks)}
        ids: defaultdict[int, list[int]] = defaultdict(list)
        for budget_id, (brand_id, *_) in keys.items():
            ids[brand_id].append(budget_id)

        def remove(connection: Connection, budget_id: int, edit: Edit) -> None:
            brand_id, campaign_id, period = keys[budget_id]
            editing.remove_budget(connection, brand_id, campaign_id, Period(period), edit)

        action = Action(Verbs("Remove", "Removed"), "budget", remove, ids)
        with errors_shown():
            outcome = await bulk.run(request, action)
        flash(request, f"{outcome.sentence(action, is_done=True)}.", "success")
        return len(outcome.done)


def _brand(brand_id: int | None, campaign_id: int | None) -> int:
    if brand_id is not None:
        return brand_id
    if campaign_id is None:
        raise InvalidValue("brand", "choose a brand or a campaign")
    with snapshot() as connection:
        return catalog.brand_of(connection, campaign_id)


def _currency(brand_id: int) -> str:
    with snapshot() as connection:
        return str(catalog.brand(connection, brand_id)["currency"])


def _set(connection: Connection, key: Key, limit_micros: int, edit: Edit) -> None:
    brand_id, campaign_id, period = key
    editing.set_budget(connection, brand_id, campaign_id, Period(period), limit_micros, edit)


def _row(request: Request, key: Key) -> Any:
    brand_id, campaign_id, period = key
    wanted = select(BudgetRow).filter_by(brand_id=brand_id, campaign_id=campaign_id, period=period)
    return request.state.session.scalars(wanted).one()
