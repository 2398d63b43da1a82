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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
from replay import Provider, Reply
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from collector.errors import AuthError, ContractError, PacelineError, RetryableError, SourceError
from collector.http import Answer, ApiClient, Limits, Quota, Traffic, retry_after
from collector.paging import side_by_side

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


@pytest.mark.parametrize(("wish", "wait"), [("5", 5.0), ("3600", 120.0)])
def test_a_server_that_answers_may_ask_to_be_left_alone(wish: str, wait: float) -> None:
    """Retry-After on a success is heeded before anything else is asked, as long as patience lasts."""
    found = asking((200, {"Retry-After": wish}, b'{"a": 1}'))

    answer = found.client.get("x")

    assert (answer.json(), found.waits) == ({"a": 1}, [wait])


def test_a_message_that_was_taken_is_not_waited_for() -> None:
    """Whoever posts asks for nothing more, so it is not held up."""
    found = asking((200, {"Retry-After": "5"}, b"{}"))

    found.client.post("x", {})

    assert found.waits == []


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


@pytest.mark.parametrize("ask", [ApiClient.get, ApiClient.post, ApiClient.delete])
def test_a_refusal_that_is_understood_is_an_answer(ask: Callable[..., Answer]) -> None:
    """Where the caller knows what a status means, the body says why; other statuses stay errors."""
    found = asking((412, {}, b'{"status": "version-mismatch"}'), (409, {}, b""))

    answer = ask(found.client, "x", understood=[412])

    assert (answer.status, answer.json()) == (412, {"status": "version-mismatch"})
    with pytest.raises(SourceError, match="answered 409"):
        ask(found.client, "x", understood=[412])


def test_a_delete_is_repeated() -> None:
    """Deleting twice is deleting once."""
    found = asking((503, {}, b""), OK)

    assert found.client.delete("things/1?x=1").status == 200
    assert [(r.method, r.url, r.body) for r in found.fake.asked] == [("DELETE", f"{BASE}/things/1?x=1", None)] * 2


def test_a_delete_is_named_without_its_query() -> None:
    """As every request is."""
    with pytest.raises(SourceError, match=r"^DELETE https://api.example.com/things/1: answered 404"):
        asking((404, {}, b"")).client.delete("things/1?x=1")


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


def test_a_delete_that_would_become_a_get_is_refused() -> None:
    """Servers answer the second request with something else."""
    found = asking((302, {"Location": "/y"}, b""))

    with pytest.raises(ContractError, match="a DELETE does not survive"):
        found.client.delete("x")


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
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
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


# ---- what an answer says beside its body


def test_what_is_unchanged_is_said_and_counted() -> None:
    """With the ETag of last time the server may answer 304: no body, no error."""
    traffic = Traffic()
    found = asking((200, {"ETag": '"a"'}, b"[]"), (304, {"ETag": '"a"'}, b""), traffic=traffic)

    first = found.client.get("/things")
    again = found.client.get("/things", etag=first.etag)

    assert (first.unchanged, again.unchanged) == (False, True)
    assert found.fake.asked[1].headers["If-None-Match"] == '"a"'
    assert (traffic.requests, traffic.unchanged) == (2, 1)


def test_a_304_that_nobody_asked_for_is_no_answer() -> None:
    """Without an ETag there is nothing that could still hold."""
    with pytest.raises(SourceError, match="answered 304"):
        asking((304, {}, b"")).client.get("/things")


@pytest.mark.parametrize(
    ("headers", "quota"),
    [
        ({"X-RateLimit-Remaining": "7", "X-RateLimit-Limit": "5000"}, {"requests": Quota(7, 5000, None)}),
        (
            {
                "RateLimit-Remaining": "0",
                "RateLimit-Limit": "60",
                "RateLimit-Reset": "1772442060",
                "Date": "Mon, 02 Mar 2026 09:00:00 GMT",
            },
            {"requests": Quota(0, 60, 60.0)},
        ),
        (
            {"x-ratelimit-remaining": "3", "x-ratelimit-reset": "20", "x-ratelimit-resource": "graphql"},
            {"graphql": Quota(3, None, 20.0)},
        ),
        ({"X-RateLimit-Remaining": "many"}, {}),
        ({}, {}),
    ],
)
def test_what_is_left_of_a_limit_is_known(headers: Mapping[str, str], quota: Mapping[str, Quota]) -> None:
    """Remaining requests by the limit's own name; a reset is a time or a wait, read by the server's own clock."""
    traffic = Traffic()
    asking((200, headers, b"{}"), traffic=traffic).client.get("/things")

    assert traffic.quota == quota


