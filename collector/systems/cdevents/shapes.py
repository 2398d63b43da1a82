"""CloudEvents and CDEvents as they are sent, as far as they are read; and what a package URL says of an artifact."""

from __future__ import annotations

import re
from typing import TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from collector.errors import ContractError

_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_FORGES = frozenset({"github", "gitlab", "bitbucket"})
"""Types of packages that are repositories."""
D = TypeVar("D")


class Reference(msgspec.Struct):
    """A subject by its id, which is unique where its source says."""

    id: str = ""
    source: str | None = None


class Content(msgspec.Struct, rename="camel"):
    """What the subjects of all kinds hold, as far as it is read. Version 0.4 writes `url`, 0.5 `uri`."""

    url: str | None = None
    uri: str | None = None
    pipeline_name: str | None = None
    task_name: str | None = None
    pipeline_run: Reference | None = None
    outcome: str | None = None
    repository: Reference | None = None
    environment: Reference | None = None
    service: Reference | None = None
    artifact_id: str | None = None
    description: str | None = None
    ticket_uri: str | None = msgspec.field(name="ticketURI", default=None)
    summary: str | None = None
    ticket_type: str | None = None
    group: str | None = None
    creator: str | None = None
    priority: str | None = None
    labels: list[str] | None = None


class Context(msgspec.Struct):
    """What happened, where and when. Version 0.4 writes `version`, 0.5 `specversion`."""

    id: str
    source: str
    type: str
    timestamp: str
    specversion: str = ""
    version: str = ""


class Subject(msgspec.Struct):
    """What it happened to."""

    id: str
    content: Content
    source: str | None = None


class Extra(msgspec.Struct):
    """What CDEvents has no field for, as a producer may add it to `customData` under `paceline`."""

    repository: str | None = None
    sha: str | None = None
    ref: str | None = None
    service: str | None = None
    version: str | None = None


class _Custom(msgspec.Struct):
    paceline: Extra | None = None


class CdEvent(msgspec.Struct, rename="camel"):
    """A CDEvent."""

    context: Context
    subject: Subject
    custom_data: msgspec.Raw = msgspec.Raw(b"null")


class CloudEvent(msgspec.Struct):
    """A CloudEvent whose data is a CDEvent."""

    id: str
    source: str
    type: str
    specversion: str
    data: msgspec.Raw = msgspec.Raw(b"null")


def decoded(body: bytes | msgspec.Raw, kind: type[D]) -> D:
    """The documented shape. Raises ContractError that names the field and never quotes a value."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        # What msgspec says of a missing or wrong field names types and places; invalid enums do not occur here.
        raise ContractError(f"no CDEvent as documented: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ContractError("no JSON in UTF-8; expected a CloudEvent with a CDEvent as its data") from None


def extra_of(custom: msgspec.Raw) -> Extra:
    """What a producer added for Paceline; data of another shape is somebody else's."""
    try:
        found = msgspec.json.decode(custom, type=_Custom).paceline or Extra()
    except msgspec.MsgspecError:
        return Extra()
    found.sha = sha_of(found.sha or "")
    return found


def sha_of(text: str) -> str | None:
    """A full commit id; None for anything else."""
    return text if _SHA.fullmatch(text) else None


def last_part(text: str) -> str:
    """The last part of an id such as `service/shop`."""
    return text.rstrip("/").rpartition("/")[2] or text


def path_of(address: str) -> str:
    """The path of an address or URI reference as a repository's name; its host where it has none."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return parts.path.strip("/").removesuffix(".git") or parts.netloc


def artifact_of(purl: str) -> dict[str, str]:
    """Version, repository and commit that a package URL states: `pkg:type/namespace/name@version?qualifiers`."""
    if not purl.startswith("pkg:"):
        return {}
    rest, _, qualifiers = purl.removeprefix("pkg:").partition("#")[0].partition("?")
    kind, _, path = rest.strip("/").partition("/")
    name, _, encoded = path.partition("@")
    version, repository = unquote(encoded), unquote(name) if kind.lower() in _FORGES else ""
    sha = sha_of(version)
    vcs = dict(parse_qsl(qualifiers)).get("vcs_url", "")
    if "://" in vcs:
        before, at, commit = vcs.rpartition("@")
        # A user may stand before the host; a commit stands behind the path.
        pinned = bool(at) and "/" in before.partition("://")[2]
        repository = path_of(before if pinned else vcs)
        sha = (sha_of(commit) if pinned else None) or sha
    found = {"version": version, "repository": repository, "sha": sha}
    return {key: value for key, value in found.items() if value}
