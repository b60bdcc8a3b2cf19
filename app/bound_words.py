"""How far spend of a platform account may exceed a limit, in words for pages, answers and reports."""

from domain.reporting.bounds import Bound, in_words
from runtime.formats import rounded_money


def words_of(bound: Bound | None, currency: str | None) -> str:
    """How far spend of a platform account may exceed a limit, as a sentence with an amount of money.

    `bound` None: it was never measured, and the sentence says «not enough data yet». `currency`: the account's; None:
    unknown, and the sentence has no amount.
    """
    micros = None if bound is None else bound.bound_micros
    return in_words(bound, "" if micros is None or currency is None else rounded_money(micros, currency))
