"""Who asks: what they may, and never their name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from collector.patterns import any_matches, patterns
from paceline.access.settings import RoleSettings, Scope


class Role(IntEnum):
    """What somebody may: each role what the ones before it may."""

    NOBODY = 0
    VIEWER = 1
    OPERATOR = 2


class By(StrEnum):
    """How it is known who asks."""

    NOTHING = "nothing"
    SESSION = "session"
    PROXY = "proxy"
    TOKEN = "token"  # noqa: S105 - a word
    COMMAND = "command"


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks. `who` is a keyed hash of a person, or the name of a token; empty for who did not say."""

    role: Role = Role.NOBODY
    scopes: frozenset[Scope] = frozenset()
    by: By = By.NOTHING
    who: str = ""

    @property
    def is_known(self) -> bool:
        """Whether it may see anything that not everybody may."""
        return self.role > Role.NOBODY or bool(self.scopes)


TRUSTED = Caller(role=Role.OPERATOR)
"""Who asks an app that nothing guards: a test, or a look at what is published."""
_KEY = "paceline.caller"


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """Who asks a request, by its ASGI scope."""
    found: Caller = scope.get(_KEY, TRUSTED)
    return found


def with_caller(scope: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """A scope that says who asks."""
    return {**scope, _KEY: caller}


def role_of(groups: Iterable[str], rules: RoleSettings) -> Role:
    """The highest role that one of somebody's groups has; `*` fits who has no group, too."""
    named = [*groups, ""]
    for role, told in ((Role.OPERATOR, rules.operator), (Role.VIEWER, rules.viewer)):
        if any("*" in told or any_matches(patterns(told), group) for group in named):
            return role
    return Role.NOBODY
