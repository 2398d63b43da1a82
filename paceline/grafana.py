"""Asks a Grafana for its boards, saves ours there, and says in words why it would not.

The calls are those of Grafana's HTTP API: folders, dashboards by uid, and the search. What is pushed, and whether
anything differs, is decided in `dashboards/grafana.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import quote

import msgspec

from collector.errors import AuthError, ContractError, SourceError
from collector.http import Answer, ApiClient, Limits
from dashboards.grafana import Compared, Found, Stored, compare, save_command, stray
from slo_engine.event_lines import one_line

if TYPE_CHECKING:
    from dashboards.panels import Dashboard

TOKEN = "PACELINE_GRAFANA_TOKEN"  # noqa: S105 - the name of a variable
T = TypeVar("T")

_LIMITS = Limits(seconds=60.0, attempts=4, patience_seconds=30.0)
_OK = 200
_BAD_REQUEST, _UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _NOT_ACCEPTABLE, _CONFLICT = 400, 401, 403, 404, 406, 409
_PRECONDITION_FAILED, _TOO_LARGE, _INVALID = 412, 413, 422
_REFUSALS = frozenset({_BAD_REQUEST, _FORBIDDEN, _NOT_FOUND, _CONFLICT, _PRECONDITION_FAILED, _TOO_LARGE, _INVALID})
_PAGE = 1000
_LONGEST_SAID = 300


_NEWER_FORM = "it was saved in a newer form of Grafana's: delete it there, and push again"


class ConflictError(SourceError):
    """Grafana has another version of a board than the one that was looked at. Nothing was saved."""


# --- Grafana's answers -----------------------------------------------------------------------------------


class Folder(msgspec.Struct, frozen=True):
    """A folder of Grafana."""

    uid: str
    title: str


class _Meta(msgspec.Struct, rename="camel"):
    folder_uid: str = ""
    provisioned: bool = False


class _Board(msgspec.Struct):
    dashboard: dict[str, Any]
    meta: _Meta


class _Hit(msgspec.Struct):
    uid: str
    title: str = ""
    tags: list[str] | None = None


class _Refusal(msgspec.Struct):
    message: str
    status: str | int = ""


class Grafana:
    """A Grafana behind a client whose credentials are those of a service account."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def folder(self, uid: str) -> Folder | None:
        """The folder with a uid; None where there is none."""
        with _permitted("see folders", "folders:read"):
            answer = self._client.get(f"api/folders/{_part(uid)}", understood=[_NOT_FOUND])
        return None if _is_missing(answer) else _read(answer, Folder)

    def make_folder(self, uid: str, title: str) -> Folder:
        """Make a folder; the one that is there where somebody else just made it."""
        with _permitted("make folders", "folders:create"):
            body = {"uid": uid, "title": title}
            answer = self._client.post("api/folders", body, repeatable=True, understood=_REFUSALS)
            _check_permission(answer)
        if answer.status == _OK:
            return _read(answer, Folder)
        if answer.status in {_CONFLICT, _PRECONDITION_FAILED} and (known := self.folder(uid)) is not None:
            return known
        raise SourceError(
            f"{answer.asked}: Grafana would not make the folder {title!r}: {_said(answer)}; where it has one of this "
            "title already, give the uid of that as --folder-uid"
        )

    def board(self, uid: str) -> Stored | None:
        """The board with a uid; None where there is none."""
        with _permitted("see boards", "dashboards:read"):
            answer = self._client.get(f"api/dashboards/uid/{_part(uid)}", understood=[_NOT_FOUND, _NOT_ACCEPTABLE])
        if _is_missing(answer):
            return None
        if answer.status == _NOT_ACCEPTABLE:
            raise SourceError(f"{_said(answer)}; {_NEWER_FORM}", status=answer.status)
        found = _read(answer, _Board)
        version = found.dashboard.get("version")
        if not isinstance(version, int):
            raise ContractError(f"{answer.asked}: the board has no version; is this a Grafana?")
        return Stored(found.dashboard, version, found.meta.folder_uid, found.meta.provisioned)

    def save(self, command: Any) -> None:
        """Save a board. Raises ConflictError where Grafana has another version of it by now, SourceError otherwise."""
        with _permitted("save boards here", "dashboards:create and dashboards:write"):
            # A repetition of what was taken the first time is a conflict: whoever calls looks again.
            answer = self._client.post("api/dashboards/db", command, repeatable=True, understood=_REFUSALS)
            _check_permission(answer)
        if answer.status != _OK:
            raise _not_saved(answer)
        _read(answer, dict[str, Any])

    def boards_in(self, folder_uid: str) -> list[Found]:
        """The boards of a folder that the token may see."""
        found: dict[str, Found] = {}
        for page in count(1):
            asked = {"folderUIDs": folder_uid, "type": "dash-db", "limit": str(_PAGE), "page": str(page)}
            with _permitted("search", "dashboards:read"):
                hits = _read(self._client.get("api/search", asked), list[_Hit])
            new = {hit.uid: Found(hit.uid, hit.title, hit.tags or ()) for hit in hits if hit.uid not in found}
            found |= new
            if len(hits) < _PAGE or not new:  # a server that knows no pages answers with the same again
                break
        return list(found.values())

    def delete(self, uid: str) -> None:
        """Delete a board; nothing where it is gone already."""
        with _permitted("delete boards", "dashboards:delete"):
            answer = self._client.delete(f"api/dashboards/uid/{_part(uid)}", understood=_REFUSALS)
            _check_permission(answer)
        if answer.status == _OK or _is_missing(answer):
            return
        raise SourceError(f"{answer.asked}: Grafana would not delete it: {_said(answer)}")


