"""How far spend of a platform account may exceed a limit, in words for pages, answers and reports."""

from domain.reporting.bounds import Bound, in_words
from runtime.formats import rounded_money


def words_of(bound: Bound | None, currency: str | None) -> str:
    """How far spend may exceed a limit, as a sentence with money; for None it says «not enough data yet».

    `currency`: None if not known yet.
    """
    micros = None if bound is None else bound.bound_micros
    return in_words(bound, "" if micros is None or currency is None else rounded_money(micros, currency))
