"""Headers that every response gets for its reader's safety: content security policy, framing, caching, https."""

from typing import Final

from starlette.datastructures import MutableHeaders

# The admin's library has inline scripts, marked with a nonce by web/admin/scripts.py. Other pages have none.
_POLICY: Final = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; script-src 'self'{marked}; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

STRICT_TRANSPORT: Final = f"max-age={365 * 86_400}"
"""For a year the browser uses only https for this host. Sent in responses over https."""


def add(headers: MutableHeaders, path: str, nonce: str, *, is_https: bool) -> None:
    """Adds the headers that the response to `path` does not have yet. `nonce`: marks the admin's inline scripts."""
    marked = f" 'nonce-{nonce}'" if path.startswith("/admin") else ""
    headers.setdefault("Content-Security-Policy", _POLICY.format(marked=marked))
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    if not path.startswith(("/static/", "/admin/static/")):
        headers.setdefault("Cache-Control", "no-store")
    if is_https:
        headers.setdefault("Strict-Transport-Security", STRICT_TRANSPORT)
