"""How long a regular expression may take. A leaf.

Python's engine tries one way after the other to fit a name. Where a repetition can read the same text in several ways,
there are twice as many ways with each character: such an expression may take for ever. Where repetitions that follow
each other can share a text in several ways, there are as many as a power of its length: names are bounded for these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from re import _constants as codes  # type: ignore[attr-defined] # the one reader of expressions that reads as re does
from re import _parser as parser  # type: ignore[attr-defined] # as above
from typing import Any, TypeAlias

MOST_STEPS = 50_000_000
"""Of one name, as the engine counts them: a second or a few."""
MOST_SHARING = 4
"""So many repetitions may share a text: beyond that names of a hundred characters take minutes."""
_ALL = frozenset(range(256))
"""Characters stand for themselves up to 254; 255 stands for every other one."""
_OTHER = 255
_MOST_PLACES = 400

_Tree: TypeAlias = Sequence[tuple[Any, Any]]
_Characters: TypeAlias = frozenset[int]


@dataclass(frozen=True)
class Cost:
    """What an expression may cost. `endless`: it may take for ever. `sharing`: how many repetitions share a text."""

    endless: bool
    sharing: int

    @property
    def longest(self) -> int:
        """The longest name that is read within `MOST_STEPS`."""
        if self.sharing <= 1:
            return MOST_STEPS
        steps = MOST_STEPS
        for number in range(2, self.sharing + 1):
            steps *= number  # so many orders of the borders are one and the same
        return int(steps ** (1 / self.sharing))


def cost(expression: str) -> Cost:
    """What an expression may cost for a whole name. Raises re.error, OverflowError or RecursionError for none."""
    tree = parser.parse(expression)
    loops: list[_Loop] = []
    endless = not _is_plain(tree, tree.state.flags, loops)
    return Cost(endless=endless, sharing=_sharing(loops))


@dataclass(frozen=True)
class _Loop:
    """A repetition that stands in no other one: what it can read, and what stands behind it up to the next one."""

    characters: _Characters
    between: list[_Characters]


# --- places -------------------------------------------------------------------------------------------------
# An expression is read as its places (Glushkov): the characters that stand in it, what may come first and last, and
# what may follow what. A repetition in which two ways lead on by one character reads some text in several ways.


@dataclass
class _Part:
    """A part: its first and last places, and whether it may be empty. A place is there once for each way to it."""

    first: list[int]
    last: list[int]
    empty: bool


class _GivenUpError(Exception):
    """Something whose ways are not counted here, such as a look around or a group that is read again."""


class _Places:
    def __init__(self, flags: int) -> None:
        self.characters: list[_Characters] = []
        self.following: list[list[int]] = []
        self.flags = flags

    def of(self, tree: _Tree) -> _Part:
        whole = _Part([], [], empty=True)
        for code, value in tree:
            whole = self._then(whole, self._one(code, value))
        return whole

    def _then(self, one: _Part, other: _Part) -> _Part:
        for place in one.last:
            self.following[place] += other.first
        return _Part(
            one.first + (other.first if one.empty else []),
            other.last + (one.last if other.empty else []),
            one.empty and other.empty,
        )

    def _one(self, code: Any, value: Any) -> _Part:
        found = _Part([], [], empty=True)
        if code in _LOOKS:
            # It reads nothing of the text, and may take for ever by itself.
            if not _is_plain(value[1], self.flags, []):
                raise _GivenUpError
        elif code is codes.SUBPATTERN:
            found = self._group(value)
        elif code is codes.BRANCH:
            found = self._branch([self.of(tree) for tree in value[1]])
        elif code in _REPEATS:
            found = self._repeat(*value)
        elif code is codes.ATOMIC_GROUP:
            found = self.of(value)
        elif code is not codes.AT:
            found = self._place(_read(code, value, self.flags))
        return found

    def _group(self, value: Sequence[Any]) -> _Part:
        outside, self.flags = self.flags, _flags_in(value, self.flags)
        found = self.of(value[3])
        self.flags = outside
        return found

    def _branch(self, parts: Sequence[_Part]) -> _Part:
        if sum(part.empty for part in parts) > 1:
            raise _GivenUpError  # nothing is read in several ways
        first, last = ([place for part in parts for place in side(part)] for side in (_first, _last))
        return _Part(first, last, any(part.empty for part in parts))

    def _repeat(self, least: int, most: int, tree: _Tree) -> _Part:
        inside = self.of(tree)
        if most > 1:
            if inside.empty:
                raise _GivenUpError  # as above
            for place in inside.last:
                self.following[place] += inside.first
        return _Part(inside.first, inside.last, inside.empty or least == 0)

    def _place(self, characters: _Characters) -> _Part:
        if len(self.characters) == _MOST_PLACES:
            raise _GivenUpError
        self.characters.append(characters)
        self.following.append([])
        return _Part([len(self.characters) - 1], [len(self.characters) - 1], empty=False)

    def branches(self, places: Sequence[int]) -> bool:
        """Whether two of these can be reached by one character."""
        seen: set[int] = set()
        for place in places:
            if not seen.isdisjoint(self.characters[place]):
                return True
            seen |= self.characters[place]
        return False


def _first(part: _Part) -> list[int]:
    return part.first


def _last(part: _Part) -> list[int]:
    return part.last


def _flags_in(group: Sequence[Any], flags: int) -> int:
    """The flags inside a group, such as `(?i:…)`."""
    _, added, removed, _ = group
    return int((flags | added) & ~removed)


_LOOKS = (codes.ASSERT, codes.ASSERT_NOT)
_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT)
_FEW = 3
"""A part that comes so often at most is no repetition here: it adds no more than a power."""


def _is_plain(tree: _Tree, flags: int, loops: list[_Loop]) -> bool:
    """Whether each repetition reads a text in one way; notes the outermost ones."""
    for code, value in tree:
        if code in _REPEATS and value[1] > _FEW:
            places = _Places(flags)
            try:
                places.of([(code, value)])
            except _GivenUpError:
                return False
            if any(places.branches(following) for following in places.following):
                return False
            loops.append(_Loop(frozenset().union(*places.characters), []))
            continue
        inner = list(_inside(code, value))
        within = _flags_in(value, flags) if code is codes.SUBPATTERN else flags
        if not all(_is_plain(one, within, loops) for one in inner):
            return False
        if not inner and loops and code is not codes.AT:
            try:
                loops[-1].between.append(_read(code, value, flags))
            except _GivenUpError:
                loops[-1].between.append(_ALL)
    return True


def _inside(code: Any, value: Any) -> Iterator[_Tree]:
    if code is codes.SUBPATTERN:
        yield value[3]
    elif code is codes.BRANCH:
        yield from value[1]
    elif code in _REPEATS:
        yield value[2]
    elif code is codes.ATOMIC_GROUP:
        yield value
    elif code in _LOOKS:
        yield value[1]
    elif code is codes.GROUPREF_EXISTS:
        yield from (one for one in value[1:] if one is not None)


def _sharing(loops: Sequence[_Loop]) -> int:
    """How many repetitions can share a text at most: each can read what the others read, and what stands between."""
    most = 0
    for start, loop in enumerate(loops):
        shared, count, between = loop.characters, 1, loop.between
        for other in loops[start + 1 :]:
            shared &= other.characters
            if not shared or any(shared.isdisjoint(one) for one in between):
                break
            count += 1
            between = other.between
        most = max(most, count)
    return most


# --- characters ---------------------------------------------------------------------------------------------


def _read(code: Any, value: Any, flags: int) -> _Characters:
    """The characters that a single item reads."""
    if code is codes.LITERAL:
        return _in_both_cases({_numbered(value)}, flags)
    if code is codes.NOT_LITERAL:
        return _ALL - {_numbered(value)} | {_OTHER}
    if code is codes.ANY:
        return _ALL
    if code is codes.IN:
        return _one_of(value, flags)
    raise _GivenUpError


def _one_of(items: Sequence[tuple[Any, Any]], flags: int) -> _Characters:
    found: set[int] = set()
    for code, value in items:
        if code is codes.LITERAL:
            found.add(_numbered(value))
        elif code is codes.RANGE:
            found |= {_numbered(number) for number in range(value[0], min(value[1], _OTHER) + 1)}
            found |= {_OTHER} if value[1] >= _OTHER else set()
        elif code is codes.CATEGORY:
            found |= _CATEGORIES[value]
    if items[0][0] is codes.NEGATE:
        # Where one of the others is left out, the rest of them is still there.
        return _ALL - _in_both_cases(found - {_OTHER}, flags) | {_OTHER}
    return _in_both_cases(found, flags)


def _numbered(character: int) -> int:
    return min(character, _OTHER)


def _in_both_cases(found: set[int] | frozenset[int], flags: int) -> _Characters:
    if not flags & re.IGNORECASE:
        return frozenset(found)
    return frozenset(_numbered(ord(c)) for n in found for c in (*chr(n).lower(), *chr(n).upper())) | frozenset(found)


def _category(pattern: str) -> _Characters:
    known = {number for number in range(_OTHER) if re.match(pattern, chr(number))}
    return frozenset(known | {_OTHER})


_CATEGORIES = {
    codes.CATEGORY_DIGIT: _category(r"\d"),
    codes.CATEGORY_NOT_DIGIT: _category(r"\D"),
    codes.CATEGORY_SPACE: _category(r"\s"),
    codes.CATEGORY_NOT_SPACE: _category(r"\S"),
    codes.CATEGORY_WORD: _category(r"\w"),
    codes.CATEGORY_NOT_WORD: _category(r"\W"),
}
