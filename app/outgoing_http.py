"""Sends HTTP requests to other systems: with one deadline, a largest answer, and no secret in any error."""

import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import httpcore
import httpx

CONNECT_SECONDS: Final = 5.0


class NoAnswer(Exception):
    """A request got no complete answer. The message contains neither URL nor headers.

    `may_be_received`: the other system may have received the request. `is_late`: the deadline passed.
    """

    def __init__(self, message: str, *, may_be_received: bool, is_late: bool = False) -> None:
        super().__init__(message)
        self.may_be_received = may_be_received
        self.is_late = is_late


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """The answer to a request. `is_cut`: it was longer than the limit, and `content` is its beginning."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    is_cut: bool


def request(
    method: str,
    url: str,
    headers: Mapping[str, str],
    *,
    seconds: float,
    max_bytes: int,
    address: str | None = None,
    **body: Any,
) -> RawAnswer:
    """Sends one request on a connection of its own, and returns the answer whatever its status is.

    Follows no redirect and uses no proxy of the environment. `seconds`: the time for everything but the name lookup.
    `max_bytes`: a longer answer is cut. `address`: the IP address to connect to; None: looks the URL's host up. The
    certificate must be that of the URL's host in both cases. `body`: `content`, `json`, `data` and `params` as httpx
    takes them. Raises NoAnswer if there is no connection, or no complete answer in time.
    """
    ends_at = time.monotonic() + seconds
    timeout = httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))
    plain = {"Accept-Encoding": "identity", "User-Agent": "spendgate", **headers}
    try:
        with (
            httpx.Client(transport=_Transport(ends_at, address), timeout=timeout, trust_env=False) as client,
            client.stream(method, url, headers=plain, follow_redirects=False, **body) as response,
        ):
            content = _read(response, max_bytes)
            return RawAnswer(response.status_code, response.headers, content[:max_bytes], len(content) > max_bytes)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise NoAnswer(f"no connection: {type(error).__name__}", may_be_received=False) from None
    except (httpx.HTTPError, httpx.InvalidURL, httpcore.ReadTimeout) as error:
        message = f"no complete answer within {seconds:g} s: {type(error).__name__}"
        is_late = isinstance(error, httpx.TimeoutException | httpcore.ReadTimeout)
        raise NoAnswer(message, may_be_received=True, is_late=is_late) from None


def _read(response: httpx.Response, max_bytes: int) -> bytes:
    """Reads the body; stops after the first chunk that makes it longer than `max_bytes`, and returns it so far."""
    content = bytearray()
    for chunk in response.iter_raw():
        content += chunk
        if len(content) > max_bytes:
            break
    return bytes(content)


class _Stream(httpcore.NetworkStream):
    """A connection whose reads and writes all end by one deadline, in monotonic seconds."""

    def __init__(self, inner: httpcore.NetworkStream, ends_at: float) -> None:
        self._inner, self._ends_at = inner, ends_at

    def _remaining(self, timeout: float | None) -> float:
        """The seconds that the next read, write or handshake may take. Raises ReadTimeout after the deadline."""
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
    """Opens connections with one deadline for all they do: httpx's own timeouts begin again with each read."""

    def __init__(self, ends_at: float, address: str | None) -> None:
        self._inner, self._ends_at, self._address = httpcore.SyncBackend(), ends_at, address

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        to = self._address or host
        return _Stream(self._inner.connect_tcp(to, port, timeout, local_address, socket_options), self._ends_at)


class _Transport(httpx.HTTPTransport):
    """httpx's transport over connections with a deadline."""

    def __init__(self, ends_at: float, address: str | None) -> None:
        super().__init__(verify=_ssl_context(), trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=_ssl_context(), max_connections=1, network_backend=_Backend(ends_at, address)
        )


@lru_cache(maxsize=1)
def _ssl_context() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)
