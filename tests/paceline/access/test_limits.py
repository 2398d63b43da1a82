"""Buckets: what one client may ask, however many clients there are."""

from __future__ import annotations

import pytest

from paceline.access.limits import MOST_CLIENTS, Rate, client_key


def test_a_bucket_fills_again_as_time_goes_by() -> None:
    """So many at once, then so many a second, and who waits as long as told is let in."""
    now = [0.0]
    rate = Rate(2.0, 4.0, lambda: now[0])

    assert [rate.wait("a") for _ in range(5)] == [0, 0, 0, 0, 1]
    assert rate.wait("b") == 0
    now[0] = 1.0
    assert [rate.wait("a") for _ in range(3)] == [0, 0, 1]


def test_a_slow_rate_says_how_long() -> None:
    """Of one in ten seconds the wait is told whole."""
    rate = Rate(0.1, 1.0, lambda: 0.0)
    assert (rate.wait("a"), rate.wait("a")) == (0, 10)


def test_the_table_is_bounded() -> None:
    """Ever new addresses fill no memory; who keeps asking is not forgotten over them."""
    rate = Rate(0.001, 2.0, lambda: 0.0)
    for number in range(MOST_CLIENTS + 500):
        rate.wait(str(number))
        if number % 100 == 0:
            last = rate.wait("flood")

    assert len(rate) == MOST_CLIENTS
    assert last > 0


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("evil", "unknown"),
    ],
)
def test_a_client_is_an_address_or_a_network(address: str, key: str) -> None:
    """Somebody with a network of IPv6 addresses is one client."""
    assert client_key(address) == key
