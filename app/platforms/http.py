"""HTTP to ad platforms: a deadline for the whole request, a limit for the answer, and no secret in any error."""

import json
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import httpcore
import httpx

from app.platforms.protocol import Unanswered
from runtime.settings import settings

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
CONNECT_SECONDS: Final = 5.0


class _Stream(httpcore.NetworkStream):
    """A connection whose reads and writes all end by one deadline, in monotonic seconds."""

    def __init__(self, inner: httpcore.NetworkStream, ends_at: float) -> None:
        self._inner, self._ends_at = inner, ends_at

    def _remaining(self, timeout: float | None) -> float:
        """The seconds that the next step may take. Raises ReadTimeout after the deadline."""
        remaining = self._ends_at - time.monotonic()
        if remaining <= 0:
            raise httpcore.ReadTimeout("the deadline has passed")
        return remaining if timeout is None else min(timeout, remaining)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._remaining(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._remaining(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, self._remaining(timeout))
        return _Stream(inner, self._ends_at)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Opens connections with one deadline for all they do: httpx's own timeouts begin again with each byte."""

    def __init__(self, ends_at: float) -> None:
        self._inner, self._ends_at = httpcore.SyncBackend(), ends_at

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.connect_tcp(host, port, timeout, local_address, socket_options), self._ends_at)


class _Transport(httpx.HTTPTransport):
    """httpx's transport over connections with a deadline."""

    def __init__(self, ends_at: float) -> None:
        super().__init__(verify=_ssl_context(), trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=_ssl_context(), max_connections=1, network_backend=_Backend(ends_at)
        )


@lru_cache(maxsize=1)
def _ssl_context() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: status, headers, and the decoded JSON (None if it is not JSON)."""

    status: int
    headers: Mapping[str, str]
    content: Any


def send(method: str, url: str, headers: Mapping[str, str], **body: Any) -> Answer:
    """Sends one request on a connection of its own, and returns the answer whatever its status is.

    `body`: `json` or `data` as httpx takes them, and `params`, which hold no secrets. Raises Unanswered, with neither
    URL nor headers in the message.
    """
    seconds = settings().platform_deadline_seconds
    ends_at = time.monotonic() + seconds
    timeout = httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))
    plain = {"Accept-Encoding": "identity", "User-Agent": "spendgate", **headers}
    try:
        with (
            httpx.Client(transport=_Transport(ends_at), timeout=timeout, trust_env=False) as client,
            client.stream(method, url, headers=plain, follow_redirects=False, **body) as response,
        ):
            return Answer(response.status_code, response.headers, _decoded(_read(response)))
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        message = f"no connection to the platform: {type(error).__name__}"
        raise Unanswered(message, may_be_applied=False) from None
    except (httpx.HTTPError, httpx.InvalidURL, httpcore.ReadTimeout) as error:
        message = f"no complete answer within {seconds:g} s: {type(error).__name__}"
        raise Unanswered(message, may_be_applied=True) from None


def _read(response: httpx.Response) -> bytes:
    """The whole body. Raises Unanswered if it is larger than MAX_ANSWER_BYTES."""
    content = bytearray()
    for chunk in response.iter_raw():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise Unanswered(f"the answer is larger than {MAX_ANSWER_BYTES} bytes", may_be_applied=True)
    return bytes(content)


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return None