def test_a_limit_that_is_used_up_is_waited_for_or_named() -> None:
    """403 with rate headers → waits until the reset where that is near, else gives up with the limit in the reason."""
    date = {"Date": "Mon, 02 Mar 2026 09:00:00 GMT", "X-RateLimit-Remaining": "0", "X-RateLimit-Limit": "5000"}
    near = asking((403, {**date, "X-RateLimit-Reset": "1772442030"}, b"{}"), OK)
    far = asking((403, {**date, "X-RateLimit-Reset": "1772445600"}, b"{}"))

    assert near.client.get("/things").json() == {"a": 1}
    assert near.waits == [30.0]
    with pytest.raises(RetryableError, match=r"limit of 5000 is used up for 3600 s") as caught:
        far.client.get("/things")
    assert (caught.value.retry_after_seconds, far.waits) == (3600.0, [])


def test_a_server_without_limits_that_refuses_is_not_taken_for_a_busy_one() -> None:
    """403 with "0 of 0 left" → credentials, not patience: it never hangs."""
    with pytest.raises(AuthError):
        asking((403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Limit": "0"}, b"{}")).client.get("/things")


@pytest.mark.parametrize(
    "body", [b"You have exceeded a secondary rate limit.", b"triggered an abuse detection mechanism"]
)
def test_a_secondary_limit_is_waited_for(body: bytes) -> None:
    """A 403 that says so in its body alone is a limit, not a refusal: a minute later it is asked again."""
    found = asking((403, {}, b'{"message": "' + body + b'"}'), OK)

    assert found.client.get("/things").json() == {"a": 1}
    assert found.waits == [60.0]


class Thing(msgspec.Struct):
    """An item of a list."""

    id: int
    name: str | None = None


def test_one_broken_item_does_not_spoil_the_list() -> None:
    """The good items are kept; the broken one is set aside with its place, id and reason, without its values."""
    body = b'{"total": 3, "things": [{"id": 1}, {"id": 2, "name": ["planted"]}, {"id": 3, "more": {}}]}'
    found, rejected = asking((200, {}, body)).client.get("/things").items(Thing, "things")

    assert [t.id for t in found] == [1, 3]
    why = "it is not as documented: Expected `str | null`, got `array` - at `$.name`"
    assert [(r.location, r.reason) for r in rejected] == [("GET https://api.example.com/things item 2 (id 2)", why)]


@pytest.mark.parametrize("body", [b'{"message": "no"}', b'"text"', b"[1", b"<html>"])
def test_what_is_no_list_is_a_broken_contract(body: bytes) -> None:
    """Another shape, half a body or HTML is no empty list."""
    with pytest.raises(ContractError):
        asking((200, {}, body)).client.get("/things").items(Thing, "things")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('{"id": 1, "name": "Zoë"}'.encode("cp1252"), "application/json"),
        ('{"id": 1, "name": "Zoë"}'.encode("cp1252"), "application/json; charset=utf-8"),
        ('{"id": 1, "name": "Zoë"}'.encode("iso-8859-15"), "application/json; charset=iso-8859-15"),
        (b"\xef\xbb\xbf" + '{"id": 1, "name": "Zoë"}'.encode(), "application/json"),
        ('{"id": 1, "name": "Zoë"}'.encode("cp1252"), "application/json; charset=no-such-thing"),
    ],
)
def test_a_wrong_charset_is_survived(body: bytes, content_type: str) -> None:
    """Bytes that are no UTF-8, whatever the header says, and a byte order mark: the record survives."""
    found = asking((200, {"Content-Type": content_type}, body)).client.get("/things").read(Thing)

    assert found.name == "Zoë"


def test_an_address_that_an_answer_gave_is_followed_on_the_same_server_only() -> None:
    """The next page may be absolute; one on another server, or over another scheme, is refused."""
    found = asking((200, {}, b"[]"), (200, {}, b"[1]"))
    first = found.client.get("/things")

    assert found.client.follow("https://api.example.com/v1/things?page=2", first).json() == [1]
    with pytest.raises(ContractError, match="another server"):
        found.client.follow("http://api.example.com/v1/things?page=2", first)


def test_threads_share_a_client(client: Callable[..., ApiClient]) -> None:
    """Each thread has connections of its own; what they ask is counted together."""
    traffic = Traffic()
    shared = client(traffic=traffic)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: shared.get("").status, range(40)))

    assert answers == [200] * 40
    assert traffic.requests == 40
    shared.close()


def test_threads_that_come_and_go_leave_no_connections() -> None:
    """Each page of a list is asked for by new threads: as many connections stay open as were used at one time."""
    provider = Provider(BASE)
    provider.route("x")(lambda _: Reply({}))
    client = ApiClient(BASE, adapter=provider)

    for _ in range(5):
        list(side_by_side(lambda _: client.get("x"), range(8), 2))

    assert len(client._idle) <= 2
