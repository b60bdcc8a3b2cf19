"""Permissions: roles for people who sign in, scopes for API keys."""

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """The permissions of a person who signs in. Each role includes the permissions of the role listed before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    OWNER = "owner"

    @property
    def may_edit(self) -> bool:
        """Whether the role may edit, such as budgets and schedules; some edits also need `may_manage_access`."""
        return self is not Role.VIEWER

    @property
    def may_manage_access(self) -> bool:
        """Whether the role may manage users, API keys, webhooks and alert channels, and connect ad platforms."""
        return self is Role.OWNER


class KeyScope(StrEnum):
    """A permission of an API key. `manage` includes `read`; only `spend-write` may send spend.

    To connect ad platforms and set their logins, a key needs `credentials` besides `manage`. A new key has
    `credentials` only if it is named.
    """

    SPEND_WRITE = "spend-write"
    READ = "read"
    MANAGE = "manage"
    CREDENTIALS = "credentials"


DEFAULT_SCOPES: Final = (KeyScope.SPEND_WRITE, KeyScope.READ, KeyScope.MANAGE)
"""The scopes of a new key for which none is named."""


INCLUDED_SCOPES: Final[dict[KeyScope, frozenset[KeyScope]]] = {
    KeyScope.SPEND_WRITE: frozenset({KeyScope.SPEND_WRITE}),
    KeyScope.READ: frozenset({KeyScope.READ}),
    KeyScope.MANAGE: frozenset({KeyScope.MANAGE, KeyScope.READ}),
    KeyScope.CREDENTIALS: frozenset({KeyScope.CREDENTIALS}),
}


def allowed(scopes: frozenset[KeyScope]) -> frozenset[KeyScope]:
    """The given scopes of a key, and the scopes that they include."""
    return frozenset(included for scope in scopes for included in INCLUDED_SCOPES[scope])
