"""Brands: creates, edits, pauses and archives them; time zone and currency are fixed once there is spend."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final
from zoneinfo import available_timezones

from babel import Locale
from babel.numbers import is_currency
from sqlalchemy import Connection, exists, select
from starlette.requests import Request
from starlette_admin import ActionSelection, IntegerField, RequestAction, StringField, action
from starlette_admin.fields import BaseField

from app.edits import editing
from db.engine import committed
from db.models.ledger import BrandDay
from db.repository.access.audit import Edit
from db.repository.catalog import catalog
from domain.campaigns import ConfiguredStatus
from domain.edits.fields import BRAND_FIELDS
from runtime.formats import LOCALE
from web.admin import consent
from web.admin.fields import Choice, MomentField, computed, linked, list_address
from web.admin.pages.statuses import change_statuses
from web.admin.views import View

STATUSES: Final = [(status.value, status.value) for status in ConfiguredStatus]
ZONES: Final = sorted(zone for zone in available_timezones() if "/" in zone or zone == "UTC")
CURRENCIES: Final = sorted(
    (code, f"{code} · {name}") for code, name in Locale.parse(LOCALE).currencies.items() if is_currency(code)
)
FIXED: Final = "Fixed, because the brand has spend; `spendgate brand correct` changes it."
FIXED_FIELDS: Final = ("time_zone", "currency")


def _campaigns(request: Request, row: Any) -> str:
    return list_address(request, "campaigns", f"brand__id={row.id}")


def _budgets(request: Request, row: Any) -> str:
    return list_address(request, "budgets", f"brand__id={row.id}")


class BrandView(View):
    """The list and forms of brands, the clients that own campaigns and budgets."""

    key = "brands"
    menu_label = "Brands"
    display_name = "brand"
    icon = "fa fa-building"
    fields = (
        IntegerField("id", label="Id"),
        StringField("name", required=True),
        Choice(
            "time_zone",
            choices=ZONES,
            select2=True,
            required=True,
            default="UTC",
            help_text="Days, months and schedules use this time zone. It is fixed once the brand has spend.",
        ),
        Choice(
            "currency",
            choices=CURRENCIES,
            select2=True,
            required=True,
            default="USD",
            help_text="The currency of all amounts. It is fixed once the brand has spend.",
        ),
        computed("fixed_zone", "Time zone", lambda _, row: row.time_zone, exclude_from_edit=False, help_text=FIXED),
        computed("fixed_currency", "Currency", lambda _, row: row.currency, exclude_from_edit=False, help_text=FIXED),
        Choice(
            "configured_status",
            label="Status",
            choices=STATUSES,
            required=True,
            help_text="A paused or archived brand stops all its campaigns at once.",
        ),
        MomentField("created_at", label="Created"),
        linked("campaigns", "Campaigns", "Its campaigns", _campaigns),
        linked("budgets", "Budgets", "Its budgets", _budgets),
    )
    exclude_fields_from_list = ("fixed_zone", "fixed_currency")
    exclude_fields_from_detail = ("fixed_zone", "fixed_currency")
    exclude_fields_from_create = ("configured_status", "created_at")
    exclude_fields_from_edit = ("created_at",)
    searched = ("name", "time_zone", "currency")
    searchable_fields = ("id", *searched, "configured_status", "created_at")
    sortable_fields = ("id", "name", "time_zone", "currency", "configured_status", "created_at")
    fields_default_sort = ("name", "id")
    actions = ("enable", "pause", "archive")
    set_by_people = BRAND_FIELDS

    def attach(self, request: Request, rows: Sequence[Any]) -> None:
        """On the edit page, reads into `request.state.has_spend` whether spend has fixed the zone and currency."""
        if request.state.action == RequestAction.EDIT:
            spent = select(exists().where(BrandDay.brand_id == rows[0].id))
            request.state.has_spend = request.state.session.scalar(spent)

    def can_access_field(self, request: Request, field: BaseField, action: RequestAction | None = None) -> bool:
        """Whether the page shows the field.

        The edit page shows choices of zone and currency before the first spend, then fixed texts with the reason.
        """
        if request.state.action == RequestAction.EDIT:
            fixed = getattr(request.state, "has_spend", True)
            if field.name in (FIXED_FIELDS if fixed else ("fixed_zone", "fixed_currency")):
                return False
        return super().can_access_field(request, field, action)

    async def create(self, request: Request, data: dict[str, Any]) -> Any:
        """Creates an enabled brand and its audit entry in one commit, without enforcement; returns its row."""

        def work(edit: Edit) -> int:
            make = partial(
                editing.create_brand,
                name=data["name"],
                zone=data["time_zone"],
                currency=data["currency"],
                edit=edit,
            )
            return committed(make)

        return await self.find_by_pk(request, await self.write(request, work))

    async def edit(self, request: Request, pk: Any, data: dict[str, Any]) -> Any:
        """Changes the brand's fields and enforces its campaigns in one commit, once the effect is confirmed.

        Returns the brand's row. Raises FormValidationError for an invalid value, without a needed confirmation, and if
        somebody edited the brand since the form was opened.
        """
        names = ("name", "configured_status", *FIXED_FIELDS)
        changes = {name: data[name] for name in names if name in data}

        def work(edit: Edit) -> None:
            def change(connection: Connection) -> None:
                self.check_seen(request, connection, catalog.brand(connection, int(pk)))
                editing.edit_brand(connection, int(pk), changes, edit)

            consent.make(request, change, int(pk))

        await self.write(request, work)
        return await self.find_by_pk(request, pk)

    @action("pause", "Pause", confirmation="Pause the chosen brands? All their campaigns stop at once.")
    async def pause(self, request: Request, selection: ActionSelection) -> None:
        """Pauses the brands, which holds all their campaigns."""
        await self._set(request, selection, ConfiguredStatus.PAUSED)

    @action("enable", "Enable", confirmation="Enable the chosen brands?")
    async def enable(self, request: Request, selection: ActionSelection) -> None:
        """Enables the brands, which lifts the hold `brand_paused` from their campaigns; other holds remain."""
        await self._set(request, selection, ConfiguredStatus.ENABLED)

    @action("archive", "Archive", confirmation="Archive the chosen brands? All their campaigns stop at once.")
    async def archive(self, request: Request, selection: ActionSelection) -> None:
        """Archives the brands, which holds all their campaigns and deletes nothing."""
        await self._set(request, selection, ConfiguredStatus.ARCHIVED)

    async def _set(self, request: Request, selection: ActionSelection, status: ConfiguredStatus) -> None:
        await change_statuses(request, "brand", await selection.rows(), status)
