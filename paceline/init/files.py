"""The files of a new configuration: their text with comments, and their place. All are written, or none is."""

from __future__ import annotations

import contextlib
import shutil
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from collector.document import dump
from collector.errors import ConfigError, Mistake
from paceline.init.forges import TOKEN
from paceline.init.sources import Plan, Planned

SETTINGS, SERVICES, SLOS = "paceline.yaml", "services.yaml", "slos"
_WIDTH = 110
T = TypeVar("T")


def settings_text(plan: Plan, at: datetime) -> str:
    """The settings, each proposal with its reason above it."""
    lines = list(comment(f"Settings of Paceline, begun by `paceline init` on {at:%Y-%m-%d}; see docs/settings.md."))
    lines += comment("The zone of calendar weeks and working days: an IANA name such as Europe/Berlin.")
    lines += [*_yaml({"timezone": "UTC"}), ""]
    if plan.production:
        lines += comment("Environments that are production, by the names that deployments gave them.")
        lines += [*_yaml(_literal({"environments": {"production": list(plan.production)}})), ""]
    lines.append("sources:")
    for source in plan.sources:
        lines += [f"  {line}".rstrip() for line in _source(source)]
    lines.append("")
    if plan.services:
        lines += [*_yaml({"catalogue": [SERVICES]}), ""]
    lines += _yaml({"slos": [f"{SLOS}/*.yaml"]})
    return "\n".join(lines) + "\n"


def services_text(plan: Plan, at: datetime) -> str:
    """The catalogue: each service with its repositories, and with its paths where it shares one."""
    lines = list(comment(f"The services, begun by `paceline init` on {at:%Y-%m-%d}; see docs/catalogue.md."))
    lines += comment("Whose they are is for you to say: `team: /group/team`. Shared paths may stand at several.")
    lines.append("services:")
    for service in plan.services:
        if sign := service.get("sign"):
            lines += [f"  {line}" for line in comment(f"By {sign}.")]
        lines += _item({k: v for k, v in service.items() if k != "sign"})
    return "\n".join(lines) + "\n"


def comment(text: str) -> list[str]:
    """A text as lines of a comment; whatever would end a line is a space. No line for no text."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return [f"# {line}" for line in textwrap.wrap(" ".join(plain.split()), _WIDTH, break_on_hyphens=False)]


def _source(source: Planned) -> Iterator[str]:
    for text in source.above:
        yield from comment(text)
    first = True
    for key, value in source.settings.items():
        notes = [line for text in source.notes.get(key, ()) for line in comment(text)]
        yield from (f"  {line}" for line in notes)
        for line in _yaml({key: value if key == TOKEN else _literal(value)}):
            yield f"- {line}" if first else f"  {line}"
            first = False


def _item(value: Mapping[str, Any]) -> Iterator[str]:
    for number, line in enumerate(_yaml(value)):
        yield f"  - {line}" if number == 0 else f"    {line}"


def _literal(value: Any) -> Any:
    """The same where `${NAME}` in a text is no variable: names come from outside."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, Mapping):
        return {key: _literal(inner) for key, inner in value.items()}
    return [_literal(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _yaml(value: Mapping[str, Any]) -> list[str]:
    return dump([value]).removeprefix("---\n").splitlines()


def refuse_existing(paths: Iterable[Path]) -> None:
    """Raises ConfigError that names every one of these files that is there: nothing is ever overwritten."""
    there = [path for path in paths if path.exists() or path.is_symlink()]
    if there:
        raise ConfigError(
            *(
                Mistake(
                    file=str(path),
                    line=0,
                    path="",
                    problem="it is there already, and nothing is overwritten",
                    expected="another folder by --dir, or that you move it away",
                )
                for path in there
            )
        )


def place(moves: Mapping[Path, Path], check: Callable[[], T]) -> T:
    """Move each of these to its place, folders into those that are there, and check: all stays, or nothing.

    Raises ConfigError for a file that came meanwhile, OSError where a place cannot be written, and what `check` does.
    """
    with contextlib.ExitStack() as undo:
        for old, new in moves.items():
            for one, target in _pieces(old, new):
                refuse_existing([target])
                for folder in _new_folders(target.parent):
                    folder.mkdir()
                    undo.callback(folder.rmdir)
                shutil.move(one, target)  # the data may belong on another disk
                undo.callback(shutil.move, target, one)
        result = check()
        undo.pop_all()
    return result


def _pieces(old: Path, new: Path) -> Iterator[tuple[Path, Path]]:
    """What is moved as a whole: a file, a folder that is not there yet, else what is in it."""
    if old.is_dir() and new.is_dir():
        for inner in sorted(old.iterdir()):
            yield from _pieces(inner, new / inner.name)
    else:
        yield old, new


def _new_folders(folder: Path) -> list[Path]:
    """A folder with those above it, as far as they are not there yet; the outermost first."""
    return [f for f in (folder, *folder.parents) if not f.exists()][::-1]
