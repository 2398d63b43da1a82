"""Events → observations, for every family whose inputs changed since its last derivation, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from collector.bulk import seldom_collecting
from collector.events import kind_of
from collector.store import DerivationStore, EventStore, Replacement, Series, from_micros, to_micros
from slo_engine.indicator import Family, Piece
from slo_engine.observation import Row, as_row
from slo_engine.organisation import Organisation

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


def derive(
    families: Sequence[Family],
    events: EventStore,
    store: DerivationStore,
    organisation: Organisation | None = None,
    at: datetime = _EPOCH,
) -> Derived:
    """Bring the stored observations up to date with the stored events. `at` dates restatements.

    A family whose inputs and definitions are unchanged costs one look. Each piece is replaced in one transaction,
    and the mark of what the family was derived from follows the last one: after a crash what was done is done again,
    which changes nothing.
    """
    organisation = organisation or Organisation()
    revisions = events.revisions()
    done, pieces, total = [], 0, 0
    changes: dict[int, int] = {}
    for family in families:
        inputs: dict[str, int | str] = {kind_of(t): revisions.get(kind_of(t), 0) for t in family.inputs}
        inputs["definitions"] = f"{family.version};{organisation.version}"
        stamp = store.stamp(family.name)
        if stamp == inputs:
            continue
        why = _why(stamp, inputs)
        with seldom_collecting(), events.steadily():
            for piece in _pieces(family, events, organisation, store, stamp, inputs):
                new = _replacement(family, piece, str(inputs["definitions"]))
                differing, changed = store.replace(new, to_micros(at), why)
                pieces, total = pieces + 1, total + differing
                for series, moment in changed.items():
                    changes[series] = min(moment, changes.get(series, moment))
        store.set_stamp(family.name, inputs)
        done.append(family.name)
    return Derived(families=tuple(done), pieces=pieces, observations=total, changes=changes)


def _pieces(
    family: Family,
    events: EventStore,
    organisation: Organisation,
    store: DerivationStore,
    stamp: Mapping[str, int | str],
    inputs: Mapping[str, int | str],
) -> Iterator[Piece]:
    if family.pieces is None:
        yield Piece("", family.observe(events, organisation))
        return
    known = store.pieces(family.name)
    # Other definitions, or none yet: everything is derived anew, and no stored state is of use.
    same = stamp.get("definitions") == inputs["definitions"]
    since = {kind: int(n) for kind, n in stamp.items() if kind != "definitions"} if same else None
    reads = {scope: record.reads for scope, record in known.items()}
    yield from family.pieces(
        events,
        organisation,
        reads,
        since,
        {kind: int(n) for kind, n in inputs.items() if kind != "definitions"},
        lambda scope: store.state(family.name, scope) if same else None,
    )


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
    known = {i.name for i in family.indicators}
    found: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for observation in piece.observations:
        key, values = observation if type(observation) is Row else as_row(observation)  # type: ignore[arg-type]
        rows = found.get(key)
        if rows is None:
            if key[0] not in known:
                raise ValueError(f"the family {family.name} does not declare the indicator {key[0]}")
            rows = found[key] = []
        rows.append(values)
    return {Series(family.name, *key)._replace(scope=piece.scope): rows for key, rows in found.items()}
