"""Faults of names: invisible characters, characters that change the writing direction, and line breaks."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.text import fault_of, is_sound, readable, storable, visible


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Spring\u202esale", "has U+202E, RIGHT-TO-LEFT OVERRIDE"),
        ("Spring\u2066sale", "has U+2066, LEFT-TO-RIGHT ISOLATE"),
        ("Spring\u200f", "has U+200F, RIGHT-TO-LEFT MARK"),
        ("Spring\u061c", "has U+061C, ARABIC LETTER MARK"),
        ("Spring\u2028sale", "has U+2028, LINE SEPARATOR"),
        ("Spring\u2029", "has U+2029, PARAGRAPH SEPARATOR"),
        ("Spring\tsale", "has U+0009, a control character"),
        ("Spring\x85", "has U+0085, a control character"),
        ("\0", "has U+0000, a control character"),
        ("a\ud800", "has U+D800, half of a pair"),
        ("\u200b\u200d", "has no visible character, but U+200B, ZERO WIDTH SPACE"),
        ("\U000e0041\U000e0042", "has no visible character, but U+E0041, TAG LATIN CAPITAL LETTER A"),
        ("\ufeff \u00ad", "has no visible character, but U+FEFF, ZERO WIDTH NO-BREAK SPACE"),
        ("\u3164", "has no visible character, but U+3164, HANGUL FILLER"),
        ("\u0301", "has no visible character, but U+0301, COMBINING ACUTE ACCENT"),
        ("  ", "has no visible character, but U+0020, SPACE"),
    ],
)
def test_fault_names_the_forbidden_character(text: str, fault: str) -> None:
    assert fault_of(text) == fault


@pytest.mark.parametrize(
    "text",
    [
        "Spring sale",
        "Kawa \u2615",
        "e\u0301",
        "می\u200cخواهم",
        "\U0001f468\u200d\U0001f373",
        "日本語",
        "שלום",
        "a\u00a0b",
        "\u00a0x",
    ],
)
def test_ordinary_names_have_no_fault(text: str) -> None:
    assert fault_of(text) is None


@given(st.text(st.characters(codec="ascii"), min_size=1))
def test_ascii_line_has_a_fault_only_for_control_characters_or_blanks(text: str) -> None:
    assert (fault_of(text) is None) == (text.isprintable() and not text.isspace())


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Spring\u200f", "Spring"),
        ("a\u202eb\u2028c", "a b c"),
        ("\u200b", ""),
        ("", ""),
        ("\u200e\t", ""),
        ("שלום", "שלום"),
    ],
)
def test_readable_replaces_forbidden_characters(text: str, kept: str) -> None:
    assert readable(text) == kept


@given(st.text())
def test_readable_names_have_no_fault(text: str) -> None:
    assert not readable(text) or fault_of(readable(text)) is None


@given(st.text(st.characters()))
def test_storable_text_can_be_encoded_and_has_no_nul(text: str) -> None:
    kept = storable(text)
    assert "\0" not in kept.encode().decode()
    assert is_sound(kept)
    assert (kept == text) == is_sound(text)


def test_storable_shows_each_character_as_its_escape() -> None:
    assert storable("a\0b\ud800c\n") == "a\\u0000b\\ud800c\n"


@given(st.text(st.characters()))
def test_visible_text_has_no_control_character_but_line_feeds_and_tabs(text: str) -> None:
    kept = visible(text)
    assert all(fault_of(line + "x") is None for line in kept.replace("\t", "").split("\n"))
    assert json.loads(visible(json.dumps(text, ensure_ascii=False))) == json.loads(json.dumps(text))
