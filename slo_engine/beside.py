"""A process beside the service's own that does a part of a cycle: Python uses one processor each.

It derives some of what new events touch, and evaluates some indicators. It reads the store and writes nothing: what it
found comes back as plain bytes. Where it is missing, has only just started, is busy or was killed, the service does all
alone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

import msgspec

from collector.bulk import seldom_collecting
from collector.errors import StoreError
from collector.store import Database, DerivationStore, EventStore, ObservationStore, Place
from slo_engine.apart import Apart, Mirror, News
from slo_engine.derive import Part, pieces_in
from slo_engine.evaluate import Wanted
from slo_engine.indicator import Piece, Silent
from slo_engine.observation import Key, Rows, Subject, by_series
from slo_engine.organisation import Organisation
from slo_engine.remembered import Remembered
from slo_engine.snapshot import Part as SnapshotPart

_MANY = 50
"""After a derivation of so many pieces another process is worth its memory."""
_IDLE = 3_600.0
"""Seconds after which it ends when nothing is asked of it."""
_PATIENCE = 600.0
"""Seconds after which one that does not answer is given up."""
_MOST_ROWS = 100_000
"""Of more observations nothing is said: who writes them derives them one after the other, and never holds all."""
_AT_ONCE = 1_000
"""After so many observations pieces are told: who writes them need not wait for the others."""


class _Question(NamedTuple):
    """What is asked: the number of the question, the organisation where it is another one, and what is to be done."""

    number: int
    organisation: Organisation | None
    task: Sequence[Part] | Wanted


class _Told(msgspec.Struct, array_like=True, frozen=True):
    """A piece as bytes; its observations by series."""

    rows: list[tuple[Key, list[tuple[Any, ...]]]]
    scope: str
    reads: tuple[str, ...]
    state: bytes | None
    after: int | None
    reopened: frozenset[tuple[int, str]]
    kept: frozenset[tuple[int, str]]
    same_state: bool


class _Answer(msgspec.Struct, array_like=True, frozen=True):
    """Some pieces of a family, whether they are its last, and which question that answers.

    The last one of an answer is of no family.
    """

    number: int
    family: str = ""
    pieces: list[_Told] = []
    last: bool = False


class _Evaluated(msgspec.Struct, array_like=True, frozen=True):
    """What is new of an indicator, and which question that answers; the last one of an answer has no indicator."""

    number: int
    indicator: str
    news: News | None


_SAME = tuple(name for name in Piece._fields if name != "observations")
_READY = b"ready"
_ANSWERS = msgspec.msgpack.Decoder(_Answer)
_EVALUATED = msgspec.msgpack.Decoder(_Evaluated)


class _Waiting(Enum):
    """Who waits for an answer. Of each there is one at a time: who asks again waits no longer for what was before."""

    DERIVE = auto()
    EVALUATE = auto()


class Beside:
    """A process that is started when it is worth while and stays.

    See `slo_engine.derive.Second` and `slo_engine.evaluate.Other`. One thread may derive while another one evaluates.
    Whoever made it closes it.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._process: BaseProcess | None = None
        self._line: Connection | None = None
        self._ready = False
        self._touched = self._asked = self._answered = 0
        self._organisation: Organisation | None = None
        self._pieces: dict[str, deque[Piece]] = {}
        """What was told of a family and not taken yet."""
        self._whole: set[str] = set()
        """The families of which everything was told."""
        self._mirror: Mirror | None = None
        self._evaluating = False
        """Whether the last question was what to evaluate."""
        self._waiting: _Waiting | None = None
        self._talking = threading.RLock()
        self._missed: dict[int, int] = {}
        """What changed since it last evaluated."""

    def ready(self, seconds: float) -> bool:
        """Start it where there is none, and wait until it can be asked; whether it can."""
        with self._given_up():
            if self._line is None:
                self._start()
            if self._line is not None:
                self._free(self._line, seconds)
        return self._ready and self._answered == self._asked

    def ask(self, organisation: Organisation, parts: Sequence[Part]) -> bool:
        """Let it begin; False where there is none that could. It starts when the derivation before was a long one."""
        begun = False
        with self._given_up():
            if self._line is None and self._touched >= _MANY:
                self._start()
            begun = self._sent(organisation, parts, _Waiting.DERIVE)
            if begun:
                self._pieces, self._whole = {}, set()
        return begun and self._line is not None

    def found(self, family: str) -> Iterator[Piece] | None:
        """The pieces of a family that were asked for, as they come; None where it does not say. They may raise Silent.

        A piece is told once.
        """
        self._hear_of(family)
        return self._each(family) if family in self._pieces else None

    def _each(self, family: str) -> Iterator[Piece]:
        while True:
            waiting = self._pieces.get(family)
            while waiting:
                yield waiting.popleft()
            if family in self._whole:
                return
            self._hear_of(family)
            if not self._pieces.get(family) and family not in self._whole:
                raise Silent

    def _hear_of(self, family: str) -> None:
        """Wait until there is something of a family, or until all was told."""
        with self._given_up():
            while (
                self._line is not None
                and self._answered != self._asked
                and not self._pieces.get(family)
                and family not in self._whole
            ):
                self._wait(self._line)

    def derived(self, pieces: int) -> None:
        """A derivation of so many pieces is over."""
        with self._given_up():
            self._touched, self._pieces, self._whole = pieces, {}, set()
            if self._waiting is _Waiting.DERIVE:
                self._waiting = None

    def evaluate(self, organisation: Organisation, wanted: Wanted) -> bool:
        """Let it begin; False where nobody is to wait: there is none that could, or it reads everything at first."""
        begun = False
        with self._given_up():
            for number, first in wanted.changes.items():
                self._missed[number] = min(first, self._missed.get(number, first))
            known = self._mirror is not None and self._mirror.whose == wanted.whose
            waiting = _Waiting.EVALUATE if known else None
            if self._sent(organisation, wanted._replace(changes=self._missed), waiting):
                self._missed = {}
                if not known:
                    self._mirror = Mirror(wanted.whose)
                begun = known
        return begun and self._line is not None

    def evaluated(self) -> Mapping[str, Mapping[Subject, SnapshotPart]] | None:
        """The parts of what was asked for, by indicator; None where it does not say."""
        with self._given_up():
            if self._line is not None:
                self._hear(self._line)
            self._waiting = None
        return None if self._mirror is None else self._mirror.parts

    def close(self) -> None:
        """End it."""
        if self._line is not None:
            self._line.close()
        if self._process is not None and self._process.pid is not None:
            self._process.terminate()
            self._process.join()
        self._line = self._process = self._organisation = self._mirror = self._waiting = None
        self._ready = False
        self._answered = self._asked  # nobody will answer any more
        self._pieces, self._whole, self._missed = {}, set(), {}  # and the next one begins with everything

    def _start(self) -> None:
        # Not forked: the service has threads, whose locks a copy would hold for ever.
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self._process = context.Process(target=_stay, args=(self._place, theirs), daemon=True)
        with theirs:
            self._process.start()

    def _sent(self, organisation: Organisation, task: Sequence[Part] | Wanted, waiting: _Waiting | None) -> bool:
        """Ask it; False where there is none, it is not done with what it was asked, or somebody waits for that."""
        line = self._line
        if line is None or self._waiting not in {None, waiting} or not self._free(line):
            return False
        self._asked += 1
        line.send(_Question(self._asked, None if organisation is self._organisation else organisation, task))
        self._organisation, self._waiting, self._evaluating = organisation, waiting, isinstance(task, Wanted)
        return True

    def _free(self, line: Connection, seconds: float = 0.0) -> bool:
        """Whether it has started and answered what it was asked, after some seconds at most."""
        if not self._ready and line.poll(seconds):
            self._ready = line.recv_bytes() == _READY
        while self._ready and self._answered != self._asked and line.poll(seconds):  # what nobody waited for
            self._take(line)
        return self._ready and self._answered == self._asked

    def _hear(self, line: Connection) -> None:
        """Wait for the last answer."""
        while self._answered != self._asked:
            self._wait(line)

    def _wait(self, line: Connection) -> None:
        """Wait for a part of the last answer."""
        if not line.poll(_PATIENCE):
            raise EOFError
        self._take(line)

    def _take(self, line: Connection) -> None:
        """Take an answer."""
        told = line.recv_bytes()
        if not self._evaluating:
            answer = _ANSWERS.decode(told)
            if answer.family:
                self._pieces.setdefault(answer.family, deque()).extend(map(_piece, answer.pieces))
                self._whole |= {answer.family} if answer.last else set()
            else:
                self._answered = answer.number
            return
        number, name, news = msgspec.structs.astuple(_EVALUATED.decode(told))
        if news is None:
            self._answered = number
        if self._mirror is not None and news is not None:
            self._mirror.hear(name, news)
        elif self._mirror is not None:
            self._mirror.heard()

    @contextlib.contextmanager
    def _given_up(self) -> Iterator[None]:
        """One that cannot start, has ended or says nothing costs time and nothing else. One thread talks at a time."""
        with self._talking:
            try:
                yield
            except (EOFError, OSError):
                self.close()


