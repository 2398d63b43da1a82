"""Runs git: its environment, its errors sorted by what the caller can do, its log as a stream of records.

The only module that starts git. Knows no event and no rule. Git looks names up itself, so what a server is called is
judged before and not held to: of it, only the protocol and redirects are under control.
"""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import re
import resource
import subprocess
import tempfile
import threading
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

from collector.errors import AuthError, ContractError, RetryableError, SourceError
from collector.reach import OutOfReachError, Reach

R = TypeVar("R")

_CHUNK_BYTES = 1 << 18
_MOST_BYTES = 256 << 20
"""As of a file that is read whole: the names of all files of a large repository are a quarter of it."""
_MEMORY_BYTES = 4 << 30
_MOST_WORDS_BYTES = 1 << 20
_MOST_CHARACTERS = 8 << 20
"""A commit's message, or a path: nobody wrote a longer one."""
_MOST_PATHS = 2_000_000
"""Of one commit, as one that brings a whole repository."""
_PIPE_BYTES = 1 << 20
_FETCH_TIMEOUT_SECONDS = 3_600.0
_SILENT_SECONDS = 300
"""Git gives up a server that sends less than a byte a second for so long; a busy one says that it is at work."""
# As `git rev-parse --local-env-vars` lists them, without those that only add configuration.
_OF_ONE_REPOSITORY = frozenset(
    f"GIT_{name}"
    for name in (
        *("ALTERNATE_OBJECT_DIRECTORIES", "COMMON_DIR", "DIR", "GRAFT_FILE", "IMPLICIT_WORK_TREE", "INDEX_FILE"),
        *("INTERNAL_SUPER_PREFIX", "NAMESPACE", "OBJECT_DIRECTORY", "PREFIX", "QUARANTINE_PATH"),
        *("REPLACE_REF_BASE", "SHALLOW_FILE", "WORK_TREE"),
    )
)

# NUL between fields and, by -z, after each record: messages may hold any other character.
# Names as they are in the commit: a mailmap would be fetched from the remote, and read differently in each place.
LOG_FIELDS = ("%H", "%T", "%P", "%at", "%ct", "%an", "%ae", "%B")
LOG_FORMAT = "%x00".join(LOG_FIELDS)

