"""The client of other systems: what it asks, when it asks again, what it refuses, and what it never says."""

from __future__ import annotations

import io
import json
import re
import socket
import threading
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from collector.errors import AuthError, ContractError, PacelineError, RetryableError, SourceError
from collector.http import ApiClient, Limits, retry_after

BASE = "https://api.example.com/v1"
PLANTED = "s3cr3t-value"


@dataclass
class Fake(BaseAdapter):
    """Answers from a list, one a request: (status, headers, body), or an error to raise."""

    answers: list[tuple[int, Mapping[str, str], bytes] | Exception]
    asked: list[requests.PreparedRequest] = field(default_factory=list)

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override] # as one
        """The next answer."""
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, headers, body = answer
        response = requests.Response()
        response.status_code, response.url, response.request = status, str(request.url), request
        response.headers.update(headers)
        response.raw = HTTPResponse(body=io.BytesIO(body), headers=headers, status=status, preload_content=False)
        return response

    def close(self) -> None:
        """Nothing is kept."""


OK: tuple[int, Mapping[str, str], bytes] = (200, {}, b'{"a": 1}')


@dataclass
class Asked:
    """A client over a list of answers, the waits between, and the requests."""

    client: ApiClient
    fake: Fake
    waits: list[float]


def asking(*answers: Any, base: str = BASE, limits: Limits | None = None, **options: Any) -> Asked:
    """A client that is answered from a list; chance always says the most."""
    fake, waits = Fake(list(answers)), list[float]()
    client = ApiClient(base, adapter=fake, sleep=waits.append, chance=lambda: 1.0, limits=limits, **options)
    return Asked(client, fake, waits)


def test_a_path_is_asked_below_the_base() -> None:
    """The path is joined with the base URL, the parameters are encoded, and the body is JSON."""
    found = asking(OK)

    answer = found.client.get("/things", {"q": "a&b", "x": ["1", "2"]})

    assert answer.json() == {"a": 1}
    assert found.fake.asked[0].url == f"{BASE}/things?q=a%26b&x=1&x=2"


def test_a_body_is_posted_as_json() -> None:
    """A POST carries its body as UTF-8 JSON and says so."""
    found = asking(OK)

    found.client.post("things", {"name": "ü"})

    assert found.fake.asked[0].body == '{"name": "ü"}'.encode()
    assert found.fake.asked[0].headers["Content-Type"] == "application/json"


def test_without_a_path_the_base_is_the_address() -> None:
    """An address that is given whole is asked as it is."""
    found = asking(OK, base="https://hooks.example.com/T/secret/")

    found.client.post("", {})

    assert found.fake.asked[0].url == "https://hooks.example.com/T/secret/"


def test_basic_credentials_may_hold_any_letters() -> None:
    """User and password go as UTF-8."""
    found = asking(OK, basic=("bot", "pässwörd"))

    found.client.get()

    expected = b64encode("bot:pässwörd".encode()).decode()
    assert found.fake.asked[0].headers["Authorization"] == f"Basic {expected}"


