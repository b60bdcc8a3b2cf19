"""Budgets: the limit of one window, and whether spend has reached it."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from domain.errors import InvalidValue
from domain.periods import Period, Window, window_of
from domain.typed_money import parse_money


class Scope(StrEnum):
    """Whose spend a budget limits."""

    BRAND = "brand"
    CAMPAIGN = "campaign"


def parse_limit(text: str, currency: str) -> int:
    """The typed limit in micros. Raises InvalidValue unless `text` is an amount of the currency, 0 or more."""
    micros = parse_money(text, currency)
    if micros < 0:
        raise InvalidValue(
            "limit_micros", f"{text.strip()} is below 0; the least limit is 0, which stops campaigns at once"
        )
    return micros


def is_exhausted(spent_micros: int, limit_micros: int) -> bool:
    """Whether spent ≥ limit. A limit of 0 is always exhausted, even when refunds make spend negative."""
    return limit_micros == 0 or spent_micros >= limit_micros


def left_micros(spent_micros: int, limit_micros: int) -> int:
    """Micros that may still be spent: 0 for an exhausted limit, more than the limit when refunds exceed spend."""
    return 0 if is_exhausted(spent_micros, limit_micros) else limit_micros - spent_micros


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit for one period, of a brand (all its campaigns together) or of one campaign."""

    scope: Scope
    period: Period
    limit_micros: int


@dataclass(frozen=True, slots=True)
class BudgetSpend:
    """A budget with the spend of the window that was current when the facts were read.

    `ahead_micros`: spend already counted on days after that window, from events dated a few minutes ahead.
    """

    budget: Budget
    window: Window
    spent_micros: int
    ahead_micros: int = 0

    def spent_on(self, day: date) -> int:
        """Micros counted so far in the window that contains `day`; 0 if it is neither `window` nor the next one."""
        if day in self.window:
            return self.spent_micros
        return self.ahead_micros if self.window.end_day == window_of(self.budget.period, day).first_day else 0

    def is_exhausted_on(self, day: date) -> bool:
        """Whether spend has reached the limit in the window that contains `day`."""
        return is_exhausted(self.spent_on(day), self.budget.limit_micros)

    def next_flip_day(self, day: date) -> date | None:
        """The first day after `day` on which `is_exhausted_on` changes without new spend or edits; None if never."""
        exhausted = self.is_exhausted_on(day)
        window = window_of(self.budget.period, day)
        for _ in range(2):
            if window.end_day is None:
                return None
            if self.is_exhausted_on(window.end_day) != exhausted:
                return window.end_day
            window = window_of(self.budget.period, window.end_day)
        return None
