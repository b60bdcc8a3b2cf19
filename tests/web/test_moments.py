"""Forms and bodies read times by the rule of events, and refuse odd ones without an error of the server."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException

from domain.errors import InvalidValue
from tests.domain.test_typed_moments import NINE, ODD
from web.admin.pages import undo
from web.admin.pages.import_forms import options_of
from web.api.request.fields import Moment

BODY: TypeAdapter[Any] = TypeAdapter(Moment)
Z = "2026-11-30T09:00:00z"


def test_every_door_takes_a_small_z() -> None:
    assert options_of({"as_of": Z}).as_of == undo._moment(Z) == BODY.validate_python(Z) == NINE
    assert options_of({"as_of": " "}).as_of is None


@pytest.mark.parametrize(("text", "words"), ODD)
def test_every_door_refuses_odd_times(text: str, words: str) -> None:
    if text:
        with pytest.raises(InvalidValue, match=words):
            options_of({"as_of": text})
    with pytest.raises(HTTPException, match="404"):
        undo._moment(text)
    with pytest.raises(ValidationError, match=words):
        BODY.validate_python(text)


def test_number_is_no_time_of_a_body() -> None:
    with pytest.raises(ValidationError, match="is not an ISO 8601 time"):
        BODY.validate_python(1_700_000_000)