@contextlib.contextmanager
def reached(url: str, token: str, ca_file: Path | None = None) -> Iterator[Grafana]:
    """The Grafana at an address, asked with a token; its connections are let go afterwards."""
    headers = {"Authorization": f"Bearer {token}"}
    with contextlib.closing(ApiClient(url, headers=headers, ca_file=ca_file, limits=_LIMITS)) as client:
        yield Grafana(client)


def _part(uid: str) -> str:
    return quote(uid, safe="")


@contextlib.contextmanager
def _permitted(what: str, permission: str) -> Iterator[None]:
    """Refusals of the token in words of Grafana."""
    try:
        yield
    except AuthError as error:
        if error.status == _UNAUTHORISED:
            said = f"Grafana does not accept the token in {TOKEN} (401); it may have expired, or be another server's"
        else:
            own = f'Grafana says "{error}": ' if isinstance(error, _ForbiddenError) else ""
            said = (
                f"{own}the token in {TOKEN} may not {what} (403); expected the permission {permission}, or role Editor"
            )
        raise AuthError(said, status=error.status) from None


class _ForbiddenError(AuthError):
    """Grafana's words with a 403: a permission, but a quota or a folder's own rules as well."""


def _check_permission(answer: Answer) -> None:
    if answer.status == _FORBIDDEN:
        raise _ForbiddenError(_refusal(answer).message, status=_FORBIDDEN)


def _read(answer: Answer, kind: type[T]) -> T:
    """The body as a type. Raises ContractError for a page, as a proxy or a login has, and for another shape."""
    if _is_page(answer):
        raise ContractError(
            f"{answer.asked}: a web page came instead of JSON; a login or a proxy may stand before Grafana's API, or "
            "the address lacks Grafana's path"
        )
    return answer.read(kind)


def _is_page(answer: Answer) -> bool:
    return "html" in answer.headers.get("content-type", "") or answer.body.lstrip()[:1] == b"<"


def _is_missing(answer: Answer) -> bool:
    """What Grafana has not. A page that another server has not says nothing about boards: ContractError."""
    if answer.status != _NOT_FOUND:
        return False
    _read(answer, _Refusal)
    return True


def _refusal(answer: Answer) -> _Refusal:
    """Why Grafana refused, in its words; they come from outside and stay on one line."""
    found = _read(answer, _Refusal)
    said = one_line(found.message)
    short = said if len(said) <= _LONGEST_SAID else said[: _LONGEST_SAID - 1] + "…"
    return _Refusal(short or "no reason given", found.status)


def _said(answer: Answer) -> str:
    return f"{_refusal(answer).message} ({answer.status})"


def _not_saved(answer: Answer) -> SourceError:
    """The error of a board that was not saved."""
    if answer.status == _TOO_LARGE:  # a proxy's word, and mostly a page
        said = "the server takes no request of its size (413); raise the limit of the proxy before Grafana"
        return SourceError(said, status=answer.status)
    refusal = _refusal(answer)
    if answer.status not in {_CONFLICT, _PRECONDITION_FAILED}:
        return SourceError(f"Grafana would not save it: {_said(answer)}", status=answer.status)
    if refusal.status == "plugin-dashboard":
        said = "it belongs to a plugin of Grafana's, which alone changes it; --overwrite takes it over"
    elif refusal.status == "name-exists":
        said = "Grafana has another board of its title or uid; rename or delete that one"
    else:
        return ConflictError(
            f"somebody else saved it in Grafana meanwhile ({answer.status}); nothing was changed: look at "
            "`paceline dashboards diff` and push again, or push with --overwrite",
            status=answer.status,
        )
    return SourceError(f"{said} ({answer.status})", status=answer.status)