def test_a_netrc_does_not_replace_the_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the home of whoever runs the service stays there."""
    (tmp_path / ".netrc").write_text("machine api.example.com login other password other\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    found = asking(OK, headers={"Authorization": f"Bearer {PLANTED}"})

    found.client.get("x")

    assert found.fake.asked[0].headers["Authorization"] == f"Bearer {PLANTED}"


# --- asking again ----------------------------------------------------------------------------------------

TIMEOUT = requests.exceptions.ReadTimeout(f"{BASE}?token={PLANTED}")
LOST = requests.exceptions.ConnectionError(f"{BASE}?token={PLANTED}")


@pytest.mark.parametrize(
    "failure",
    [(429, {}, b""), (408, {}, b""), (500, {}, b""), (502, {}, b""), (503, {}, b""), TIMEOUT, LOST],
    ids=lambda f: str(f[0]) if isinstance(f, tuple) else type(f).__name__,
)
def test_what_may_pass_is_asked_again(failure: Any) -> None:
    """Too many requests, failures of the server, time-outs and lost connections are tried again."""
    found = asking(failure, OK)

    assert found.client.get("x").json() == {"a": 1}


def test_each_wait_is_longer() -> None:
    """One, two, four seconds, and then it is given up."""
    found = asking(*[(503, {}, b"")] * 4)

    with pytest.raises(RetryableError, match="answered 503"):
        found.client.get("x")

    assert found.waits == [1.0, 2.0, 4.0]


def test_chance_shortens_a_wait_by_up_to_half() -> None:
    """Clients that failed together do not come back together."""
    fake, waits = Fake([(503, {}, b""), OK]), list[float]()
    client = ApiClient(BASE, adapter=fake, sleep=waits.append, chance=lambda: 0.0)

    client.get("x")

    assert waits == [0.5]


def test_a_server_may_say_when() -> None:
    """Retry-After is waited for, where it is longer than one would wait anyhow."""
    found = asking((429, {"Retry-After": "17"}, b""), OK)

    found.client.get("x")

    assert found.waits == [17.0]


def test_a_long_wish_is_handed_on() -> None:
    """A server that wants an hour is not waited for: the caller is told."""
    found = asking((429, {"Retry-After": "3600"}, b""))

    with pytest.raises(RetryableError) as raised:
        found.client.get("x")

    assert (raised.value.retry_after_seconds, found.waits) == (3600.0, [])


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "5"}, 5.0),
        ({"retry-after": "Wed, 04 Mar 2026 10:00:30 GMT", "date": "Wed, 04 Mar 2026 10:00:00 GMT"}, 30.0),
        ({"retry-after": "Wed, 04 Mar 2026 10:00:00 GMT", "date": "Wed, 04 Mar 2026 10:00:30 GMT"}, 0.0),
        ({"retry-after": "Wed, 04 Mar 2026 10:00:00 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({}, None),
    ],
)
def test_wishes_are_seconds_or_dates(headers: Mapping[str, str], seconds: float | None) -> None:
    """A date is read by the server's own clock, and nonsense is no wish."""
    assert retry_after(headers) == seconds


def test_a_post_is_sent_once() -> None:
    """What may have been done already is not done again."""
    found = asking((503, {}, b""))

    with pytest.raises(RetryableError):
        found.client.post("x", {})

    assert len(found.fake.asked) == 1


def test_a_repeatable_post_is_sent_again() -> None:
    """Where twice does no harm, a POST is repeated like a GET."""
    found = asking((503, {}, b""), OK)

    assert found.client.post("x", {}, repeatable=True).status == 200


# --- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (401, {}, AuthError),
        (403, {}, AuthError),
        (403, {"Retry-After": "600"}, RetryableError),
        (403, {"X-RateLimit-Remaining": "0"}, RetryableError),
        (400, {}, SourceError),
        (404, {}, SourceError),
        (501, {}, SourceError),
        (304, {}, SourceError),
    ],
)
def test_a_status_has_its_error(status: int, headers: Mapping[str, str], error: type[PacelineError]) -> None:
    """Errors are sorted by what the caller does: a person acts, try later, or stop."""
    found = asking((status, headers, b""), limits=Limits(attempts=1))

    with pytest.raises(PacelineError) as raised:
        found.client.get("x")

    assert type(raised.value) is error
    assert str(raised.value).startswith(f"GET https://api.example.com/x: answered {status}; ")


def test_refused_credentials_are_not_tried_again() -> None:
    """Hammering with a wrong password locks accounts."""
    found = asking((401, {}, b""))

    with pytest.raises(AuthError):
        found.client.get("x")

    assert found.waits == []


def test_a_large_answer_is_cut_off() -> None:
    """An answer beyond the limit is refused while it comes, not kept."""
    found = asking((200, {}, b"x" * 200_000), limits=Limits(bytes=100_000))

    with pytest.raises(ContractError, match="larger than 100000 bytes"):
        found.client.get("x")


def test_what_is_no_json_is_said() -> None:
    """A login page in place of an API is a broken contract."""
    answer = asking((200, {}, b"<html>")).client.get("x")

    with pytest.raises(ContractError, match="is no JSON"):
        answer.json()


@pytest.mark.parametrize("url", ["ftp://example.com", "example.com", "https://", "https://[broken", "http://h:99999"])
def test_an_unusable_address_is_refused_at_once(url: str) -> None:
    """An address without http and a host is a mistake before anything is asked; it is not repeated to anybody."""
    with pytest.raises(ContractError, match=r"^an address is not usable; expected http:// or https:// and a host$"):
        ApiClient(url)


# --- redirects -------------------------------------------------------------------------------------------


