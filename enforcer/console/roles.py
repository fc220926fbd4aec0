"""Who may do what. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from enforcer.config.pages import Role


class Right(StrEnum):
    """What a page or an action needs."""

    VIEW = "view"
    EXPORT = "export"
    MARK = "mark"
    OPERATE = "operate"
    AUDIT = "audit"


RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.VIEWER: frozenset({Right.VIEW}),
    Role.REVIEWER: frozenset({Right.VIEW, Right.EXPORT, Right.MARK}),
    Role.OPERATOR: frozenset({Right.VIEW, Right.OPERATE}),
    Role.AUDITOR: frozenset({Right.VIEW, Right.EXPORT, Right.AUDIT}),
}


class Via(StrEnum):
    """How somebody has shown who they are."""

    OPEN = "open"
    PASSWORD = "password"  # noqa: S105 (a word, not a secret)
    OIDC = "oidc"
    PROXY = "proxy"
    TOKEN = "token"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks. name: as the chain will say it. proof: the `proof` of the user whose password it was; else None."""

    name: str
    roles: frozenset[Role]
    via: Via
    proof: bytes | None = field(default=None, compare=False, repr=False)

    def may(self, right: Right) -> bool:
        """Whether one of the roles gives a right."""
        return any(right in RIGHTS[role] for role in self.roles)


def roles_of(values: object, known: Mapping[str, Role]) -> frozenset[Role]:
    """The roles that a provider's groups stand for. values: one text, or a list of them; anything else gives none."""
    listed = [values] if isinstance(values, str) else values if isinstance(values, list | tuple) else []
    return frozenset(known[value] for value in listed if isinstance(value, str) and value in known)
