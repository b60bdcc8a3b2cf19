"""Admin fields that starlette-admin lacks: closed choices, valid days, instants in UTC, filters by related rows."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import select, tuple_
from sqlalchemy.orm import InstrumentedAttribute
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette_admin import ComputedField, DateField, DateTimeField, EnumField
from starlette_admin.filters import FilterApplyContext, FilterValidationError
from starlette_admin.filters.numeric import EqualFilter
from starlette_admin.filters.string import ContainsFilter

from domain.holds import in_words
from domain.inputs.values import MAX_ID
from runtime.formats import instant

PRE: Final = "pre.html"
LINK: Final = "link.html"


def as_id(text: object) -> int | None:
    """Parses an id from 1 to MAX_ID; None for any other text."""
    written = str(text)
    number = int(written) if written.isascii() and written.isdecimal() and len(written) < 20 else 0
    return number if 0 < number <= MAX_ID else None


def reasons(holds: list[str]) -> str:
    """The holds in plain words, as one text; `none` for an empty list."""
    return in_words(holds) or "none"


def computed(name: str, label: str, getter: Any, **more: Any) -> ComputedField:
    """A read-only field with the value of `getter(request, row)`. The edit form has it only with
    `exclude_from_edit=False`. `more`: further options of starlette-admin's ComputedField.
    """
    return ComputedField(name, label=label, getter=getter, **{"exclude_from_edit": True, **more})


def linked(name: str, label: str, words: str, getter: Any) -> ComputedField:
    """A link with the text `words` to the address `getter(request, row)`, on a row's detail and edit pages only."""
    templates = {"detail_template": LINK, "form_template": LINK}
    return computed(
        name, label, getter, exclude_from_list=True, exclude_from_edit=False, extra={"words": words}, **templates
    )


def list_address(request: Request, key: str, condition: str) -> str:
    """The address of the list of the view `key`, filtered by `condition`, such as `campaign__id=17`."""
    return str(request.url_for("admin:list", key=key).include_query_params(filter=condition))


class Choice(EnumField):
    """A choice from a fixed list. Pages show the stored word even if it is not in the list."""

    def _get_label(self, value: Any, _request: Request) -> Any:
        return value

    async def serialize_value(self, request: Request, value: Any) -> Any:
        """Returns the stored word. For several words returns the list in a form, and elsewhere one text with commas."""
        words = await super().serialize_value(request, value)
        return ", ".join(words) if self.multiple and not request.state.action.is_form() else words

    async def validate(self, request: Request, value: Any, form_values: dict[str, Any]) -> None:
        """Raises ValueError for a value outside the list, and for an empty field that is required."""
        await super().validate(request, value, form_values)
        known = dict(self._get_choices(request))
        chosen = value if self.multiple else [value] if value else []
        if any(one not in known for one in chosen):
            raise ValueError("Choose a value from the list.")


@dataclass
class DayField(DateField):
    """A calendar day, chosen in the browser's own date picker, which screen readers announce by the field's label.

    Refuses an invalid day; starlette-admin would read it as an empty field.
    """

    class_: str = "form-control"

    def additional_css_links(self, _request: Request) -> list[str]:
        """No scripts or styles, because the browser's own date picker is used."""
        return []

    def additional_js_links(self, _request: Request) -> list[str]:
        """No scripts or styles, because the browser's own date picker is used."""
        return []

    async def parse_form_data(self, _request: Request, form_data: FormData) -> Any:
        """Parses the day; None for an empty field; any other text unchanged, which `validate` then refuses."""
        raw = str(form_data.get(self.id) or "").strip()
        try:
            return date.fromisoformat(raw) if raw else None
        except ValueError:
            return raw

    async def validate(self, request: Request, value: Any, form_values: dict[str, Any]) -> None:
        """Raises ValueError for an invalid day, and for an empty field that is required."""
        await super().validate(request, value, form_values)
        if isinstance(value, str):
            raise ValueError(f"{value!r} is not a day such as 2026-11-22.")  # noqa: TRY004 - what the library expects


class MomentField(DateTimeField):
    """An instant, shown in UTC to the second."""

    async def serialize_value(self, _request: Request, value: Any) -> str:
        """The instant formatted for people, in UTC."""
        assert isinstance(value, datetime)  # noqa: S101 - the column's own type
        return instant(value)


def has_name(relation: InstrumentedAttribute[Any], words: str) -> Any:
    """The SQL condition that the name of the row's brand or campaign (`relation`) contains the words; ignores case."""
    # Not by EXISTS: Citus refuses a query of one row of the coordinator for rows of other servers.
    ours, related = zip(*relation.property.local_remote_pairs, strict=True)
    named = select(*related).where(relation.property.mapper.class_.name.icontains(words, autoescape=True))
    return tuple_(*ours).in_(named)


class RelatedName(ContainsFilter):
    """Filters rows by words that the name of their brand or campaign contains; ignores case."""

    def apply(self, ctx: FilterApplyContext) -> Any:
        """The SQL condition: the related brand's or campaign's name contains the words."""
        return has_name(_attribute(ctx, ctx.field_name), ctx.value)


class RelatedId(EqualFilter):
    """Filters rows by the id of their brand or campaign."""

    name = "id"
    label = "has the id"

    def parse_value(self, raw: str) -> int:
        """Parses the id. Raises FilterValidationError for a text that is not an id."""
        number = as_id(raw)
        if number is None:
            raise FilterValidationError(f"{raw!r} is not an id")
        return number

    def apply(self, ctx: FilterApplyContext) -> Any:
        """The SQL condition: the related brand or campaign has the id."""
        return _attribute(ctx, f"{ctx.field_name}_id") == ctx.value


RELATED = [RelatedName, RelatedId]


def _attribute(ctx: FilterApplyContext, name: str) -> InstrumentedAttribute[Any]:
    attribute: InstrumentedAttribute[Any] = getattr(ctx.view.model, name)  # type: ignore[union-attr]  # the view's own
    return attribute
