"""Prefixes cookies with `__Host-` over https, so that no other host and no unencrypted page can set them."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST: Final = "__Host-"
"""Browsers accept a cookie with this prefix only with Secure, Path=/ and no Domain."""


class HostCookies:
    """Over https, adds the prefix `__Host-` to every cookie that is set, and removes it from cookies sent back.

    Drops cookies sent over https without the prefix: another host of the domain, or a page without TLS, may have set
    them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["scheme"] != "https":
            await self.app(scope, receive, send)
            return

        async def send_prefixed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [_prefixed(*header) for header in message.get("headers", [])]}
            await send(message)

        await self.app({**scope, "headers": _without_prefix(scope["headers"])}, receive, send_prefixed)


def _without_prefix(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    sent = [value.decode("latin-1") for name, value in headers if name == b"cookie"]
    cookies = [cookie.strip() for value in sent for cookie in value.split(";")]
    kept = "; ".join(cookie.removeprefix(HOST) for cookie in cookies if cookie.startswith(HOST))
    others = [(name, value) for name, value in headers if name != b"cookie"]
    return [*others, (b"cookie", kept.encode("latin-1"))] if kept else others


def _prefixed(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    if name.lower() != b"set-cookie":
        return name, value
    attributes = [part.strip().lower() for part in value.split(b";")[1:]]
    secure = b"" if b"secure" in attributes else b"; Secure"
    return name, HOST.encode() + value + secure
