"""The base class of every admin list: rights by role, checks of ids, search, and one method for all writes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import Any, ClassVar, TypeVar

from anyio.to_thread import run_sync
from sqlalchemy import Connection, String, cast, or_
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin.actions import ActionSelection
from starlette_admin.contrib.sqla import ModelView
from starlette_admin.exceptions import ActionFailed, FormValidationError
from starlette_admin.filters import FilterGroup
from starlette_admin.flash import flash
from starlette_admin.types import RequestAction
from starlette_admin.views import BaseModelView

from app.edits.preview import Unconfirmed
from db.repository.access.access import Person
from db.repository.access.audit import Edit
from domain.errors import InvalidValue
from domain.platforms import canonical
from runtime import clock
from web.admin import consent, stale
from web.admin.fields import as_id, has_name
from web.admin.stale import EditedSince
from web.marks import edit_mark

Result = TypeVar("Result")

SHOWN = frozenset({RequestAction.LIST, RequestAction.DETAIL, RequestAction.EDIT})
"""The pages that show the values which `View.attach` reads."""


def person_of(request: Request) -> Person:
    """The signed-in person; every route has one, except the login and static files."""
    person: Person = request.state.person
    return person


def may_edit(request: Request) -> bool:
    """Whether the person's role allows edits, such as of campaigns, budgets, imports, alerts and rejected events."""
    return person_of(request).role.may_edit


def may_manage_access(request: Request) -> bool:
    """Whether the person may manage users, API keys, webhooks, alert channels and logins of ad platforms."""
    return person_of(request).role.may_manage_access


async def write(request: Request, work: Callable[[Edit], Result]) -> Result:
    """Runs `work` in a thread with the signed-in person and the time as the Edit; returns and raises as `work` does.

    First returns the connection of the request's session to the pool: requests that each held one connection and
    waited for a second could exhaust the pool.
    """
    await run_sync(request.state.session.close)
    return await run_sync(work, Edit(person_of(request).label, clock.now()))


@contextmanager
def errors_shown() -> Iterator[None]:
    """Raises an InvalidValue of the block as ActionFailed, whose text starlette-admin shows to the person."""
    try:
        yield
    except InvalidValue as error:
        raise ActionFailed(str(error)) from None


