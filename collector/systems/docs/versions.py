"""The versions of the pages in a repository: which commits of the default branch changed them, under whatever path.

Only trees are needed for it. A page that moved without a change is followed; one that was deleted has ended.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from collector.errors import SourceError
from collector.gitcommand import Git

_FILES = ("100644", "100755")
_IDS_OF_A_BATCH = 500
_BYTES_OF_A_BATCH = 16 << 20
MOST_PAGE_BYTES = 4 << 20
"""A page that somebody wrote is a thousandth of it."""
_HOW = re.compile(r"[ADMRT]\d*")


class Version(NamedTuple):
    """A commit that changed a page, and when it was committed, in seconds since 1970."""

    sha: str
    at: int


class _Touched(NamedTuple):
    """A path that a commit touched: how, and for one that moved where it was before."""

    how: str
    path: str
    before: str = ""


@dataclass(frozen=True)
class Step:
    """A commit of the line, as far as it touched what was asked for."""

    sha: str
    at: int
    subject: str
    touched: list[_Touched] = field(default_factory=list)


class History:
    """Versions of pages, newest first, by the path that each page has now. `touched`: also by what makes no version.

    `known`: pages of an earlier look, from which on only new commits are read. `moved`: one of them moved, or ended and
    began anew, so that all must be read again.
    """

    def __init__(self, pages: Collection[str], known: Collection[str], ignores: Callable[[str], bool]) -> None:
        self._pages, self._known, self._ignores = pages, known, ignores
        self._called: dict[str, str | None] = {}
        self.versions: dict[str, list[Version]] = {}
        self.touched: set[str] = set()
        self.moved = False

    def follow(self, steps: Iterator[Step]) -> History:
        """Go through commits, newest first."""
        for step in steps:
            called: dict[str, str | None] = {}
            for touched in step.touched:
                self._follow(step, touched, called)
            self._called.update(called)
        return self

    def _follow(self, step: Step, touched: _Touched, called: dict[str, str | None]) -> None:
        page, how = self._page(touched.path), touched.how
        if how in {"A", "R"} and (touched.path in self._known or touched.before in self._known):
            self.moved = True
        if page is None or how == "D":
            return
        if how == "R":
            called.setdefault(touched.path, None)
            called[touched.before] = page
            return
        self.touched.add(page)
        if how == "A":
            called.setdefault(touched.path, None)
        elif how == "M" and self._ignores(step.subject):
            return
        self.versions.setdefault(page, []).append(Version(step.sha, step.at))

    def _page(self, path: str) -> str | None:
        """The page that a path was at this point of history."""
        if path in self._called:
            return self._called[path]
        return path if path in self._pages else None


def files_of(git: Git, head: str) -> dict[str, str]:
    """The files of a commit: the blob of each path."""
    found: dict[str, str] = {}
    for entry in git.text("ls-tree", "-r", "-z", "--full-tree", head).split("\0"):
        mode, _, rest = entry.partition(" ")
        if mode in _FILES:
            named, _, path = rest.partition("\t")
            found[path] = named.partition(" ")[2]
    return found


def steps(git: Git, head: str, since: str | None, pathspecs: Sequence[str]) -> Iterator[Step]:
    """The commits of the default branch's line after another one that touched some paths, newest first."""
    log = git.text(
        *("log", "--first-parent", "--diff-merges=first-parent", "--root", "-z", "--name-status"),
        *("--find-renames=100%", "--no-relative", "--no-ext-diff", "--no-textconv", "--no-show-signature"),
        *("--format=%H%x00%ct%x00%s", head, *((f"^{since}",) if since else ()), "--", *pathspecs),
    )
    texts = iter(log.split("\0"))
    step: Step | None = None
    for text in texts:
        how = text.lstrip("\n")
        if step is not None and _HOW.fullmatch(how):
            paths = list(islice(texts, 2 if how[0] == "R" else 1))
            step.touched.append(_Touched(how[0], paths[-1], paths[0] if how[0] == "R" else ""))
            continue
        if step is not None:
            yield step
        if how:
            at, subject = islice(texts, 2)
            step = Step(how, int(at), subject)
        else:
            step = None
    if step is not None:
        yield step


def continues(git: Git, head: str, before: str) -> bool:
    """Whether the default branch's line goes on from an earlier tip: it was neither rewritten nor cut off."""
    try:
        line = git.lines("rev-list", "--first-parent", "--parents", head, f"^{before}")
    except SourceError:  # it is gone
        return False
    return bool(line) and line[-1].split()[1:2] == [before]


def texts_of(git: Git, blobs: Collection[str], mark: str) -> Iterator[tuple[str, str]]:
    """Blobs that are all there and their texts, some at a time; none for what is too large to be a page.

    `mark`: a line that no text holds begins with it.
    """
    for batch in _batches(git, blobs):
        asked = "".join(f"{blob}\n" for blob in batch)
        answer = git.text("cat-file", f"--batch={mark} %(objectname)", stdin=asked)
        for part in f"\n{answer}".split(f"\n{mark} ")[1:]:
            blob, _, text = part.partition("\n")
            yield blob, text


def _batches(git: Git, blobs: Collection[str]) -> Iterator[list[str]]:
    """Blobs that are read at once, without those that are larger than a page."""
    asked = "".join(f"{blob}\n" for blob in sorted(set(blobs)))
    batch, size = list[str](), 0
    for line in git.lines("cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=asked) if asked else ():
        blob, _, told = line.partition(" ")
        own = int(told) if told.isdigit() else MOST_PAGE_BYTES + 1  # it is not there
        if own > MOST_PAGE_BYTES:
            continue
        if batch and (len(batch) == _IDS_OF_A_BATCH or size + own > _BYTES_OF_A_BATCH):
            yield batch
            batch, size = [], 0
        batch.append(blob)
        size += own
    if batch:
        yield batch


def bring(git: Git, blobs: Collection[str]) -> None:
    """Have the server send some blobs that a clone without files left out."""
    if not blobs or not git.text("config", "--default", "", "--get", "remote.origin.partialCloneFilter").strip():
        return
    git.text(
        *("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no"),
        *("--filter=blob:none", "origin", "--stdin"),
        stdin="".join(f"{blob}\n" for blob in sorted(set(blobs))),
    )
