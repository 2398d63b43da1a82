"""Checks against servers at the other end of a pair of sockets; real ones stand in tests/integration/test_probe.py."""

from __future__ import annotations

import errno
import re
import socket
import threading
from collections.abc import Mapping
from itertools import count
from typing import Any

import pytest
from providers.probe import Servers

from collector.probing import Check, Deadline, Prober, connected, trusting

HERE = "http://here.example/"
TRUST = trusting(None)


def answer(status: int = 200, body: str = "all is well", **headers: str) -> str:
    """An answer over HTTP."""
    given = {"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    return f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in given.items()) + f"\r\n{body}"


def moved(place: str, status: int = 302) -> str:
    """A redirect."""
    return answer(status, Location=place)


def check_of(**fields: Any) -> Check:
    """A check of a server that is here."""
    return Check(**{"url": HERE, "timeout_seconds": 5.0, "trust": TRUST, **fields})


def failure(answers: Mapping[str, str | OSError] | str, **fields: Any) -> str | None:
    """Why a check fails that meets such servers."""
    given = {"here.example": answers} if isinstance(answers, str) else answers
    checked = Prober(Servers(given).connect).check(check_of(**fields), 0.0)
    assert checked is not None
    return checked.failure


def asked(answers: Mapping[str, str | OSError], **fields: Any) -> list[tuple[str, str]]:
    """Who was asked in what words by a check that passes."""
    servers = Servers(answers)
    checked = Prober(servers.connect).check(check_of(**fields), 0.0)
    assert checked is not None
    assert checked.failure is None
    return servers.asked


@pytest.mark.parametrize(
    ("status", "ranges", "expected"),
    [
        (200, [range(200, 300)], None),
        (299, [range(200, 300)], None),
        (300, [range(200, 300)], "status 300"),
        (404, [range(200, 300), range(404, 405)], None),
        (503, [range(200, 300), range(404, 405)], "status 503"),
    ],
)
def test_a_status_passes_that_is_in_a_range(status: int, ranges: list[range], expected: str | None) -> None:
    """Which statuses are well is said by ranges, ends included."""
    assert failure(answer(status), valid_status_codes=ranges) == expected


@pytest.mark.parametrize(
    ("body", "wanted", "expected"),
    [
        ("all is well", "is well", None),
        ("all is lost", "is well", "body does not match"),
        ("." * (1 << 18) + "well", "well", "body does not match"),
    ],
    ids=["found", "not there", "too far"],
)
def test_the_beginning_of_a_body_must_hold_what_is_wanted(body: str, wanted: str, expected: str | None) -> None:
    """A body is searched as far as it is read: 256 KiB."""
    assert failure(answer(body=body), body=re.compile(wanted)) == expected


def test_a_body_is_read_by_its_charset() -> None:
    """Text in the charset that a server names is found; one in a charset that nobody knows is read as UTF-8."""
    well = re.compile("is well")

    assert failure(answer(Content_Type="text/plain; charset=iso-8859-1"), body=well) is None
    assert failure(answer(Content_Type="text/plain; charset=klingon"), body=well) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (answer(Content_Length="99"), "answer cut off"),
        ("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "answer cut off"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "no HTTP answer"),
        ("", "connection closed"),
    ],
    ids=["short", "short in chunks", "another protocol", "nothing"],
)
def test_what_is_no_whole_answer_fails(text: str, expected: str) -> None:
    """An answer that ends early, is none, or never comes, is told for what it is."""
    assert failure(text) == expected


def test_an_answer_with_too_many_headers_is_none() -> None:
    """What a server sends beyond all measure is no defect of ours."""
    assert failure("HTTP/1.1 200 X\r\n" + "A: b\r\n" * 200 + "\r\n") == "no HTTP answer"


