"""Confirmation of edits that stop or release campaigns or change a limit a lot: the form returns with the effect.

It then carries a token of that effect, so saving it again confirms it. If the effect has changed, the form returns
again.
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
"""Characters of the longest banner, because a cookie carries it to the next page."""


async def read(request: Request) -> None:
    """Stores the token that the form confirms in `request.state.agreed`; empty if it confirms none."""
    request.state.agreed = str((await request.form()).get(FIELD) or "")


def make(request: Request, work: Callable[[Connection], Result], brand_id: int) -> Result:
    """Makes and enforces an edit of one brand in one commit; returns the result of `work`.

    Raises Unconfirmed, and changes nothing, if the effect needs a confirmation and the form confirms another or none.
    Call `read` before.
    """
    result, effect = edits.edit(work, brand_id, agree(request))
    note_effect(request, effect)
    return result


def agree(request: Request) -> Agree:
    """Returns a check that allows an edit which needs no confirmation, or has the effect that the form confirms."""
    return edits.agreed_to(request.state.agreed)


def note_effect(request: Request, effect: Confirmable) -> None:
    """Stores the effect of an edit that was made, for `show_effect`."""
    request.state.effect = effect


def show_effect(request: Request) -> None:
    """Shows on the next page the effect of the edit that was made, if it needed a confirmation."""
    effect: Confirmable | None = getattr(request.state, "effect", None)
    if effect is not None and effect.needs_consent:
        flash(request, shortened(f"{effect.sentence(is_done=True)}."), "warning" if effect.stopped else "success")


def shortened(sentence: str) -> str:
    """The sentence, without its middle if it is longer than MAX_BANNER; its end has the counts."""
    half = MAX_BANNER // 2
    return sentence if len(sentence) <= MAX_BANNER else f"{sentence[:half]} … {sentence[-half:]}"
