"""How far spend of a platform account may exceed a limit, in words for pages, answers and reports."""

from domain.reporting.bounds import Bound, in_words
from runtime.formats import rounded_money


def words_of(bound: Bound | None, currency: str | None) -> str:
    """How far spend of a platform account may exceed a limit, as a sentence with an amount of money.

    `bound` None: it was never measured, and the sentence says «not enough data yet». `currency`: the account's; None:
    unknown, and the sentence has the amount in micros.
    """
    micros = 0 if bound is None or bound.bound_micros is None else bound.bound_micros
    amount = f"{micros:,} micros of an unknown currency" if currency is None else rounded_money(micros, currency)
    return in_words(bound, amount)
