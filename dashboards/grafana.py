"""What Grafana is told of a board, how what it has differs, and boards as ConfigMaps. Pure: no request is made here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from collector.errors import PacelineError

if TYPE_CHECKING:  # the command line loads this module; what makes boards is slow to load
    from dashboards.panels import Dashboard, Json

FOLDER, FOLDER_UID = "Paceline", "paceline"
"""The folder of the boards unless another one is wanted: its title, and the id by which it is found again."""
OURS = "paceline-"
"""How the uids of our boards begin."""
TAG = "paceline"

State = Literal["missing", "equal", "different", "unknown"]

# What Grafana keeps in a document for itself. `uid` is how the board was asked for.
_GRAFANAS_OWN = frozenset({"id", "uid", "version", "iteration", "gnetId"})
# What Grafana's editor writes into every board that is saved with it, where nothing was chosen.
_DEFAULTS: Mapping[str, Any] = {"preload": False, "liveNow": False, "fiscalYearStartMonth": 0, "weekStart": ""}
_NAMES = ("id", "refId", "name")
_LONGEST_VALUE = 80

_LARGEST_CONFIG_MAP = 1024 * 1024
_SIDECAR_LABEL = ("grafana_dashboard", "1")
_KUBERNETES_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_KUBERNETES_PREFIX = re.compile(r"(?=.{1,253}/)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/")
_KUBERNETES_WORD = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
# What no YAML may hold as it is, or what ends a line for some of its readers. In JSON it stands within strings alone.
_UNPRINTABLE = re.compile("[\\x7f-\\x9f\\u2028\\u2029\\ufeff\\ufffe\\uffff]")


class Stored(NamedTuple):
    """A board as Grafana has it. `provisioned`: a file is its truth, and Grafana lets nobody save it."""

    document: Json
    version: int
    folder_uid: str
    provisioned: bool = False


@dataclass(frozen=True)
class Found:
    """A board that a search found."""

    uid: str
    title: str
    tags: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A board of ours beside what Grafana has: `differences` are sentences, empty where there are none.

    Where Grafana's board could not be read, it is `unknown`, and the sentence says why.
    """

    uid: str
    state: State
    differences: tuple[str, ...] = ()
    provisioned: bool = False
    full: str = field(default="", repr=False)
    """A unified diff of the two documents, from Grafana's to ours."""


# --- what differs ----------------------------------------------------------------------------------------


def compare(board: Dashboard, stored: Stored | None, folder_uid: str) -> Compared:
    """How a board differs from what Grafana has under its uid, None where it has none."""
    if stored is None:
        return Compared(uid=board.uid, state="missing")
    found = differences(board.document, stored.document)
    if stored.folder_uid != folder_uid:
        found.insert(0, f"folder: {stored.folder_uid or 'none'} stands where {folder_uid} belongs")
    return Compared(
        uid=board.uid,
        state="different" if found else "equal",
        differences=tuple(found),
        provisioned=stored.provisioned,
        full=unified(board, stored) if found else "",
    )


def normalised(document: Json) -> Json:
    """A document without what Grafana adds: its own keys, its defaults, its annotations, and what is empty."""
    kept = {
        key: value
        for key, value in document.items()
        if key not in _GRAFANAS_OWN and not (key in _DEFAULTS and _same(value, _DEFAULTS[key]))
    }
    if isinstance(annotations := kept.get("annotations"), dict):
        listed = [a for a in annotations.get("list") or () if not (isinstance(a, dict) and a.get("builtIn"))]
        kept["annotations"] = annotations | {"list": listed}
    pruned: Json = _pruned(kept)
    return pruned


