"""Campaigns: creates, edits, pauses and archives them; shows their holds and when each serves again."""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from sqlalchemy import Connection
from starlette.requests import Request
from starlette_admin import ActionSelection, HasOne, IntegerField, StringField, action, link_row_action

from app.edits import editing
from app.enforcement import edited
from db.engine import snapshot
from db.repository.access.audit import Edit
from db.repository.catalog import catalog
from db.repository.enforcement.facts import load
from domain.campaigns import ConfiguredStatus, EffectiveStatus
from domain.edits.fields import CAMPAIGN_FIELDS
from domain.enforcement import explain
from domain.holds import NOT_BY_CLOCK, SERVES_AGAIN_IF
from runtime import clock
from runtime.formats import wall_clock
from web.admin import consent
from web.admin.fields import RELATED, Choice, DayField, MomentField, as_id, computed, linked, list_address, reasons
from web.admin.pages.brands import STATUSES
from web.admin.pages.statuses import change_statuses
from web.admin.rows import BrandRow
from web.admin.views import View


def schedule_address(request: Request, campaign_id: int) -> str:
    """The address of the campaign's schedule editor."""
    return str(request.url_for("admin:schedule", campaign_id=campaign_id))


def _serves_again(request: Request, row: Any) -> str | None:
    serves_again: str | None = getattr(request.state, "serves_again", {}).get(row.id)
    return serves_again


def _schedule(request: Request, row: Any) -> str:
    return schedule_address(request, row.id)


def _budgets(request: Request, row: Any) -> str:
    return list_address(request, "budgets", f"campaign__id={row.id}")


def _changes(request: Request, row: Any) -> str:
    return list_address(request, "status-changes", f"campaign__id={row.id}")


