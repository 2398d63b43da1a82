"""Names of entities as Backstage writes them: `kind:namespace/name`, of which the first two parts may be left out."""

from __future__ import annotations

from typing import NamedTuple

_DEFAULT = "default"


class Reference(NamedTuple):
    """The name of an entity. Backstage compares without regard to case; so do two references."""

    kind: str
    namespace: str
    name: str

    @property
    def short(self) -> str:
        """The name, with its namespace unless that is the usual one."""
        return self.name if self.namespace == _DEFAULT else f"{self.namespace}/{self.name}"

    @property
    def folded(self) -> Reference:
        """The same in lower case, by which references are compared."""
        return Reference(*(part.lower() for part in self))


def reference(text: str, *, kind: str, namespace: str = _DEFAULT) -> Reference:
    """What a text refers to; `kind` and `namespace` hold where it says none."""
    before, sign, rest = text.strip().rpartition(":")
    space, slash, name = rest.partition("/")
    return Reference(
        (before if sign else kind).lower(), space.lower() if slash else namespace, name if slash else space
    )
