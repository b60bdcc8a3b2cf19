"""Sends one text by one channel with apprise, within a deadline, and says how it went without naming secrets."""

import logging
import re
import threading
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from domain.alerts.channels import checked_url
from domain.text import visible

TIMEOUT_SECONDS: Final = 20.0
"""Timeout of the delivery of one text, in seconds.

The services' own timeouts are per read, so that a server that sends one byte at a time would never reach them.
"""

MAX_DETAIL: Final = 500
_WORD: Final = re.compile(r"[\w.+-]{5,}")
_logger: Final = logging.getLogger("apprise")
_logger.setLevel(logging.WARNING)
_logger.propagate = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether the service accepted a text (`is_delivered`), and the milliseconds that the attempt took.

    `detail`: why it was not accepted, in one line without secrets of the URL; empty if it was.
    """

    is_delivered: bool
    duration_ms: int
    detail: str = ""


def send(
    channel_id: int, url: str, title: str, body: str, *, is_good_news: bool, seconds: float = TIMEOUT_SECONDS
) -> Outcome:
    """Sends the text by the channel; returns the outcome, undelivered if the service does not answer within `seconds`.

    A thread sends, because no timeout ends every service's requests. A thread that misses the deadline goes on until it
    ends by itself. Until then this process sends nothing more by that channel, so that a channel has one thread at
    most.
    """
    began = time.monotonic()
    attempt = _Attempt(url, title, body, is_good_news)
    with _starting:
        earlier = _unfinished.get(channel_id)
        if earlier is not None and earlier.is_alive():
            return Outcome(is_delivered=False, duration_ms=0, detail="an earlier message is still being sent")
        _unfinished[channel_id] = attempt
        attempt.start()
    attempt.join(seconds)
    duration_ms = round((time.monotonic() - began) * 1000)
    if attempt.is_alive():
        return Outcome(False, duration_ms, f"no answer within {seconds:g} s")
    return Outcome(attempt.is_delivered, duration_ms, "" if attempt.is_delivered else attempt.complaints())


class _Attempt(threading.Thread):
    """A thread that sends one text, with the warnings that apprise logs in it."""

    def __init__(self, url: str, title: str, body: str, is_good_news: bool) -> None:
        super().__init__(daemon=True, name="alert channel")
        self._url, self._title, self._body, self._is_good_news = url, title, body, is_good_news
        self._warnings: list[str] = []
        self.is_delivered = False

    def run(self) -> None:
        """Sends the text; an error of the library counts as a failed attempt."""
        import apprise  # noqa: PLC0415 - 140 plugins, which only a process that sends needs

        handler = _Collector(self.ident, self._warnings)
        _logger.addHandler(handler)
        try:
            checked_url(self._url)
            service: Any = apprise.Apprise.instantiate(self._url, asset=_asset(apprise))
            if service is None:
                self._warnings.append("the URL lacks a part that the service needs")
                return
            notify_type = apprise.NotifyType.SUCCESS if self._is_good_news else apprise.NotifyType.WARNING
            self.is_delivered = bool(service.notify(title=self._title, body=self._body, notify_type=notify_type))
        except Exception as error:  # noqa: BLE001 - of any of the library's many services
            self._warnings.append(type(error).__name__)
        finally:
            _logger.removeHandler(handler)

    def complaints(self) -> str:
        """The warnings of apprise, which may quote the service, in one line; `…` replaces secret words of the URL."""
        said = "; ".join(self._warnings) or "the service did not accept it"
        for word in sorted(_secrets_of(self._url), key=len, reverse=True):
            said = said.replace(word, "…")
        return visible(" ".join(said.split()))[:MAX_DETAIL]


class _Collector(logging.Handler):
    """Collects the warnings that one thread logs."""

    def __init__(self, thread: int | None, found: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._thread, self._found = thread, found

    def emit(self, record: logging.LogRecord) -> None:
        """Stores the text of a record if its thread logged it."""
        if record.thread == self._thread:
            self._found.append(record.getMessage())


_starting: Final = threading.Lock()
_unfinished: Final[dict[int, _Attempt]] = {}


def _asset(apprise: Any) -> Any:
    """Apprise's options: no files of its own, no plugins from files, and our name."""
    return apprise.AppriseAsset(app_id="Spendgate", app_desc="Spendgate", app_url="", plugin_paths=None)


def _secrets_of(url: str) -> set[str]:
    """The words of a URL that may be secret: those of 5 or more characters, and a password of any length.

    Leaves out its scheme and its host.
    """
    parts = urlsplit(url)
    text = url.partition("://")[2]
    words = {*_WORD.findall(text), *_WORD.findall(unquote(text))}
    if parts.password:
        words |= {parts.password, unquote(parts.password)}
    return words - {parts.hostname or "", *(parts.hostname or "").split(".")}