class View(ModelView):
    """A list of rows. People without the right to edit see no button, and a forged request is refused."""

    page_size = 25
    page_size_options = (25, 50, 100)
    exporters = ()
    importers = ()
    row_actions: Sequence[str] = ("view", "edit")
    actions: Sequence[str] = ()
    searched: Sequence[str] = ()
    """Columns, and relations (`brand`, `campaign`) by name, that the search box matches.

    `searchable_fields`, of starlette-admin, are the columns and relations that have filters.
    """
    set_by_people: ClassVar[frozenset[str]] = frozenset()
    """Columns that people edit: a form is stale when one of them was changed after it was opened."""
    error_names: ClassVar[dict[str, str]] = {}
    """The form's field by the field in the domain's error, where the two names differ."""

    def __init__(self, model: type[Any]) -> None:
        self.fields = deepcopy(self.fields)  # the library writes the view into its fields
        super().__init__(model)

    def name_of(self, row: Any) -> str | None:
        """The row's own name; None if its kind has no name."""
        return row.name if hasattr(row, "name") else None

    def named(self, row: Any) -> str:
        """The row's name, kind and id, for the title of its pages."""
        name, number = self.name_of(row), f"{self.display_name} {row.id}"
        return f"{name}, {number}" if name else f"{number[:1].upper()}{number[1:]}"

    async def repr(self, obj: Any, request: Request) -> str:
        """The text of links to the row: its class's `__admin_repr__`, else the row's name, else its kind and id."""
        name = getattr(obj, "__admin_repr__", None)
        return name(request) if name else self.name_of(obj) or f"{self.display_name} {obj.id}"

    def can_create(self, request: Request) -> bool:
        """Whether the person's role allows edits."""
        return may_edit(request)

    def can_edit(self, request: Request) -> bool:
        """Whether the person's role allows edits."""
        return may_edit(request)

    def can_delete(self, _request: Request) -> bool:
        """Always False: rows are archived, disabled or revoked. Only budgets can be removed; their view allows it."""
        return False

    def can_export(self, _request: Request) -> bool:
        """Always False: programs read data with the API or the command line."""
        return False

    def can_import(self, _request: Request) -> bool:
        """Always False: platforms' reports are imported on the import page or with `spendgate import`."""
        return False

    async def is_action_allowed(self, request: Request, name: str) -> bool:
        """Whether the person's role allows the bulk action `name`; it must allow edits."""
        return may_edit(request) and await super().is_action_allowed(request, name)

    async def is_row_action_allowed(self, request: Request, name: str) -> bool:
        """Whether the person's role allows the action `name` on rows; every role may view."""
        return (name == "view" or may_edit(request)) and await super().is_row_action_allowed(request, name)

    async def handle_action(self, request: Request, selection: ActionSelection, name: str) -> Response | None:
        """Runs a bulk action. Raises ActionFailed, whose text the page shows, if the action is refused.

        Bypasses starlette-admin's handler of SQLAlchemy's errors, which would show SQL to the person.
        """
        with errors_shown():
            return await BaseModelView.handle_action(self, request, selection, name)

    async def handle_row_action(self, request: Request, pk: Any, name: str) -> Response | None:
        """Runs an action on one row. Raises ActionFailed, whose text the page shows, if the action is refused."""
        with errors_shown():
            return await BaseModelView.handle_row_action(self, request, pk, name)

    def get_search_query(self, _request: Request, term: str) -> Any:
        """The SQL condition of a search: a column or relation of `searched` contains `term`, or the id equals it.

        A platform is found by its aliases too.
        """
        clauses = [
            has_name(getattr(self.model, name), term)
            if name in {"brand", "campaign"}
            else cast(getattr(self.model, name), String).icontains(term, autoescape=True)
            for name in self.searched
        ]
        platform = canonical(term) if "platform" in self.searched else None
        clauses += [self.model.platform == platform] if platform else []
        number = as_id(term)
        return or_(*clauses, *([self.model.id == number] if number else []))

    async def find_all(
        self,
        request: Request,
        skip: int = 0,
        limit: int = 100,
        q: str | None = None,
        sorts: Sequence[tuple[str, str]] | None = None,
        filters: FilterGroup | None = None,
    ) -> Sequence[Any]:
        """At most `limit` rows after the first `skip`; calls `attach` for them if the page shows its values."""
        rows = await super().find_all(request, skip, limit, q, sorts, filters)
        await self.attach_shown(request, rows)
        return rows

    async def find_by_pk(self, request: Request, pk: Any) -> Any:
        """The row with this id, None if there is none; calls `attach` for it if the page shows its values."""
        row = await super().find_by_pk(request, pk) if as_id(pk) else None
        await self.attach_shown(request, [row] if row else [])
        return row

    async def find_by_pks(self, request: Request, pks: list[Any]) -> Sequence[Any]:
        """The existing rows among the given ids."""
        return await super().find_by_pks(request, [pk for pk in pks if as_id(pk)])

    async def attach_shown(self, request: Request, rows: Sequence[Any]) -> None:
        """Calls `attach` in a thread, if there are rows and the page is one of SHOWN."""
        if rows and request.state.action in SHOWN:
            await run_sync(partial(self.attach, request, rows))

    def attach(self, request: Request, rows: Sequence[Any]) -> None:
        """Reads further values of the rows into `request.state`, for fields to show; here none. Runs in a thread."""

    def seen(self, request: Request, row: Any) -> str:
        """The mark (hash) of the values that people edit, as they were when the form was opened.

        A form that was refused keeps its first mark.
        """
        sent: str | None = getattr(request.state, "seen", None)
        return edit_mark(self.facts(row), self.set_by_people) if sent is None else sent

    def facts(self, row: Any) -> Mapping[str, Any]:
        """The row's values by name, among them all of `set_by_people`."""
        columns: dict[str, Any] = vars(row)
        return columns

    def check_seen(self, request: Request, connection: Connection, now: Mapping[str, Any]) -> None:
        """Raises EditedSince if somebody edited the row since the form was opened. Call it under the row's lock.

        `now`: the row's id and the values that people edit.
        """
        stale.check(connection, request.state.seen, now, self.set_by_people, (str(self.display_name), now["id"]))

    async def write(self, request: Request, work: Callable[[Edit], Result]) -> Result:
        """Runs a change, and shows its effect on the next page if that needed a confirmation; returns as `work` does.

        Raises FormValidationError, with which the form returns. An invalid value's error is shown at its field, or
        above the form if no field has its name; an unconfirmed effect or somebody's later edit is shown above it.
        """
        try:
            result = await write(request, work)
        except Unconfirmed as error:
            request.state.unconfirmed = error.effect
            raise FormValidationError({}) from None
        except EditedSince as error:
            request.state.stale = error.sentence
            raise FormValidationError({}) from None
        except InvalidValue as error:
            name = self.error_names.get(error.field, error.field)
            if any(field.name == name for field in self.get_fields_list(request)):
                raise FormValidationError({name: error.message}) from None
            flash(request, str(error), "error")
            raise FormValidationError({}) from None
        consent.show_effect(request)
        return result
