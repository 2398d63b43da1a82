"""The weekly summary leaves real processes: one mail of two replicas, one more after a kill before it was marked."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from forked import Process
from receivers import MailBox, mail_box

pytestmark = pytest.mark.integration

CONFIGURATION = """\
report:
  hour: 0
  deliveries:
    - {mail}
    - {{type: file, name: disk, path: weeks}}
"""
LOG = "SELECT week, delivery, state, attempts FROM report_delivery ORDER BY delivery"
TIME_IS_OVER = "UPDATE report_delivery SET held_until = 0"
"""What ten minutes do: whoever holds an entry holds it no more."""


@pytest.fixture(scope="module")
def box() -> Iterator[MailBox]:
    """A mail server."""
    with mail_box() as found:
        yield found


@pytest.fixture(scope="module")
def workspace(workspaces: Callable[..., Any], box: MailBox) -> Any:
    """A workspace that collects nothing, sends to the mail server and writes into a folder."""
    return workspaces(CONFIGURATION.format(mail=json.dumps(box.settings())))


def _in_store(workspace: Any, statement: str) -> list[Any]:
    """What a statement gives or does in its store."""
    with contextlib.closing(sqlite3.connect(workspace.data / "paceline.db")) as connection, connection:
        return connection.execute(statement).fetchall()


def _ended(process: Process) -> str:
    """What a process said until its end."""
    assert process.stdout is not None
    with process.stdout as said:
        found = said.read()
    process.wait(timeout=120)
    return found


@pytest.fixture(scope="module")
def sent(workspace: Any, box: MailBox) -> list[str]:
    """What two processes said that were started at the same time to send the last whole week by mail."""
    processes = [workspace.start("report", "--deliver", "mail") for _ in range(2)]
    said = [_ended(process) for process in processes]
    assert box.received
    return said


def test_two_processes_send_one_mail(workspace: Any, box: MailBox, sent: list[str]) -> None:
    """Both find the week unsent on one store; one of them sends it."""
    ((week, *others),) = _in_store(workspace, LOG)

    assert [got.mail["Subject"] for got in box.received] == [f"Platform summary, week {week}"]
    assert others == ["mail", "sent", 1]
    assert f"mail: {week} was sent\n" in sent


def test_the_service_sends_what_was_not_sent(
    workspace: Any,
    box: MailBox,
    sent: list[str],
    serving: Callable[[Any], Any],
    eventually: Callable[[Callable[[], Any]], Any],
) -> None:
    """Started afterwards it writes the file of the last whole week and of none before, and sends no mail again."""
    with serving(workspace):
        eventually(lambda: list((workspace.path / "weeks").glob("*.md")))
        log = eventually(lambda: [row[1:] for row in _in_store(workspace, LOG) if row[1:3] == ("disk", "sent")])

    assert log == [("disk", "sent", 1)]
    assert len(list((workspace.path / "weeks").iterdir())) == 1
    assert len(box.received) == 1
    assert len(_in_store(workspace, LOG)) == 2


def test_killed_between_sending_and_marking_it_is_sent_once_more(workspaces: Callable[..., Any]) -> None:
    """Once the killed one's time is over the next run sends it again, with the same id, and the log tells of both."""
    with mail_box() as box:
        workspace = workspaces(CONFIGURATION.format(mail=json.dumps(box.settings())))
        process = workspace.start("report", "--week", "2026-W10", "--deliver", "mail")
        box.on_mail = process.kill
        _ended(process)
        left = _in_store(workspace, LOG)
        box.on_mail = lambda: None
        _in_store(workspace, TIME_IS_OVER)
        said = workspace.run("report", "--week", "2026-W10", "--deliver", "mail").stdout

    assert (process.returncode, left) == (-signal.SIGKILL, [("2026-W10", "mail", "sending", 1)])
    assert said == "mail: 2026-W10 was sent\n"
    assert len(box.received) == 2
    assert len({got.mail["Message-ID"] for got in box.received}) == 1
    assert _in_store(workspace, LOG) == [("2026-W10", "mail", "sent", 2)]