# --- pushing ---------------------------------------------------------------------------------------------

Done = Literal["created", "updated", "unchanged", "deleted", "stray", "failed"]


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How boards are pushed. `message` stands in Grafana's history of versions."""

    folder: str
    folder_uid: str
    message: str
    overwrite: bool = False
    prune: bool = False
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a board or, where it had to be made, of the folder; or would, in a dry run."""

    name: str
    done: Done
    said: str = ""


def push(grafana: Grafana, boards: Sequence[Dashboard], wishes: Wishes) -> Iterator[Outcome]:
    """Save every board that differs, one outcome each; a board that fails does not stop the others.

    Raises SourceError where Grafana does not answer, or the folder cannot be had.
    """
    folder = grafana.folder(wishes.folder_uid)
    if folder is None:
        if not wishes.dry_run:
            grafana.make_folder(wishes.folder_uid, wishes.folder)
        yield Outcome(name=f"folder {wishes.folder}", done="created")
    elif folder.title != wishes.folder:
        said = f"it keeps this title; {wishes.folder!r} is wanted"
        yield Outcome(name=f"folder {one_line(folder.title)}", done="unchanged", said=said)
    for board in boards:
        yield _pushed(grafana, board, wishes)
    if folder is not None:
        yield from _pruned(grafana, boards, wishes)


def _pushed(grafana: Grafana, board: Dashboard, wishes: Wishes) -> Outcome:
    try:
        stored = grafana.board(board.uid)
        found = compare(board, stored, wishes.folder_uid)
        if found.state == "equal":
            return Outcome(name=board.uid, done="unchanged")
        if found.provisioned:
            return Outcome(name=board.uid, done="failed", said=_PROVISIONED)
        if not wishes.dry_run:
            _save(grafana, board, stored, wishes)
    except SourceError as error:
        return Outcome(name=board.uid, done="failed", said=str(error))
    if stored is None:
        return Outcome(name=board.uid, done="created")
    return Outcome(name=board.uid, done="updated", said=counted(found))


_PROVISIONED = (
    "Grafana reads it from a file (it is provisioned) and lets nobody save it; change it there, or take it away there"
)


def counted(found: Compared) -> str:
    """How many places differ, in words."""
    number = len(found.differences)
    return "1 difference" if number == 1 else f"{number} differences"


def _save(grafana: Grafana, board: Dashboard, stored: Stored | None, wishes: Wishes) -> None:
    command = save_command(
        board,
        folder_uid=wishes.folder_uid,
        version=None if stored is None else stored.version,
        message=wishes.message,
        overwrite=wishes.overwrite,
    )
    try:
        grafana.save(command)
    except ConflictError:
        # The answer to a first attempt may have been lost, or somebody pushed the same.
        if compare(board, grafana.board(board.uid), wishes.folder_uid).state != "equal":
            raise


def _pruned(grafana: Grafana, boards: Iterable[Dashboard], wishes: Wishes) -> Iterator[Outcome]:
    try:
        left = stray(grafana.boards_in(wishes.folder_uid), boards)
    except SourceError as error:
        yield Outcome(name=f"folder {wishes.folder}", done="failed", said=str(error))
        return
    for found in left:
        if not wishes.prune:
            yield Outcome(name=found.uid, done="stray", said="no such board is made any more; --prune deletes it")
            continue
        try:
            if not wishes.dry_run:
                grafana.delete(found.uid)
        except SourceError as error:
            yield Outcome(name=found.uid, done="failed", said=str(error))
        else:
            yield Outcome(name=found.uid, done="deleted")


# --- comparing -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a push would find: the folder, None where it is missing, our boards, and what is left over."""

    folder: Folder | None
    boards: tuple[Compared, ...]
    stray: tuple[Found, ...]

    @property
    def differs(self) -> bool:
        """Whether a push would change anything."""
        return self.folder is None or bool(self.stray) or any(b.state != "equal" for b in self.boards)


def compared(grafana: Grafana, boards: Sequence[Dashboard], folder_uid: str) -> Comparison:
    """Compare every board with what Grafana has; one that cannot be read does not stop the others.

    Raises SourceError where Grafana does not answer, or the folder cannot be looked into.
    """
    folder = grafana.folder(folder_uid)
    left = [] if folder is None else stray(grafana.boards_in(folder_uid), boards)
    return Comparison(
        folder=folder, boards=tuple(_compared(grafana, board, folder_uid) for board in boards), stray=tuple(left)
    )


def _compared(grafana: Grafana, board: Dashboard, folder_uid: str) -> Compared:
    try:
        return compare(board, grafana.board(board.uid), folder_uid)
    except SourceError as error:
        return Compared(uid=board.uid, state="unknown", differences=(str(error),))
