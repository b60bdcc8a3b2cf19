"""Read-only histories, newest first: rejected events (which can be replayed), status changes and audit entries."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from anyio.to_thread import run_sync
from sqlalchemy import Select
from starlette.requests import Request
from starlette_admin import ActionSelection, HasOne, IntegerField, StringField, action, flash, row_action

from app.ingest.replay_rejected import replay_chosen
from db.models.ledger import RejectedEvent
from db.repository.ledger.rejected import Chosen
from domain.campaigns import EffectiveStatus
from domain.causes import Cause
from domain.edits.words import edit_lines
from domain.errors import InvalidValue
from domain.text import visible
from runtime.formats import exact_money
from web.admin.fields import PRE, RELATED, Choice, MomentField, computed, reasons
from web.admin.rows import AuditRow
from web.admin.views import View, may_manage_access

NEWEST_FIRST = (("id", True),)


class HistoryView(View):
    """The base class of lists that nobody can edit."""

    row_actions: Sequence[str] = ("view",)
    fields_default_sort = NEWEST_FIRST

    def can_create(self, _request: Request) -> bool:
        """Always False: the list is read-only."""
        return False

    def can_edit(self, _request: Request) -> bool:
        """Always False: the list is read-only."""
        return False


class RejectedView(HistoryView):
    """The list of rejected inputs, which people can replay once the cause is fixed."""

    key = "rejected-events"
    menu_label = "Rejected events"
    display_name = "rejected event"
    icon = "fa fa-triangle-exclamation"
    fields = (
        IntegerField("id", label="Id"),
        MomentField("received_at", label="Received"),
        StringField("kind"),
        StringField("source"),
        StringField("reason"),
        StringField("detail"),
        IntegerField("times", help_text="How often the same input was received."),
        MomentField("replayed_at", label="Replayed"),
        computed(
            "payload",
            "Input",
            lambda _, row: visible(json.dumps(row.payload, indent=2, ensure_ascii=False)),
            exclude_from_list=True,
            detail_template=PRE,
        ),
    )
    exclude_fields_from_list = ("replayed_at",)
    searched = ("kind", "source", "reason", "detail", "payload")
    searchable_fields = ("id", "received_at", "kind", "source", "reason", "detail", "times")
    sortable_fields = ("id", "received_at", "kind", "source", "reason", "times")
    actions = ("replay",)
    row_actions = ("view", "replay")

    def get_list_query(self, request: Request) -> Select[Any]:
        """The query of the inputs that wait for a replay."""
        return super().get_list_query(request).where(RejectedEvent.replayed_at.is_(None))

    def get_count_query(self, request: Request) -> Select[Any]:
        """The query that counts the inputs that wait for a replay."""
        return super().get_count_query(request).where(RejectedEvent.replayed_at.is_(None))

    def get_detail_query(self, request: Request) -> Select[Any]:
        """The query of one input's page, which shows replayed inputs too."""
        return super().get_list_query(request)

    async def is_row_action_allowed_for_obj(self, request: Request, name: str, obj: Any) -> bool:
        """Whether the action `name` is offered on this row; Replay only if the input was not replayed yet."""
        return (name != "replay" or obj.replayed_at is None) and await self.is_row_action_allowed(request, name)

    @action("replay", "Replay", confirmation="Replay the chosen inputs? Inputs that are valid now are counted.")
    async def replay_chosen(self, request: Request, selection: ActionSelection) -> None:
        """Replays the chosen inputs."""
        await _replay(request, [int(row.id) for row in await selection.rows()])

    @row_action(
        "replay",
        "Replay",
        confirmation="Replay this input? It is counted if it is valid now.",
        icon_class="fa fa-rotate-right",
    )
    async def replay_one(self, request: Request, pk: Any) -> None:
        """Replays one input."""
        await _replay(request, [int(pk)])


