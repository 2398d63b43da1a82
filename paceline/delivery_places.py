"""Where the weekly summary goes: by e-mail, to Slack, to a webhook, into a Git work tree, into a folder.

What a place is set to is its model, and the model sends; the carriers are those of alerts. Whatever repeats a sending
gives it the same key, by which whoever receives it twice can tell.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlencode

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from collector.errors import RetryableError, SourceError
from collector.gitcommand import Git
from paceline.carriers import MailServer, Name, SlackWebhook, Webhook, domain_of, mail_of, named_apart, slack_address
from slo_engine.weekly import Audience, WeeklySummary, rendered
from slo_engine.weekly.html import INK, PAPER, mail
from slo_engine.weekly.slack import LONGEST_SECTION, MOST_BLOCKS

DIRECTORY = "directory"
"""How the delivery into `report.directory` is called."""
AUTHOR, AUTHOR_ADDRESS = "Paceline", "paceline@paceline.invalid"
"""Who commits: nobody. No mail reaches a domain of this ending."""
_GIT_SECONDS = 120.0
_NO_COMMIT = "0" * 40
_PAGE = "The page of this week, with the numbers behind it"

FileFormat = Literal["markdown", "html", "text", "json"]
_ENDINGS: Mapping[FileFormat, str] = {"markdown": "md", "html": "html", "text": "txt", "json": "json"}


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """A week's summary on its way to the place of a name. A later `edition` than the first is wanted anew.

    `base_url` is the address of Paceline's pages; empty where nobody told it. `at` is when it is sent, UTC.
    """

    name: str
    edition: int
    summary: WeeklySummary
    base_url: str
    at: datetime

    @property
    def key(self) -> str:
        """The same whenever this edition is sent, by whichever process."""
        said = (self.base_url, self.name, self.summary.week, self.edition)
        return hashlib.sha256(repr(said).encode()).hexdigest()[:32]

    @property
    def title(self) -> str:
        """`Platform summary, week 2026-W14`, and whose where it is that of a team."""
        whose = f", {self.summary.team}" if self.summary.team else ""
        return f"Platform summary, week {self.summary.week}{whose}"

    @property
    def page(self) -> str:
        """The address of its page; empty where nobody told it."""
        if not self.base_url:
            return ""
        asked = {"audience": self.summary.audience, "team": self.summary.team}
        return f"{self.base_url}/weekly/{self.summary.week}?{urlencode({k: v for k, v in asked.items() if v})}"


class Delivery(BaseModel):
    """Base of the settings of a place. A subclass adds `type: Literal["key"]` and `send`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    audience: Literal["leader", "sre", "team"] | None = Field(
        default=None, description="Whose summary it is: leader unless given, team where a team is."
    )
    team: str = Field(default="", description="The team of audience team, with those below it, such as `/commerce`.")

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if bool(self.team) != (self.whose is Audience.TEAM):
            raise ValueError("audience team and a team belong together; expected both or neither")
        return self

    @property
    def whose(self) -> Audience:
        """Who reads it."""
        return Audience(self.audience or (Audience.TEAM if self.team else Audience.LEADER))

    @property
    def files(self) -> str:
        """The files that it writes, as a glob; empty where it writes none."""
        return ""

    def beside(self, base_dir: Path) -> Self:
        """The same with absolute paths: relative ones start at a folder."""
        del base_dir
        return self

    def send(self, parcel: Parcel) -> str:
        """Send it; the SHA-256 of what was sent, in hex.

        Raises RetryableError where that may work later, and another PacelineError where it will not.
        """
        raise NotImplementedError


class EmailDelivery(MailServer, Delivery):
    """Mail by SMTP: text, and the same as HTML."""

    type: Literal["email"]

    def send(self, parcel: Parcel) -> str:
        """Give it to the mail server."""
        text, page = mail(parcel.summary)
        if parcel.page:
            text = f"{text}\n{_PAGE}:\n{parcel.page}\n"
            page = page.replace("</body>", f"{_html_link(parcel.page)}\n</body>")
        made = mail_of(
            sender=self.sender,
            to=self.to,
            subject=parcel.title,
            at=parcel.at,
            message_id=f"<{parcel.key}@{domain_of(self.sender)}>",
            text=text,
            page=page,
        )
        self.hand_over(made)
        return _digest(text, page)