class CampaignView(View):
    """The list and forms of campaigns, with their statuses and holds."""

    key = "campaigns"
    menu_label = "Campaigns"
    display_name = "campaign"
    icon = "fa fa-bullhorn"
    fields = (
        IntegerField("id", label="Id"),
        StringField("name", required=True),
        HasOne("brand", key="brands", required=True, filters=RELATED),
        Choice(
            "effective_status",
            label="Now",
            choices=[(status.value, status.value) for status in EffectiveStatus],
            help_text="Set by enforcement; cannot be edited.",
        ),
        computed("why", "Holds", lambda _, row: reasons(row.holds), exclude_from_edit=False),
        computed(
            "serves_again",
            "Serves again",
            _serves_again,
            exclude_from_edit=False,
            help_text=f"{SERVES_AGAIN_IF.capitalize()}.",
        ),
        Choice(
            "configured_status",
            label="Wanted",
            choices=STATUSES,
            required=True,
            help_text="The status that people or programs set.",
        ),
        StringField("platform", help_text="The campaign's ad platform, such as google_ads."),
        StringField("external_id", label="External id", help_text="The campaign's id on the platform."),
        DayField(
            "starts_on", label="Flight from", help_text="First day in the brand's time zone. Empty: no first day."
        ),
        DayField("ends_on", label="Flight to", help_text="Last day, inclusive. Empty: no last day."),
        MomentField("created_at", label="Created"),
        linked("schedule", "Schedule", "Its schedule", _schedule),
        linked("budgets", "Budgets", "Its budgets", _budgets),
        linked("changes", "History", "Its status changes", _changes),
    )
    exclude_fields_from_list = ("created_at",)
    exclude_fields_from_create = ("effective_status", "configured_status", "created_at")
    exclude_fields_from_edit = ("brand", "effective_status", "created_at")
    searched = ("name", "brand", "platform", "external_id")
    searchable_fields = ("id", *searched, "effective_status", "configured_status", "starts_on", "ends_on", "created_at")
    sortable_fields = ("id", "name", "brand", "effective_status", "configured_status", "starts_on", "ends_on")
    sortable_field_mapping: ClassVar = {"brand": BrandRow.name}  # type: ignore[attr-defined]  # a column of the table
    fields_default_sort = ("brand", "name", "id")
    actions = ("enable", "pause", "archive")
    set_by_people = CAMPAIGN_FIELDS
    row_actions = ("view", "edit", "schedule")

    async def is_row_action_allowed(self, request: Request, name: str) -> bool:
        """Whether the person's role allows the action `name` on rows; every role may open the schedule."""
        return name == "schedule" or await super().is_row_action_allowed(request, name)

    @link_row_action("schedule", "Schedule", icon_class="fa-solid fa-calendar-days")
    def open_schedule(self, request: Request, pk: Any) -> str:
        """The address of the schedule editor, to which the action links."""
        return schedule_address(request, int(pk))

    def attach(self, request: Request, rows: Sequence[Any]) -> None:
        """Reads into `request.state.serves_again`, by campaign id, when the campaign serves again, as text.

        The text is a time in the brand's time zone; `serves now` without a hold; NOT_BY_CLOCK if only people can lift
        a hold.
        """
        at = clock.now()
        with snapshot() as connection:
            loaded = load(connection, sorted({row.brand_id for row in rows}), at, [row.id for row in rows])
        serves_again = {}
        for stored in loaded:
            explained = explain(stored.row.campaign, at)
            zone = stored.row.campaign.brand.time_zone
            again = NOT_BY_CLOCK if explained.serves_at is None else wall_clock(explained.serves_at, zone)
            serves_again[stored.campaign_id] = again if explained.holds else "serves now"
        request.state.serves_again = serves_again

    async def create(self, request: Request, data: dict[str, Any]) -> Any:
        """Creates an enabled campaign and enforces its brand in one commit, without a confirmation. Returns its row."""
        brand_id = as_id(data["brand"]) or 0
        facts: dict[str, Any] = {
            name: data[name] or None for name in ("platform", "external_id", "starts_on", "ends_on")
        }

        def work(edit: Edit) -> int:
            make = partial(editing.create_campaign, brand_id=brand_id, name=data["name"], edit=edit, **facts)
            return edited(make, brand_id)

        return await self.find_by_pk(request, await self.write(request, work))

    async def edit(self, request: Request, pk: Any, data: dict[str, Any]) -> Any:
        """Changes the campaign's fields and enforces its brand in one commit, once the effect is confirmed.

        Returns the campaign's row. Raises FormValidationError for an invalid value, without a needed confirmation, and
        if somebody edited the campaign since the form was opened.
        """
        changes = {name: data[name] or None for name in CAMPAIGN_FIELDS if name in data}

        def work(edit: Edit) -> None:
            with snapshot() as connection:
                brand_id = catalog.brand_of(connection, int(pk))

            def change(connection: Connection) -> None:
                self.check_seen(request, connection, catalog.campaign(connection, int(pk)))
                editing.edit_campaign(connection, int(pk), changes, edit)

            consent.make(request, change, brand_id)

        await self.write(request, work)
        return await self.find_by_pk(request, pk)

    @action("pause", "Pause", confirmation="Pause the chosen campaigns? They stop at once.")
    async def pause(self, request: Request, selection: ActionSelection) -> None:
        """Pauses the campaigns, until a person enables them."""
        await self._set(request, selection, ConfiguredStatus.PAUSED)

    @action(
        "enable", "Enable", confirmation="Enable the chosen campaigns? Campaigns without another hold serve at once."
    )
    async def enable(self, request: Request, selection: ActionSelection) -> None:
        """Enables the campaigns, which lifts the hold of their pause; other holds remain."""
        await self._set(request, selection, ConfiguredStatus.ENABLED)

    @action("archive", "Archive", confirmation="Archive the chosen campaigns? They stop at once.")
    async def archive(self, request: Request, selection: ActionSelection) -> None:
        """Archives the campaigns; deletes nothing."""
        await self._set(request, selection, ConfiguredStatus.ARCHIVED)

    async def _set(self, request: Request, selection: ActionSelection, status: ConfiguredStatus) -> None:
        await change_statuses(request, "campaign", await selection.rows(), status)
