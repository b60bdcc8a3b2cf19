"""Reads the batch and the options from the arguments of a message on queue `spend`."""

from collections.abc import Sequence
from typing import NamedTuple

from delivery.messages import receipt_name


class MessageOptions(NamedTuple):
    """The options of a message.

    `only_brand_id`: the only brand whose campaigns the message may name; None allows all. `receipt`: the name under
    which the worker writes the receipt (how many inputs it counted); None asks for no receipt.
    """

    only_brand_id: int | None = None
    receipt: str | None = None

    @classmethod
    def pop_from(cls, kwargs: dict[str, object]) -> "MessageOptions":
        """Removes the options from a message's arguments and returns them; a malformed `only_brand_id` becomes 0.

        No brand has the id 0, so such a message may name no campaign. A malformed receipt name becomes None.
        """
        only = kwargs.pop("only_brand_id", None)
        kwargs.pop("postponed_brand_id", None)  # an option of earlier versions
        return cls(
            only if only is None or type(only) is int else 0,
            receipt_name(kwargs.pop("receipt", None)),
        )


def batch_in(name: str, args: Sequence[object], kwargs: dict[str, object]) -> Sequence[object]:
    """Returns the batch in a message's arguments: the argument `name`, or the only positional argument.

    A value that is no list becomes a list with this value as its one input. Without a value, all arguments together
    become one input. Ingest checks it as any other.
    """
    given = kwargs[name] if name in kwargs else args[0] if len(args) == 1 else None
    return given if isinstance(given, list) else [{"args": list(args), **kwargs} if given is None else given]
