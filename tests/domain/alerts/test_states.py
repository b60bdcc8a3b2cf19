"""The state machine of alerts: raised once an episode, one open alert a subject, resolved when the condition ends."""

from hypothesis import given
from hypothesis import strategies as st

from domain.alerts.kinds import AlertKind, Ending
from domain.alerts.states import Changes, Condition, KnownAlert, changes_of
from tests.domain.facts import QUICK


def condition(subject: str, episode: str = "1") -> Condition:
    return Condition(AlertKind.FAILED_IMPORT, subject, episode)


def known(number: int, subject: str, episode: str = "1", *, is_open: bool = True) -> KnownAlert:
    return KnownAlert(number, subject, episode, 0, is_open)


def test_condition_without_an_alert_raises_one() -> None:
    assert changes_of([], [condition("a"), condition("a", "2")]) == Changes(raised=[condition("a")])


def test_open_alert_stays_while_its_subject_holds_also_in_another_episode() -> None:
    assert not changes_of([known(1, "a")], [condition("a", "2")])


def test_condition_that_ended_resolves_its_alert() -> None:
    assert changes_of([known(1, "a"), known(2, "b")], [condition("b")]) == Changes(resolved={1: Ending.CLEARED})


def test_condition_that_returns_in_its_episode_opens_the_alert_again() -> None:
    assert changes_of([known(1, "a", is_open=False)], [condition("a")]) == Changes(reopened=[1])


def test_condition_of_a_new_episode_raises_a_new_alert() -> None:
    assert changes_of([known(1, "a", is_open=False)], [condition("a", "2")]) == Changes(raised=[condition("a", "2")])


NAMES = st.tuples(st.sampled_from("abc"), st.sampled_from("12"))


@QUICK
@given(st.lists(st.lists(NAMES, max_size=4), max_size=10))
def test_any_course_of_conditions_raises_each_episode_once_and_keeps_one_open_a_subject(
    course: list[list[tuple[str, str]]],
) -> None:
    stored: list[KnownAlert] = []
    for names in course:
        holding = [condition(*name) for name in names]
        changes = changes_of(stored, holding)
        stored = [
            alert._replace(is_open=(alert.is_open and alert.id not in changes.resolved) or alert.id in changes.reopened)
            for alert in stored
        ]
        stored += [known(len(stored) + n, one.subject, one.episode) for n, one in enumerate(changes.raised)]
        opened = [alert.subject for alert in stored if alert.is_open]
        assert sorted(opened) == sorted({subject for subject, _ in names})
        assert len({(alert.subject, alert.episode) for alert in stored}) == len(stored)
        assert not changes_of(stored, holding)