class SlackDelivery(SlackWebhook, Delivery):
    """An incoming webhook of Slack, or of what understands its blocks."""

    type: Literal["slack"]

    def send(self, parcel: Parcel) -> str:
        """Post its blocks."""
        message = json.loads(rendered(parcel.summary, "slack"))
        if parcel.page:
            message["blocks"] = _with_link(message["blocks"], parcel.page)
        self.post(message)
        return _digest(json.dumps(message, ensure_ascii=False))


class WebhookDelivery(Webhook, Delivery):
    """Any address that takes the summary as JSON. The header `Idempotency-Key` is the same for a repetition."""

    type: Literal["webhook"]

    def send(self, parcel: Parcel) -> str:
        """Post the data of docs/weekly.md."""
        text = rendered(parcel.summary, "json")
        self.post(json.loads(text), {"Idempotency-Key": parcel.key})
        return _digest(text)


class _Files(Delivery):
    """Base of those that write `weekly-<ISO week>` with the ending of a format into a folder."""

    path: Path = Field(description="Folder for `weekly-<ISO week>.md`, or with the ending of another format.")
    format: FileFormat = Field(default="markdown", description="How it is written.")

    @property
    def files(self) -> str:
        """The files of all weeks."""
        return f"{self.path}/weekly-*.{_ENDINGS[self.format]}"

    def beside(self, base_dir: Path) -> Self:
        """With the absolute path of its folder."""
        return self.model_copy(update={"path": (base_dir / self.path.expanduser()).resolve()})

    def file(self, parcel: Parcel) -> Path:
        """The file of a week."""
        return self.path / f"weekly-{parcel.summary.week}.{_ENDINGS[self.format]}"


class FileDelivery(_Files):
    """A file in a folder. One that stands there is left alone, whoever wrote it, unless it is wanted anew."""

    type: Literal["file"]

    def send(self, parcel: Parcel) -> str:
        """Write it, whole or not at all."""
        file = self.file(parcel)
        if parcel.edition == 1 and file.exists():
            return _digest(file.read_text(encoding="utf-8"))
        text = rendered(parcel.summary, self.format)
        _write(file, text)
        return _digest(text)


class GitDelivery(_Files):
    """A commit of that one file in a Git work tree, on the branch that is checked out there.

    The commit is made of the branch as it is and the file: what others have staged or changed is neither in it nor
    touched, and no hook for commits runs.
    """

    type: Literal["git"]
    path: Path = Field(description="Folder for the file, within a work tree; made where it is not there.")
    branch: str = Field(default="", description="Only while this branch is checked out; whichever is unless given.")
    push: bool = Field(
        default=False, description="Whether the branch is pushed, with whatever else was committed on it."
    )
    remote: str = Field(
        default="origin", pattern=r"^[\w][\w./-]*$", description="Where it is pushed to: the name of a remote."
    )

    def send(self, parcel: Parcel) -> str:
        """Write, commit unless it is committed already, and push."""
        text = rendered(parcel.summary, self.format)
        tree = Git(_existing(self.path), seconds=_GIT_SECONDS)
        root = Path(tree.text("rev-parse", "--show-toplevel").removesuffix("\n"))
        branch = self._checked_out(tree)
        file = self.file(parcel)
        _write(file, text)
        where = file.resolve().relative_to(root.resolve()).as_posix()
        _commit(Git(root, seconds=_GIT_SECONDS), branch, where, parcel)
        if self.push:
            self._push(tree, branch)
        return _digest(text)

    def _checked_out(self, tree: Git) -> str:
        """The branch. Whoever has another one checked out may be back soon."""
        branch = tree.text("branch", "--show-current").strip()
        if not branch or self.branch not in {"", branch}:
            expected = f"the branch {self.branch}" if self.branch else "a branch"
            raise RetryableError(f"the work tree is not on {expected}; check it out")
        return branch

    def _push(self, tree: Git, branch: str) -> None:
        ref = f"refs/heads/{branch}"
        try:
            tree.text("push", "--quiet", self.remote, f"{ref}:{ref}")
        except RetryableError:
            raise
        except SourceError as error:
            if "rejected" in str(error) and "remote rejected" not in str(error):
                said = "the remote has commits that this work tree has not; pull them"
                raise RetryableError(f"git push: {said}") from None
            raise


