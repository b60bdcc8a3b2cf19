"""Asks a person to confirm an edit that stops or releases campaigns or changes a limit a lot.

The form returns with the effect and, in a hidden field, a token of it; saving the form again confirms that effect. If
the effect has changed meanwhile, the form returns again.
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
"""Characters of a sentence that a banner shows at most, because a cookie carries it to the next page."""


async def read(request: Request) -> None:
    """Stores the token in the form's hidden field as `request.state.agreed`; an empty text if the form has none."""
    request.state.agreed = str((await request.form()).get(FIELD) or "")


def make(request: Request, work: Callable[[Connection], Result], brand_id: int) -> Result:
    """Makes and enforces an edit of one brand in one commit; returns the result of `work`.

    Raises Unconfirmed, and changes nothing, if the effect needs a confirmation and the form confirms another or none.
    Call `read` first. Stores the effect for `show_effect`.
    """
    result, effect = edits.edit(work, brand_id, agree(request))
    note_effect(request, effect)
    return result


def agree(request: Request) -> Agree:
    """Returns the check of an edit's effect: it passes if that needs no confirmation or the form confirms it."""
    return edits.agreed_to(request.state.agreed)


def note_effect(request: Request, effect: Confirmable) -> None:
    """Stores the effect of an edit that was made, which `show_effect` then shows."""
    request.state.effect = effect


def show_effect(request: Request) -> None:
    """Shows on the next page the effect of the edit that was made, if it needed a confirmation."""
    effect: Confirmable | None = getattr(request.state, "effect", None)
    if effect is not None and effect.needs_consent:
        flash(request, shortened(f"{effect.sentence(is_done=True)}."), "warning" if effect.stopped else "success")


def shortened(sentence: str) -> str:
    """The sentence; one longer than MAX_BANNER loses its middle, because its end has the counts."""
    half = MAX_BANNER // 2
    return sentence if len(sentence) <= MAX_BANNER else f"{sentence[:half]} … {sentence[-half:]}"
