"""Events → observations, for every family whose inputs changed since its last derivation, piece by piece."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple, Protocol

from collector.bulk import seldom_collecting
from collector.events import kind_of
from collector.store import DerivationStore, EventStore, Replacement, Series, from_micros, to_micros
from slo_engine.indicator import Asked, Events, Family, Half, Piece, Silent
from slo_engine.observation import by_series, label_values
from slo_engine.organisation import Organisation
from slo_engine.remembered import Noted, Remembered

_EPOCH = from_micros(0)


@dataclass(frozen=True, kw_only=True)
class Derived:
    """What a derivation did: the families looked at again, how many pieces, and how many observations differed.

    `changes`: for each series that differs its earliest changed time, in microseconds.
    """

    families: tuple[str, ...] = ()
    pieces: int = 0
    observations: int = 0
    changes: Mapping[int, int] = field(default_factory=dict)


class Done(NamedTuple):
    """A piece that was derived and written: what it read, how many rows differed, and since when in which series."""

    scope: str
    reads: tuple[str, ...]
    differing: int
    changed: Mapping[int, int]


class Why(NamedTuple):
    """What is kept of a derivation beside its results: the definitions, when (microseconds) and why it was made."""

    definitions: str
    at: int
    words: str


class Task(NamedTuple):
    """A family of which all pieces are to be derived for the first time."""

    family: Family
    scopes: Sequence[str]
    why: Why


Finished = Callable[[], Mapping[str, Sequence[Done]]]
"""Waits for the end, and gives by family what was done; a piece that is missing there is still to do."""


class Helpers(Protocol):
    """Derives and writes pieces of families in other processes."""

    def __call__(self, organisation: Organisation, tasks: Sequence[Task]) -> AbstractContextManager[Finished]:
        """Let them begin; they are stopped where nobody waits for their end."""


class Part(NamedTuple):
    """What of a family another process derives meanwhile: what events after some revisions touch, or a half of it."""

    family: Family
    since: Mapping[str, int]
    revisions: Mapping[str, int]
    noted: Noted
    """Which names may have something new, as far as that is known."""
    half: Half | None = None


class Second(Protocol):
    """Derives in another process, while this one derives too, some of what new events touch, and writes nothing."""

    def ask(self, organisation: Organisation, parts: Sequence[Part]) -> bool:
        """Let it begin; False where it does not."""

    def found(self, family: str) -> Iterable[Piece] | None:
        """The pieces of a family that was asked for, as they come; None where it cannot say. They may raise Silent."""

    def derived(self, pieces: int) -> None:
        """Hear that a derivation of so many pieces is over."""


_MANY = 50
"""From so many pieces on a first derivation is worth other processes, each of which takes a second to start."""
_TOGETHER = 10_000
"""After so many rows pieces are written: most have few, for which a transaction of their own would be the cost."""
_OF_THE_FIRST = (3, 4)
"""So many eighths are the first half, where the second process derives nothing else, and where it does.

