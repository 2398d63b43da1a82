"""Files that people write, and queries in them: real ones with some parts exchanged, and made up by hypothesis.

What they bring about must be an error of ours with the file's name, or nothing.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from hypothesis import strategies as st
from spoiling import ODD, PERSON, SECRET, TOKEN, Weak, spoilt_text

from collector.document import documents_of
from collector.errors import PacelineError
from paceline.cli import main as command
from slo_engine import promql
from slo_engine.indicator import indicators
from slo_engine.openslo import load_slos

PLANTED = f"# {SECRET} {TOKEN} {' '.join(PERSON)}\n"
"""Stands in each file as a comment; the secret stands where settings have secrets, too."""
_ASKED: tuple[Callable[[str], object], ...] = (
    *(promql.parsed, promql.counter, promql.gauge, promql.histogram),
    promql.selectors,
)


@dataclass
class Files:
    """Settings and SLO files, and queries. `taken`: how many of each were taken and refused."""

    folder: Path
    settings: Sequence[str]
    slos: Sequence[str]
    taken: Counter[str] = field(default_factory=Counter)

    def settle(self, chance: random.Random) -> str:
        """One settings file that is spoilt; all that `paceline check` says of it."""
        return self.settled(spoilt_text(chance.choice(self.settings), chance))

    def promise(self, chance: random.Random) -> str:
        """One SLO file that is spoilt; what is said of it."""
        return self.promised(spoilt_text(chance.choice(self.slos), chance))

    def settled(self, text: str) -> str:
        """What `paceline check` says of a settings file. Raises Weak for what is no exit of a command."""
        path = self._written("paceline.yaml", text)
        raw = io.BytesIO()
        # As strict as a terminal or a pipe is.
        shown = io.TextIOWrapper(raw, "utf-8", write_through=True)
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            try:
                command(["check", "--config", str(path)])
                code: object = 0
            except SystemExit as ended:
                code = ended.code
        if code not in {0, 1, 2}:
            raise Weak(f"`paceline check` ended with {code}")
        self.taken[f"settings {code}"] += 1
        return raw.getvalue().decode()

    def promised(self, text: str) -> str:
        """What is said of an SLO file."""
        path = self._written("one.yaml", text)
        return self._refused("slos", lambda: load_slos(path, indicators()))

    def queried(self, text: str) -> str:
        """What is said of a query, however it is used."""
        for ask in _ASKED:
            # What is said of a query stands where the query stands: its author reads it.
            self._refused("queries", lambda ask=ask: ask(text)).encode()  # type: ignore[misc] # bound at once
        return ""

    def _written(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(PLANTED + text, encoding="utf-8", errors="replace")
        return path

    def _refused(self, what: str, read: Callable[[], object]) -> str:
        try:
            read()
        except PacelineError as error:
            said = str(error)
        except ValueError as error:
            if what != "queries":
                raise
            said = str(error)
        else:
            self.taken[f"{what} taken"] += 1
            return ""
        self.taken[f"{what} refused"] += 1
        said.encode()  # what cannot be printed ends the command that prints it
        return said

    # --- made up -------------------------------------------------------------------------------------------

    @cached_property
    def made_settings(self) -> st.SearchStrategy[str]:
        """Settings with some values exchanged for made up ones."""
        return edited(self.settings)

    @cached_property
    def made_slos(self) -> st.SearchStrategy[str]:
        """SLO files, likewise; where a query stands comes a made up one too."""
        return edited(self.slos)


# --- queries ------------------------------------------------------------------------------------------------

_NAMES = ("http_requests_total", "up", "a:b:c", "x_bucket", "errors_total", "le", "NaN", "inf", "by", "sum", "été")
_DURATIONS = ("5m", "1h30m", "30d", "0s", "1y", "$window", "99999999999y", "5", "-5m", "1.5h", "5m5m", "0x1m", "")
_NUMBERS = ("0", "1", "-1", "1e999", "0x1F", "1_000", ".5", "NaN", "-Inf", "1e-400", "08", "1.2.3", "9" * 400)
_FUNCTIONS = ("rate", "increase", "histogram_quantile", "label_replace", "absent", "time", "vector", "clamp", "nope")
_OVER = ("sum", "avg", "topk", "count_values", "quantile", "group", "max")
_BETWEEN = ("+", "-", "*", "/", "%", "^", "==", ">", "and", "or", "unless", "atan2", "> bool", "=~")
_ODD_PARTS = (
    "{",
    "}",
    "(",
    ")",
    '"',
    "'",
    "\\",
    "[5m]",
    " by ()",
    "#",
    "\u202e",
    "@",
    "\n",
    "\x00",
    "\ud83d",
    "`",
    ",",
)
_STRINGS = ("shop", "5..", "(a|a)*b", "[", ".*", "\\", "")


def queries(strings: Sequence[str] = (*_STRINGS, *PERSON, SECRET)) -> st.SearchStrategy[str]:
    """Queries by the grammar of PromQL, some with something odd in them. Matchers compare with these texts."""
    return st.builds(
        _with_odd,
        _expressions(strings),
        st.lists(st.tuples(st.integers(0, 200), st.sampled_from(_ODD_PARTS)), max_size=2),
    )


def _with_odd(query: str, odd: Sequence[tuple[int, str]]) -> str:
    for at, part in odd:
        query = query[: at % (len(query) + 1)] + part + query[at % (len(query) + 1) :]
    return query


def _expressions(compared: Sequence[str]) -> st.SearchStrategy[str]:
    strings = st.one_of(
        st.sampled_from(compared).map(json.dumps), st.text(max_size=8).map(json.dumps), st.just("'a'"), st.just("`b`")
    )
    matcher = st.builds("{}{}{}".format, st.sampled_from(_NAMES), st.sampled_from(["=", "!=", "=~", "!~"]), strings)
    labels = st.lists(matcher, max_size=3).map(lambda all_: "{" + ",".join(all_) + "}" if all_ else "")
    selector = st.builds("{}{}".format, st.sampled_from((*_NAMES, "")), labels)
    duration = st.sampled_from(_DURATIONS)
    shift = st.one_of(
        st.just(""), duration.map(" offset {}".format), st.sampled_from([" @ 0", " @ start()", " @ 1e999"])
    )
    base = st.one_of(
        st.builds("{}{}".format, selector, shift),
        st.builds("{}[{}]{}".format, selector, duration, shift),
        st.sampled_from(_NUMBERS),
        strings,
    )
    return st.recursive(base, lambda inner: _around(inner, duration), max_leaves=8)


def _around(inner: st.SearchStrategy[str], duration: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    named = st.lists(st.sampled_from(_NAMES), max_size=2).map(", ".join)
    arguments = st.lists(inner, max_size=3).map(", ".join)
    over = st.builds(" {} ({}) ".format, st.sampled_from(["by", "without"]), named)
    matching = st.builds(
        " {} ({}) {}".format, st.sampled_from(["on", "ignoring"]), named, st.sampled_from(["", "group_left"])
    )
    return st.one_of(
        st.builds("{}({})".format, st.sampled_from(_FUNCTIONS), arguments),
        st.builds("{}{}({})".format, st.sampled_from(_OVER), st.one_of(st.just(""), over), arguments),
        st.builds("{} {}{} {}".format, inner, st.sampled_from(_BETWEEN), st.one_of(st.just(""), matching), inner),
        st.builds("({})[{}:{}]".format, inner, duration, duration),
        st.builds("-({})".format, inner),
        st.builds(lambda text, depth: "(" * depth + text + ")" * depth, inner, st.sampled_from([1, 3, 60, 300])),
    )


# --- files --------------------------------------------------------------------------------------------------

_TEXTS = st.one_of(
    st.sampled_from([v for v in ODD if isinstance(v, str) and len(v) < 10_000]),
    st.sampled_from(
        [*_DURATIONS, "99.9", "0.999", "100", "1.0000001", "2026-W10", "Europe/Berlin", "CET", "/(a|a)*b/"]
    ),
    st.text(st.characters(exclude_categories=()), max_size=12),
    # Whoever writes a file may read in its mistakes what stands there: nobody is planted in these.
    queries(_STRINGS),
)
_PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _TEXTS)
_VALUES = st.recursive(
    _PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(_TEXTS, st.text(max_size=5)), inner, max_size=3)
    ),
    max_leaves=6,
)
_GONE = object()
_MOST_KNOWN = 40
"""About so many files are changed: reading each costs more than changing it."""
_Place: TypeAlias = tuple[str | int, ...]


def edited(texts: Sequence[str]) -> st.SearchStrategy[str]:
    """Files of plain values, as JSON, in which up to four places hold something else or nothing."""
    known: list[tuple[Any, list[_Place]]] = []
    for text in texts[:: max(len(texts) // _MOST_KNOWN, 1)]:
        with contextlib.suppress(PacelineError):
            known += [(one.value, _places(one.value)) for one in documents_of(text, Path("known.yaml"))]
    known = [(value, places) for value, places in known if places]

    @st.composite
    def one(draw: st.DrawFn) -> str:
        value, places = draw(st.sampled_from(known))
        made = json.loads(json.dumps(value))
        for place in draw(st.lists(st.sampled_from(places), min_size=1, max_size=4)):
            _put(made, place, draw(st.one_of(st.just(_GONE), _VALUES)))
        return json.dumps(made)

    return one()


def _places(value: Any, at: _Place = ()) -> list[_Place]:
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, Mapping):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [place for key, one in inner for place in ((*at, key), *_places(one, (*at, key)))]


def _put(value: Any, place: _Place, put: Any) -> None:
    """Put something in a place, where the place is there still."""
    try:
        for part in place[:-1]:
            value = value[part]
        if put is _GONE:
            del value[place[-1]]
        else:
            value[place[-1]] = put
    except (KeyError, IndexError, TypeError):
        return
