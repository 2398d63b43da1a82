"""How much one client may ask: a bucket each, refilled as time goes by; a bounded table of them."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

MOST_CLIENTS = 10_000
"""Of whom a table knows; who did not ask for longest is forgotten first."""


@dataclass
class _Bucket:
    left: float
    at: float


class Rate:
    """So many requests a second by one client, `burst` of them at once. `monotonic` tells seconds."""

    def __init__(self, per_second: float, burst: float, monotonic: Callable[[], float]) -> None:
        self._per_second, self._burst, self._now = per_second, max(burst, 1.0), monotonic
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def wait(self, client: str) -> int:
        """Take one: 0 where there was one left, else after how many seconds there is."""
        now = self._now()
        bucket = self._buckets.pop(client, None) or _Bucket(self._burst, now)
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._per_second)
        bucket.at = now
        self._buckets[client] = bucket
        if len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)
        if bucket.left < 1:
            return math.ceil((1 - bucket.left) / self._per_second)
        bucket.left -= 1
        return 0


@lru_cache(maxsize=1_000)
def client_key(address: str) -> str:
    """One client: an IPv4 address, or the network of an IPv6 address, which is one customer's."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