async def _replay(request: Request, ids: list[int]) -> None:
    """Replays the inputs; the next page shows how many are valid now, were rejected again or still wait.

    Raises InvalidValue if all of them were replayed before.
    """
    await run_sync(request.state.session.close)
    done = await run_sync(partial(replay_chosen, Chosen(ids=ids)))
    if not done.total and not done.held_up:
        raise InvalidValue("rejected event", "was already replayed")
    outcome = f"{done.total} replayed: {done.taken + done.known} valid, {done.rejected} rejected again."
    if done.held_up:
        outcome += f" {done.held_up} still wait, because their brand is locked."
    flash(request, outcome, "success" if done.taken + done.known else "warning")


def _figures(_request: Request, row: Any) -> str:
    """Spent and limit of each budget that held before or after the change, such as `brand daily budget: $9 of $9`."""
    budgets = row.details.get("budgets", {})
    currency = row.brand.currency
    return "; ".join(
        f"{hold.replace('_', ' ')}: {exact_money(figures['spent_micros'], currency)} of "
        f"{exact_money(figures['limit_micros'], currency)}"
        for hold, figures in budgets.items()
    )


class StatusChangeView(HistoryView):
    """The list of status changes, each with its cause and figures."""

    key = "status-changes"
    menu_label = "Status changes"
    display_name = "status change"
    icon = "fa fa-toggle-on"
    fields = (
        IntegerField("id", label="Id"),
        MomentField("changed_at", label="At"),
        HasOne("brand", key="brands", filters=RELATED),
        HasOne("campaign", key="campaigns", filters=RELATED),
        Choice("to_status", label="To", choices=[(status.value, status.value) for status in EffectiveStatus]),
        computed("before", "Held before", lambda _, row: reasons(row.holds_before), exclude_from_list=True),
        computed("after", "Holds", lambda _, row: reasons(row.holds_after)),
        Choice("cause", choices=[(cause.value, cause.value.replace("_", " ")) for cause in Cause]),
        computed("figures", "Figures", _figures),
    )
    searched = ("brand", "campaign", "cause", "to_status")
    searchable_fields = ("id", "changed_at", *searched)
    sortable_fields = ("id", "changed_at", "to_status", "cause")


def _change(_request: Request, row: Any) -> str:
    """The old and new value of each changed field, one field per line, with amounts in the brand's currency."""
    currency = row.brand.currency if row.brand else None

    def money(micros: int) -> str:
        return f"{micros} micros" if currency is None else exact_money(micros, currency)

    return "\n".join(edit_lines(row.subject, row.old, row.new, money))


def seen_audit(request: Request, statement: Any) -> Any:
    """The query `statement` of audit entries; for people who are no owners without those about users and API keys."""
    if may_manage_access(request):
        return statement
    return statement.where(AuditRow.__table__.c.subject.not_in(("user", "api_key")))


class AuditView(HistoryView):
    """The audit: each edit's author, time, and old and new values. Only owners see entries about users and keys."""

    def get_list_query(self, request: Request) -> Any:
        """The query of the entries that the person may see."""
        return seen_audit(request, super().get_list_query(request))

    def get_count_query(self, request: Request) -> Any:
        """The query that counts the entries that the person may see."""
        return seen_audit(request, super().get_count_query(request))

    key = "audit-entries"
    menu_label = "Audit"
    display_name = "audit entry"
    icon = "fa fa-clipboard-list"
    fields = (
        IntegerField("id", label="Id"),
        MomentField("changed_at", label="At"),
        StringField("changed_by", label="By"),
        StringField("action"),
        StringField("subject", label="What"),
        IntegerField("subject_id", label="Its id"),
        HasOne("brand", key="brands", filters=RELATED),
        computed("change", "Change", _change, detail_template=PRE),
    )
    searched = ("changed_by", "action", "subject", "brand")
    searchable_fields = ("id", "changed_at", *searched, "subject_id")
    sortable_fields = ("id", "changed_at", "changed_by", "action", "subject")
