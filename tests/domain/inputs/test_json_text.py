"""Reading JSON from outside: unstorable values are flaws of their object, all else is read as `json.loads` does."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.inputs.json_text import (
    MAX_BRACKETS,
    MAX_DEPTH,
    MAX_FLAWS,
    MAX_TOKENS,
    FlawedObject,
    UnstorableValue,
    encode_unstorable,
    flaws_of,
    is_nested_too_deeply,
    read_json,
)

HUGE = "9" * 5_000
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_read_json_agrees_with_json_loads(value: object) -> None:
    text = json.dumps(value)
    assert read_json(text.encode()) == json.loads(text) == value


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (HUGE, "an integer of 5000 digits"),
        (f"-{HUGE}", "an integer of 5000 digits"),
        ("1e400", "a number beyond the range of a double"),
        ("-1e400", "a number beyond the range of a double"),
        (f"{HUGE}.5", "a number beyond the range of a double"),
        ("NaN", "NaN, which is no JSON number"),
        ("-Infinity", "-Infinity, which is no JSON number"),
    ],
)
def test_unstorable_number_is_kept_as_text_and_listed_as_flaw(number: str, words: str) -> None:
    spoilt, sound = read_json(f'[{{"a": 1, "b": {number}}}, {{"a": 2}}]')
    assert isinstance(spoilt, FlawedObject)
    assert spoilt.flaws == [f"b: {words}, kept as text"]
    assert (type(sound), sound) == (dict, {"a": 2})
    assert spoilt["a"] == 1
    assert json.loads(json.dumps(spoilt, default=str))["b"] == number


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'"nul \\u0000"', "a text with U+0000"),
        (b'"\\ud800"', "a text with U+D800, half of a surrogate pair"),
        (b'"caf\xe9"', "a text with the byte 0xe9, which is not UTF-8, kept as \\udce9"),
    ],
)
def test_unstorable_text_is_a_flaw_as_value_and_as_key(text: bytes, words: str) -> None:
    assert flaws_of(read_json(b'{"b": ' + text + b"}")) == [f"b: {words}"]
    (flaw,) = flaws_of(read_json(b"{" + text + b": 1}"))
    assert flaw == words.replace("a text", "a key")


def test_flaws_name_their_place_and_mark_every_object_around_them() -> None:
    read = read_json('{"events": [{"a": {"b": [1, {"c": NaN}]}}, {"a": 1}]}')
    assert flaws_of(read) == ["events[0].a.b[1].c: NaN, which is no JSON number, kept as text"]
    assert [type(event) for event in read["events"]] == [FlawedObject, dict]


def test_at_most_max_flaws_are_listed_and_long_keys_are_cut() -> None:
    many = read_json("{" + ",".join(f'"{number}": NaN' for number in range(1_000)) + "}")
    assert len(many.flaws) == MAX_FLAWS
    (flaw,) = flaws_of(read_json('{"' + "k" * 1_000_000 + '": NaN}'))
    assert len(flaw) < 120


@pytest.mark.parametrize("bracket", ["[", '{"a":'])
def test_very_deep_nesting_is_kept_as_text(bracket: str) -> None:
    closing = {"[": "]", '{"a":': "}"}[bracket]
    deep = bracket * 100_000 + "1" + closing * 100_000
    spoilt, sound = read_json(f'[{{"b": {deep}}}, {{"a": "[[[" }}]')
    assert sound == {"a": "[[["}
    assert flaws_of(spoilt)[0].endswith(": nested over 64 deep, kept as text")
    assert not is_nested_too_deeply(spoilt)


@pytest.mark.parametrize("opening", ['["]",', '["\\"]",', '["\\"","]",', '{"a]":'])
@pytest.mark.parametrize("levels", [300, 20_000])
def test_brackets_in_texts_hide_no_deep_nesting(opening: str, levels: int) -> None:
    closing = ',"["]' if opening[0] == "[" else "}"
    spoilt, sound = read_json(f'[{{"b": {opening * levels}0{closing * levels}}}, {{"a": 1}}]')
    assert sound == {"a": 1}
    assert flaws_of(spoilt)[0].endswith(": nested over 64 deep, kept as text")
    assert not is_nested_too_deeply(spoilt)


@pytest.mark.parametrize(
    "text", ['[[[[["\\"[["]]]]]', "[" * 80, '["' + "\\" * 101, '"' + '\\"' * 100_000, "[" * 100_000, "]" * 100, ""]
)
def test_brackets_in_texts_and_invalid_json_do_not_count_as_nesting(text: str) -> None:
    try:
        expected = json.loads(text)
    except (ValueError, RecursionError):
        with pytest.raises((ValueError, RecursionError)):
            read_json(text)
    else:
        assert read_json(text) == expected


DEEP = "[" * 100 + "]" * 100
TEXTS = '"a",' * MAX_TOKENS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"[{'[],' * (MAX_BRACKETS // 2)}1]", f"over {MAX_BRACKETS} brackets"),
        (f"[{DEEP},{'{},' * (MAX_BRACKETS // 2)}1]", f"over {MAX_BRACKETS} brackets"),
        (f"[{DEEP},{TEXTS}1]", f"over {MAX_TOKENS} texts and brackets"),
    ],
    ids=["many", "many beside a deep one", "many texts beside a deep one"],
)
def test_text_of_too_many_parts_is_refused_before_they_are_read(text: str, words: str) -> None:
    with pytest.raises(json.JSONDecodeError, match=words):
        read_json(text)


def test_unfinished_text_of_many_quotes_is_read_once() -> None:
    with pytest.raises(ValueError, match="Unterminated"):
        read_json("[" * 100 + '"' + '\\"' * 1_000_000 + "\\")


def test_byte_order_mark_is_ignored() -> None:
    assert read_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
    assert read_json('{"a": 1}'.encode("utf-16")) == {"a": 1}


def test_duplicate_key_has_its_last_value() -> None:
    assert read_json('{"a": NaN, "a": 2}') == {"a": 2}
    assert type(read_json('{"a": NaN, "a": 2}')) is dict


def test_unstorable_values_survive_encoding_and_reading() -> None:
    read = read_json(f'{{"a": {HUGE}, "b": [1e999]}}')
    again: Any = read_json(json.dumps(read, default=encode_unstorable))
    assert ([str(again["a"]), str(again["b"][0])], flaws_of(again)) == ([HUGE, "1e999"], flaws_of(read))
    with pytest.raises(TypeError):
        json.dumps({"a": object()}, default=encode_unstorable)


def test_is_integer_accepts_only_digits_and_sign() -> None:
    assert [UnstorableValue(text).is_integer for text in (HUGE, f"-{HUGE}", "1e400", "NaN", "-")] == [
        True,
        True,
        *[False] * 3,
    ]


@pytest.mark.parametrize(("depth", "too_deep"), [(MAX_DEPTH, False), (MAX_DEPTH + 1, True), (20_000, True)])
def test_depth_counts_nested_lists_and_objects(depth: int, too_deep: bool) -> None:
    value: object = 1
    for level in range(depth):
        value = [value, "[["] if level % 2 else {"a": value}
    assert is_nested_too_deeply(value) is too_deep
