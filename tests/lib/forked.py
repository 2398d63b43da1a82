"""Commands of Paceline as real processes that begin in a hundredth of a second: copies of one that has imported all.

Run as a program this file is that one: it reads a request a line from a socket and answers with a line.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import IO, Any, NoReturn

import collector
import paceline
import slo_engine
from paceline.cli import main as command

_POLL_SECONDS = 0.01
_LONGEST_REQUEST = 1 << 20
_FILES = 3


@dataclass(frozen=True)
class Forks:
    """Starts commands in a folder. What each one prints goes into files there, unless somebody reads it."""

    connection: socket.socket
    folder: Path
    environment: Mapping[str, str]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def elsewhere(self, folder: Path, **variables: str) -> Forks:
        """The same for another folder and other variables."""
        return replace(self, folder=folder, environment=_environment(folder, variables))

    def start(self, name: str, *arguments: str, **variables: str) -> int:
        """Start `paceline` with these arguments; its process id. It prints to `<name>.out` and `log.txt`."""
        with (self.folder / f"{name}.out").open("wb") as out, (self.folder / "log.txt").open("ab") as errors:
            return self.begin(arguments, self.folder, {**self.environment, **variables}, (out, errors))

    def begin(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], files: tuple[IO[Any], IO[Any]]
    ) -> int:
        """Start `paceline` in a folder, its output and its errors going into files; its process id."""
        with Path(os.devnull).open("rb") as nothing:
            numbers = [file.fileno() for file in (nothing, *files)]
            found: int = self._ask(numbers, start=[*arguments], folder=str(folder), environment={**environment})
        return found

    def popen(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        errors: IO[Any],
        out: IO[Any] | None = None,
    ) -> Process:
        """Start `paceline` in a folder; who holds it reads what it prints, unless there is a file for that."""
        if out is not None:
            return Process(self, self.begin(arguments, folder, environment, (out, errors)))
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb") as end:
            number = self.begin(arguments, folder, environment, (end, errors))
        return Process(self, number, os.fdopen(reading, encoding="utf-8"))

    def kill(self, pid: int, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; minus the signal's number, or the exit code."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return self.wait(pid)

    def wait(self, pid: int) -> int:
        """The exit code of a command, once it ended; minus a number where a signal ended it."""
        found: int = self._ask(wait=pid)
        return found

    def poll(self, pid: int) -> int | None:
        """Its exit code, or None while it runs."""
        found: int | None = self._ask(poll=pid)
        return found

    def run(self, *arguments: str) -> int:
        """The exit code of a command that runs to its end."""
        return self.wait(self.start("run", *arguments))

    @property
    def log(self) -> str:
        """What the commands wrote to standard error so far."""
        path = self.folder / "log.txt"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def _ask(self, files: Sequence[int] = (), **request: Any) -> Any:
        with self.lock:
            socket.send_fds(self.connection, [json.dumps(request).encode() + b"\n"], files)
            return json.loads(_line(self.connection)[0])


@dataclass
class Process:
    """A command that was started, to be held like a `subprocess.Popen`."""

    forks: Forks
    pid: int
    stdout: IO[str] | None = None
    returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        if self.returncode is None:
            self.returncode = self.forks.poll(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it ended. Raises subprocess.TimeoutExpired."""
        until = None if timeout is None else time.monotonic() + timeout
        while (found := self.poll()) is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired("paceline", timeout or 0.0)
            time.sleep(_POLL_SECONDS)
        return found

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


@contextlib.contextmanager
def forks(folder: Path, **variables: str) -> Iterator[Forks]:
    """Starts commands in a folder, with nothing of the user's environment. Who ends it has ended the commands."""
    environment = _environment(folder, variables)
    ours, its = socket.socketpair()
    with (
        ours,
        subprocess.Popen(
            [sys.executable, __file__, str(its.fileno())],
            stdin=subprocess.DEVNULL,
            env={**environment, "PYTHONWARNINGS": "ignore"},
            pass_fds=[its.fileno()],
        ),
    ):
        its.close()
        with ours:
            yield Forks(ours, folder, environment)


def _environment(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "COLUMNS": "240", **variables}


def _line(connection: socket.socket) -> tuple[bytes, list[int]]:
    """A line, or nothing at the end, and the files that came with it."""
    line, files = b"", list[int]()
    while not line.endswith(b"\n"):
        more, found, _, _ = socket.recv_fds(connection, _LONGEST_REQUEST, _FILES)
        if not more:
            return b"", files
        line, files = line + more, files + found
    return line, files


# --- the one that is copied ------------------------------------------------------------------------------


def main() -> None:
    """Answer requests until there are no more."""
    for package in (collector, slo_engine, paceline):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" not in module.name:
                importlib.import_module(module.name)
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as asking:
        while True:
            line, files = _line(asking)
            if not line:
                return
            asking.sendall(json.dumps(_answer(json.loads(line), files, asking)).encode() + b"\n")
            for number in files:
                os.close(number)


def _answer(request: Mapping[str, Any], files: Sequence[int], asking: socket.socket) -> int | None:
    """The id of a started process, or how one ended."""
    if "start" in request:
        return os.fork() or _become(request, files, asking)
    waited = "wait" in request
    pid, status = os.waitpid(request["wait" if waited else "poll"], 0 if waited else os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None


def _become(request: Mapping[str, Any], files: Sequence[int], asking: socket.socket) -> NoReturn:
    """Be the command, in a copy of this process."""
    asking.close()
    for number, opened in enumerate(files):
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    # What a fresh interpreter has: plug-ins first, and no program whose file its own processes would run.
    sys.path[:1] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.modules["__main__"] = ModuleType("__main__")
    sys.argv = ["paceline", *request["start"]]
    code = 1
    try:
        command()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:  # noqa: BLE001 - as an interpreter tells of it
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
