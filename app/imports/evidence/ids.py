"""Campaign ids: kept as the platform means them, refused where a spreadsheet has lost digits of them."""

import hashlib
import re
from collections.abc import Iterable
from typing import Final

from app.imports.answers import Refused
from app.imports.cells import NumberCell, bare
from domain.inputs.values import MAX_TEXT
from domain.text import fault_of

_SCIENTIFIC: Final = re.compile(r"[+-]?\d+([.,]\d+)?[eE][+-]?\d+")
_FRACTION: Final = re.compile(r"\d+[.,]\d+")
_GROUPED: Final = re.compile(r"\d{1,3}(?:,\d{3})+|\d{1,3}(?:\.\d{3}){2,}|\d{1,3}(?:[\u00a0\u202f]\d{3})+")
_URN: Final = re.compile(r"urn:li:sponsoredCampaign:(\d+)|customers/\d+/campaigns/(\d+)")
KEPT_DIGITS: Final = 15
"""Digits of a number that a spreadsheet keeps; it writes zeros for further digits, so that longer ids may be wrong."""

FIX: Final = "export it again and import it without opening it in a spreadsheet, or format the id column as text first"


class NoId(ValueError):
    """A cell that is no id."""


def campaign_id(cell: str) -> str:
    """The id in a cell of an id column.

    Raises Refused for a number that has lost digits, NoId for an empty cell or anything that is no id.
    """
    text = bare(cell).strip('"').strip()
    if _SCIENTIFIC.fullmatch(text):
        raise Refused(f"campaign {text} is a number that a spreadsheet has rounded, not an id", FIX)
    if isinstance(cell, NumberCell) and text.isdigit() and len(text) > KEPT_DIGITS:
        raise Refused(f"campaign {text} has more digits than a spreadsheet keeps of a number", FIX)
    if _GROUPED.fullmatch(text):
        return re.sub(r"\D", "", text)
    if _FRACTION.fullmatch(text):
        raise NoId(f"{text[:40]} is a number that a spreadsheet has changed, not an id")
    if found := _URN.fullmatch(text):
        return found[1] or found[2]
    if not text or len(text) > MAX_TEXT or fault_of(text):
        raise NoId("is empty or no id")
    return text


def name_as_id(cell: str) -> str:
    """A campaign's name as its id. A name over MAX_TEXT characters is cut and ends with a hash of the whole name.

    Raises Refused for a name with the replacement character U+FFFD, NoId for an empty one or one with characters that
    cannot be seen.
    """
    text = bare(cell)
    if "\ufffd" in text:
        raise Refused(f"campaign {text[:40]!r} has letters that a wrong encoding destroyed", "export it again as UTF-8")
    if not text or fault_of(text):
        raise NoId("is empty or has invisible characters")
    if len(text) > MAX_TEXT:
        return f"{text[: MAX_TEXT - 14]}… {hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return text


def check_rounded(ids: Iterable[str]) -> None:
    """Raises Refused if a spreadsheet has rounded the ids.

    Ids count as rounded if all ids of over 15 digits have only zeros after the 15th, at least three zeros in all.
    """
    long = [one for one in ids if len(one) > KEPT_DIGITS and one.isdigit()]
    zeros = sum(len(one) - KEPT_DIGITS for one in long)
    if long and zeros >= 3 and not any(one[KEPT_DIGITS:].strip("0") for one in long):
        raise Refused(f"campaign {long[0]} ends in zeros as a spreadsheet leaves them: digits are lost", FIX)
