"""Who may do what: the roles of people and the scopes of programs' keys."""

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a person who signs in may do; each role may do what the one before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    OWNER = "owner"

    @property
    def may_edit(self) -> bool:
        """Brands, campaigns, budgets, schedules; replay of rejected events."""
        return self is not Role.VIEWER

    @property
    def may_manage_access(self) -> bool:
        """Users and API keys."""
        return self is Role.OWNER


class KeyScope(StrEnum):
    """What an API key may do. `manage` includes `read`; spend is written by none but `spend-write`."""

    SPEND_WRITE = "spend-write"
    READ = "read"
    MANAGE = "manage"


IMPLIED: Final[dict[KeyScope, frozenset[KeyScope]]] = {
    KeyScope.SPEND_WRITE: frozenset({KeyScope.SPEND_WRITE}),
    KeyScope.READ: frozenset({KeyScope.READ}),
    KeyScope.MANAGE: frozenset({KeyScope.MANAGE, KeyScope.READ}),
}


def allowed(scopes: frozenset[KeyScope]) -> frozenset[KeyScope]:
    """Everything that a key with these scopes may do."""
    return frozenset(scope for given in scopes for scope in IMPLIED[given])