def test_a_redirect_on_the_same_server_is_followed() -> None:
    """Credentials stay where they belong."""
    found = asking((302, {"Location": "/v2/x"}, b""), OK, headers={"PRIVATE-TOKEN": PLANTED})

    found.client.get("x", {"q": "1"})

    assert [r.url for r in found.fake.asked] == [f"{BASE}/x?q=1", "https://api.example.com/v2/x"]


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example.com/x",
        "http://api.example.com/v1/x",
        "https://api.example.com:8443/x",
        "//evil.example.com/",
        "https://api.example.com@evil.example.com/",
    ],
)
def test_a_redirect_to_another_server_is_not_followed(target: str) -> None:
    """Another host, port or scheme would be handed the credentials."""
    found = asking((302, {"Location": target}, b""), headers={"PRIVATE-TOKEN": PLANTED})

    with pytest.raises(ContractError, match="another server"):
        found.client.get("x")

    assert len(found.fake.asked) == 1


def test_a_circle_of_redirects_ends() -> None:
    """Redirects are followed five times."""
    found = asking(*[(302, {"Location": "/v1/x"}, b"")] * 9)

    with pytest.raises(ContractError, match="more than 5 times"):
        found.client.get("x")


def test_a_post_that_would_become_a_get_is_refused() -> None:
    """A redirect that loses the body is no success."""
    found = asking((302, {"Location": "/v1/y"}, b""))

    with pytest.raises(ContractError, match="a POST does not survive"):
        found.client.post("x", {})


# --- silence ---------------------------------------------------------------------------------------------

FAILURES: list[Any] = [
    TIMEOUT,
    LOST,
    requests.exceptions.SSLError(PLANTED),
    requests.exceptions.InvalidHeader(PLANTED),
    requests.exceptions.ProxyError(PLANTED),
    (302, {"Location": f"https://other.example.com/?{PLANTED}"}, b""),
    (401, {"X": PLANTED}, PLANTED.encode()),
    (404, {}, PLANTED.encode()),
    (500, {}, PLANTED.encode()),
]


@pytest.mark.parametrize("failure", FAILURES, ids=range(len(FAILURES)))
def test_no_secret_is_in_an_error(failure: Any) -> None:
    """Neither message nor traceback nor repr has a query, a header, a body or the base's own path in it."""
    found = asking(
        failure,
        base=f"https://user:{PLANTED}@api.example.com/{PLANTED}",
        limits=Limits(attempts=1),
        headers={"Authorization": f"Bearer {PLANTED}"},
    )

    with pytest.raises(PacelineError) as raised:
        found.client.get("x", {"token": PLANTED})

    said = "".join(traceback.format_exception(raised.value)) + repr(found.client)
    assert re.findall(PLANTED, said) == []


def test_an_answer_does_not_show_its_body() -> None:
    """What is logged of an answer holds no content."""
    answer = asking((200, {}, PLANTED.encode())).client.get("x")

    assert PLANTED not in repr(answer)


# --- a real server ---------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """Answers with what was asked; `/slow` drips."""

    def do_GET(self) -> None:
        """The request line and the user agent as JSON."""
        body = json.dumps([self.path, self.headers["User-Agent"]]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + (1_000 if self.path == "/slow" else 0)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    """A server on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture
def client(server: str) -> Iterator[Callable[..., ApiClient]]:
    """Makes clients of the server."""
    made: list[ApiClient] = []

    def make(**options: Any) -> ApiClient:
        made.append(ApiClient(server, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_real_server_is_asked(client: Callable[..., ApiClient]) -> None:
    """Over a real connection the answer is the same."""
    assert client().get("x", {"q": "1"}).json() == ["/x?q=1", "paceline"]


def test_an_answer_that_breaks_off_is_a_failed_connection(client: Callable[..., ApiClient]) -> None:
    """Half an answer is none, and may be asked for again."""
    with pytest.raises(RetryableError, match=r"/slow: the connection failed"):
        client(limits=Limits(attempts=1)).get("slow")


def test_nobody_listening_is_a_failed_connection() -> None:
    """A server that is not up may be later."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"

    with pytest.raises(RetryableError, match="is the server up"):
        ApiClient(url, limits=Limits(attempts=1)).get("x")


def test_a_missing_ca_file_is_said(tmp_path: Path) -> None:
    """Certificates that cannot be read are no reason to trust others."""
    client = ApiClient("https://127.0.0.1:1", ca_file=tmp_path / "none.pem", limits=Limits(attempts=1))

    with pytest.raises(SourceError, match="CA file"):
        client.get("x")