It is the smaller one: who derives it writes both, and looks at what they mean for others.
"""
_MEANWHILE = 2_500
"""After so many they are where another process derives meanwhile: what is written by then nobody waits for."""


def derive(  # noqa: PLR0913, PLR0917 - what is derived, from what, for whom, and who helps
    families: Sequence[Family],
    events: EventStore,
    store: DerivationStore,
    organisation: Organisation | None = None,
    at: datetime = _EPOCH,
    helpers: Helpers | None = None,
    second: Second | None = None,
) -> Derived:
    """Bring the stored observations up to date with the stored events. `at` dates restatements.

    A family whose inputs and definitions are unchanged costs one look. Each piece is replaced in one transaction, small
    ones together, and the mark of what the family was derived from follows the last one: after a crash what was done is
    done again, which changes nothing. With `helpers` a first derivation of many events is shared among processes, with
    a `second` one what comes later.
    """
    organisation = organisation or Organisation()
    with seldom_collecting(), events.steadily():
        revisions = events.revisions()
        looked_at = (_stale(family, events, store, revisions, organisation, to_micros(at)) for family in families)
        stale = [found for found in looked_at if found is not None]
        with _shared(stale, events, organisation, helpers) as shared:
            if second is not None:
                stale = _halved(stale, organisation, second)
            found = _written(stale, events, store, organisation, shared)
    if second is not None:
        second.derived(found.pieces)
    return found


def _written(
    stale: Sequence[_Stale],
    events: EventStore,
    store: DerivationStore,
    organisation: Organisation,
    shared: _Shared,
) -> Derived:
    """Derive and write each family, and note that; last those of which other processes do a part meanwhile."""
    known = Remembered(events)
    for own in stale:
        known.hear(own.asked.since or {}, own.noted)
    pieces, total = 0, 0
    changes: dict[int, int] = {}
    for family, stamp, inputs, asked, why, _ in sorted(stale, key=lambda one: one.family.name in shared.families):
        elsewhere = shared.finished().get(family.name, ()) if family.name in shared.families else ()
        rest = written(family, known, organisation, store, _after(asked, elsewhere), why)
        for one in chain(elsewhere, rest):
            pieces, total = pieces + 1, total + one.differing
            for series, moment in one.changed.items():
                changes[series] = min(moment, changes.get(series, moment))
        store.set_stamp(family.name, inputs, stamp)
    return Derived(families=tuple(s.family.name for s in stale), pieces=pieces, observations=total, changes=changes)


class _Stale(NamedTuple):
    """A family that is to be derived: what it was derived from, from which inputs, which pieces, and why."""

    family: Family
    stamp: Mapping[str, int | str]
    inputs: Mapping[str, int | str]
    asked: Asked
    why: Why
    noted: Noted


def _stale(
    family: Family,
    events: EventStore,
    store: DerivationStore,
    revisions: Mapping[str, int],
    organisation: Organisation,
    at: int,
) -> _Stale | None:
    """What there is to do for a family; None where its inputs and definitions are unchanged."""
    inputs: dict[str, int | str] = {kind_of(t): revisions.get(kind_of(t), 0) for t in family.inputs}
    inputs["definitions"] = f"{family.version};{organisation.version_for(family.options)}"
    stamp = store.stamp(family.name)
    if stamp == inputs:
        return None
    why = Why(str(inputs["definitions"]), at, _why(stamp, inputs))
    asked = _asked(family, store, stamp, inputs)
    return _Stale(family, stamp, inputs, asked, why, events.noted(asked.since or {}, asked.revisions))


class _Shared(NamedTuple):
    """Which families other processes derive for the first time, and what they did."""

    families: frozenset[str] = frozenset()
    finished: Finished = dict


@contextlib.contextmanager
def _shared(
    stale: Sequence[_Stale], events: EventStore, organisation: Organisation, helpers: Helpers | None
) -> Iterator[_Shared]:
    """Have other processes begin with the first derivations that are worth them."""
    if helpers is None:
        yield _Shared()
        return
    tasks = [
        Task(one.family, sorted(one.family.scopes(events, organisation)), one.why)
        for one in stale
        if one.asked.since is None and one.family.scopes is not None
    ]
    tasks = [task for task in tasks if len(task.scopes) >= _MANY]
    with helpers(organisation, tasks) as finished:
        yield _Shared(frozenset(task.family.name for task in tasks), finished)


def _halved(stale: Sequence[_Stale], organisation: Organisation, second: Second) -> list[_Stale]:
    """What there is to do while a second process does the rest: last what waits for that."""
    going_on = [one for one in stale if one.asked.since is not None]
    halves = [one for one in going_on if one.family.halves]
    # Each of the others as a whole: to look at what is touched is most of their work.
    elsewhere = [one for one in going_on if not one.family.halves][1::2]
    eighths = _OF_THE_FIRST[bool(elsewhere)]
    parts = [_part(one, None) for one in elsewhere] + [_part(one, Half(False, eighths)) for one in halves]
    if not parts or not second.ask(organisation, parts):
        return list(stale)
    here = [one for one in stale if one not in halves and one not in elsewhere]
    first = [_with(one, Half(True, eighths), second) for one in halves]
    return here + first + [_with(one, None, second) for one in elsewhere]


def _part(one: _Stale, half: Half | None) -> Part:
    return Part(one.family, one.asked.since or {}, one.asked.revisions, one.noted, half)


def _with(one: _Stale, half: Half | None, second: Second) -> _Stale:
    return one._replace(asked=replace(one.asked, half=half, others=lambda: second.found(one.family.name)))


def pieces_in(part: Part, events: Events, organisation: Organisation, store: DerivationStore) -> Iterable[Piece]:
    """The pieces of a part."""
    asked = replace(_known(part.family, store), since=part.since, revisions=part.revisions, half=part.half)
    return () if part.family.pieces is None else part.family.pieces(events, organisation, asked)


def written(
    family: Family, events: Events, organisation: Organisation, store: DerivationStore, asked: Asked, why: Why
) -> Iterator[Done]:
    """Derive and write the pieces that are asked for, one after the other."""
    found = _found(family, events, organisation, asked)
    most = _TOGETHER if asked.half is None else _MEANWHILE
    for some in _together((_replacement(family, piece, why.definitions) for piece in found), most):
        # Asked for after the events were read: one that was missing by then went after this time had been noted.
        kept = store.kept_since() if family.forgets else {}
        if kept:
            some = [_within(family, new, kept, organisation) for new in some]  # noqa: PLW2901
        for new, (differing, changed) in zip(some, store.replace_all(some, why.at, why.words), strict=True):
            yield Done(new.scope, new.reads, differing, changed)


def _within(family: Family, new: Replacement, kept: Mapping[str, int], organisation: Organisation) -> Replacement:
    """What of a replacement rests on events that are all kept; the rest stays as it was judged when they were."""
    times = (
        forgets(new.scope, kept[kind_of(kind)], organisation)
        for kind, forgets in family.forgets.items()
        if kind_of(kind) in kept
    )
    after = max((time for time in times if time is not None), default=None)
    if after is None or (new.after is not None and new.after >= after):
        return new
    rows = {series: [row for row in own if row[0] > after] for series, own in new.rows.items()}
    reopened = frozenset(one for one in new.reopened if one[0] > after)
    return new._replace(rows={s: own for s, own in rows.items() if own}, after=after, reopened=reopened)


def _found(family: Family, events: Events, organisation: Organisation, asked: Asked) -> Iterator[Piece]:
    """The pieces that are asked for, unless another process has found them all."""
    if family.pieces is None:
        yield Piece("", family.observe(events, organisation))
        return
    others = asked.others() if asked.half is None else None
    if others is not None:
        with contextlib.suppress(Silent):
            yield from others
            return
    yield from family.pieces(events, organisation, asked)


def _together(found: Iterable[Replacement], most: int) -> Iterator[list[Replacement]]:
    """Pieces in groups that are worth a transaction."""
    some: list[Replacement] = []
    rows = 0
    for new in found:
        some.append(new)
        rows += sum(map(len, new.rows.values()))
        if rows >= most:
            yield some
            some, rows = [], 0
    if some:
        yield some


def _asked(
    family: Family, store: DerivationStore, stamp: Mapping[str, int | str], inputs: Mapping[str, int | str]
) -> Asked:
    if family.pieces is None:
        return Asked()
    # Other definitions, or none yet: everything is derived anew, and no stored state is of use.
    same = stamp.get("definitions") == inputs["definitions"]
    known = _known(family, store)
    return replace(
        known,
        since={kind: int(n) for kind, n in stamp.items() if kind != "definitions"} if same else None,
        revisions={kind: int(n) for kind, n in inputs.items() if kind != "definitions"},
        state=known.state if same else lambda _: None,
    )


def _known(family: Family, store: DerivationStore) -> Asked:
    """What is stored of a family."""
    return Asked(
        known={scope: record.reads for scope, record in store.pieces(family.name).items()},
        state=lambda scope: store.state(family.name, scope),
    )


def _after(asked: Asked, shared: Iterable[Done]) -> Asked:
    """What is left to ask for: those that are done were derived as if nobody had known anything of others."""
    derived = {one.scope: one.reads for one in shared}
    return replace(asked, derived=derived, known={s: r for s, r in asked.known.items() if s not in derived})


def _replacement(family: Family, piece: Piece, definitions: str) -> Replacement:
    return Replacement(
        family=family.name,
        scope=piece.scope,
        rows=_rows(family, piece),
        definitions=definitions,
        reads=piece.reads,
        state=piece.state,
        after=piece.after,
        reopened=piece.reopened,
        kept=piece.kept,
        same_state=piece.same_state,
    )


def _why(stamp: Mapping[str, int | str], inputs: Mapping[str, int | str]) -> str:
    """What changed since the last derivation, in words."""
    if stamp and stamp.get("definitions") != inputs["definitions"]:
        return "definitions or the catalogue changed"
    kinds = [k for k, revision in sorted(inputs.items()) if k != "definitions" and stamp.get(k) != revision]
    return f"new or changed events: {', '.join(kinds)}"


def _rows(family: Family, piece: Piece) -> dict[Series, list[tuple[Any, ...]]]:
    """The observations of a piece as the store keeps them, by series."""
    known = {i.name: i for i in family.indicators}
    found = by_series(piece.observations)
    for key in found:
        if key[0] not in known:
            raise ValueError(f"the family {family.name} does not declare the indicator {key[0]}")
        labels = len(known[key[0]].labels)
        if labels and len(label_values(key[1], labels)) != labels:
            raise ValueError(f"a unit of {key[0]} names other than its {labels} labels")
    return {Series(family.name, *key)._replace(scope=piece.scope): rows for key, rows in found.items()}
