"""Pieces that were compressed alone make one gzip file, as the standard library reads it."""

from __future__ import annotations

import gzip
import zlib

from hypothesis import given
from hypothesis import strategies as st

from slo_engine.gzipped import checksum, deflated, member

_pieces = st.lists(st.binary(max_size=300), max_size=12)


@given(_pieces)
def test_pieces_make_one_file(pieces: list[bytes]) -> None:
    """The file unpacks to the pieces in a row, with the right checksum and length, and holds nothing else."""
    packed = member([deflated(p) for p in pieces])
    reader = zlib.decompressobj(zlib.MAX_WBITS | 16)

    assert gzip.decompress(packed) == b"".join(pieces)
    assert (reader.decompress(packed), reader.eof, reader.unused_data) == (b"".join(pieces), True, b"")


@given(_pieces)
def test_the_checksum_is_that_of_the_whole(pieces: list[bytes]) -> None:
    """What zlib computes over the whole is what follows from the pieces."""
    assert checksum([deflated(p) for p in pieces]) == zlib.crc32(b"".join(pieces))


def test_long_pieces_move_a_checksum_far() -> None:
    """Lengths of more than two bytes move a checksum as well."""
    pieces = [b"a" * 70_000, b"b", b"c" * 17_000_000, b"d" * 300]

    assert checksum([deflated(p) for p in pieces]) == zlib.crc32(b"".join(pieces))