def _stay(place: Place, line: Connection) -> None:
    """Answer questions until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it says when to stop
    # Garbage that was collected after each answer was sought while somebody waited for that.
    with contextlib.suppress(EOFError, OSError, StoreError), seldom_collecting():
        database = Database.open(place)
        line.send_bytes(_READY)
        organisation, apart, events = Organisation(), Apart(ObservationStore(database)), EventStore(database)
        while line.poll(_IDLE):
            number, changed, task = line.recv()
            organisation = changed or organisation
            if isinstance(task, Wanted):
                _send(line, _evaluated(number, apart.answer(task, organisation)))
            else:
                _send(line, answer(events, DerivationStore(database), organisation, task, number))


def _send(line: Connection, parts: Iterable[bytes]) -> None:
    """Send each part of an answer while the next one is made."""
    with ThreadPoolExecutor(1) as sender:
        for sent in [sender.submit(line.send_bytes, part) for part in parts]:
            sent.result()


def _evaluated(number: int, found: Iterable[tuple[str, News]]) -> Iterator[bytes]:
    """What is new of one indicator after the other."""
    for name, news in found:
        yield msgspec.msgpack.encode(_Evaluated(number, name, news))
    yield msgspec.msgpack.encode(_Evaluated(number, "", None))


def answer(
    events: EventStore, store: DerivationStore, organisation: Organisation, parts: Sequence[Part], number: int = 0
) -> Iterator[bytes]:
    """The pieces of some parts as bytes, as they are derived, and that this was all. Raises StoreError."""
    with events.steadily():
        known, rows = Remembered(events), 0
        for part in parts:
            known.hear(part.since, part.noted)
        for part in parts:
            for told, last in _some(map(_told, pieces_in(part, known, organisation, store))):
                rows += sum(map(_size, told))
                if rows > _MOST_ROWS:
                    break
                yield msgspec.msgpack.encode(_Answer(number, part.family.name, told, last))
    yield msgspec.msgpack.encode(_Answer(number))


def _some(pieces: Iterable[_Told]) -> Iterator[tuple[list[_Told], bool]]:
    """Pieces in groups that are worth a message, and whether each is the last."""
    some: list[_Told] = []
    rows = 0
    for told in pieces:
        some.append(told)
        rows += _size(told)
        if rows >= _AT_ONCE:
            yield some, False
            some, rows = [], 0
    yield some, True


def _size(told: _Told) -> int:
    return sum(len(own) for _, own in told.rows)


def told_in(answers: Iterable[bytes]) -> dict[str, list[Piece]]:
    """The pieces that parts of an answer tell, by family."""
    found: dict[str, list[Piece]] = {}
    for told in map(_ANSWERS.decode, answers):
        if told.family:
            found.setdefault(told.family, []).extend(map(_piece, told.pieces))
    return found


def _told(piece: Piece) -> _Told:
    return _Told(list(by_series(piece.observations).items()), *(getattr(piece, name) for name in _SAME))


def _piece(told: _Told) -> Piece:
    rows = [Rows(key, values) for key, values in told.rows]
    return Piece(observations=rows, **{name: getattr(told, name) for name in _SAME})
