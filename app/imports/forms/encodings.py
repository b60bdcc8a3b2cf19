"""The encoding of a text file: by its byte-order mark, as UTF-8, or by statistics where it is neither."""

import codecs
import re
from typing import BinaryIO, Final, NamedTuple

import charset_normalizer

from app.imports.answers import Refused
from app.imports.headings.words import TOTAL_WORDS, WORDS

CHUNK: Final = 1 << 20
SAMPLE: Final = 1 << 16
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


NO_TEXT: Final = ("is not a text file: it contains NUL bytes", "name its encoding, or export it as CSV or XLSX")


class Encoding(NamedTuple):
    """A codec's name. `is_guessed`: statistics chose it, so some letters may be wrong."""

    name: str
    is_guessed: bool = False


def encoding_of(stream: BinaryIO) -> Encoding:
    """The encoding of the whole stream, whose position it moves.

    Raises Refused for data that is not UTF-8 and has zero bytes, or fits no known encoding.
    """
    stream.seek(0)
    start = stream.read(4096)
    found = next((name for mark, name in _MARKS if start.startswith(mark)), None) or _without_mark(start)
    if found is not None:
        return Encoding(found)
    sample = _first_undecodable(stream)
    if sample is None:
        return Encoding("utf-8")
    if b"\0" in sample:
        raise Refused(*NO_TEXT)
    return Encoding(_by_statistics(sample), is_guessed=True)


def _without_mark(start: bytes) -> str | None:
    """The UTF-16 encoding of a text without a mark, by the zero bytes of its plain letters; None for other texts."""
    pairs = len(start) // 2
    if pairs >= 4 and start[1::2].count(0) > pairs * 0.6 and not start[0::2].count(0):
        return "utf-16-le"
    if pairs >= 4 and start[0::2].count(0) > pairs * 0.6 and not start[1::2].count(0):
        return "utf-16-be"
    return None


def _first_undecodable(stream: BinaryIO) -> bytes | None:
    """A sample of the stream with its first bytes that are not UTF-8; None if all of it is UTF-8."""
    stream.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    first, previous = b"", b""
    while chunk := stream.read(CHUNK):
        first = first or chunk[:SAMPLE]
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            near = (previous + chunk)[max(0, len(previous) + error.start - SAMPLE // 2) :][:SAMPLE]
            return first if error.start < SAMPLE and not previous else first + b"\n" + near
        previous = chunk[-SAMPLE:]
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return previous[-SAMPLE:]
    return None


def _by_statistics(sample: bytes) -> str:
    """The encoding in which most headings are known words and the fewest words have signs; statistics break a tie.

    Raises Refused if none fits.
    """
    guesses = [str(one.encoding) for one in charset_normalizer.from_bytes(sample, cp_isolation=list(_LIKELY))]
    best, best_score = None, (-1, 0, 0)
    for place, name in enumerate(dict.fromkeys([*_LIKELY, *guesses])):
        try:
            text = sample.decode(name, errors="strict" if len(sample) < SAMPLE else "ignore")
        except UnicodeDecodeError:
            continue
        rank = -guesses.index(name) if name in guesses else -len(_LIKELY)
        score = (_known_headings(text), -len(_ODD.findall(text)), -place if name in _WESTERN else rank - len(_LIKELY))
        if score > best_score:
            best, best_score = name, score
    if best is None:
        raise Refused("has letters in an encoding that is not known", "export it as UTF-8 CSV or XLSX")
    return best


def _known_headings(text: str) -> int:
    cells = re.split(r"[,;\t|\r\n]", text[:8192])
    return sum(1 for cell in cells if not cell.isascii() and cell.strip(' "').casefold() in _WORDS)


def _words() -> frozenset[str]:
    texts = (word for ranks in WORDS.values() for words in ranks for word in re.split(r"[;\n]", words))
    return frozenset(word.strip().casefold() for word in (*texts, *TOTAL_WORDS.split(";")))


_WORDS: Final = _words()
_ODD: Final = re.compile(
    "[^\\W\\d_][\u00a1-\u00bf\u0080-\u009f\u2013-\u203a\u00d7\u00f7][^\\W\\d_]|[\u0080-\u009f]|[a-z][\u0400-\u04ff\u0590-\u06ff\u0e00-\u0e7f\uff61-\uff9f]"
    "|[\u0400-\u04ff][a-z]|\\w[¹³¿¼¾¦¬±¶]|[¹³¿¼¾¦¬±¶]\\w|[A-Za-z][Ŕ-ŷ]?[ˇ˘˛˝]|[\ue000-\uf8ff]"
)
"""Signs, controls and foreign letters within words, as decoding by a wrong encoding produces them."""

_WESTERN: Final = frozenset({"cp1252", "cp1250"})
_LIKELY: Final = (
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874",
    "cp932", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr", "cp949", "koi8_r", "mac_roman", "iso8859_2",
)  # fmt: skip