# What a commit touches must not depend on the settings of whoever runs git.
_PATH_OPTIONS = (
    *("--name-status", "--no-renames", "--root", "--diff-merges=first-parent"),
    *("--no-relative", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none"),
)


_PROTOCOLS = frozenset({"https", "http", "ssh", "git+ssh", "ssh+git", "git", "file"})
_OF_A_SERVER = frozenset({"clone", "fetch", "ls-remote"})

# With these git writes what it sends, which is the secret, to where its errors are read from.
_TELLS_TOO_MUCH = re.compile(r"GIT_TRACE|GIT_CURL_VERBOSE")


@dataclass(frozen=True, kw_only=True)
class Access:
    """How git reaches a server over HTTP: with these credentials, certificates and proxy.

    `authorization` is the value of the header. It goes to the server of `url` and to no other: git follows no redirect,
    which would take the header along, and may lead anywhere. `reach`: which servers may be asked. All of it is handed
    over in the environment, so that it stands in no command line, no URL and no file, and no credentials of whoever
    runs git are used instead.
    """

    url: str
    authorization: str = field(default="", repr=False)
    ca_file: Path | None = None
    proxy: str = field(default="", repr=False)
    reach: Reach = field(default_factory=Reach, repr=False)

    def judge(self) -> None:
        """Raise OutOfReachError for a server that must not be asked, and SourceError for what is no address of one."""
        protocol, host = _server_of(self.url)
        if protocol not in _PROTOCOLS:
            raise SourceError(f"git is not asked over {protocol or 'this'}; expected https, ssh, http, git or file")
        if protocol == "file" or self.proxy:
            return
        try:
            self.reach.addresses(host, 0)
        except OutOfReachError as error:
            raise OutOfReachError(f"git: {error}; see docs/security.md") from None
        except OSError:
            return  # git says it in its own words

    @property
    def environment(self) -> dict[str, str]:
        """Variables that git understands; those that only add configuration count on from what is there."""
        parts = urlsplit(self.url)
        own = f"http.{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"
        settings = [("http.proxy", self.proxy)] if self.proxy else []
        settings += [("http.followRedirects", "false"), (f"{own}.followRedirects", "false")]
        settings += [("http.lowSpeedLimit", "1"), ("http.lowSpeedTime", str(_SILENT_SECONDS))]
        if self.authorization:
            settings += [
                ("credential.helper", ""),
                (f"{own}.extraHeader", ""),
                (f"{own}.extraHeader", f"Authorization: {self.authorization}"),
            ]
        before = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
        added = {
            f"GIT_CONFIG_{part}_{number}": text
            for number, pair in enumerate(settings, start=before)
            for part, text in zip(("KEY", "VALUE"), pair, strict=True)
        }
        certificates = {"GIT_SSL_CAINFO": str(self.ca_file)} if self.ca_file else {}
        asks_nobody = {"GIT_ASKPASS": ""} if self.authorization else {}
        protocol, _ = _server_of(self.url)
        # What rewrites addresses is the configuration of whoever runs git: it may choose among those over networks.
        allowed = protocol if protocol in {"file", "git"} else "https:http:ssh"
        return {
            **added,
            **certificates,
            **asks_nobody,
            "GIT_ALLOW_PROTOCOL": allowed,
            "GIT_CONFIG_COUNT": str(before + len(settings)),
        }

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must stand nowhere."""
        return tuple(filter(None, (self.authorization.rpartition(" ")[2], self.proxy)))


def _server_of(url: str) -> tuple[str, str]:
    """The protocol by which git would ask for a URL, and the host; empty for what is none."""
    if (helper := re.match(r"([\w+.-]*)::", url)) is not None:  # a program that git would start
        return f"{helper[1]}::", ""
    if "://" not in url:
        return "ssh", url.partition(":")[0].rpartition("@")[2]
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.scheme, parts.hostname or ""


def basic(user: str, password: str) -> str:
    """The value of an `Authorization` header for a user and a password, or a token."""
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


@dataclass(frozen=True)
class Git:
    """Runs git in one repository. Errors carry git's words without what stands in a URL before the host.

    `variables` are added to its environment. `seconds`: how long a command may take. `most_bytes`: how much of what it
    prints is read at once, and `memory_bytes` how much memory git may take: a few trees can name more paths than
    anybody has room for.
    """

    path: Path
    access: Access | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    seconds: float = _FETCH_TIMEOUT_SECONDS
    most_bytes: int = _MOST_BYTES
    memory_bytes: int = _MEMORY_BYTES

    def command(self, *arguments: str) -> list[str]:
        """The full command line."""
        return ["git", "--no-replace-objects", "-C", str(self.path), *arguments]

    def text(self, *arguments: str, stdin: str | None = None) -> str:
        """What a git command prints. Raises SourceError, sorted by what the caller can do."""
        if self.access is not None and arguments[0] in _OF_A_SERVER:
            self.access.judge()
        late = threading.Event()
        try:
            with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as told:
                asked.write((stdin or "").encode())
                asked.seek(0)
                environment = git_environment(self.access) | dict(self.variables)
                with (
                    self._started(arguments, stdin=asked, stderr=told, env=environment) as process,
                    _clock(self.seconds, process, late),
                ):
                    printed = _read(process, self.most_bytes)
                    process.wait()
                told.seek(max(told.seek(0, os.SEEK_END) - _MOST_WORDS_BYTES, 0))
                words = told.read()
        except OSError as error:  # of a full disk, say
            raise RetryableError(f"git {arguments[0]} cannot be run: {error.strerror}") from error
        if late.is_set():
            raise RetryableError(f"git {arguments[0]} took longer than {self.seconds:.0f} s")
        if printed is None:
            raise ContractError(f"git {arguments[0]} prints more than {self.most_bytes} bytes; that much is not read")
        if process.returncode != 0:
            raise failure(arguments[0], words, self.access)
        return printed.decode("utf-8", "backslashreplace")

    def _started(self, arguments: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """A command whose output can be read. Raises SourceError where there is no git."""
        try:
            process = subprocess.Popen(self.command(*arguments), stdout=subprocess.PIPE, **options)
        except FileNotFoundError as error:
            raise SourceError("git was not found; install it") from error
        if hasattr(resource, "prlimit"):
            with contextlib.suppress(OSError, ValueError):  # it has ended, or may have less anyway
                resource.prlimit(process.pid, resource.RLIMIT_DATA, (self.memory_bytes, self.memory_bytes))
        return process

    def lines(self, *arguments: str, stdin: str | None = None) -> list[str]:
        """The lines a git command prints. A ref's name may hold what other readers take for the end of a line."""
        text = self.text(*arguments, stdin=stdin)
        return text.removesuffix("\n").split("\n") if text else []

    def log(self, revisions: Iterable[str], *options: str) -> Iterator[list[str]]:
        """Blocks of whole records of `git log`: LOG_FORMAT's fields one after another."""
        return self._log(revisions, options, _records)

    def log_with_paths(self, revisions: Iterable[str], *options: str) -> Iterator[tuple[list[str], list[str]]]:
        """Records of `git log`: LOG_FORMAT's fields, and the paths that differ from the first parent.

        A root has all its paths, a rename the old and the new one, a submodule its own. Needs trees, not files.
        """
        return self._log(revisions, (*_PATH_OPTIONS, *options), _records_with_paths)

    def _log(
        self, revisions: Iterable[str], options: Sequence[str], read: Callable[[IO[bytes]], Iterator[R]]
    ) -> Iterator[R]:
        told = ("log", "-z", f"--format={LOG_FORMAT}", "--encoding=UTF-8", "--no-mailmap", "--no-show-signature")
        pipe = subprocess.PIPE
        with self._started((*told, *options, "--stdin"), stdin=pipe, stderr=pipe, env=git_environment()) as process:
            assert process.stdin is not None  # noqa: S101 - asked for above
            assert process.stdout is not None  # noqa: S101
            assert process.stderr is not None  # noqa: S101
            _widen(process.stdout)
            try:
                with contextlib.suppress(BrokenPipeError):  # git has given up; its words follow
                    process.stdin.write("".join(f"{r}\n" for r in revisions).encode())
                    process.stdin.close()
                yield from read(process.stdout)
                words = process.stderr.read()
            finally:
                process.kill()  # a reader that stops early must not leave git writing
        if process.returncode not in (0, -9):
            raise failure("log", words)


@contextlib.contextmanager
def _clock(seconds: float, process: subprocess.Popen[bytes], late: threading.Event) -> Iterator[None]:
    """Meanwhile a process is killed when its time is over, of which `late` tells."""

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if process.poll() is None:
            process.kill()  # who stops in between must not wait for it


def _read(process: subprocess.Popen[bytes], most: int) -> bytes | None:
    """What a process prints until it is silent; None, and it is killed, where that is more than so many bytes."""
    assert process.stdout is not None  # noqa: S101 - asked for
    parts, size = list[bytes](), 0
    while chunk := process.stdout.read(_CHUNK_BYTES):
        parts.append(chunk)
        size += len(chunk)
        if size > most:
            process.kill()
            return None
    return b"".join(parts)


def _widen(pipe: IO[bytes]) -> None:
    """Let git write ahead while we parse, where the system allows: both then run at full speed."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _records(stream: IO[bytes]) -> Iterator[list[str]]:
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    rest = ""
    while chunk := stream.read(_CHUNK_BYTES):
        fields = (rest + decode(chunk)).split("\0")
        whole = (len(fields) - 1) // len(LOG_FIELDS) * len(LOG_FIELDS)
        rest = _bounded("\0".join(fields[whole:]))
        del fields[whole:]
        yield fields
    if rest.strip("\0\n"):
        raise ContractError("git log ended in the middle of a record")


def _records_with_paths(stream: IO[bytes]) -> Iterator[tuple[list[str], list[str]]]:
    """After a record comes, for each path, a letter that says how it changed, then the path; then the next id."""
    texts = _texts(stream)
    text = next(texts, None)
    while text is not None:
        fields = [text, *islice(texts, len(LOG_FIELDS) - 1)]
        if len(fields) < len(LOG_FIELDS):
            raise ContractError("git log ended in the middle of a record")
        paths: list[str] = []
        while (text := next(texts, None)) is not None and len(text.lstrip("\n")) == 1:
            paths.append(next(texts, ""))
            if len(paths) > _MOST_PATHS:
                raise ContractError(f"git log: a commit touches more than {_MOST_PATHS} paths")
        yield fields, paths


def _bounded(rest: str) -> str:
    """The beginning of a record. Raises ContractError for one that is far too long."""
    if len(rest) > _MOST_CHARACTERS:
        raise ContractError(f"git log: a commit tells more than {_MOST_CHARACTERS} characters at once")
    return rest


def _texts(stream: IO[bytes]) -> Iterator[str]:
    """What stands between NULs."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    rest = ""
    while chunk := stream.read(_CHUNK_BYTES):
        *whole, rest = (_bounded(rest) + decode(chunk)).split("\0")
        yield from whole
    if rest:
        raise ContractError("git log ended in the middle of a record")


def git_environment(access: Access | None = None) -> dict[str, str]:
    """The environment for git: never asks, never fetches behind our back, speaks English.

    Variables that name a repository, as a hook has them, would win over the path we give: they are left out.
    """
    inherited = {k: v for k, v in os.environ.items() if k not in _OF_ONE_REPOSITORY}
    if access is not None:
        inherited = {k: v for k, v in inherited.items() if not _TELLS_TOO_MUCH.match(k)} | access.environment
    return inherited | {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_FLUSH": "0",  # else git log hands over each commit by itself, and half of our time goes into reading
        "LC_ALL": "C",
    }


def failure(command: str, stderr: bytes, access: Access | None = None) -> SourceError:
    """The error for git's last words, sorted by what the caller can do."""
    words = " ".join(stderr.decode("utf-8", "replace").split()) or "no reason given"
    for secret in access.secrets if access else ():
        words = words.replace(secret, "…")
    words = re.sub(r"//[^/\s]+@", "//", words)
    message = f"git {command}: {words[-400:]}"
    if re.search(
        r"Authentication failed|could not read (Username|Password)|Permission denied|(HTTP|error:) 40[13]", words
    ):
        if access is not None and access.authorization:
            return AuthError(f"{message}; the server refused the token: check it, and that it may read the repository")
        return AuthError(f"{message}; check the credentials git uses for this URL")
    if access is not None and re.search(r"error: 30[12378]", words):
        return SourceError(f"{message}; redirected, which is not followed: give the final address")
    if re.search(
        r"Could not resolve|timed out|[Cc]onnection|early EOF|hung up|(HTTP|error:) (429|5\d\d)|index\.lock", words
    ):
        return RetryableError(message)
    return SourceError(message)