def _pruned(value: Any) -> Any:
    """Without keys that hold nothing: Grafana writes them out or leaves them away as it likes."""
    if isinstance(value, dict):
        kept = {key: _pruned(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner is not None and inner not in ([], {})}
    return [_pruned(inner) for inner in value] if isinstance(value, list) else value


def differences(ours: Json, theirs: Json) -> list[str]:
    """What Grafana's document says otherwise, one sentence for each place; empty where both mean the same."""
    return list(_differ(normalised(ours), normalised(theirs), ""))


def _differ(ours: Any, theirs: Any, at: str) -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            yield from _differ(ours.get(key), theirs.get(key), f"{at}.{key}" if at else key)
    elif isinstance(ours, list) and isinstance(theirs, list):
        yield from _differ_in_lists(ours, theirs, at)
    elif theirs is None and ours is not None:
        yield f"{at}: missing in Grafana"
    elif ours is None and theirs is not None:
        yield f"{at}: only in Grafana"
    elif not _same(ours, theirs):
        yield f"{at}: {_short(theirs)} stands where {_short(ours)} belongs"


def _differ_in_lists(ours: list[Any], theirs: list[Any], at: str) -> Iterator[str]:
    """Items that have names are compared by these, so that one that is new does not make all behind it differ."""
    named, others = _by_name(ours), _by_name(theirs)
    if named is None or others is None:
        longest = max(len(ours), len(theirs))
        pairs = zip(*(items + [None] * (longest - len(items)) for items in (ours, theirs)), strict=True)
        for number, (one, other) in enumerate(pairs):
            yield from _differ(one, other, f"{at}[{number}]")
        return
    for name in dict.fromkeys((*named, *others)):
        one, other = named.get(name), others.get(name)
        yield from _differ(one, other, f"{at}[{_called(named.get(name, other), name)}]")
    if named.keys() == others.keys() and list(named) != list(others):
        yield f"{at}: in another order"


def _by_name(items: list[Any]) -> dict[Any, Any] | None:
    """The items of a list by the key that tells them apart; None where there is no such key."""
    if not items or not all(isinstance(item, dict) for item in items):
        return None
    for key in _NAMES:
        names = [item.get(key) for item in items]
        if all(isinstance(name, str | int) for name in names) and len(set(names)) == len(names):
            return dict(zip(names, items, strict=True))
    return None


def _called(item: Any, name: Any) -> str:
    """A panel by its title, anything else by its name."""
    title = item.get("title")
    return _short(title) if isinstance(title, str) and title else _short(name)


def _same(one: Any, other: Any) -> bool:
    """Equal, and both truths or neither: Python takes 1 for True."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def unified(board: Dashboard, stored: Stored) -> str:
    """A unified diff from Grafana's document to ours, without what Grafana adds."""
    theirs, ours = (
        json.dumps(normalised(document), indent=2, sort_keys=True).splitlines()
        for document in (stored.document, board.document)
    )
    names = (f"grafana/{board.uid}.json", f"paceline/{board.uid}.json")
    return "\n".join(unified_diff(theirs, ours, *names, lineterm=""))


def stray(found: Iterable[Found], boards: Iterable[Dashboard]) -> list[Found]:
    """The boards of ours that are made no more: with our prefix and our tag, so that nobody else's is among them."""
    made = {board.uid for board in boards}
    return [f for f in found if f.uid.startswith(OURS) and TAG in f.tags and f.uid not in made]


# --- what is pushed --------------------------------------------------------------------------------------


def save_command(board: Dashboard, *, folder_uid: str, version: int | None, message: str, overwrite: bool) -> Json:
    """What saves a board. `version` is the one that was looked at: Grafana refuses where it has another by now."""
    document = board.document | {"id": None, "uid": board.uid}
    if version is not None:
        document |= {"version": version}
    return {"dashboard": document, "folderUid": folder_uid, "message": message, "overwrite": overwrite}


# --- ConfigMaps ------------------------------------------------------------------------------------------


def config_maps(
    boards: Iterable[Dashboard], *, folder: str = FOLDER, labels: Mapping[str, str] | None = None, namespace: str = ""
) -> str:
    """YAML with a ConfigMap for each board, as the sidecar of Grafana's chart collects them.

    `labels` are added to the sidecar's usual one, or replace it. Raises ValueError for a label, namespace or folder
    that Kubernetes or the sidecar does not take, PacelineError for a board that does not fit into a ConfigMap.
    """
    chosen = dict([_SIDECAR_LABEL]) | dict(labels or {})
    for key, value in chosen.items():
        _check_label(key, value)
    if namespace and not _KUBERNETES_NAME.fullmatch(namespace):
        raise ValueError(f"{namespace!r} is no namespace; expected lower-case letters, digits and dashes")
    if not folder or "/" in folder or folder in {".", ".."}:
        raise ValueError(f"{folder!r} is no folder for the sidecar, which makes a directory of it; expected a name")
    made = ("\n".join(_config_map(board, folder, chosen, namespace)) for board in boards)
    return "# Made by `paceline dashboards build`; changes are lost.\n" + "".join(f"---\n{text}\n" for text in made)


def _check_label(key: str, value: str) -> None:
    prefix = _KUBERNETES_PREFIX.match(key)
    if not _KUBERNETES_WORD.fullmatch(key, prefix.end() if prefix else 0):
        raise ValueError(f"{key!r} is no key of a label; expected one such as grafana_dashboard or example.com/team")
    if value and not _KUBERNETES_WORD.fullmatch(value):
        raise ValueError(f"{value!r} is no value of a label; expected up to 63 letters, digits, dashes, dots")


def _config_map(board: Dashboard, folder: str, labels: Mapping[str, str], namespace: str) -> Iterator[str]:
    if not _KUBERNETES_NAME.fullmatch(board.uid):
        raise PacelineError(f"{board.uid}: no name for a ConfigMap; expected up to 63 lower-case letters and dashes")
    name, text = f"{board.uid}.json", _escaped(board.text())
    if (size := len(name) + len(text.encode())) > _LARGEST_CONFIG_MAP:
        raise PacelineError(
            f"{board.uid}: a board of {size} bytes does not fit into a ConfigMap, which holds {_LARGEST_CONFIG_MAP}; "
            "provision it from a file, or push it"
        )
    yield from ("apiVersion: v1", "kind: ConfigMap", "metadata:", f"  name: {_quoted(board.uid)}")
    if namespace:
        yield f"  namespace: {_quoted(namespace)}"
    yield from ("  labels:", *(f"    {_quoted(key)}: {_quoted(value)}" for key, value in sorted(labels.items())))
    yield from ("  annotations:", f"    grafana_folder: {_quoted(folder)}", "data:")
    yield f"  {name}: |"
    yield from (f"    {line}" for line in text.rstrip("\n").split("\n"))


def _quoted(value: str) -> str:
    """JSON is YAML, as long as its characters are."""
    return _escaped(json.dumps(value, ensure_ascii=False))


def _escaped(text: str) -> str:
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
