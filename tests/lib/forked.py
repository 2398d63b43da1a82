"""Commands of Paceline as real processes that begin in a hundredth of a second: copies of one that has imported all.

Run as a program this file is that one: it reads a request a line from standard input and answers with a line.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, TextIO

import collector
import paceline
import slo_engine
from paceline.cli import main as command


@dataclass(frozen=True)
class Forks:
    """Starts commands in a folder. What each one prints goes into files there."""

    process: subprocess.Popen[str]
    folder: Path
    environment: Mapping[str, str]

    def elsewhere(self, folder: Path, **variables: str) -> Forks:
        """The same for another folder and other variables."""
        return replace(self, folder=folder, environment=_environment(folder, variables))

    def start(self, name: str, *arguments: str, **variables: str) -> int:
        """Start `paceline` with these arguments; its process id. It prints to `<name>.out` and `log.txt`."""
        whole = {**self.environment, **variables}
        found: int = self._ask(start=arguments, name=name, folder=str(self.folder), environment=whole)
        return found

    def kill(self, pid: int, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; minus the signal's number, or the exit code."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return self.wait(pid)

    def wait(self, pid: int) -> int:
        """The exit code of a command, once it ended; minus a number where a signal ended it."""
        found: int = self._ask(wait=pid)
        return found

    def run(self, *arguments: str) -> int:
        """The exit code of a command that runs to its end."""
        return self.wait(self.start("run", *arguments))

    @property
    def log(self) -> str:
        """What the commands wrote to standard error so far."""
        path = self.folder / "log.txt"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def _ask(self, **request: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextlib.contextmanager
def forks(folder: Path, **variables: str) -> Iterator[Forks]:
    """Starts commands in a folder, with nothing of the user's environment. Who ends it has ended the commands."""
    environment = _environment(folder, variables)
    with subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**environment, "PYTHONWARNINGS": "ignore"},
    ) as process:
        yield Forks(process, folder, environment)
        assert process.stdin is not None
        process.stdin.close()


def _environment(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "COLUMNS": "240", **variables}


# --- the one that is copied ------------------------------------------------------------------------------


def main() -> None:
    """Answer requests until there are no more."""
    for package in (collector, slo_engine, paceline):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" not in module.name:
                importlib.import_module(module.name)
    gc.freeze()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            found = os.fork() or _become(request, answers)
        else:
            found = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        answers.write(f"{found}\n")
        answers.flush()


def _become(request: Mapping[str, Any], answers: TextIO) -> NoReturn:
    """Be the command, in a copy of this process."""
    folder = Path(request["folder"])
    os.close(answers.fileno())
    fresh, added = os.O_WRONLY | os.O_CREAT | os.O_TRUNC, os.O_WRONLY | os.O_CREAT | os.O_APPEND
    places = ((os.devnull, os.O_RDONLY), (f"{request['name']}.out", fresh), ("log.txt", added))
    for number, (path, mode) in enumerate(places):
        opened = os.open(folder / path, mode, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["paceline", *request["start"]]
    code = 1
    try:
        command()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