def _commit(tree: Git, branch: str, where: str, parcel: Parcel) -> None:
    """Commit one file on top of a branch. An index of its own is used, so that nothing staged comes along."""
    blob = tree.text("hash-object", "-w", "--", where).strip()
    entry = f"100644,{blob},{where}"
    ref = f"refs/heads/{branch}"
    head = tree.text("for-each-ref", "--format=%(objectname)", ref).strip()
    there = tree.text("ls-tree", head, "--", where).split() if head else []
    if blob not in there:
        commit = _committed(tree, head, entry, parcel)
        try:
            tree.text("update-ref", "-m", f"commit: {parcel.title}", ref, commit, head or _NO_COMMIT)
        except SourceError:
            raise RetryableError("git update-ref: somebody else commits at the same time") from None
    # Also where it was committed before: a process may have been killed in between.
    tree.text("update-index", "--add", "--cacheinfo", entry)


def _committed(tree: Git, head: str, entry: str, parcel: Parcel) -> str:
    """The id of a new commit, which no branch has yet."""
    at = f"@{int(parcel.at.timestamp())} +0000"
    who = {
        f"GIT_{role}_{what}": text
        for role in ("AUTHOR", "COMMITTER")
        for what, text in (("NAME", AUTHOR), ("EMAIL", AUTHOR_ADDRESS), ("DATE", at))
    }
    with tempfile.TemporaryDirectory() as folder:
        variables = {**who, "GIT_INDEX_FILE": str(Path(folder) / "index")}
        apart = Git(tree.path, variables=variables, seconds=tree.seconds)
        apart.text("read-tree", head or "--empty")
        apart.text("update-index", "--add", "--cacheinfo", entry)
        made = apart.text("write-tree").strip()
        onto = ("-p", head) if head else ()
        return apart.text("commit-tree", made, *onto, "-F", "-", stdin=f"{parcel.title}\n").strip()


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(one for one in (folder, *folder.parents) if one.is_dir())


def _write(file: Path, text: str) -> None:
    """Write a file, whole or not at all. Raises RetryableError: a full disk may be emptied."""
    draft = file.with_name(f"{file.name}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        draft.replace(file)
    except OSError as error:
        raise RetryableError(f"{file} cannot be written: {error.strerror}; check the folder") from None


def _html_link(url: str) -> str:
    colours = f"color:{INK};background-color:{PAPER};"
    return f'<p style="padding:0 16px 16px;{colours}"><a href="{escape(url)}" style="{colours}">{_PAGE}</a></p>'


def _with_link(blocks: list[dict[str, Any]], url: str) -> list[dict[str, Any]]:
    """The blocks with a link below, where there is room for it."""
    link = f"<{slack_address(url)}|{_PAGE}>"
    if len(blocks) < MOST_BLOCKS:
        return [*blocks, {"type": "section", "text": {"type": "mrkdwn", "text": link, "verbatim": True}}]
    *others, last = blocks
    text = f"{last['text']['text']}\n{link}"
    return [*others, {**last, "text": {**last["text"], "text": text}}] if len(text) <= LONGEST_SECTION else blocks


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _not_reserved(listed: list[Any]) -> list[Any]:
    if any(one.name == DIRECTORY for one in listed):
        raise ValueError(f"{DIRECTORY!r} is how the delivery into report.directory is called; expected another name")
    return listed


AnyDelivery = Annotated[
    EmailDelivery | SlackDelivery | WebhookDelivery | GitDelivery | FileDelivery, Field(discriminator="type")
]
AnyDeliveries = Annotated[
    list[AnyDelivery], AfterValidator(named_apart("delivery", "deliveries")), AfterValidator(_not_reserved)
]
