"""What forges call the repository behind an address that tools clone from. A leaf."""

from __future__ import annotations

import re
from functools import lru_cache

_HOST = re.compile(r"^[A-Za-z][\w+.-]*://[^/]*/|^(?:[^/:@]+@)?[\w.-]+:(?!//)")


@lru_cache(maxsize=4096)
def repository_of(address: str) -> str:
    """`group/name` of an address such as `https://host/group/name.git` or `git@host:group/name`; empty for no address.

    Groups in groups stay; host and credentials do not, nor what some servers put into the path beside the name.
    """
    if not _HOST.match(address):
        return ""
    path = _HOST.sub("", address, count=1).partition("?")[0].strip("/").removesuffix(".git")
    match [part for part in path.split("/") if part]:
        case ["scm", project, name]:  # Bitbucket Data Center, over HTTP
            return f"{project}/{name}"
        case ["v3", _, project, name]:  # Azure DevOps, over SSH
            return f"{project}/{name}"
        case [*_, project, "_git", name]:  # and over HTTP
            return f"{project}/{name}"
        case parts:
            return "/".join(parts)
