"""Repositories as settings name them: by a path or a URL. A leaf."""

from __future__ import annotations

import re
from pathlib import Path


def is_url(repository: str) -> bool:
    """True for `scheme://…` and the `user@host:path` form; everything else is a path."""
    return "://" in repository or re.match(r"[\w.-]+@[\w.-]+:", repository) is not None


def repository_name(repository: str) -> str:
    """`owner/name` of a URL, without its host and what stands before it; the folder's name of a path."""
    place = repository.rstrip("/").removesuffix("/.git").removesuffix(".git")
    if not is_url(repository):
        return Path(place or ".").expanduser().resolve().name or "repository"
    path = re.sub(r"^[^/]*://[^/]*/?|^[^/:]*:", "", place)
    return "/".join([part for part in path.split("/") if part][-2:]) or "repository"
