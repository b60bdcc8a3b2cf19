"""Names of ad platforms: one canonical name for every spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.platforms import PLATFORMS, bare_spellings, canonical, canonical_or_lower

SIGNS = st.sampled_from(["", " ", "_", "-", ".", " & ", "/"])


@st.composite
def spellings(draw: st.DrawFn) -> tuple[str, str]:
    """A platform's canonical name, and one of its names in any case with signs and spaces between its letters."""
    name = draw(st.sampled_from(sorted(PLATFORMS)))
    known = draw(st.sampled_from([name, PLATFORMS[name].label, *PLATFORMS[name].aliases]))
    letters = [draw(st.sampled_from([letter, letter.upper(), letter.lower()])) + draw(SIGNS) for letter in known]
    return name, draw(SIGNS) + "".join(letters)


@given(spellings())
def test_every_spelling_of_a_platform_has_its_canonical_name(pair: tuple[str, str]) -> None:
    name, spelling = pair
    assert canonical_or_lower(spelling) == name


@given(st.text(max_size=200))
def test_a_canonical_name_is_its_own_canonical_name(text: str) -> None:
    name = canonical_or_lower(text)
    assert canonical_or_lower(name) == name


@pytest.mark.parametrize(("text", "name"), [(" MyDSP ", "mydsp"), ("Überall", "überall"), ("", ""), ("  ", "")])
def test_an_unknown_platform_is_lower_case_without_spaces_around_it(text: str, name: str) -> None:
    assert canonical(text) is None
    assert canonical_or_lower(text) == name


def test_no_spelling_belongs_to_two_platforms() -> None:
    own = [
        (spelling, name)
        for name, platform in PLATFORMS.items()
        for spelling in (name, platform.label, *platform.aliases)
    ]
    assert all(canonical(spelling) == name for spelling, name in own)
    assert all(canonical(spelling) == name for spelling, name in bare_spellings().items())
