"""The measured bound of a platform account's overspend in words, for pages, answers and reports."""

from domain.reporting.bounds import Bound, in_words
from runtime.formats import rounded_money


def words_of(bound: Bound | None, currency: str | None) -> str:
    """The bound as a sentence with money; says «not enough data yet» for None. `currency`: None if not known yet."""
    micros = None if bound is None else bound.bound_micros
    return in_words(bound, "" if micros is None or currency is None else rounded_money(micros, currency))
