"""The bound of an account from its confirmed pauses and completed days."""

from datetime import date, timedelta
from random import Random

from domain.reporting.bounds import (
    LEAST_OBSERVATIONS,
    Bound,
    DaySeen,
    PauseSeen,
    bounded_by,
    day_seen,
    in_words,
    measured,
    settles_after,
)

TODAY = date(2026, 6, 30)


def days(count: int, by_days_late: dict[int, int]) -> list[DaySeen]:
    """The last `count` days before today, each with this spend by the days after its end at which it came."""
    return [day_seen(TODAY - timedelta(days=ago), by_days_late) for ago in range(1, count + 1)]


def pauses(*beyond_and_growth: tuple[int, int], ago: int = 9) -> list[PauseSeen]:
    return [PauseSeen(TODAY - timedelta(days=ago), beyond, growth, 30) for beyond, growth in beyond_and_growth]


def test_nineteen_observations_are_bounded_by_the_largest_and_fewer_by_none() -> None:
    assert bounded_by(range(LEAST_OBSERVATIONS - 1)) is None
    assert bounded_by(range(LEAST_OBSERVATIONS)) == 18
    assert bounded_by([0] * 39 + [5]) == 0


def test_at_most_one_in_twenty_observations_exceeds_the_bound_of_the_others() -> None:
    chance = Random(7)
    for count in range(20, 120):
        observed = [chance.randrange(count) for _ in range(count)]
        others = [(value, observed[:place] + observed[place + 1 :]) for place, value in enumerate(observed)]
        exceeding = [value for value, rest in others if value > (bounded_by(rest) or 0)]
        assert len(exceeding) * 100 <= 5 * count


def test_days_that_never_grow_after_their_end_settle_at_once() -> None:
    assert settles_after(days(25, {-1: 1_000}), TODAY) == 0


def test_days_settle_at_the_first_age_with_at_most_a_thousandth_to_come() -> None:
    assert settles_after(days(30, {-1: 990, 0: 5, 2: 5}), TODAY) == 3
    assert settles_after(days(30, {-1: 9_990, 4: 10}), TODAY) == 0


def test_days_that_keep_growing_never_settle() -> None:
    assert settles_after(days(60, {-1: 900, 40: 100}), TODAY) is None


def test_too_few_days_do_not_show_when_they_settle() -> None:
    assert settles_after(days(LEAST_OBSERVATIONS, {-1: 1_000}), TODAY) is None


def test_bound_is_spend_beyond_the_limit_at_the_decision_and_after_it() -> None:
    seen = pauses(*[(2, number) for number in range(19)])
    assert measured(seen, days(30, {-1: 1_000}), TODAY) == Bound(19, 30, 20, 30, 0)


def test_pauses_of_days_that_may_still_grow_are_left_out() -> None:
    seen = pauses(*[(2, 1)] * 19) + pauses((90, 90), ago=2)
    settling = days(40, {-1: 990, 2: 10})
    assert measured(seen, settling, TODAY) == Bound(19, 40, 3, 30, 3)
    assert measured(seen[1:], settling, TODAY) == Bound(18, 40, None, None, 3)


def test_credit_after_a_decision_gives_no_negative_bound() -> None:
    assert measured(pauses(*[(1, -5)] * 19), days(30, {-1: 1_000}), TODAY).bound_micros == 0


def test_words_say_the_bound_or_what_is_missing() -> None:
    assert in_words(Bound(43, 90, 12, 30, 2), "$12.00") == (
        "at most $12.00 above a limit with 95 % confidence, by 43 confirmed pauses"
    )
    assert in_words(Bound(5, 90, None, None, 2), "") == "not enough data yet: 5 of 19 confirmed pauses"
    assert in_words(Bound(0, 4), "") == "not enough data yet: 4 of 20 ended days"
    assert in_words(Bound(0, 60), "") == (
        "not known: days still grow 28 days after their end, or too few days are old enough to tell"
    )
    assert in_words(None, "") == "not enough data yet: 0 of 20 ended days"
