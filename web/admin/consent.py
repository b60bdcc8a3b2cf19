"""Confirmation of edits that stop or release campaigns: the form returns once with the effect and asks.

The form then carries a token of that effect. If the effect has changed by then, the form returns again.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy import Connection
from starlette.requests import Request
from starlette_admin import flash

from app.edits import preview as edits
from app.edits.preview import Agree, Confirmable

Result = TypeVar("Result")

FIELD: Final = "agreed"
"""The form's hidden field: the token of the effect that the person was shown."""

MAX_BANNER: Final = 400
"""Maximal characters of a banner, which is sent in a cookie."""


async def read(request: Request) -> None:
    """Stores the token that the form confirms."""
    request.state.agreed = str((await request.form()).get(FIELD) or "")


def make(request: Request, work: Callable[[Connection], Result], brand_id: int) -> Result:
    """Runs a confirmed edit of one brand. Raises Unconfirmed if its effect differs from the confirmed one."""
    result, effect = edits.edit(work, brand_id, agree(request))
    note_effect(request, effect)
    return result


def agree(request: Request) -> Agree:
    """Returns a check that allows an edit with the effect that the form confirms."""
    return edits.agreed_to(request.state.agreed)


def note_effect(request: Request, effect: Confirmable) -> None:
    """Stores the effect of a confirmed edit, for `show_effect`."""
    request.state.effect = effect


def show_effect(request: Request) -> None:
    """Shows the effect of a confirmed edit on the next page."""
    effect: Confirmable | None = getattr(request.state, "effect", None)
    if effect is not None and effect.needs_consent:
        flash(request, shortened(f"{effect.sentence(is_done=True)}."), "warning" if effect.stopped else "success")


def shortened(sentence: str) -> str:
    """The sentence with its middle left out where a cookie could not hold it; its end has the counts."""
    half = MAX_BANNER // 2
    return sentence if len(sentence) <= MAX_BANNER else f"{sentence[:half]} … {sentence[-half:]}"