def test_the_answer_to_head_has_no_body() -> None:
    """A length without a body is right for HEAD."""
    assert failure(answer(body="", Content_Length="99"), method="HEAD") is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "connection refused"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "connection closed"),
        (socket.gaierror(socket.EAI_NONAME, "x"), "name not resolved"),
        (OSError(errno.ENETUNREACH, "x"), "network unreachable"),
        (OSError(errno.EHOSTUNREACH, "x"), "network unreachable"),
        (TimeoutError("x"), "timeout"),
        (OSError(errno.EPROTO, "x"), "connection failed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_connection_that_fails_says_why(error: OSError, expected: str) -> None:
    """Each way in which nobody is reached has its words."""
    assert failure({"here.example": error}) == expected


def test_what_this_machine_lacks_is_no_failure_of_a_target() -> None:
    """Without a free descriptor no check was made: neither up nor down."""
    servers = Servers({"here.example": OSError(errno.EMFILE, "too many open files")})

    assert Prober(servers.connect).check(check_of(), 0.0) is None


def test_without_a_thread_to_look_up_a_name_no_check_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine has no threads left nothing is known of a target."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert Prober(connected).check(check_of(), 0.0) is None


def test_a_host_may_be_an_address_of_ipv6() -> None:
    """What follows the last colon of an address is no port."""
    servers = Servers({"2001:db8::abcd": answer()})

    checked = Prober(servers.connect).check(check_of(url="http://[2001:db8::abcd]/"), 0.0)

    assert checked is not None
    assert checked.failure is None
    assert "Host: [2001:db8::abcd]" in servers.asked[0][1].splitlines()


def test_a_check_is_over_when_its_time_is_up() -> None:
    """A server that answers busily, and never comes to an end, costs no more than the timeout."""
    endless, ticks = "HTTP/1.1 100 Continue\r\n\r\n" * 10_000, count()

    checked = Prober(Servers({"here.example": endless}).connect, lambda: float(next(ticks))).check(check_of(), 0.0)

    assert checked is not None
    assert (checked.failure, checked.seconds) == ("timeout", 6.0)


def test_a_host_that_is_no_name_is_not_resolved() -> None:
    """A label longer than names may be is a name that nobody has, not a defect."""
    checked = Prober(connected).check(check_of(url=f"tcp://{'a' * 64}.example:1"), 0.0)

    assert checked is not None
    assert checked.failure == "name not resolved"


def test_a_deadline_that_has_passed_leaves_no_time() -> None:
    """Nothing is waited for after the end."""
    with pytest.raises(TimeoutError):
        Deadline(1.0, lambda: 1.0).left()


# ---- redirects


def test_a_redirect_is_followed() -> None:
    """The last answer counts; a relative place is on the same server."""
    found = asked({"here.example": moved("http://there.example/a?b=c#d"), "there.example": answer()})

    assert [(host, text.splitlines()[0]) for host, text in found] == [
        ("here.example", "GET / HTTP/1.1"),
        ("there.example", "GET /a?b=c HTTP/1.1"),
    ]


def test_a_circle_of_redirects_ends() -> None:
    """More than ten redirects are too many."""
    servers = Servers({"here.example": moved("/again", 301)})

    checked = Prober(servers.connect).check(check_of(), 0.0)

    assert checked is not None
    assert (checked.failure, len(servers.asked)) == ("too many redirects", 11)


@pytest.mark.parametrize(
    "place", ["ftp://here.example/", "http://[::1/", "http://h:99999/", "http://hé/", "https://.a/", "http://a b/"]
)
def test_a_redirect_to_no_web_address_fails(place: str) -> None:
    """What cannot be asked is not followed."""
    assert failure(moved(place)) == "redirected to no web address"


def test_a_redirect_may_be_the_answer() -> None:
    """Where redirects are not followed their own status is judged."""
    assert failure(moved("http://there.example/"), follow_redirects=False) == "status 302"


@pytest.mark.parametrize(("status", "method"), [(303, "GET"), (302, "GET"), (307, "POST"), (308, "POST")])
def test_a_redirect_keeps_the_method_where_it_says_so(status: int, method: str) -> None:
    """After a POST 301, 302 and 303 are followed by GET, as browsers do; 307 and 308 are followed by POST."""
    found = asked({"here.example": moved("//there.example/", status), "there.example": answer()}, method="POST")

    assert [text.split()[0] for _, text in found] == ["POST", method]


def test_credentials_do_not_follow_a_redirect_to_another_server() -> None:
    """Headers go to the server that was named and to no other."""
    answers = {"here.example": moved("http://there.example/"), "there.example": answer()}

    found = asked(answers, headers={"Authorization": "Bearer t0ken"})

    assert [(host, "t0ken" in text) for host, text in found] == [("here.example", True), ("there.example", False)]


def test_another_port_is_another_server() -> None:
    """Two ports of one host may be two people's."""
    servers = Servers({"here.example": moved("http://here.example:8080/")})

    Prober(servers.connect).check(check_of(headers={"Authorization": "Bearer t0ken"}), 0.0)

    assert ["t0ken" in text for _, text in servers.asked] == [True] + [False] * 10


def test_headers_of_ones_own_replace_the_usual_ones() -> None:
    """A virtual host is asked for by its name, whatever the case in which the header is written."""
    ((_, text),) = asked({"here.example": answer()}, headers={"host": "shop.example", "Accept": "text/plain"})

    lines = text.splitlines()
    assert "host: shop.example" in lines
    assert "Accept: text/plain" in lines
    assert "Host: here.example" not in lines


def test_a_check_repr_shows_no_header() -> None:
    """What is sent as a credential stands in no text about a check."""
    assert "t0ken" not in repr(check_of(headers={"Authorization": "Bearer t0ken"}))


def test_an_address_is_asked_for_as_it_is_written() -> None:
    """What is escaped stays so, and what must be is."""
    ((_, text),) = asked({"here.example": answer()}, url="http://here.example/a%20b/ü?q=1&r=a b")

    assert text.splitlines()[0] == "GET /a%20b/%C3%BC?q=1&r=a%20b HTTP/1.1"


# ---- ports


def test_an_open_port_passes() -> None:
    """A port that takes a connection is up, whatever speaks there."""
    assert failure("220 smtp.here.example\r\n", url="tcp://here.example:25") is None


def test_a_server_without_tls_fails_a_tls_check() -> None:
    """What answers in clear shows no certificate."""
    assert failure("no TLS here\r\n", url="tls://here.example:443") == "TLS handshake failed"
