"""What a message on queue `spend` says: a batch, and on what terms it is sent."""

from collections.abc import Sequence
from typing import NamedTuple

from delivery.messages import receipt_name


class Terms(NamedTuple):
    """What a message says beside its batch.

    `only_brand_id`: the brand whose campaigns the sender knows; None knows all. `receipt`: the name under which the
    sender wants to be told the outcome.
    """

    only_brand_id: int | None = None
    receipt: str | None = None

    @classmethod
    def taken_from(cls, kwargs: dict[str, object]) -> "Terms":
        """Takes them out of a message's arguments; a limit that is no id limits to no brand that there is."""
        only = kwargs.pop("only_brand_id", None)
        kwargs.pop("postponed_brand_id", None)  # of a worker of an earlier version, which named the locked brand
        return cls(
            only if only is None or type(only) is int else 0,
            receipt_name(kwargs.pop("receipt", None)),
        )


def listed(name: str, args: Sequence[object], kwargs: dict[str, object]) -> Sequence[object]:
    """The batch in a message's arguments; a message of another shape is a batch of one bad input: itself."""
    given = kwargs[name] if name in kwargs else args[0] if len(args) == 1 else None
    return given if isinstance(given, list) else [{"args": list(args), **kwargs} if given is None else given]
