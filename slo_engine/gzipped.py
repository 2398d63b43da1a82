"""One gzip member out of pieces that were compressed before. Pure; RFC 1951 and 1952.

Each piece is deflated on its own and ends on a byte, so that pieces can be put together in any order. The checksum of
the whole follows from those of the pieces, as in zlib's crc32_combine.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# Pieces are of a few kilobytes and say much the same: the fastest level is hardly larger than the best.
_LEVEL = 1
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_END = b"\x03\x00"
_POLYNOMIAL = np.uint32(0xEDB88320)
_ONE = np.uint32(1 << 31)
_X_TO_THE_8 = np.uint32(1 << 23)

_LENGTH_BYTES = 5

_Words = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Deflated:
    """A piece: its compressed bytes, and length and checksum of the plain ones."""

    data: bytes
    length: int
    checksum: int


def deflated(plain: bytes) -> Deflated:
    """A piece of plain bytes. The same bytes always give the same piece."""
    packing = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    data = packing.compress(plain) + packing.flush(zlib.Z_FULL_FLUSH)
    return Deflated(data, len(plain), zlib.crc32(plain))


def member(pieces: Sequence[Deflated]) -> bytes:
    """The gzip file of pieces in a row."""
    length = sum(p.length for p in pieces)
    trailer = checksum(pieces).to_bytes(4, "little") + (length % 2**32).to_bytes(4, "little")
    return b"".join((_HEADER, *(p.data for p in pieces), _END, trailer))


def checksum(pieces: Sequence[Deflated]) -> int:
    """The CRC-32 of pieces in a row: each one's own, moved by the length of what follows it, all added up."""
    if not pieces:
        return 0
    lengths = np.array([p.length for p in pieces], dtype=np.int64)
    behind = lengths.sum() - np.cumsum(lengths)
    own = np.array([p.checksum for p in pieces], dtype=np.uint32)
    return int(np.bitwise_xor.reduce(_times(_moved_by(behind), own)))


def _moved_by(lengths: NDArray[np.int64]) -> _Words:
    """The polynomials x^(8 n) for some lengths n."""
    found = np.full(lengths.shape, _ONE)
    for place, powers in enumerate(_powers()):
        found = _times(found, powers[(lengths >> (8 * place)) & 0xFF])
    return found


@lru_cache(maxsize=1)
def _powers() -> list[_Words]:
    """For each byte of a length, x^(8 n) for all its values n."""
    tables, step = [], np.array([_X_TO_THE_8])
    for _ in range(_LENGTH_BYTES):
        powers = np.array([_ONE])
        for _ in range(8):
            powers, step = np.concatenate([powers, _times(powers, np.resize(step, powers.size))]), _times(step, step)
        tables.append(powers)
    return tables


def _times(left: _Words, right: _Words) -> _Words:
    """The products of polynomials over GF(2), modulo the one of CRC-32; the highest bit is x^0."""
    product = np.zeros(left.shape, dtype=np.uint32)
    for bit in range(31, -1, -1):
        product ^= (left >> np.uint32(bit) & np.uint32(1)) * right
        right = (right >> np.uint32(1)) ^ (right & np.uint32(1)) * _POLYNOMIAL
    return product
