"""HTTP for whoever talks to another system: bounded, patient, and silent about secrets. Sole importer of requests.

Errors are those of `collector/errors.py`. Their messages name the method, the server and the path that the caller
asked for; never a query, a header, a body or what stands in the base URL after the server, where some keep a secret.
"""

from __future__ import annotations

import json
import random
import re
import time
from base64 import b64encode
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, cast, overload
from urllib.parse import SplitResult, parse_qsl, urlencode, urljoin, urlsplit

import msgspec
import requests
from requests.adapters import BaseAdapter, HTTPAdapter

from collector.errors import AuthError, BadRecord, ContractError, RetryableError, SourceError, let_go
from collector.reach import OutOfReachError, Reach, pool_classes, timed_out

Method = Literal["GET", "POST", "DELETE"]
T = TypeVar("T")

_CHUNK_BYTES = 1 << 16
_CONNECT_SECONDS = 10.0
_MOST_REDIRECTS = 5
_FIRST_WAIT_SECONDS = 1.0
_MOST_TIMES = 1.5
"""For so many times `Limits.seconds` a request may hang before it is given up: twice, as that is measured."""
_LONGEST_WAIT_SECONDS = 60.0
_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNAUTHORISED, _FORBIDDEN, _NOT_IMPLEMENTED = 401, 403, 501
_SERVER_ERRORS = 500
_TRY_LATER = frozenset({408, 420, 425, 429})
"""420 is what some servers answer in place of 429."""
_SEEN_OTHER = frozenset({301, 302, 303})
_SAME_METHOD = frozenset({307, 308})
_SUCCESS = range(200, 300)
_NOT_MODIFIED = 304
_REFUSAL_BYTES = 1 << 16
_SECONDARY_LIMIT = re.compile(rb"secondary rate limit|abuse detection", re.IGNORECASE)
_SECONDARY_WAIT_SECONDS = 60.0
_EPOCHS = 10**9  # a larger reset is a time, a smaller one a wait
_ODD = re.compile(r"[\\\s\x00-\x1f\x7f]")
_CHARSET = re.compile(r"charset=\"?([\w.:-]+)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one answer may cost, and how often a failed request is repeated.

    `seconds`: for one answer, from the request to its last byte; where that was not enough twice, the request is not
    repeated again. `bytes`: of its body, unpacked. `attempts`: 1 repeats nothing. `patience_seconds`: the longest
    single wait before a repetition; where a server asks for more, the request fails with its wish.
    """

    seconds: float = 60.0
    bytes: int = 64 * 1024 * 1024
    attempts: int = 4
    patience_seconds: float = 120.0


class Quota(NamedTuple):
    """What a server says is left of a limit on requests. `resets_in_seconds` by its own clock, where it tells."""

    remaining: int
    limit: int | None
    resets_in_seconds: float | None


@dataclass
class Traffic:
    """What asking a system has cost: counted over all clients of a source, by whichever thread."""

    requests: int = 0
    retries: int = 0
    unchanged: int = 0
    quota: dict[str, Quota] = field(default_factory=dict)
    """By the limit's own name, `requests` where a server has one limit; the newest answer counts."""
    _lock: Lock = field(default_factory=Lock, repr=False)

    def asked(self, status: int, headers: Mapping[str, str]) -> None:
        """Count a request and what its answer said about limits."""
        with self._lock:
            self.requests += 1
            self.unchanged += status == _NOT_MODIFIED
            if (found := _quota(headers)) is not None:
                self.quota[_header(headers, "x-ratelimit-resource") or "requests"] = found

    def repeated(self) -> None:
        """Count a repetition."""
        with self._lock:
            self.retries += 1


class Exchange(NamedTuple):
    """A request and what was answered, as a recording keeps it: the path below the server with its query."""

    method: Method
    path: str
    request: bytes
    status: int
    headers: Mapping[str, str]
    body: bytes


class Tape(Protocol):
    """Keeps exchanges, or answers from those that were kept."""

    def play(self, method: Method, path: str, request: bytes) -> Exchange | None:
        """What was answered to such a request; None where a server is to be asked."""

    def keep(self, exchange: Exchange) -> None:
        """A server answered."""


@dataclass(frozen=True)
class Answer:
    """A successful answer, or one of a status that the caller understands. Header names are in lower case.

    `unchanged`: nothing is new since the given `etag`.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    asked: str

    @property
    def unchanged(self) -> bool:
        """True for 304: the body is empty, and what was read before still holds."""
        return self.status == _NOT_MODIFIED

    @property
    def etag(self) -> str | None:
        """What to give back with the next such request."""
        return self.headers.get("etag")

    def json(self) -> Any:
        """The body as JSON. Raises ContractError where it is none."""
        return self.read(Any)

    @overload
    def read(self, kind: type[T]) -> T: ...

    @overload
    def read(self, kind: Any) -> Any: ...

    def read(self, kind: Any) -> Any:
        """The body as a type that msgspec knows; unknown fields are left out. Raises ContractError, without values."""
        try:
            return _decoder(kind).decode(self._utf8())
        except msgspec.ValidationError as error:
            raise ContractError(f"{self.asked}: the answer is not as documented: {error}") from None
        except (msgspec.DecodeError, RecursionError):
            raise ContractError(f"{self.asked}: the answer is no JSON; is this the address of an API?") from None

    def items(self, kind: type[T], key: str | None = None) -> tuple[list[T], list[BadRecord]]:
        """The items of a list, or of the list under `key`; and those that are not as documented, without their values.

        Raises ContractError where there is no such list.
        """
        own = cast("Hashable", kind)
        whole, one_by_one = _listing(own, key)
        try:
            return _unwrapped(whole.decode(self._utf8()), key), []
        except msgspec.ValidationError:
            pass
        except (msgspec.DecodeError, RecursionError):
            raise ContractError(f"{self.asked}: the answer is no JSON; is this the address of an API?") from None
        try:
            parts = _unwrapped(one_by_one.decode(self._utf8()), key)
        except msgspec.ValidationError as error:
            raise ContractError(f"{self.asked}: the answer is not as documented: {error}") from None
        except (msgspec.DecodeError, RecursionError):  # cut off behind an item that is not as documented
            raise ContractError(f"{self.asked}: the answer is no JSON; is this the address of an API?") from None
        found: list[T] = []
        rejected: list[BadRecord] = []
        for number, part in enumerate(parts):
            try:
                found.append(_decoder(own).decode(part))
            except (msgspec.DecodeError, RecursionError) as error:
                rejected.append(BadRecord(f"{self.asked} item {number + 1}{_id_of(part)}", _documented(error)))
        return found, rejected

    def _utf8(self) -> bytes:
        """The body as UTF-8 without a byte order mark: some servers write what their headers call otherwise."""
        body = self.body.removeprefix(b"\xef\xbb\xbf")
        try:
            body.decode()
        except UnicodeDecodeError:
            named = _CHARSET.search(self.headers.get("content-type", ""))
            charset = named[1] if named and named[1].lower() not in {"utf-8", "utf8"} else "cp1252"
            try:
                return body.decode(charset, "replace").encode()
            except LookupError:
                return body.decode("cp1252", "replace").encode()
        return body


class _Id(msgspec.Struct):
    id: int | str | None = None


def _id_of(part: msgspec.Raw) -> str:
    """The id of an item that cannot be used, so that a person finds it."""
    try:
        known = msgspec.json.decode(part, type=_Id).id
    except (msgspec.DecodeError, RecursionError):
        return ""
    return "" if known is None or len(str(known)) > 40 else f" (id {known})"  # noqa: PLR2004 - longer is no id


def _documented(error: Exception) -> str:
    return f"it is not as documented: {error}" if isinstance(error, msgspec.ValidationError) else "it is no JSON"


@lru_cache(maxsize=512)
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


@lru_cache(maxsize=256)
def _listing(kind: Hashable, key: str | None) -> tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]:
    """Decoders of a list of items: of a kind, and undecoded."""
    if key is None:
        return _decoder(_list_of(kind)), _decoder(_list_of(msgspec.Raw))
    whole, one_by_one = (
        _decoder(msgspec.defstruct("Listing", [("items", _list_of(item))], rename={"items": key}))
        for item in (kind, msgspec.Raw)
    )
    return whole, one_by_one


def _list_of(kind: Any) -> Any:
    return list[kind]


def _unwrapped(found: Any, key: str | None) -> list[Any]:
    listed: list[Any] = found if key is None else found.items
    return listed


class ApiClient:
    """Asks one server. Threads may share it: a connection serves one request at a time.

    `headers` and `basic` (user and password) are credentials: they go to the base URL's server and to no other, and
    neither a `.netrc` nor a proxy of the environment replaces them. `ca_file` holds the certificates to trust instead
    of the public ones. `reach`: which addresses may be connected to; through a proxy that holds for the proxy, which
    alone looks names up.
    """

    def __init__(  # noqa: PLR0913 - one client has one set of options
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        basic: tuple[str, str] | None = None,
        ca_file: Path | None = None,
        proxy: str = "",
        limits: Limits | None = None,
        adapter: BaseAdapter | None = None,
        sleep: Callable[[float], object] = time.sleep,
        chance: Callable[[], float] = random.random,
        traffic: Traffic | None = None,
        tape: Tape | None = None,
        reach: Reach | None = None,
    ) -> None:
        self._base = base_url
        self._origin = origin(base_url)
        self._limits = limits or Limits()
        self._sleep, self._chance = sleep, chance
        self._traffic, self._tape = traffic or Traffic(), tape
        self._headers = {"User-Agent": "paceline", "Accept": "application/json", **(headers or {})}
        if basic is not None:
            self._headers["Authorization"] = f"Basic {b64encode(':'.join(basic).encode()).decode()}"
        self._verify = True if ca_file is None else str(ca_file)
        self._proxy, self._adapter, self._reach = proxy, adapter, reach or Reach()
        self._idle: list[requests.Session] = []
        """Sessions that nobody uses: threads come and go, and each that kept its own would leave a connection open."""

    @contextmanager
    def _session(self) -> Iterator[requests.Session]:
        """A session that nobody else uses meanwhile."""
        try:
            session = self._idle.pop()
        except IndexError:
            session = self._new_session()
        try:
            yield session
        finally:
            self._idle.append(session)

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.headers.update(self._headers)
        session.verify = self._verify
        if self._proxy:
            session.proxies = {"http": self._proxy, "https": self._proxy}
        adapter = self._adapter or _Checked(self._reach)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        return session

    def __repr__(self) -> str:
        return f"ApiClient({self._origin})"

    def close(self) -> None:
        """Let go of kept connections."""
        for session in self._idle:
            session.close()

    def get(
        self,
        path: str = "",
        parameters: Mapping[str, str | list[str]] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        etag: str | None = None,
        understood: Collection[int] = (),
    ) -> Answer:
        """The answer to a GET of a path below the base URL, repeated where that may help.

        With the `etag` of an earlier answer the server may say that nothing is new: `Answer.unchanged`. A refusal
        whose status is `understood` is an answer too. Raises AuthError, RetryableError (with the server's wish),
        ContractError, or SourceError for any other refusal.
        """
        extra = {**(headers or {}), **({"If-None-Match": etag} if etag else {})}
        asked = f"GET {self._origin}{path and '/' + path.partition('?')[0].lstrip('/')}"
        question = _Question("GET", self._below(path), dict(parameters or {}), extra, None, asked, understood)
        return self._patiently(question)

    def follow(self, url: str, asked: Answer) -> Answer:
        """The answer to a GET of an address that an answer gave, absolute or not: of this server, or ContractError."""
        target = urljoin(self._base, url)
        if origin(target) != self._origin:
            raise ContractError(f"{asked.asked}: it names another server as its next page, which is not followed")
        return self._patiently(_Question("GET", target, {}, {}, None, asked.asked))

    def post(
        self,
        path: str = "",
        body: Any = None,
        *,
        repeatable: bool = False,
        headers: Mapping[str, str] | None = None,
        understood: Collection[int] = (),
    ) -> Answer:
        """The answer to a POST of a JSON body. Repeated only where `repeatable`: where twice does no harm.

        A refusal whose status is `understood` is an answer too.
        """
        sent = json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
        extra = {"Content-Type": "application/json", **(headers or {})}
        return self.post_bytes(path, sent, headers=extra, repeatable=repeatable, understood=understood)

    def post_bytes(
        self,
        path: str,
        body: bytes,
        *,
        headers: Mapping[str, str],
        repeatable: bool = False,
        understood: Collection[int] = (),
    ) -> Answer:
        """As `post`, with a body that is ready; the headers say what it is."""
        asked = f"POST {self._origin}{path and '/' + path.partition('?')[0].lstrip('/')}"
        question = _Question("POST", self._below(path), {}, headers, body, asked, understood)
        return self._patiently(question, None if repeatable else 1)

    def post_form(self, body: str, *, headers: Mapping[str, str], understood: Collection[int] = ()) -> Answer:
        """The answer to a POST of a form, already encoded, to the base URL; never repeated.

        A refusal whose status is `understood` is an answer too.
        """
        extra = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        asked = f"POST {self._origin}"
        return self._patiently(_Question("POST", self._base, {}, extra, body.encode(), asked, understood), 1)

    def delete(self, path: str, *, understood: Collection[int] = ()) -> Answer:
        """The answer to a DELETE, repeated where that may help: what is gone already answers with another status.

        A refusal whose status is `understood` is an answer too.
        """
        asked = f"DELETE {self._origin}/{path.partition('?')[0].lstrip('/')}"
        return self._patiently(_Question("DELETE", self._below(path), {}, {}, None, asked, understood))

    def _below(self, path: str) -> str:
        return f"{self._base.rstrip('/')}/{path.lstrip('/')}" if path else self._base

    def _patiently(self, question: _Question, attempts: int | None = None) -> Answer:
        attempts, asking = attempts or self._limits.attempts, 0.0
        for attempt in range(attempts):
            began = time.monotonic()
            try:
                answer = self._once(question)
            except RetryableError as error:
                wait, asking = self._wait(attempt, error.retry_after_seconds), asking + time.monotonic() - began
                hung = asking > _MOST_TIMES * self._limits.seconds
                if attempt + 1 == attempts or wait > self._limits.patience_seconds or hung:
                    raise
                self._traffic.repeated()
                let_go(error)
                self._sleep(wait)
                continue
            # Some servers answer and say when to come again, before they refuse.
            if question.method == "GET" and (wished := retry_after(answer.headers)):
                self._sleep(min(wished, self._limits.patience_seconds))
            return answer
        raise RetryableError(f"{question.asked}: not one attempt is allowed")

    def _wait(self, attempt: int, wished: float | None) -> float:
        """Twice as long after each failure, half of it by chance, and never less than the server asked for."""
        longest: float = min(_FIRST_WAIT_SECONDS * 2**attempt, _LONGEST_WAIT_SECONDS)
        return max(longest * (1 + self._chance()) / 2, wished or 0.0)

    def _once(self, question: _Question) -> Answer:
        asked = question.asked
        for _ in range(_MOST_REDIRECTS + 1):
            answer, target = self._exchange(question)
            if answer is not None:
                return answer
            question = question._replace(url=urljoin(question.url, target), parameters={})
        raise ContractError(f"{asked}: redirected more than {_MOST_REDIRECTS} times")

    def _played(self, question: _Question, path: str) -> Answer | None:
        """The answer that was kept of such a request."""
        kept = self._tape.play(question.method, path, question.body or b"") if self._tape else None
        if kept is None:
            return None
        self._traffic.asked(kept.status, kept.headers)
        if kept.status != _NOT_MODIFIED and kept.status not in question.understood:
            refuse(kept.status, kept.headers, question.asked)
        return Answer(kept.status, kept.headers, kept.body, question.asked)

    def _exchange(self, question: _Question) -> tuple[Answer | None, str]:
        """One request: its answer, or where it is redirected to. The library's errors hold addresses: none gets out."""
        method, url, asked = question.method, question.url, question.asked
        path = _path_of(url, question.parameters) if self._tape else ""
        if (played := self._played(question, path)) is not None:
            return played, ""
        try:
            started = time.monotonic()
            if self._proxy:
                self._judged(url)
            with self._session() as session, closing(self._sent(session, question)) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                self._traffic.asked(response.status_code, headers)
                kept = Exchange(method, path, question.body or b"", response.status_code, headers, b"")
                if response.status_code in _SEEN_OTHER | _SAME_METHOD:
                    return None, self._redirected(method, url, response, asked)
                if response.status_code == _NOT_MODIFIED and "If-None-Match" in question.headers:
                    self._kept(kept)
                    return Answer(response.status_code, headers, b"", asked), ""
                beginning = _beginning(response) if response.status_code == _FORBIDDEN else b""
                if _SECONDARY_LIMIT.search(beginning):
                    wished = retry_after(headers) or _SECONDARY_WAIT_SECONDS
                    said = f"{asked}: answered {response.status_code}; its secondary rate limit is reached"
                    raise RetryableError(said, retry_after_seconds=wished, status=response.status_code)
                if response.status_code not in _SUCCESS and response.status_code not in question.understood:
                    self._kept(kept)
                    refuse(response.status_code, headers, asked)
                content = beginning + self._body(response, started, asked)
                self._kept(kept._replace(body=content))
                return Answer(response.status_code, headers, content, asked), ""
        except (OutOfReachError, requests.exceptions.RequestException, OSError, ValueError) as error:
            raise self._failure(error, asked) from None

    def _failure(self, error: Exception, asked: str) -> SourceError:
        """Why a request failed, in our words."""
        if isinstance(error, OutOfReachError):
            return OutOfReachError(f"{asked}: {error}; see docs/security.md")
        if isinstance(error, requests.exceptions.SSLError):
            return SourceError(f"{asked}: its certificate is not trusted; name its CA, or check the host")
        if isinstance(error, requests.exceptions.Timeout):
            return RetryableError(f"{asked}: no answer within {self._limits.seconds:g} s")
        if timed_out(error):
            return RetryableError(f"{asked}: the answer took longer than {self._limits.seconds:g} s")
        if isinstance(error, (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            return RetryableError(f"{asked}: the connection failed; is the server up, and reachable from here?")
        # A broken address or header, a body that cannot be unpacked, certificates that cannot be read.
        return SourceError(f"{asked}: the request could not be made; check address, proxy and CA file")

    def _judged(self, url: str) -> None:
        """Raise OutOfReachError where a proxy would be asked for an address, not a name, that is out of reach."""
        try:
            fault = self._reach.fault(urlsplit(url).hostname or "")
        except ValueError:  # a name, which the proxy looks up
            return
        if fault is not None:
            raise OutOfReachError(f"it is {fault}, which `network` does not allow")

    def _sent(self, session: requests.Session, question: _Question) -> requests.Response:
        """The response to one request, its body still to be read."""
        return session.request(
            question.method,
            question.url,
            params=question.parameters,
            data=question.body,
            headers=question.headers,
            timeout=(min(_CONNECT_SECONDS, self._limits.seconds), self._limits.seconds),
            allow_redirects=False,
            stream=True,
        )

    def _kept(self, exchange: Exchange) -> None:
        if self._tape is not None:
            self._tape.keep(exchange)

    def _body(self, response: requests.Response, started: float, asked: str) -> bytes:
        """The body, as long as it stays within the limits: neither endless nor dripping."""
        found = bytearray()
        for chunk in response.iter_content(_CHUNK_BYTES):
            found += chunk
            if len(found) > self._limits.bytes:
                raise ContractError(f"{asked}: the answer is larger than {self._limits.bytes} bytes")
            if time.monotonic() - started > self._limits.seconds:
                raise RetryableError(f"{asked}: the answer took longer than {self._limits.seconds:g} s")
        return bytes(found)

    def _redirected(self, method: Method, url: str, response: requests.Response, asked: str) -> str:
        """Where a redirect leads, if that is the same server: another one would be handed the credentials."""
        target = response.headers.get("location", "")
        if method != "GET" and response.status_code in _SEEN_OTHER:
            raise ContractError(f"{asked}: redirected, which a {method} does not survive; give the final address")
        if origin(urljoin(url, target)) != self._origin:
            raise ContractError(f"{asked}: redirected to another server, which is not followed; give its address")
        return target


class _Checked(HTTPAdapter):
    """Connects to what may be reached."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the pools of connections."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = pool_classes(self._reach)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """The pools of connections to a proxy: a person set it, and it may stand where the target must not."""
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = pool_classes(replace(self._reach, private=True))
        return manager


class _Question(NamedTuple):
    """A request: `asked` is how messages call it, without the query. `understood`: statuses that are no errors."""

    method: Method
    url: str
    parameters: Mapping[str, Any]
    headers: Mapping[str, str]
    body: bytes | None
    asked: str
    understood: Collection[int] = ()


def _beginning(response: requests.Response) -> bytes:
    """The first bytes of a refusal's body; empty where there are none to read."""
    return next(response.iter_content(_REFUSAL_BYTES), b"")


def refuse(status: int, headers: Mapping[str, str], asked: str) -> None:
    """Raise the error of a status that is no success: the one table from statuses to errors."""
    if status in _SUCCESS:
        return
    said = f"{asked}: answered {status}"
    quota = _quota(headers)
    # "0 of 0 left" is how a server without limits counts: it says nothing about why it refused.
    used_up = quota is not None and quota.remaining == 0 and quota.limit != 0
    wished = retry_after(headers)
    if wished is None and used_up and quota is not None:
        wished = quota.resets_in_seconds
    if status in _TRY_LATER or (status == _FORBIDDEN and (wished is not None or used_up)):
        left = f", its limit of {quota.limit} is used up" if used_up and quota is not None and quota.limit else ""
        when = f" for {wished:.0f} s" if wished else ""
        why = f"too many requests{left}{when}" if left else "too many requests, or too early"
        raise RetryableError(f"{said}; {why}", retry_after_seconds=wished, status=status)
    if status in {_UNAUTHORISED, _FORBIDDEN}:
        raise AuthError(f"{said}; check its credentials and what they allow", status=status)
    if status >= _SERVER_ERRORS and status != _NOT_IMPLEMENTED:
        raise RetryableError(f"{said}; the server failed", retry_after_seconds=wished, status=status)
    raise SourceError(f"{said}; check the address and what is asked", status=status)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """How many seconds a server wants to be left alone: `Retry-After` in seconds, or a date read by its own clock."""
    value = _header(headers, "retry-after")
    if not value:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
        return max((until - parsedate_to_datetime(_header(headers, "date") or "")).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _header(headers: Mapping[str, str], name: str) -> str | None:
    """A header, whether names are in lower case or as `Retry-After`."""
    return headers.get(name) or headers.get(name.title())


def _quota(headers: Mapping[str, str]) -> Quota | None:
    """What an answer says about its limit: `X-RateLimit-…` or `RateLimit-…`, its reset a time or a wait in seconds."""
    for prefix in ("x-ratelimit-", "ratelimit-"):
        remaining, limit, reset = (_whole(_header(headers, prefix + n)) for n in ("remaining", "limit", "reset"))
        if remaining is not None:
            try:
                now = parsedate_to_datetime(_header(headers, "date") or "").timestamp()
            except (ValueError, TypeError):
                now = None
            wait = None if reset is None else float(reset) if reset < _EPOCHS else None if now is None else reset - now
            return Quota(remaining, limit, None if wait is None else max(wait, 0.0))
    return None


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.strip().isdigit() else None


def _path_of(url: str, parameters: Mapping[str, Any]) -> str:
    """The path of an address with its query, as a recording names it: the order of parameters does not matter."""
    parts = urlsplit(url)
    given = [*parse_qsl(parts.query, keep_blank_values=True)]
    given += [(k, v) for k, vs in parameters.items() for v in (vs if isinstance(vs, list) else [vs])]
    query = urlencode(sorted(given))
    return parts.path + (f"?{query}" if query else "")


def origin(url: str) -> str:
    """Scheme, host and port of an address, as they may be shown. Raises ContractError for what is no web address."""
    try:
        parts: SplitResult = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    # Where these stand before the path, readers of addresses disagree on what is the host.
    if not host or parts.scheme not in _DEFAULT_PORTS or _ODD.search(parts.netloc):
        raise ContractError("an address is not usable; expected http:// or https:// and a host")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{port}")


@dataclass(frozen=True, kw_only=True)
class Wire:
    """How the clients of a source reach their servers: what they share, and what tests and recordings put between."""

    adapter: BaseAdapter | None = None
    sleep: Callable[[float], object] = time.sleep
    chance: Callable[[], float] = random.random
    traffic: Traffic = field(default_factory=Traffic)
    tape: Tape | None = None
    reach: Reach = field(default_factory=Reach)

    def client(  # noqa: PLR0913 - one client has one set of options
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        basic: tuple[str, str] | None = None,
        ca_file: Path | None = None,
        proxy: str = "",
        limits: Limits | None = None,
        of_data: bool = False,
    ) -> ApiClient:
        """A client over this wire. `of_data`: the address was not configured, but told by another system."""
        return ApiClient(
            base_url,
            headers=headers,
            basic=basic,
            ca_file=ca_file,
            proxy=proxy,
            limits=limits,
            adapter=self.adapter,
            sleep=self.sleep,
            chance=self.chance,
            traffic=self.traffic,
            tape=self.tape,
            reach=self.reach.of_data if of_data else self.reach,
        )
