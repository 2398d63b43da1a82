"""What the attributes of a user say, by RFC 7643: named as SCIM names them, whatever their case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from collector.staff import UnreadableError
from collector.times import parsed

DEPARTMENT = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"


def attribute(resource: Mapping[str, Any], path: str) -> str:
    """The text of an attribute such as `userType`, `addresses.locality` or `urn:…:User:department`; empty for none.

    Of several values the primary one counts, else the first.
    """
    found, parts = _extension(resource, path)
    for part in parts:
        found = _chosen(found)
        found = _named(found, part) if isinstance(found, Mapping) else None
    return _text(_chosen(found))


def _extension(resource: Mapping[str, Any], path: str) -> tuple[Any, list[str]]:
    """The part of a resource that a path begins in, and the names that follow."""
    folded = path.casefold()
    for name, value in resource.items():
        schema = name.casefold()
        if schema.startswith("urn:") and folded.startswith((f"{schema}:", f"{schema}.")):
            return value, path[len(name) + 1 :].split(".")
    return resource, [path] if folded.startswith("urn:") else path.split(".")


def _named(values: Mapping[str, Any], name: str) -> Any:
    return next((v for n, v in values.items() if n.casefold() == name.casefold()), None)


def _chosen(value: Any) -> Any:
    """A value, or of several the primary one, else the first."""
    if not isinstance(value, list):
        return value
    primary = (v for v in value if isinstance(v, Mapping) and _named(v, "primary") is True)
    return next(primary, value[0] if value else None)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):  # a value with its type beside it
        return _text(_named(value, "value"))
    return str(value).strip() if isinstance(value, (str, int, float)) else ""


@dataclass(frozen=True)
class User:
    """A user of a directory."""

    id: str
    login: str
    mail: str
    active: bool
    created_at: datetime | None
    modified_at: datetime | None

    @classmethod
    def of(cls, resource: Any) -> User:
        """From a resource. Raises UnreadableError for what is no user."""
        if not isinstance(resource, Mapping) or not attribute(resource, "id"):
            raise UnreadableError("`id` is missing; expected a user")
        return cls(
            id=attribute(resource, "id"),
            login=attribute(resource, "userName"),
            mail=attribute(resource, "emails.value"),
            active=attribute(resource, "active").casefold() != "false",  # some servers write it as a text
            created_at=parsed(attribute(resource, "meta.created")),
            modified_at=parsed(attribute(resource, "meta.lastModified")),
        )
