"""Programs that belong to this process: started together, waited for, watched, and ended together.

Each leads a process group of its own, so that a key in the terminal reaches this process alone, and whatever a program
starts ends with it.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from collector.errors import PacelineError

_POLL_SECONDS = 0.1
_ASK_SECONDS = 5.0
_LAST_LINES = 12
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ProgramFailed(PacelineError):  # noqa: N818 - it says which program, and its last words
    """A program ended by itself, or never answered."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to start; its output goes to `log`, and it is at work once a GET of `ready` is answered with 200."""

    name: str
    command: Sequence[str]
    folder: Path
    log: Path
    ready: str
    environment: Mapping[str, str]

    def start(self) -> subprocess.Popen[bytes]:
        """Start it. Raises ProgramFailed where that is impossible."""
        with self.log.open("wb") as words:
            try:
                return subprocess.Popen(
                    self.command,
                    cwd=self.folder,
                    env=dict(self.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=words,
                    stderr=words,
                    start_new_session=True,
                )
            except OSError as error:
                raise ProgramFailed(f"{self.name} cannot be started: {error.strerror}") from error

    def last_words(self) -> str:
        """The end of its log, indented."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
        return "\n".join(f"  {line}" for line in lines) or "  (nothing)"


@dataclass
class Children:
    """Programs at work. `asked` is set when all of them are to end.

    `patience_seconds`: how long a program may take to answer; a machine that does much else takes so long for what
    usually takes seconds. `grace_seconds`: how long all of them may take to end.
    """

    patience_seconds: float = 120.0
    grace_seconds: float = 20.0
    asked: threading.Event = field(default_factory=threading.Event)
    _running: list[tuple[Program, subprocess.Popen[bytes]]] = field(default_factory=list)

    def start(self, *programs: Program) -> None:
        """Start programs and wait until all of them answer, or the end is asked for. Raises ProgramFailed."""
        for program in programs:
            self._running.append((program, program.start()))
        until = time.monotonic() + self.patience_seconds
        waiting = list(programs)
        while waiting and not self.asked.is_set():
            self._look()
            waiting = [program for program in waiting if not answers(program.ready)]
            if waiting and time.monotonic() > until:
                raise ProgramFailed(
                    f"{waiting[0].name} does not answer at {waiting[0].ready}; its log ends with\n"
                    f"{waiting[0].last_words()}"
                )
            self.asked.wait(_POLL_SECONDS if waiting else 0)

    def watch(self) -> None:
        """Wait until the end is asked for. Raises ProgramFailed where a program ends before."""
        while not self.asked.wait(_POLL_SECONDS):
            self._look()

    def _look(self) -> None:
        for program, process in self._running:
            code = process.poll()
            if code is not None:
                how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
                raise ProgramFailed(f"{program.name} {how}; its log, {program.log}, ends with\n{program.last_words()}")

    def close(self) -> None:
        """End all of them, the last started first: politely, after a while by force."""
        for _, process in reversed(self._running):
            _signal(process, signal.SIGTERM)
        until = time.monotonic() + self.grace_seconds
        for _, process in reversed(self._running):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(until - time.monotonic(), 0))
            _signal(process, signal.SIGKILL)
            process.wait()
        self._running.clear()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """To the whole group, also when its leader has ended already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def answers(address: str) -> bool:
    """Whether a GET of an address is answered with 200."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=_ASK_SECONDS)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", parts.path)
        return connection.getresponse().status == http.client.OK
    return False


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Every signal that asks for an end interrupts like Ctrl-C does, also where a script started us without it."""
    with _on_signals(signal.default_int_handler):
        yield


@contextlib.contextmanager
def children() -> Iterator[Children]:
    """No programs yet; at the end none any more. A signal asks for the end, and no second one interrupts it."""
    found = Children()
    with _on_signals(lambda _number, _frame: found.asked.set()):
        try:
            yield found
        finally:
            found.close()


@contextlib.contextmanager
def _on_signals(do: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    before = [(number, signal.signal(number, do)) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
