"""The lines of an exposition by family: what is exchanged in place is what would be sorted anew."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from slo_engine.gzipped import member
from slo_engine.segments import Families, Piece, Pieces

FEW, MANY = 5, 1_000
_texts = st.builds(lambda lines: b"line\n" * lines, st.integers(1, 4))
_blocks = st.dictionaries(st.sampled_from("abc"), _texts, max_size=3)
_several = st.lists(st.lists(_blocks, min_size=6, max_size=7), min_size=2, max_size=5)


def pieces(block: Mapping[str, bytes], number: int) -> Pieces:
    """A block's lines by metric."""
    return {name: Piece(text, text.count(b"\n"), zlib.crc32(bytes([number]))) for name, text in block.items()}


def published(
    families: Families, blocks: Sequence[Pieces], limit: int
) -> tuple[list[tuple[str, int]], list[tuple[str, bytes]]]:
    """What is cut of some blocks, and the lines of each family, as they are read by a scraper: both in their order."""
    cut = list(families.hold(blocks, limit).items())
    families.fill(())
    zipped = [(name, member([s.packed for s in segments])) for name, _, segments in families.lines()]
    return cut, [(name, zlib.decompress(own, zlib.MAX_WBITS | 16)) for name, own in zipped]


@settings(max_examples=examples(50), deadline=None)  # threads are begun for each
@given(several=_several, limit=st.sampled_from([FEW, MANY]))
def test_lines_that_were_exchanged_are_those_that_are_sorted_anew(
    several: list[list[dict[str, bytes]]], limit: int
) -> None:
    """Whatever lines blocks get, lose or change, and whether or not there are too many."""
    families = Families()
    for blocks in several:
        own = [pieces(block, number) for number, block in enumerate(blocks)]

        assert published(families, own, limit) == published(Families(), own, limit)


def test_what_is_cut_is_told_in_the_order_of_the_lines() -> None:
    """A metric that got its first line after the others stands where it would if all were sorted anew."""
    families, late = Families(), [pieces({"b": b"b\n" * 9}, 0), pieces({"a": b"a\n" * 9, "b": b"b\n" * 9}, 0)]
    published(families, [late[0], pieces({"c": b"c\n" * 9}, 1)], FEW)

    cut, _ = published(families, [late[1], pieces({"c": b"c\n" * 9}, 1)], FEW)

    assert cut == [("a", 9), ("b", 9), ("c", 9)]


def test_segments_without_news_are_the_same() -> None:
    """Lines that change cost their own segment; the others are not compressed again."""
    families, blocks = Families(), [pieces({"a": b"x" * 9_000 + b"\n"}, number) for number in range(3)]
    published(families, blocks, MANY)
    ((_, _, before),) = families.lines()

    published(families, [blocks[0], pieces({"a": b"y" * 9_000 + b"\n"}, 1), blocks[2]], MANY)
    ((_, count, after),) = families.lines()

    assert count == 3
    assert [new is old for new, old in zip(after, before, strict=True)] == [True, False, True]


def test_a_text_beside_the_lines_is_compressed_once() -> None:
    """It is a segment of its own, and the same one as long as it is asked for."""
    families = Families()
    before = families.fill([b"# HELP\n"])[b"# HELP\n"]

    assert families.fill([b"# HELP\n"])[b"# HELP\n"] is before
    assert before.texts == (b"# HELP\n",)
