"""Logins of ad platforms as JSON texts."""

import json

import pytest

from app.platforms.credentials import secrets_in
from domain.errors import InvalidValue


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"token": ' * 100_000,
        "no JSON",
        "[]",
        '{"token": 1}',
        r'{"token": "\ud800"}',
        r'{"token": "\u0000"}',
        '{"token": ' + "9" * 5_000 + "}",
    ],
)
def test_text_that_is_no_login_is_refused_without_its_content(content: str) -> None:
    with pytest.raises(InvalidValue, match=r"standard input is not a JSON object of texts$"):
        secrets_in(content, "standard input")


def test_login_is_an_object_of_texts() -> None:
    assert secrets_in(json.dumps({"token": "größe"}), "here") == {"token": "größe"}
